"""Internal: what a person gives (a drawing, a text, a form, JSON) as the inputs of a model."""
