"""Sends each request to one of two served versions by weight, or to a second one as a copy.

Internal: `Router` and `AsyncRouter` of the package are the way to use it.
"""
