"""Releases: which versions of a model are served, and how a new one takes the place of the one before.

Internal: what is in here may change with any version.
"""
