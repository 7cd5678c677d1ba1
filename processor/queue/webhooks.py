"""Webhooks: which address is told when which jobs end; make, find, list, change, pause, rotate and delete them.

The secret signs what is sent, so it is kept as it is. It is given when it is made and never again: `targets` alone
reads it, for processors. `deliveries` makes the jobs that tell.
"""

import base64
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, literal, null, select, update

from models import job_types, jobs, now, webhooks
from models.types import NAME_LENGTH
from models.webhook import OUTCOMES
from processor import addresses
from processor.db.database import Database
from processor.errors import NotFound, Refused
from processor.queue import control
from processor.queue.admission import ensure
from processor.queue.deliveries import TYPE, subject_of
from processor.queue.lookup import Filter
from processor.queue.targets import ASKED, GONE, WELL, of_owner

MOST = 20
"""Webhooks of one owner, and of those of all owners: each end makes a job for each that it concerns."""
SECRET_BYTES = 32
FORMER_SECONDS = 86_400.0
"""For so long a former secret signs, too, unless told otherwise."""
NOTHING_CHANGED = "Nothing was changed."
_ONE_AT_A_TIME = select(job_types.c.name).where(job_types.c.name == TYPE).with_for_update()
"""Whoever makes a webhook holds this row while it counts: two at once would both be the last that may be made."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook without its secrets. `owner` None: it tells of the jobs of all owners; `type` None: of all types."""

    id: str
    name: str | None
    owner: str | None
    type: str | None
    outcome: str
    url: str
    with_result: bool
    created_at: datetime
    failures: int
    held_until: datetime | None
    paused_at: datetime | None
    paused_reason: str | None
    former_secret_until: datetime | None
    last_job_id: int | None
    last_job_status: str | None


def _latest(column: Any) -> Any:
    """Read something of the latest delivery, the first in an index by subject."""
    mine = (
        jobs.c.subject == literal(subject_of("")) + webhooks.c.id,
        jobs.c.type == TYPE,
        jobs.c.owner.is_not_distinct_from(webhooks.c.owner),  # anybody may write a subject
    )
    return select(column).where(*mine).order_by(jobs.c.id.desc()).limit(1).correlate(webhooks).scalar_subquery()


_LATEST = {"last_job_id": _latest(jobs.c.id), "last_job_status": _latest(jobs.c.status)}
_COLUMNS = [_LATEST[name].label(name) if name in _LATEST else webhooks.c[name] for name in Webhook.__slots__]


def create(
    database: Database,
    *,
    owner: str | None,
    url: str,
    type_: str | None = None,
    outcome: str = "any",
    name: str | None = None,
    with_result: bool = False,
    allowed: Sequence[addresses.Network] = (),
) -> tuple[Webhook, str]:
    """Make a webhook, and give it with its secret, which nobody can read again.

    Raises `Refused` for an address to which nothing may be sent, and for one webhook too many.
    """
    told = {"name": name, "type": type_, "outcome": outcome, "url": url, "with_result": with_result}
    _check(told, allowed, "No webhook was made.")
    id, secret = secrets.token_hex(4), _new_secret()
    ensure(database, TYPE)

    def verb(connection: Connection) -> Webhook:
        connection.execute(_ONE_AT_A_TIME)
        if connection.execute(select(func.count()).select_from(webhooks).where(of_owner(owner))).scalar_one() >= MOST:
            whose = "all owners have" if owner is None else f"the owner {owner!r} has"
            raise Refused(f"There are {MOST} webhooks that {whose}. None was made.", "Delete one first.")
        connection.execute(insert(webhooks).values({**told, "id": id, "owner": owner, "secret": secret}))
        return _webhook(connection.execute(select(*_COLUMNS).where(webhooks.c.id == id)).one())

    return database.write(verb), secret


def _check(told: Mapping[str, Any], allowed: Sequence[addresses.Network], follows: str) -> None:
    """Refuse what cannot be told, of what is given; the message says what follows."""
    why = addresses.refusal(told["url"], allowed) if "url" in told else None
    if why is not None:
        message = f"Nothing can be sent to this address: {why}. {follows}"
        raise Refused(message, "Give a public address, or let [webhooks] allow name its network.")
    if "outcome" in told and told["outcome"] not in OUTCOMES:
        message = f"There is no outcome {told['outcome']!r}. {follows}"
        raise Refused(message, f"It is one of {', '.join(OUTCOMES)}.")
    type_ = told.get("type")
    if type_ == TYPE:
        raise Refused(f"A webhook never tells of {TYPE} jobs. {follows}", "Give another type, or none.")
    if type_ is not None and len(type_) > NAME_LENGTH:
        raise Refused(f"No type has over {NAME_LENGTH} letters. {follows}", "Correct the type.")


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def list_all(database: Database, owner: str | None = None) -> list[Webhook]:
    """Read the webhooks of an owner (None: all there are), the oldest first."""
    wanted = () if owner is None else (webhooks.c.owner == owner,)
    with database.read() as connection:
        rows = connection.execute(select(*_COLUMNS).where(*wanted).order_by(webhooks.c.created_at, webhooks.c.id)).all()
    return [_webhook(row) for row in rows]


