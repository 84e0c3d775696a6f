"""The messages of TensorFlow Serving that the client sends and reads, generated from serving.proto.

Internal: what is in here may change with any version.
"""
