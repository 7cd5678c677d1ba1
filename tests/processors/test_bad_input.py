"""Handlers and payloads that mean harm, end to end: the row says what happened, and nobody else feels it."""

import time

import pytest

from tests.processors.running import Site, processes_with, resident

HOSTILE = {
    "returns_no_json": ('python = "deeds:no_json"', "failed", "error"),
    "has_a_wrong_signature": ('python = "deeds:positional"', "failed", "handler"),
    "closes_all_descriptors": ('python = "deeds:close_everything"', "failed", "error"),
    "allocates_without_end": ('python = "deeds:hoard"\nmemory_limit_bytes = "200MB"', "failed", "memory"),
    "leaves_a_child": ('python = "deeds:leave_a_child"', "completed", "done"),
    "writes_garbage_on_3": ("""command = ["sh", "-c", "echo '{garbage' >&3; sleep 300"]""", "failed", "error"),
}
"""Each: how its type is written, then status and reason of its row."""
MOST_RESIDENT = 200 * 1024**2


@pytest.mark.parametrize("type_", HOSTILE)
def test_a_hostile_handler_harms_only_its_own_job(site: Site, type_: str) -> None:
    handler, status, reason = HOSTILE[type_]
    mark = f"mark-of-{type_}-{time.monotonic_ns()}"
    site.write(types=f'[types.{type_}]\n{handler}\nenvironment = {{ MARK = "{mark}" }}')
    site.insert(type_, {"priority": 9})
    site.insert("quick")
    processor = site.start()
    job = site.await_status(status)
    assert (job["status"], job["reason"]) == (status, reason)
    site.await_status("completed", 2)
    assert resident(processor.pid) < MOST_RESIDENT
    assert processes_with(mark) == [], "a process of the job has survived"
    assert processor.running


DEEP, NUL, LONE = "[" * 10_000 + "]" * 10_000, '{"text": "\\u0000"}', '{"text": "\\ud800"}'
REFUSED, RUN, MALFORMED = "refused by the database", ("completed", "done"), ("failed", "malformed")
STRANGE = {
    "postgresql": {DEEP: MALFORMED, NUL: MALFORMED, LONE: MALFORMED, '"text"': RUN, "[1, 2]": RUN, "17": RUN},
    "mariadb": {DEEP: REFUSED, NUL: MALFORMED, LONE: REFUSED, '"text"': RUN, "[1, 2]": RUN, "17": RUN},
    "sqlite": {DEEP: REFUSED, NUL: MALFORMED, LONE: MALFORMED, '"text"': RUN, "[1, 2]": RUN, "17": RUN},
}
"""What becomes of a payload that is legal JSON and still a surprise."""


@pytest.mark.parametrize("payload", STRANGE["sqlite"], ids=lambda payload: payload[:20])
def test_a_strange_payload_is_refused_or_ends_alone(site: Site, payload: str) -> None:
    refusal = _insert_strange(site, payload)
    site.insert("quick")
    site.drain()
    *strange, neighbour = site.db.rows("SELECT status, reason FROM jobs ORDER BY id")
    assert neighbour == RUN
    assert (REFUSED if refusal else strange[0]) == STRANGE[site.db.kind][payload]
    assert not refusal or "payload" in refusal, "a refusal names the column"


def _insert_strange(site: Site, payload: str) -> str:
    """Insert it, and give the words of a refusal."""
    escaped = payload.replace("\\", "\\\\") if site.db.kind == "mariadb" else payload
    try:
        site.db.rows(f"INSERT INTO jobs (type, payload, priority) VALUES ('nothing', '{escaped}', 9)")
    except Exception as error:  # noqa: BLE001 - three drivers, three trees of errors
        return str(error)
    return ""
