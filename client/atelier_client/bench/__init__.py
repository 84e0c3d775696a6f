"""Load tests: the rate and the latency of a served model.

Internal: what is in here may change with any version.
"""
