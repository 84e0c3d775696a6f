"""The REST transport: HTTP, the routes of the REST API, and the pages for people and probes."""
