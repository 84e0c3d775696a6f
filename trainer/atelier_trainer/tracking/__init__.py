"""What experiment trackers are told of runs and releases; the folder of the run and models.config stay the truth."""
