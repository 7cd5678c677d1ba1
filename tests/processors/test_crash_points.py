"""kill -9 of a daemon before and after each thing that it writes."""

import signal
from typing import Any

import pytest

from tests.processors.running import Site, eventually, is_alive

POINTS = [
    "processor.work.claiming:claim:before",
    "processor.work.claiming:claim:after",
    "processor.work.crew:Crew.run:before",
    "processor.work.crew:Crew.flush:after",
    "processor.work.settling:settle:before",
    "processor.work.settling:settle:after",
    "processor.queue.events:store:before",
    "processor.queue.events:store:after",
    "processor.queue.leases:register:after",
    "processor.queue.leases:beat:before",
    "processor.queue.leases:beat:after",
    "processor.queue.leases:leave:before",
    "processor.queue.leases:leave:after",
    "processor.queue.upkeep:park:before",
    "processor.queue.upkeep:park:after",
    "processor.queue.upkeep:promote:after",
    "processor.queue.upkeep:cancel_asked:after",
]
RESCUE_POINTS = [
    "processor.queue.leases:declare_dead:before",
    "processor.queue.leases:declare_dead:after",
    "processor.work.rescue:settle:before",
    "processor.work.rescue:settle:after",
]
LONG_AGO, FAR_AHEAD = "2001-01-01 00:00:00", "2100-01-01 00:00:00"
FOR_UPKEEP: dict[str, dict[str, Any]] = {
    "park": {"run_at": FAR_AHEAD},
    "promote": {"run_at": LONG_AGO, "status": "scheduled"},
    "cancel_asked": {"cancel_requested": True},
}
"""Rows with which these have something to do."""
COMMITTED = ("leases:leave:before", "leases:leave:after")
"""Points at which every job's end is already in the database."""


def crash(site: Site, point: str) -> None:
    processor = site.start("--drain", program=["-m", "tests.processors.crashing", point])
    code = processor.wait()
    assert code == -signal.SIGKILL, f"it did not come to {point}: {code} {processor.tail()}"


@pytest.mark.parametrize("point", POINTS)
def test_a_daemon_killed_at_any_point_loses_nothing_and_doubles_nothing(site: Site, point: str) -> None:
    """One job may be started twice, one only once; both end, each with one notification."""
    site.write(types='[types.talkative]\npython = "deeds:talk"\nmax_attempts = 3')
    site.insert("quick", {"max_attempts": 3})
    site.insert("quick_async")
    site.insert("talkative")
    if "beat" in point:
        site.insert("until", until=str(site.folder / "never"))
    if "upkeep" in point:
        site.insert("quick", FOR_UPKEEP[point.split(":")[1]])
    crash(site, point)
    site.db.rows(f"UPDATE jobs SET run_at = '{LONG_AGO}' WHERE run_at = '{FAR_AHEAD}'")
    (site.folder / "never").touch()
    jobs = {job: [attempt for one, attempt in site.starts() if one == job] for job in (1, 2)}
    assert len(jobs[2]) <= 1

    site.drain()
    eventually(lambda: _all_final(site) or site.drain(), "every job has ended")
    assert site.job(1)["status"] == "completed"
    assert site.job(3)["status"] == "completed"
    once_only = site.job(2)
    assert once_only["status"] == "completed" or not point.endswith(COMMITTED), "a result that was committed is lost"
    assert once_only["status"] == "completed" or (once_only["status"], once_only["reason"]) == ("failed", "lost")
    assert len([1 for job, _ in site.starts() if job == 2]) <= 1, "max_attempts = 1 means started at most once"
    told = site.db.rows("SELECT job_id, count(*) FROM notifications GROUP BY job_id ORDER BY job_id")
    assert [count for _, count in told] == [1] * len(told)
    assert len(told) == site.db.rows("SELECT count(*) FROM jobs")[0][0]


