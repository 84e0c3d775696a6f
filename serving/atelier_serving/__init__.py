"""An embedded server that speaks TensorFlow Serving gRPC and REST."""
