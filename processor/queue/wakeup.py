"""The optional wake-up: on PostgreSQL an INSERT may shorten the poll, at no cost to producers while nobody sleeps.

A processor that found nothing says that it is asleep *before* it looks once more, then rests. The trigger sends one
notice while somebody is asleep and clears the flag; a statement that finds the flag cleared, or held by another
producer, does nothing. Measured with 8 producers: 19,000 inserts/s without a trigger, 15,500 to 18,300 with this one,
5,800 with a notice on every INSERT (420 instead of 3,350 where a commit takes 2 ms). Polling stays the mechanism: a
notice that is lost costs one poll interval.
"""

from sqlalchemy import Connection, func, insert, select, text, update

from models import wakeups
from processor.db.database import Database
from processor.errors import Refused

CHANNEL = "jobtable"

_FUNCTION = """
CREATE OR REPLACE FUNCTION {schema}jobtable_wake() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $wake$
BEGIN
    IF EXISTS (SELECT FROM {schema}wakeups WHERE asleep) THEN
        UPDATE {schema}wakeups SET asleep = false
        WHERE channel IN (SELECT channel FROM {schema}wakeups WHERE asleep FOR UPDATE SKIP LOCKED);
        IF FOUND THEN
            PERFORM pg_notify('{channel}', '');
        END IF;
    END IF;
    RETURN NULL;
END
$wake$
"""
_DROP = "DROP TRIGGER IF EXISTS jobtable_wake ON {schema}jobs"
_TRIGGER = """
CREATE TRIGGER jobtable_wake AFTER INSERT ON {schema}jobs
FOR EACH STATEMENT EXECUTE FUNCTION {schema}jobtable_wake()
"""


def is_on(database: Database) -> bool:
    """Tell whether the trigger is installed."""
    if not database.dialect.has_notices:
        return False
    with database.read() as connection:
        found = connection.execute(text("SELECT to_regproc(:name)"), {"name": _fill(database, "{schema}jobtable_wake")})
        return found.scalar() is not None


def switch_on(database: Database) -> None:
    """Install the trigger; doing it again changes nothing. Raises `Refused` on a database without notices."""
    need_notices(database)

    def verb(connection: Connection) -> None:
        for statement in (_FUNCTION, _DROP, _TRIGGER):
            connection.execute(text(_fill(database, statement)))
        if connection.execute(select(func.count()).select_from(wakeups)).scalar_one() == 0:
            connection.execute(insert(wakeups).values(channel=CHANNEL))

    database.write(verb)


def switch_off(database: Database) -> None:
    """Remove the trigger: producers pay nothing at all."""
    need_notices(database)

    def verb(connection: Connection) -> None:
        for statement in (_DROP, "DROP FUNCTION IF EXISTS {schema}jobtable_wake()"):
            connection.execute(text(_fill(database, statement)))

    database.write(verb)


def fall_asleep(database: Database) -> None:
    """Ask for a notice; call it before the last look at the queue, never after."""
    with database.read() as connection:
        connection.execute(update(wakeups).where(~wakeups.c.asleep).values(asleep=True))


def _fill(database: Database, statement: str) -> str:
    schema = f'"{database.schema}".' if database.schema else ""
    return statement.format(schema=schema, channel=CHANNEL)


def need_notices(database: Database) -> None:
    """Refuse a database that cannot send notices."""
    if not database.dialect.has_notices:
        raise Refused(
            f"{database.address} cannot wake a processor; only PostgreSQL can.",
            "Leave [database] wakeup off and choose a shorter [processor] poll_interval.",
        )
