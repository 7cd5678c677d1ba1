"""What every database answers, and how rows travel to it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Float,
    Select,
    Subquery,
    Table,
    bindparam,
    collate,
    column,
    func,
    text,
    type_coerce,
)
from sqlalchemy.exc import DBAPIError

from models.types import Identity, Instant, LongText, Name
from processor.diagnosis import Diagnosis

INTEGER, NUMBER, TEXT, NAME, BOOLEAN = "integer", "number", "text", "name", "boolean"
"""The shapes that a column of a `table` can have; a `name` is compared with names in the tables, by their index."""

IDLE_TRANSACTION = 10
"""Seconds after which the server ends an idle transaction of ours: its process was stopped with rows locked."""
LOCK_WAIT = 5
"""Seconds that a statement of ours waits for a lock before it is taken back and tried again: a heartbeat that waits for
somebody's ALTER TABLE would cost the lease, and with it all that runs."""
MIGRATION_LOCK = 5_628_325_442_000_001
"""One number (and MariaDB lock name) that every process which migrates waits for."""

_SQL_TYPE: dict[str, Any] = {INTEGER: Identity, NUMBER: Float(53), TEXT: LongText, NAME: Name, BOOLEAN: Identity}


def document(rows: Iterable[Mapping[str, Any]]) -> str:
    """Write rows down for a `table`; what is null is left out, which every database reads as null."""
    return _encode([{key: value for key, value in row.items() if value is not None} for row in rows])


_encode = json.JSONEncoder(separators=(",", ":")).encode


def letters(text: str) -> int:
    """Give at most how many letters a text takes in a statement: JSON writes what is not ASCII as escapes."""
    return len(text) if text.isascii() else 12 * len(text)


