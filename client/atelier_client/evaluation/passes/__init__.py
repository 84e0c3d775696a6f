"""A pass over labelled examples: the question of their task, and the evaluation of one version.

Internal: what is in here may change with any version.
"""
