"""Studies: several jobs trained on the same data, and their runs compared."""
