"""What can go wrong in a way a person should read, and what that person can do.

    JobtableError                 .message what happened and what follows · .remedy what to do · .exit_code
    ├── SettingsError             a key or a value in the file, the environment or a flag; exit code 2
    ├── StartRefused              the machine does not allow it: a port in use, a folder that cannot be written
    ├── DatabaseError
    │   ├── DatabaseUnreachable   no connection: away, wrong password, no such database
    │   │   └── DatabaseFull      it answers and has no room to write; as for a database that is away, work waits
    │   ├── ValuesRefused         it is there, and it will never store these values
    │   └── SchemaError           the tables are not the ones this version works with
    │       ├── SchemaMissing
    │       ├── SchemaTooOld
    │       └── SchemaTooNew
    ├── NotFound                  the job, type or processor that was named does not exist
    ├── Refused                   it exists, but the move is not allowed
    │   └── QueueFull             as many jobs of a type wait as may
    ├── TooMany                   more at once, or more that failed, than a server bears
    ├── Unauthorized              a request to the API has no token, or none that is valid
    └── Forbidden                 its token is valid, and has not the scope

The command line prints `error: {message} {remedy}`, one line, without a traceback. Anything else that escapes is a
bug of ours and keeps its traceback.
"""

from typing import ClassVar


class JobtableError(Exception):
    """Say what happened, what follows (`message`), and what to do (`remedy`). Both are whole sentences."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()


class SettingsError(JobtableError):
    exit_code = 2


class StartRefused(JobtableError):
    pass


class DatabaseError(JobtableError):
    pass


class DatabaseUnreachable(DatabaseError):
    def __init__(self, database: str, cause: str, remedy: str = "") -> None:
        """`database` is the address without its password."""
        message = (
            f"The database {database} cannot be reached: {cause.strip().rstrip('.')}. Nothing was read or changed."
        )
        super().__init__(message, remedy or "Check that the server runs, and [database] url or JOBTABLE_DATABASE__URL.")


class DatabaseFull(DatabaseUnreachable):
    def __init__(self, database: str, cause: str) -> None:
        message = f"The database {database} answers but has no room to write: {cause.strip().rstrip('.')}."
        DatabaseError.__init__(self, f"{message} Nothing was changed.", "Make room on the disk that it writes to.")


class ValuesRefused(DatabaseError):
    def __init__(self, cause: str, *, by_trigger: bool = False) -> None:
        """`by_trigger`: a trigger of the user's own said so, and may think better of it later."""
        self.cause = cause.strip()
        self.by_trigger = by_trigger
        message = f"The database refuses the values: {cause.strip().rstrip('.')}. Nothing was written."
        super().__init__(message, "Correct what the message names.")

    def at(self, place: str) -> "ValuesRefused":
        """Give the same about one of many jobs, of which none is enqueued."""
        named = ValuesRefused(self.cause, by_trigger=self.by_trigger)
        named.message = f"{place}: {self.message} Nothing was enqueued."
        return named


class SchemaError(DatabaseError):
    pass


class SchemaMissing(SchemaError):
    def __init__(self, database: str) -> None:
        message = f"The database {database} has no jobtable tables yet. Nothing can be enqueued or run."
        super().__init__(message, "Run `jobtable migrate` to create them.")


class SchemaTooOld(SchemaError):
    def __init__(self, database: str, found: str, needed: str) -> None:
        message = f"The tables in {database} are at revision {found}, this version needs {needed}. Nothing was started."
        super().__init__(message, "Run `jobtable migrate` to bring them up to date; rows are kept.")


class SchemaTooNew(SchemaError):
    def __init__(self, database: str, found: str, needed: str) -> None:
        message = (
            f"The tables in {database} are at revision {found}, which this version (it knows {needed}) does not know."
            " Nothing was started, because it could write rows that a newer version reads wrongly."
        )
        super().__init__(message, "Install the jobtable version that made them, then run `jobtable migrate`.")


class NotFound(JobtableError):
    pass


class Refused(JobtableError):
    pass


class QueueFull(Refused):
    pass


class TooMany(JobtableError):
    def __init__(self, message: str, remedy: str, *, seconds: float = 10.0) -> None:
        """`seconds` is how long to wait before one comes again."""
        super().__init__(message, remedy)
        self.seconds = seconds


class Unauthorized(JobtableError):
    pass


class Forbidden(JobtableError):
    def __init__(self, scope: str) -> None:
        self.scope = scope
        message = f"The token has not the scope {scope}, which this needs. Nothing was read or changed."
        super().__init__(message, f"Use a token that has it; `jobtable token create --scope {scope}` makes one.")
