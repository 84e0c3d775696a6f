"""Evaluates a regression: a number an example.

Internal: what is in here may change with any version.
"""
