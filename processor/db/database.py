"""One database, as the rooms above see it: short transactions, honest errors, no session state.

`write` runs a verb in one transaction and runs it again when the database rolled it back for others' sake. `read` is
for single statements. Both turn the driver's errors into two answers: the database is not there just now
(`DatabaseUnreachable`: keep what you have and come back), or it will never take these values (`ValuesRefused`).
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    NotSupportedError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.pool import QueuePool

from processor.db.dialects import SUPPORTED, Dialect, dialect_of
from processor.errors import DatabaseError, DatabaseFull, DatabaseUnreachable, SettingsError, ValuesRefused

T = TypeVar("T")

_TRIES = 6
"""A transaction that lost a deadlock is run so often before the error is passed on; each loss is independent."""


class Database:
    """Connections to one database.

    Raises `SettingsError` for an address that cannot be used, `DatabaseUnreachable` when it does not answer.
    """

    def __init__(
        self, url: str, *, schema: str | None = None, connect_timeout: float = 5.0, connections: int = 2
    ) -> None:
        self.url = _parse(url)
        self.dialect = _dialect(self.url)
        self.schema = schema
        if schema and not self.dialect.has_schemas:
            raise SettingsError(
                f"{self.address} has no schemas, so [database] schema = {schema!r} cannot be followed.",
                "Remove it; to keep tables apart, name another file in [database] url.",
            )
        self._engine = _engine(
            self.dialect,
            self.dialect.address(self.url),
            connect_args=self.dialect.connect_arguments(connect_timeout),
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=30,
            execution_options={"schema_translate_map": {None: schema}} if schema else {},
            **self.dialect.engine_options(),
        )
        event.listen(self._engine, "connect", lambda connection, record: self.dialect.prepare(connection))
        event.listen(self._engine, "begin", self._begin)
        event.listen(self._engine, "do_connect", self._connect)
        self._writing = self._engine.execution_options(writes=True)
        self._reading = self.dialect.reading(self._engine)

    @property
    def address(self) -> str:
        """The address without its password, for people."""
        return self.url.render_as_string(hide_password=True)

    def write(self, verb: Callable[[Connection], T]) -> T:
        """Run a verb in one transaction, again if the database asks for that."""
        for tries_left in reversed(range(_TRIES)):
            try:
                with self._writing.begin() as connection:
                    return verb(connection)
            except DBAPIError as error:
                if not (tries_left and self.dialect.is_retryable(error)):
                    raise self._translate(error) from error
                time.sleep(random.uniform(0.0, 0.02) * (_TRIES - tries_left))  # noqa: S311
            except SQLAlchemyError as error:
                raise DatabaseUnreachable(self.address, str(error)) from error
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection for single statements that need no transaction of their own."""
        try:
            with self._reading.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise self._translate(error) from error

    def single(self, verb: Callable[[Connection], T]) -> T:
        """Run a verb that is one writing statement; a transaction only where the database needs one for that."""
        if not self.dialect.claims_in_one_statement:
            return self.write(verb)
        with self.read() as connection:
            return verb(connection)

    def notices(self, channel: str, pause: float, ended: Callable[[], bool]) -> Iterator[None]:
        """Give an item for each notice on a channel, until `ended`, which is asked every `pause` seconds."""
        with self.read() as connection:
            driver: Any = connection.connection.driver_connection
            try:
                driver.execute(f"LISTEN {channel}")
                while not ended():
                    for _ in driver.notifies(timeout=pause, stop_after=1):
                        yield
            except self._engine.dialect.loaded_dbapi.Error as error:
                connection.invalidate()
                raise DatabaseUnreachable(self.address, _first_line(error)) from error

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _connect(self, dialect: Any, record: Any, arguments: Any, named: dict[str, Any]) -> Any:
        try:
            return dialect.connect(*arguments, **named)
        except dialect.loaded_dbapi.Error as error:
            accepted = self.dialect.without_refused(error, named)
            if accepted is None:
                raise
            return dialect.connect(*arguments, **accepted)

    def _begin(self, connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            self.dialect.begin(connection)

    def _translate(self, error: DBAPIError) -> Exception:
        if is_refusal(self.dialect, error):
            return ValuesRefused(_first_line(error.orig), by_trigger=self.dialect.code(error) in self.dialect.trigger)
        code = self.dialect.code(error)
        if code in self.dialect.full:
            return DatabaseFull(self.address, _first_line(error.orig))
        if code in self.dialect.forbidden or isinstance(error, ProgrammingError | NotSupportedError):
            return DatabaseError(
                f"The database {self.address} does not take our statement: {_first_line(error.orig)}.",
                "Check that its tables are those of `jobtable migrate` and that this user may use them.",
            )
        return DatabaseUnreachable(self.address, _first_line(error.orig))


def is_refusal(dialect: Dialect, error: DBAPIError) -> bool:
    """Tell whether the database will never take these values, however often they are sent."""
    return dialect.refuses(error) or isinstance(error, DataError | IntegrityError)


def one_line(error: DBAPIError) -> str:
    """Give the database's own words, without the statement."""
    return _first_line(error.orig)


def hangs_up(error: DatabaseError) -> bool:
    """Tell whether the connection was lost with the statement: the server is away, or cannot take what was sent."""
    return bool(getattr(error.__cause__, "connection_invalidated", False))


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise SettingsError(
            f"The database address {url.split('@')[-1]!r} cannot be read: {error}",
            f"Write one of {', '.join(SUPPORTED)} in [database] url.",
        ) from error


def _dialect(url: URL) -> Dialect:
    dialect = dialect_of(url)
    if dialect is None:
        raise SettingsError(
            f"The database {url.drivername!r} is not supported.",
            f"Write one of {', '.join(SUPPORTED)} in [database] url.",
        )
    return dialect


def _engine(dialect: Dialect, address: URL, **options: Any) -> Engine:
    try:
        return create_engine(address, **options)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"The database address names {address.get_backend_name()}, but its driver {error.name} is not installed.",
            f"Run `pip install 'jobtable{dialect.extra}'` where jobtable is installed.",
        ) from error


def _first_line(error: Any) -> str:
    text = str(error.args[1] if len(getattr(error, "args", ())) > 1 else error).strip()
    return text.splitlines()[0] if text else type(error).__name__
