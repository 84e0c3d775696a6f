"""An embedded server that speaks TensorFlow Serving's gRPC and REST."""

__version__ = "0.1.0"