class Dialect:
    """What every database answers; a subclass says where it is different. Without state: one of each serves all."""

    driver: ClassVar[str]
    extra: ClassVar[str] = ""
    """What to write behind `jobtable` so that pip installs the driver too."""
    has_schemas: ClassVar[bool] = True
    """One connection reaches more than one set of tables."""
    claims_in_one_statement: ClassVar[bool] = False
    """A claim may be one statement with row locks inside; otherwise it is a short transaction."""
    has_partial_indexes: ClassVar[bool] = True
    """An index can be one of some rows only."""
    bytewise_collation: ClassVar[str] = ""
    """By which names are compared byte by byte, where they are not so anyway."""
    skips_by_recursion: ClassVar[bool] = True
    """A recursion that goes from value to value of an index looks each up there."""
    has_notices: ClassVar[bool] = False
    """The database can tell a waiting connection that something happened."""
    retryable: ClassVar[frozenset[str]] = frozenset()
    """Error codes of a transaction that the database rolled back for others' sake: run it again."""
    refused: ClassVar[frozenset[str]] = frozenset()
    """Error codes (or their beginnings) that say the values cannot be stored, however often they are sent."""
    forbidden: ClassVar[frozenset[str]] = frozenset()
    """Error codes that say this user may not, where the driver takes that for a lost connection."""
    full: ClassVar[frozenset[str]] = frozenset()
    """Error codes that say there is no room left to write."""
    trigger: ClassVar[frozenset[str]] = frozenset()
    """Of these, the codes by which a trigger of the user's own refuses."""
    missing_index: ClassVar[frozenset[str]] = frozenset()
    """Error codes that say a named index is not there, where a statement insists on one."""
    impatience: ClassVar[tuple[str, ...]] = ()
    """What lets a statement that changes a table give up soon: all work on the table would wait behind it."""
    missing_table: ClassVar[frozenset[str]] = frozenset()

    def address(self, url: URL) -> URL:
        return url.set(drivername=self.driver)

    def connect_arguments(self, connect_timeout: float) -> dict[str, Any]:
        return {}

    def engine_options(self) -> dict[str, Any]:
        return {}

    def without_refused(self, error: Exception, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """Give connect arguments without what a server in between refused; None: that was not the reason."""
        return None

    def prepare(self, connection: Any) -> None:
        """Set up one new driver connection."""

    def begin(self, connection: Any) -> None:
        """Open a transaction that is going to write."""

    def reading(self, engine: Engine) -> Engine:
        """Give the engine as it is used for single statements."""
        return engine

    def lock_migrations(self, connection: Any) -> None:
        """Wait until no other process migrates this database."""

    def unlock_migrations(self, connection: Any) -> None:
        """Let the next one migrate, where the end of the transaction does not."""

    def writing(
        self, connection: Connection, table: Table, schema: str | None, after: int, upto: int
    ) -> frozenset[str]:
        """Name who may still write rows of a table with ids behind `after` up to `upto`, which one of them has.

        None where rows become visible in the order of their ids, because one writes at a time.
        """
        return frozenset()

    def after(self, seconds: ColumnElement[Any] | Any) -> ColumnElement[Any]:
        """Give the instant so many seconds after the database's now."""
        raise TypeError(type(self).__name__)

    def seconds_since(self, instant: ColumnElement[Any]) -> ColumnElement[float]:
        """Give the seconds from an instant to the database's now."""
        raise TypeError(type(self).__name__)

    def bytes_of(self, value: ColumnElement[Any]) -> ColumnElement[int]:
        """Give the size of a text or JSON column in bytes."""
        return func.octet_length(value)

    def among(self, identity: ColumnElement[Any]) -> ColumnElement[bool]:
        """State that a primary key is one of the parameter `ids`; by a join alone MariaDB scans, and locks, all."""
        return identity.in_(bindparam("ids", expanding=True))

    def by_index(
        self, statement: Select[Any], table: Table, index: str, order: tuple[Any, ...], fixed: tuple[Any, ...] = ()
    ) -> Select[Any]:
        """Order rows in such a way that the database goes by this index, which is there.

        `fixed` are columns of the index, ahead of the `order`, of which these rows have one value.
        """
        return statement.order_by(*fixed, *order)  # which no other index can give

    def bytewise(self, name: ColumnElement[Any]) -> ColumnElement[Any]:
        """Give a name so that it is compared byte by byte, as Python compares."""
        return collate(name, self.bytewise_collation) if self.bytewise_collation else name

    def json(self, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Give a text as JSON, where the database does not take one for the other."""
        return value

    def instant(self, text: ColumnElement[Any]) -> ColumnElement[Any]:
        """Give a text `YYYY-MM-DD HH:MM:SS.ffffff` in UTC as an instant."""
        return type_coerce(text, Instant())

    def table_sql(self, columns: Mapping[str, str], name: str) -> str:
        """Give the SELECT that reads the JSON document in the parameter `name` as a table."""
        raise TypeError(type(self).__name__)

    def table(self, columns: Mapping[str, str], name: str = "given") -> Subquery:
        """Give the rows of a `document` as a table: one parameter of that name, however many rows."""
        typed: list[Any] = [column(key, _SQL_TYPE[shape]) for key, shape in columns.items()]
        return text(self.table_sql(columns, name)).columns(*typed).subquery(name)

    def checks(self) -> Sequence[tuple[str, Callable[[Connection], Iterator[Diagnosis]]]]:
        """Give what should be looked at on this database alone, each by a name and a verb that reads."""
        return ()

    def code(self, error: DBAPIError) -> str:
        """Give the database's own code of an error, or an empty string."""
        return ""

    def is_missing_table(self, error: DBAPIError) -> bool:
        return self.code(error) in self.missing_table

    def is_retryable(self, error: DBAPIError) -> bool:
        return self.code(error) in self.retryable

    def refuses(self, error: DBAPIError) -> bool:
        """Tell whether the database says that a value can never be stored."""
        code = self.code(error)
        return any(code.startswith(start) for start in self.refused)
