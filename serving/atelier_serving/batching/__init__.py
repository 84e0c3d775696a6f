"""Requests to one version that are run together as one batch."""
