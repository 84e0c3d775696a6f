"""What a request to a model computes: predict, classify, regress and multi-inference, whatever the transport."""
