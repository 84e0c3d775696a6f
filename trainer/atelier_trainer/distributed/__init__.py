"""Training by several workers, or on several devices, of the same job: the same history, checkpoints and version."""
