import time

import pytest

from tests.processors.running import Site, eventually, is_alive, processes_with

LIMIT, GRACE = 1.0, 0.5


@pytest.mark.parametrize("type_", ["deaf", "spin", "breed"])
def test_a_hard_time_limit_ends_any_handler_with_everything_it_started(site: Site, type_: str) -> None:
    mark = f"mark-of-{type_}-{time.monotonic_ns()}"
    site.insert(type_, {"timeout_seconds": LIMIT}, until=str(site.folder / "never"), mark=mark)
    site.start()
    eventually(site.starts, "the handler has started")
    began = time.monotonic()
    job = site.await_status("failed")
    assert job["reason"] == "timeout"
    assert time.monotonic() - began < LIMIT + GRACE + 1.0
    assert not is_alive(site.handler_pids()[0])
    assert processes_with(mark) == []


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_five_gigabytes_of_output_leave_the_daemon_small_and_its_neighbours_quick(site: Site) -> None:
    site.write(processor="max_output_bytes = 100000")
    site.insert("flood", {"timeout_seconds": 100}, mebibytes=5 * 1024)
    processor = site.start()
    processor.await_event("job_started")
    before = _resident(processor.pid)
    site.insert("quick")
    site.await_status("completed", 2)
    eventually(lambda: site.job()["status"] == "completed", "five gigabytes are through", patience=100)
    assert _resident(processor.pid) - before < 30_000_000
    assert max(_resident(pid) for pid in processor.children()) < 100_000_000
    [(size,)] = site.db.rows("SELECT sum(length(text)) FROM job_events WHERE job_id = 1")
    assert 50_000 < size < 150_000
    assert site.db.rows("SELECT count(*) FROM job_events WHERE job_id = 1 AND level = 'warning'") == [(1,)]


def test_a_flood_of_short_lines_is_cut_and_leaves_the_daemon_small(site: Site) -> None:
    """With the default limits: a million lines of one letter are no million rows."""
    site.write(types='[types.yes]\ncommand = ["/bin/sh", "-c", "yes | head -c 100000000"]')
    processor = site.start()
    processor.await_event("processor_started")
    before = _resident(processor.pid)
    site.insert("yes")
    site.insert("quick")
    site.await_status("completed", 2)
    site.await_status("completed")
    [(rows,)] = site.db.rows("SELECT count(*) FROM job_events WHERE job_id = 1")
    assert 5_000 < rows < 11_000
    assert _resident(processor.pid) - before < 60_000_000
    assert site.db.rows("SELECT count(*) FROM job_events WHERE job_id = 1 AND level = 'warning'") == [(1,)]


def _resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * 4096
