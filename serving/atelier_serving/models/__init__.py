"""Models and versions: the configuration, and the life of each version from load to unload."""
