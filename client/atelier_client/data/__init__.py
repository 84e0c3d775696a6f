"""Files of examples, read in pieces, and the columns of a file as the inputs of a model.

Internal: what is in here may change with any version.
"""
