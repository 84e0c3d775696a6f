"""The transports: they carry calls over gRPC or REST, to one of several replicas.

Internal: what is in here may change with any version.
"""
