import signal

import pytest

from tests.processors.running import Site, eventually

JOBS = 5000


@pytest.mark.parametrize("processors", [2, 4])
def test_processors_share_jobs_none_lost_none_twice(site: Site, processors: int) -> None:
    site.write(processor="", types="")
    site.config.write_text(site.config.read_text().replace("max_concurrent = 4", "max_concurrent = 100"))
    payload = f'{{"log": "{site.log}"}}'
    for _ in range(JOBS // 1000):
        values = ", ".join([f"('quick_async', '{payload}')"] * 1000)
        site.db.rows(f"INSERT INTO jobs (type, payload) VALUES {values}")
    site.db.rows("INSERT INTO job_types (name, paused) VALUES ('quick_async', true)")
    crowd = [site.start("--log-level", "info") for _ in range(processors)]
    for processor in crowd:
        processor.await_event("processor_started")
    site.db.rows("UPDATE job_types SET paused = false")
    eventually(lambda: site.db.rows("SELECT count(*) FROM jobs WHERE status = 'completed'") == [(JOBS,)], "all done")
    for processor in crowd:
        processor.signal(signal.SIGTERM)
    assert [processor.wait() for processor in crowd] == [0] * processors
    assert site.db.rows("SELECT status, attempt, count(*) FROM jobs GROUP BY status, attempt") == [
        ("completed", 1, JOBS)
    ]
    assert sorted(site.starts()) == [(job, 1) for job in range(1, JOBS + 1)]
    assert site.db.rows("SELECT count(DISTINCT job_id), count(*) FROM notifications") == [(JOBS, JOBS)]
    assert site.db.rows("SELECT count(DISTINCT processor_id) FROM jobs") == [(processors,)]
