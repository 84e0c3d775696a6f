"""Trains Keras models and publishes them as versioned SavedModels."""

__version__ = "0.1.0"
