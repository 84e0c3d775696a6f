"""The Open Inference Protocol, version 2, over gRPC and REST.

Source: github.com/kserve/open-inference-protocol, specification/protocol.
Internal: what is in here may change with any version.
"""
