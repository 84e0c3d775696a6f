"""The Open Inference Protocol, version 2, beside TensorFlow Serving's wire: the same models, limits and records."""
