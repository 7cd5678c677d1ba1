"""Where deliveries go, what signs them, and how that went: what processors read and write of webhooks."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, select, update

from models import now, webhooks
from processor.db.database import Database
from processor.judge import Backoff

ASKED, GONE = "asked", "gone"
"""Why a webhook is paused: a person asked, or the address answered that it is gone for good."""
WELL = {"failures": 0, "held_until": None}
"""What a webhook is set to whose address takes what it is sent."""
LONGEST_HOLD = 900.0
"""Seconds after which an address that took nothing is tried anew, whatever the pauses of single deliveries are."""
LONGEST_WISH = 86_400.0
"""Seconds of a Retry-After for which everything of a webhook waits."""
SHARE = 0.75
"""Of the pause of a delivery that failed, those behind it wait so long: it comes back before they are all through."""


def failed(
    database: Database, id: str, owner: str | None, backoff: Backoff, wish: float | None = None, url: str | None = None
) -> None:
    """Hold everything of a webhook back after a failed try: one that is dead is asked now and then, not by each.

    `wish` is for how long the address asked, in seconds; `url` is the one that was tried: another is not held.
    """
    mine = _tried(id, owner, url)

    def verb(connection: Connection) -> None:
        failures = connection.execute(select(webhooks.c.failures).where(*mine).with_for_update()).scalar_one_or_none()
        if failures is not None:
            pause = min(SHARE * backoff.seconds(failures + 1, 0.5), LONGEST_HOLD)
            hold = max(pause, min(wish or 0.0, LONGEST_WISH))
            values = {"failures": failures + 1, "held_until": database.dialect.after(hold)}
            connection.execute(update(webhooks).where(*mine).values(values))

    database.write(verb)


def succeeded(database: Database, id: str, owner: str | None, url: str | None = None) -> None:
    """Forget earlier failures."""
    failing = (*_tried(id, owner, url), webhooks.c.failures > 0)
    database.write(lambda connection: connection.execute(update(webhooks).where(*failing).values(WELL)))


def disable(database: Database, id: str, owner: str | None, url: str | None = None) -> bool:
    """Pause a webhook of exactly this owner, because its address is gone for good; tell whether it went on so far."""
    gone = {"paused_at": now(), "paused_reason": GONE}
    running = (*_tried(id, owner, url), webhooks.c.paused_at.is_(None))
    return database.write(
        lambda connection: connection.execute(update(webhooks).where(*running).values(gone)).rowcount > 0
    )


@dataclass(frozen=True, slots=True)
class Target:
    """Where a delivery goes, and the secrets that sign it, newest first. Nothing shows it.

    `failures` in a row were before it; `held_for` are the seconds for which nothing is to be tried.
    """

    id: str
    url: str
    secrets: tuple[str, ...]
    paused_reason: str | None
    failures: int = 0
    held_for: float = 0.0


def target(database: Database, id: str, owner: str | None) -> Target | None:
    """Read where the deliveries of a webhook go. One of another owner is not there: whoever makes a job of this
    type by hand must not have it signed by somebody else's secret."""
    signs = webhooks.c.former_secret_until > now()
    former = case((signs, webhooks.c.former_secret)).label("former")
    reason = case((webhooks.c.paused_at.is_not(None), func.coalesce(webhooks.c.paused_reason, ASKED))).label("reason")
    passed = func.coalesce(database.dialect.seconds_since(webhooks.c.held_until), 0.0).label("passed")
    read = (webhooks.c.url, webhooks.c.secret, former, reason, webhooks.c.failures, passed)
    wanted = select(*read).where(webhooks.c.id == id, of_owner(owner))
    with database.read() as connection:
        row = connection.execute(wanted).one_or_none()
    if row is None:
        return None
    signing = tuple(secret for secret in (row.secret, row.former) if secret)
    return Target(id, row.url, signing, row.reason, row.failures, max(0.0, -float(row.passed)))


def _tried(id: str, owner: str | None, url: str | None) -> tuple[Any, ...]:
    """State that it is this webhook of exactly this owner, and that its address is still the one that was tried."""
    return (webhooks.c.id == id, of_owner(owner), *(() if url is None else (webhooks.c.url == url,)))


def of_owner(owner: str | None) -> Any:
    """State that a webhook belongs to exactly this owner; None: it tells of all."""
    return webhooks.c.owner.is_(None) if owner is None else webhooks.c.owner == owner
