"""Load tests: how many requests a second a served model answers, and how fast.

Internal: what is in here may change with any version.
"""
