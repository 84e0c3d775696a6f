"""Batching: requests to the same version of a model run together as one batch."""