@pytest.mark.parametrize("point", RESCUE_POINTS)
def test_a_rescue_that_is_killed_half_way_is_finished_by_the_next(site: Site, point: str) -> None:
    never = site.folder / "never"
    site.insert("until", until=str(never))
    site.insert("until", {"max_attempts": 2}, until=str(never))
    first = site.start()
    eventually(lambda: len(site.starts()) == 2, "both handlers have started")
    family = [*first.children(), *site.handler_pids()]
    first.kill()
    eventually(lambda: not any(is_alive(pid) for pid in family), "nothing of the first is left")
    crash(site, point)

    never.touch()
    site.drain()
    eventually(lambda: _all_final(site) or site.drain(), "every job has ended")
    assert (site.job(1)["status"], site.job(1)["reason"], site.job(1)["attempt"]) == ("failed", "lost", 1)
    assert (site.job(2)["status"], site.job(2)["attempt"]) == ("completed", 2)
    assert sorted(site.starts()) == [(1, 1), (2, 1), (2, 2)]
    assert site.db.rows("SELECT job_id, count(*) FROM notifications GROUP BY job_id ORDER BY job_id") == [
        (1, 1),
        (2, 1),
    ]


WHILE_LEAVING = {
    "processor.queue.leases:drain:before": 1,
    "processor.queue.leases:drain:after": 1,
    "processor.work.settling:settle:before": 2,
    "processor.work.settling:settle:after": 2,
    "processor.queue.leases:leave:before": 2,
    "processor.queue.leases:leave:after": 2,
}
"""Each with the number of SIGTERMs that brings a processor with a running job there."""
GIVEN_BACK = ("settle:after", "leave:before", "leave:after")
"""Points at which the attempt that was interrupted is already given back."""


@pytest.mark.parametrize("point", WHILE_LEAVING)
def test_a_daemon_killed_while_it_leaves_loses_no_job(site: Site, point: str) -> None:
    never = site.folder / "never"
    site.insert("until", {"max_attempts": 2}, until=str(never))
    processor = site.start(program=["-m", "tests.processors.crashing", point])
    eventually(site.starts, "the handler has started")
    processor.signal(signal.SIGTERM)
    if WHILE_LEAVING[point] == 2:
        processor.await_event("drain_started")
        processor.signal(signal.SIGTERM)
    assert processor.wait() == -signal.SIGKILL, f"it did not come to {point}: {processor.tail()}"
    _goes_on(site, 1 if point.endswith(GIVEN_BACK) else 2)


@pytest.mark.parametrize("point", ["processor.queue.leases:describe:before", "processor.queue.leases:describe:after"])
def test_a_daemon_killed_while_it_takes_over_new_settings_loses_no_job(site: Site, point: str) -> None:
    site.insert("until", {"max_attempts": 2}, until=str(site.folder / "never"))
    processor = site.start(program=["-m", "tests.processors.crashing", point])
    eventually(site.starts, "the handler has started")
    site.write(processor="max_payload_bytes = 1000")
    processor.signal(signal.SIGHUP)
    assert processor.wait() == -signal.SIGKILL, f"it did not come to {point}: {processor.tail()}"
    _goes_on(site, 2)


def _goes_on(site: Site, attempt: int) -> None:
    """Another processor finishes the one job, in this attempt, and tells of it once."""
    eventually(lambda: not any(is_alive(pid) for pid in site.handler_pids()), "nothing of the first is left")
    (site.folder / "never").touch()
    site.drain()
    eventually(lambda: _all_final(site) or site.drain(), "it has ended")
    assert (site.job()["status"], site.job()["attempt"]) == ("completed", attempt)
    assert site.starts() == [(1, 1), (1, attempt)]
    assert site.db.rows("SELECT count(*) FROM notifications") == [(1,)]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_daemon_killed_while_it_gives_a_lost_claim_back_starts_nothing_twice(site: Site, when: str) -> None:
    site.insert("quick")
    crash(site, f"processor.work.claiming:claim:lost,processor.queue.leases:release:{when}")
    site.drain()
    eventually(lambda: _all_final(site) or site.drain(), "it has ended")
    end = (site.job()["status"], site.job()["reason"], site.job()["attempt"])
    expected = {"before": [("failed", "lost", 1), []], "after": [("completed", "done", 1), [(1, 1)]]}
    assert [end, site.starts()] == expected[when], "given back where that was committed; else it counts as a try"


def _all_final(site: Site) -> bool:
    return site.db.rows("SELECT count(*) FROM jobs WHERE status NOT IN ('completed', 'failed', 'cancelled')") == [(0,)]
