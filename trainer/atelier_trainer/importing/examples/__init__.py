"""Examples for an imported model: files of several formats, as the inputs of its signature."""
