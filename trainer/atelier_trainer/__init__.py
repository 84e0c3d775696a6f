"""Trains Keras models and publishes them as versioned SavedModels."""
