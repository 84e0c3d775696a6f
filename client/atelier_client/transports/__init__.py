"""How a call travels: over gRPC, over REST, or through a function in memory.

Internal: what is in here may change with any version.
"""
