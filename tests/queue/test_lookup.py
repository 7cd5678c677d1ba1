"""What is read: filters, pages, one job, the latest of a subject; and that an owner sees no other's rows."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from processor.errors import NotFound
from processor.lifecycle import Status
from processor.outcome import Kind
from processor.queue import control, lookup
from processor.queue.lookup import Filter
from processor.queue.settle import settle
from tests.queue.conftest import Queue, verdict_of

DAY = datetime(2020, 1, 2, tzinfo=UTC)


def ids(queue: Queue, which: Filter, limit: int = 50, before_id: int | None = None) -> list[int]:
    return [row["id"] for row in lookup.jobs_page(queue.database, which, limit=limit, before_id=before_id)]


@pytest.mark.parametrize("column", ["type", "owner", "subject", "key", "error_message"])
def test_a_text_is_found_in_capitals_or_not_in_each_column(queue: Queue, column: str) -> None:
    columns = "type" if column == "type" else f"type, {column}"
    start = "" if column == "type" else "'a', "
    queue.insert(columns, f"{start}'Send Mail'", f"{start}'page'")
    assert ids(queue, Filter(text="d mAI")) == [1]
    assert ids(queue, Filter(text="nothing")) == []


@pytest.mark.parametrize("text", ["100%", "a_b", "a\\b", "it's", "/", "[x]", "$1", ":x", "%s", "%(x)s", '"', "--"])
def test_a_text_means_each_of_its_letters(queue: Queue, text: str) -> None:
    written = text.replace("'", "''")
    if queue.kind == "mariadb":
        written = written.replace("\\", "\\\\")
    queue.insert("type, subject", "'t', '100 or axb'", "'t', '100x'", f"'t', 'so {written} it is'")
    assert ids(queue, Filter(text=text)) == [3]


def test_a_text_narrows_like_any_other_field(queue: Queue) -> None:
    queue.insert("type, owner", "'mail', 'ada'", "'mail', 'bob'", "'page', 'ada'")
    assert ids(queue, Filter(text="mai", owner="ada")) == [1]
    assert control.pause(queue.database, Filter(text="MAIL", owner="bob")) == 1
    assert lookup.count(queue.database, Filter(text="ai", statuses=(Status.PENDING,))) == 1


def test_a_page_looks_for_a_text_in_so_many_rows_and_says_where_to_go_on(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "TEXT_REACH", 3)
    queue.insert("type", "'mail'", "'page'", "'page'", "'page'", "'mail'", "'page'")
    which = Filter(text="mail")
    assert (ids(queue, which), lookup.text_floor(queue.database, which)) == ([5], 4)
    assert ids(queue, which, before_id=4) == [1]
    assert lookup.text_floor(queue.database, which, before_id=4) is None
    assert lookup.text_floor(queue.database, Filter()) is None
    pages = Filter(text="mail", types=("mail",))
    assert (ids(queue, pages), lookup.text_floor(queue.database, pages)) == ([5, 1], None)
    assert control.pause(queue.database, which) == 2


def test_instants_narrow_in_whatever_zone_they_are_written(queue: Queue) -> None:
    utc = "+00" if queue.kind == "postgresql" else ""
    queue.insert("type, created_at", *(f"'a', '2020-01-0{day} 00:00:00.000000{utc}'" for day in (1, 2, 3)))
    there = DAY.astimezone(timezone(timedelta(hours=5)))
    assert ids(queue, Filter(created_after=there)) == [3, 2]
    assert ids(queue, Filter(created_before=there)) == [1]
    assert ids(queue, Filter(created_after=there, created_before=DAY + timedelta(microseconds=1))) == [2]
    assert ids(queue, Filter(created_after=there, older_than=0)) == [3, 2]
    assert ids(queue, Filter(created_after=there, newer_than=3600)) == []


def test_pages_go_down_and_neither_skip_nor_repeat(queue: Queue) -> None:
    queue.insert("type", *["'a'"] * 5)
    first = ids(queue, Filter(), limit=2)
    queue.insert("type", "'a'")
    second = ids(queue, Filter(), limit=2, before_id=first[-1])
    assert (first, second) == ([5, 4], [3, 2])


def test_a_job_of_another_owner_is_not_found(queue: Queue) -> None:
    queue.insert("type, owner", "'a', 'ada'", "'a', NULL")
    assert lookup.job(queue.database, 1)["id"] == lookup.job(queue.database, 1, owner="ada")["id"] == 1
    for job_id, owner in ((1, "bob"), (2, "ada"), (1, ""), (3, None)):
        with pytest.raises(NotFound, match=f"There is no job {job_id}"):
            lookup.job(queue.database, job_id, owner=owner)


def test_the_latest_job_of_a_subject_is_the_newest_that_one_may_see(queue: Queue) -> None:
    queue.insert("type, owner, subject", "'a', 'ada', 's'", "'b', 'ada', 's'", "'a', 'bob', 's'", "'a', 'bob', 'other'")
    database = queue.database
    assert lookup.latest_of(database, "s")["id"] == 3
    assert lookup.latest_of(database, "s", owner="ada")["id"] == 2
    assert lookup.latest_of(database, "s", owner="ada", type_="a")["id"] == 1
    assert lookup.latest_of(database, "s")["payload"] == "{}"
    for subject, owner, type_ in (("x", None, None), ("s", "eve", None), ("s", "bob", "b")):
        with pytest.raises(NotFound, match="There is no job about"):
            lookup.latest_of(database, subject, owner, type_)


def test_notifications_come_in_pages_of_an_owner(queue: Queue) -> None:
    queue.insert("type, owner", "'a', 'ada'", "'a', 'bob'", "'a', 'ada'")
    settle(queue.database, [verdict_of(job, Kind.RETURNED) for job in queue.claim()])
    first, second = lookup.notifications_page(queue.database, owner="ada")
    assert lookup.notifications_page(queue.database, owner="ada", limit=1) == [first]
    assert lookup.notifications_page(queue.database, owner="ada", before_id=first["id"]) == [second]
    assert control.mark_read(queue.database, [first["id"]], owner="bob") == 0
    assert control.mark_read(queue.database, [first["id"]], owner="ada") == 1


def test_a_count_is_of_what_the_filter_finds(queue: Queue) -> None:
    queue.insert("type, owner", "'a', 'ada'", "'b', 'ada'", "'a', 'bob'")
    assert lookup.count(queue.database, Filter()) == 3
    assert lookup.count(queue.database, Filter(types=("a",), owner="ada")) == 1
    assert lookup.count(queue.database, Filter(ids=(3, 4))) == 1
