"""The command line: one module for each command.

Internal: what is in here may change with any version.
"""
