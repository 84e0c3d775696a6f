"""The report of an evaluation, as JSON, CSV, JUnit XML and an HTML page."""
