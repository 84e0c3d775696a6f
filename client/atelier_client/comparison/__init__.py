"""Compares two served versions on the same labelled examples.

Internal: the command `diff` is the way to use it.
"""
