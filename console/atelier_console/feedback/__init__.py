"""Internal: examples with their right labels, in files that evaluate, drift and the trainer read."""
