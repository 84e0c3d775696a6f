"""Internal: the pages and their questions, one module a page."""
