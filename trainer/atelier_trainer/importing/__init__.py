"""Importing: a model that somebody already has becomes a version in the model repository."""
