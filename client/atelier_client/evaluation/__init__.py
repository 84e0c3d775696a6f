"""Measuring a served model: labelled examples are sent, and their answers become metrics.

Internal: what is in here may change with any version.
"""
