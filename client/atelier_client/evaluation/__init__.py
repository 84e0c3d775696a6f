"""Measures a served model: sends labelled examples and computes metrics from the predictions.

Internal: what is in here may change with any version.
"""
