"""Requests to models: predict, classify, regress and multi-inference, for both transports."""
