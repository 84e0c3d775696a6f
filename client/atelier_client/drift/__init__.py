"""Internal: whether what a model is asked, and what it answers, is still what it was trained on (docs/observe.md).

It comes without notice of change; docs/client.md lists the public names.
"""
