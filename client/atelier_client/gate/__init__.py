"""Decides by rules whether a candidate may take the place of the stable version.

Internal: the command `release` is the way to use it. rules.py reads gate.yaml, measure.py asks the server, verdict.py
judges.
"""
