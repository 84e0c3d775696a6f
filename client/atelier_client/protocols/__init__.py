"""What a protocol does for the client, and TensorFlow Serving's.

Internal: what is in here may change with any version.
"""
