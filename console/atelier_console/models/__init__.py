"""Internal: which models there are, and what is known of a version."""
