"""The report of an evaluation, as JSON, CSV, JUnit XML and an HTML page.

Internal: what is in here may change with any version.
"""
