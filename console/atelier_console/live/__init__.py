"""Internal: the server's own figures of the last minutes."""
