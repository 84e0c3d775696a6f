"""A typed TensorFlow Serving client without TensorFlow."""
