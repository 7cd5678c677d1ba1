from processor.outcome import Kind
from processor.queue.events import Event, Told, store
from processor.queue.settle import settle
from tests.queue.conftest import Queue, verdict_of


def test_events_are_numbered_within_their_job_without_gaps(queue: Queue) -> None:
    queue.insert("type", "'a'", "'a'")
    one, two = queue.claim()
    line = Event("log", "info", None, "hello")
    store(
        queue.database,
        [Told(one.id, "p1", one.claim_no, 1, (line, line)), Told(two.id, "p1", two.claim_no, 1, (line,))],
    )
    store(queue.database, [Told(one.id, "p1", one.claim_no, 1, (line,))])
    numbers = queue.rows("SELECT job_id, number FROM job_events WHERE kind = 'log' ORDER BY job_id, number")
    assert numbers == [(1, 2), (1, 3), (1, 4), (2, 2)]  # the first event of each says that it runs


def test_progress_stands_on_the_row_while_the_job_runs(queue: Queue) -> None:
    queue.insert("type", "'a'")
    [job] = queue.claim()
    store(queue.database, [Told(job.id, "p1", job.claim_no, 1, (Event("progress", None, 40.0, "page 2"),))])
    store(queue.database, [Told(job.id, "p1", job.claim_no, 1, (Event("log", "info", None, "still here"),))])
    assert queue.rows("SELECT progress, progress_message, status FROM jobs") == [(40.0, "page 2", "running")]


def test_what_a_stale_worker_says_is_not_written(queue: Queue) -> None:
    queue.insert("type", "'a'")
    [job] = queue.claim()
    settle(queue.database, [verdict_of(job, Kind.RETURNED)])
    told = Told(job.id, "p1", job.claim_no, 1, (Event("progress", None, 40.0, "late"),))
    assert store(queue.database, [told]) == []
    assert queue.rows("SELECT count(*) FROM job_events WHERE kind <> 'state'") == [(0,)]
    assert queue.rows("SELECT progress FROM jobs") == [(100.0,)]
