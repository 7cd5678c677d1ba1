"""When a processor looks for work, how much it takes at once, and how often it writes."""

from itertools import accumulate

from tests.processors.running import Site, eventually

SPAN = '[types.span]\npython = "deeds:span"'


def test_claims_go_on_at_once_while_batches_come_back_full(site: Site) -> None:
    """Twenty jobs, two at a time, with an hour between two polls."""
    _set(site, "poll_interval = 0.05", "poll_interval = 3600")
    _set(site, "max_concurrent = 4", "max_concurrent = 2")
    for _ in range(20):
        site.insert("quick_async")
    processor = site.start()
    eventually(lambda: site.db.rows("SELECT count(*) FROM jobs WHERE status = 'completed'") == [(20,)], "all are done")
    assert {claim["jobs"] for claim in processor.events("claim_finished")} <= {0, 1, 2}


def test_no_more_jobs_run_at_once_than_may(site: Site) -> None:
    site.write(types=SPAN)
    _set(site, "max_concurrent = 4", "max_concurrent = 3")
    spans = site.folder / "spans.log"
    for _ in range(12):
        site.insert("span", spans=str(spans))
    site.drain()
    ran = [tuple(map(float, line.split())) for line in spans.read_text().splitlines()]
    assert len(ran) == 12
    assert 2 <= _most_at_once(ran) <= 3


def _most_at_once(spans: list[tuple[float, ...]]) -> int:
    edges = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    return max(accumulate(step for _, step in edges))


def test_a_talkative_job_is_written_down_four_times_a_second(site: Site) -> None:
    """What one job tells costs the database the same, however often it tells."""
    site.write(types='[types.chatter]\npython = "deeds:chatter"')
    site.insert("chatter")
    site.drain()
    [(told, writes)] = site.db.rows(
        "SELECT count(*), count(DISTINCT created_at) FROM job_events WHERE job_id = 1 AND kind = 'log'"
    )
    assert told > 50
    assert 3 <= writes <= 1.5 * 4 + 2


def _set(site: Site, line: str, to: str) -> None:
    """Change one line of the settings."""
    settings = site.config.read_text()
    assert line in settings
    site.config.write_text(settings.replace(line, to))
