"""Publishing: from a fitted network to a version in the model repository that servers read."""
