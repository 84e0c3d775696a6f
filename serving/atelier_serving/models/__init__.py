"""Which models and versions are served: what the configuration wants, and each version from load to unload."""
