"""What is wrong between a model on disk and an answer from a server, in the order in which things go wrong.

Internal: what is in here may change with any version.
"""
