"""A run's model in the format of another runtime, proved by that runtime before the file appears."""
