"""Finds what is wrong between the model on disk and the response of the server, in the order of the way there.

Internal: what is in here may change with any version.
"""
