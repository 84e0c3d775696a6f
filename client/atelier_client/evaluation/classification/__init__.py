"""Evaluates a classifier: one class an example, from the probabilities of all classes.

Internal: what is in here may change with any version.
"""
