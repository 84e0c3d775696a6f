"""JSON request bodies to tensors and examples, and answers to JSON, as TensorFlow Serving reads and prints them."""
