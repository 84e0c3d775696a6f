"""The reference beside a version: what its model was asked and what it answered when it was made, as counts."""
