"""Evaluation and prediction by several processes: Ray Data hands out the parts of the data, a pool of actors asks.

Internal: what is in here may change with any version.
"""
