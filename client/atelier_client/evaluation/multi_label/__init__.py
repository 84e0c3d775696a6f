"""Evaluates a multi-label model: a probability of each class by itself.

Internal: what is in here may change with any version.
"""
