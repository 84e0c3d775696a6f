"""Files of examples, one module a format; all are read in pieces, so that none needs to fit in memory."""

from atelier_client.sources.reader import Reader, Table, open_reader

__all__ = ["Reader", "Table", "open_reader"]
