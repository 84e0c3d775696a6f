"""Internal: how good a model is on labelled examples, a module a task."""
