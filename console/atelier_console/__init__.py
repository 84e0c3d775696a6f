"""The console: a page on a model server, to try a model, to see its versions and releases, and to watch it."""

__version__ = "0.1.0"