def one(database: Database, id: str, owner: str | None = None) -> Webhook:
    """Read a webhook, where an owner is given only of this owner. Raises `NotFound`."""
    wanted = () if owner is None else (webhooks.c.owner == owner,)
    with database.read() as connection:
        row = connection.execute(select(*_COLUMNS).where(webhooks.c.id == id, *wanted)).one_or_none()
    if row is None:
        raise _not_found(id)
    return _webhook(row)


def change(database: Database, id: str, told: Mapping[str, Any], allowed: Sequence[addresses.Network] = ()) -> None:
    """Change what is given of `url`, `type`, `outcome`, `with_result` and `name`; secrets and owner stay.

    A new address owes nothing to the former one: it is tried at once, and goes on where that was gone. What waits goes
    to it, also what would have waited for its next try; whoever dies before that leaves this at its times. Raises
    `NotFound`, and `Refused` for what cannot be told.
    """
    _check(told, allowed, NOTHING_CHANGED)
    moved = False

    def values(webhook: Any) -> dict[str, Any]:
        nonlocal moved
        moved = told.get("url", webhook.url) != webhook.url
        again = {"paused_at": None, "paused_reason": None} if webhook.paused_reason == GONE else {}
        return {**told, **(WELL | again if moved else {})}

    owner = _change(database, id, values)
    if moved:
        control.run_now(database, _deliveries(id, owner))


def pause(database: Database, id: str, reason: str = ASKED) -> None:
    """Let it tell nothing: of what ends meanwhile it never will; deliveries that wait are kept. Raises `NotFound`."""
    first = func.coalesce(webhooks.c.paused_at, now())
    values = {"paused_at": first, "paused_reason": func.coalesce(webhooks.c.paused_reason, reason)}
    control.pause(database, _deliveries(id, _change(database, id, lambda webhook: values)))


def resume(database: Database, id: str) -> None:
    """Let it tell again, and first what was kept. Raises `NotFound`."""
    goes_on = {"paused_at": None, "paused_reason": None, **WELL}
    control.resume(database, _deliveries(id, _change(database, id, lambda webhook: goes_on)))


def rotate(database: Database, id: str, keep: float = FORMER_SECONDS) -> str:
    """Give it a new secret, and give that; the former one signs, too, for so many seconds. Raises `NotFound`."""
    secret = _new_secret()
    stays = keep > 0
    former = {
        "former_secret": webhooks.c.secret if stays else null(),
        "former_secret_until": database.dialect.after(keep) if stays else None,
    }

    def verb(connection: Connection) -> int:  # two statements: MariaDB assigns from left to right
        mine = webhooks.c.id == id
        connection.execute(update(webhooks).where(mine).values(former))
        return connection.execute(update(webhooks).where(mine).values(secret=secret)).rowcount

    if not database.write(verb):
        raise _not_found(id)
    return secret


def remove(database: Database, id: str) -> None:
    """Delete a webhook and cancel its deliveries that wait. Raises `NotFound`."""
    owner = one(database, id).owner
    gone = delete(webhooks).where(webhooks.c.id == id)
    if not database.write(lambda connection: connection.execute(gone).rowcount):
        raise _not_found(id)
    control.cancel(database, _deliveries(id, owner), lambda type_, status: False)  # who deletes it knows


def _change(database: Database, id: str, values: Callable[[Any], Mapping[str, Any]]) -> str | None:
    """Give a webhook the values that follow from what it is, while nobody else changes it; give its owner.

    Raises `NotFound`.
    """
    mine = webhooks.c.id == id
    with_it = select(webhooks.c.url, webhooks.c.owner, webhooks.c.paused_reason).where(mine).with_for_update()

    def verb(connection: Connection) -> str | None:
        webhook = connection.execute(with_it).one_or_none()
        if webhook is None:
            raise _not_found(id)
        if changed := values(webhook):
            connection.execute(update(webhooks).where(mine).values(dict(changed)))
        return None if webhook.owner is None else str(webhook.owner)

    return database.write(verb)


def _deliveries(id: str, owner: str | None) -> Filter:
    """Find what is sent to a webhook, and not what another owner says is; None: of an operator's all that says so."""
    return Filter(types=(TYPE,), subject=subject_of(id), owner=owner)


def _not_found(id: str) -> NotFound:
    return NotFound(f"There is no webhook {id!r}. {NOTHING_CHANGED}", "See `jobtable webhook list`.")


def _webhook(row: Any) -> Webhook:
    return Webhook(**{**row._mapping, "with_result": bool(row.with_result)})
