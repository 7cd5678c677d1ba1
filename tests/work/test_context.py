"""A handler can be tried as a plain function: the job keeps what it is told."""

import datetime

import pytest

from processor import Job, Retry, Snooze


def test_a_job_without_a_worker_keeps_what_is_told():
    job = Job(7, "chapter.analyse", {"chapter": 3})
    job.progress(50, "half")
    job.progress(50, "half")
    job.log("a line")
    job.output("a piece")
    assert [event["kind"] for event in job.told] == ["progress", "log", "output"]
    assert not job.cancelled and job.workdir.is_dir()
    job.workdir.rmdir()


def test_reports_that_make_no_sense_are_refused_where_they_are_made():
    job = Job(7, "t")
    for wrong in (lambda: job.log("x", "loud"), lambda: job.progress(float("nan")), lambda: Retry(in_=-1)):
        with pytest.raises(ValueError, match=r"is no log level|not NaN|a delay is"):
            wrong()
    with pytest.raises(TypeError, match="does not know the column 'prio'"):
        job.enqueue("x", prio=1)
    with pytest.raises(ValueError, match="no time zone"):
        job.enqueue("x", run_at=datetime.datetime(2026, 1, 1))  # noqa: DTZ001 - that is the fault
    with pytest.raises(TypeError):
        job.enqueue("x", {"a": {1}})
    assert job.enqueued == []


def test_delays_are_seconds_or_timedeltas():
    assert Retry(in_=datetime.timedelta(minutes=2)).delay == 120
    assert (Retry().delay, Snooze(5).delay) == (None, 5)
