"""What a job took, in its row; what a processor does, in its metrics."""

import json
import sys

import pytest

from tests.databases.machine import free_port
from tests.processors.running import Site, eventually, scrape

BURN = (
    "import time; held = b'x' * 50_000_000\nuntil = time.process_time() + 0.2\nwhile time.process_time() < until: pass"
)
BURNERS = {"python": 'python = "deeds:burn"', "command": f"command = {json.dumps([sys.executable, '-I', '-c', BURN])}"}


@pytest.mark.parametrize("kind", BURNERS)
def test_a_row_tells_what_its_job_took(site: Site, kind: str) -> None:
    """A fifth of a second of a processor, and 50 MB."""
    site.write(types=f"[types.burner]\n{BURNERS[kind]}")
    site.insert("burner")
    site.drain()
    [(status, cpu_seconds, max_rss_bytes)] = site.db.rows("SELECT status, cpu_seconds, max_rss_bytes FROM jobs")
    assert status == "completed"
    assert 0.2 <= cpu_seconds < 2.0
    assert 50_000_000 <= max_rss_bytes < 200_000_000


def test_a_scrape_shows_what_waits_what_runs_and_what_it_took(site: Site) -> None:
    listen = f"127.0.0.1:{free_port()}"
    site.write(listen=listen)
    site.insert("quick")
    site.insert("until", until=str(site.folder / "never"))
    site.insert("nobody")
    site.start()
    site.await_status("completed")
    eventually(lambda: (2, 1) in site.starts(), "the handler has started")
    seen = eventually(lambda: _steady(scrape(listen)), "a sample taken while one runs and one waits")
    assert seen['jobtable_jobs{status="running",type="quick"}'] == 0
    assert seen['jobtable_jobs{status="pending",type="other"}'] == 1
    assert 0 < seen['jobtable_oldest_due_seconds{type="other"}'] < 60
    assert seen['jobtable_oldest_due_seconds{type="quick"}'] == 0
    assert seen["jobtable_unhandled_jobs"] == 1
    assert seen['jobtable_jobs_running{type="until"}'] == 1
    assert (seen["jobtable_slots"], seen["jobtable_slots_used"]) == (4, 1)
    for times in ('job_run_seconds_{}{{type="quick"}}', 'job_wait_seconds_{}{{type="quick"}}', "settle_seconds_{}"):
        assert seen["jobtable_" + times.format("count")] == 1
        assert 0 < seen["jobtable_" + times.format("sum")] < 30
    assert seen["jobtable_claim_seconds_count"] >= 1
    assert 0 < seen["jobtable_claim_seconds_sum"] < 30
    assert 0 <= seen["jobtable_heartbeat_age_seconds"] < 4, "younger than the lease"


def test_a_scrape_shows_the_limit_of_a_queue_beside_what_waits(site: Site) -> None:
    listen = f"127.0.0.1:{free_port()}"
    site.write(types='[types.quick]\npython = "deeds:quick"\nqueue_limit = 2', listen=listen)
    for _ in range(3):
        site.insert("quick", {"status": "paused"})
    site.start().await_event("rows_sampled")
    limit = eventually(lambda: scrape(listen).get('jobtable_queue_limit{type="quick"}'), "the sample is shown")
    assert (limit, scrape(listen)['jobtable_jobs{status="paused",type="quick"}']) == (2, 3)


def _steady(seen: dict[str, float]) -> dict[str, float]:
    """Give the series when the table's sample and the processor's own numbers have come to rest."""
    running = [
        series for series in seen if series.startswith("jobtable_jobs{") and "running" in series and seen[series]
    ]
    is_steady = running == ['jobtable_jobs{status="running",type="until"}'] and seen["jobtable_slots_used"] == 1
    return seen if is_steady else {}
