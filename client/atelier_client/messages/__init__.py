"""From arrays to the bytes of a request, and from the tensors of a response back to arrays.

Internal: what is in here may change with any version.
"""
