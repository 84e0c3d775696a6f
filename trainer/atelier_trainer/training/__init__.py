"""Training: from a data set to a fitted network, in the folder of a run that can be resumed."""
