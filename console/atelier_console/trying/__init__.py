"""Internal: one try: the answers, how they differ, and the same request in other words."""
