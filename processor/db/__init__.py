"""The door to the database: engine, transactions, dialects, schema version and migrations. No verbs of the queue."""

from processor.db.database import Database

__all__ = ["Database"]
