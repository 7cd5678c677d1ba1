import dataclasses
import inspect
import io
import json
import re
from typing import Any

import pytest

from processor import happenings as h
from processor import logs
from processor.sections import Log

STARTED = h.ProcessorStarted("01-ab", "host", "postgresql://me:hunter2@db/jobs", ("mail",), 3)
SETTLED = h.JobSettled(42, "mail", 1, "completed", "done", 0.1234567)
FAILED = h.JobSettled(43, "mail", 2, "failed", "error", 1.0, "boom")
HOSTILE = "a\nb\r\x1b[2J\x1b]0;owned\x07 \u202e\u2028\x00 \ud800 =\"'"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(
    *happenings: object, level: str = "info", format: str = "json", stream: io.StringIO | None = None
) -> list[str]:
    stream = stream or io.StringIO()
    listener = logs.configure(Log.model_validate({"level": level, "format": format}), stream)
    for happening in happenings:
        listener(happening)
    text = stream.getvalue()
    assert text == "" or text.endswith("\n")
    return text.split("\n")[:-1]


def records(*happenings: object, level: str = "info") -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(*happenings, level=level)]


def every_happening() -> list[type]:
    return [kind for _, kind in inspect.getmembers(h, dataclasses.is_dataclass) if inspect.isclass(kind)]


def made(kind: type) -> object:
    """A happening with some value of the right sort in every field."""
    samples = {"int": 1, "float": 0.5, "str": "x", "tuple[str, ...]": ("x",), "str | None": "x", "bool": True}
    tables = {
        "rows": {("pending", "mail"): 1},
        "oldest_due_seconds": {"mail": 1.0},
        "unhandled": {"no": 2},
        "queue_limits": {"mail": 9},
    }
    values = []
    for field in dataclasses.fields(kind):
        declared = field.type.__name__ if type(field.type) is type else str(field.type)
        values.append(tables.get(field.name) or samples[declared])
    return kind(*values)


def test_a_happening_is_one_json_line_that_begins_with_when_how_bad_and_what() -> None:
    line = lines(SETTLED)[0]
    assert re.match(r'{"timestamp": "\d{4}-\d\d-\d\dT[\d:]+\.\d{6}Z", "level": "info", "event": "job_settled", ', line)
    record = json.loads(line)
    del record["timestamp"]
    assert record == {
        "level": "info",
        "event": "job_settled",
        "job": 42,
        "type": "mail",
        "attempt": 1,
        "status": "completed",
        "reason": "done",
        "seconds": 0.123457,
    }


def test_every_line_after_the_start_names_the_processor() -> None:
    _, second = records(STARTED, SETTLED)
    assert (second["processor"], second["processor_name"]) == ("01-ab", "host")


def test_the_processor_is_named_even_when_its_start_was_filtered_out() -> None:
    assert [record["processor"] for record in records(STARTED, FAILED, level="warning")] == ["01-ab"]


@pytest.mark.parametrize("kind", every_happening())
def test_every_happening_has_its_line(kind: type) -> None:
    assert kind in logs.LINES
    level, event = logs.LINES[kind]
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", event)
    (record,) = records(made(kind), level="debug")
    assert (record["level"], record["event"]) == (level, event)


def test_no_two_happenings_share_an_event() -> None:
    events = [event for _, event in logs.LINES.values()]
    assert len(events) == len(set(events))


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_a_level_lets_through_what_is_as_bad_or_worse(level: str, count: int) -> None:
    assert len(lines(h.JobStarted(1, "mail", 1, 0.1), SETTLED, FAILED, h.DatabaseLost("away"), level=level)) == count


def test_a_job_that_failed_is_a_warning_and_one_that_will_be_tried_again_is_not() -> None:
    again = dataclasses.replace(FAILED, status="scheduled", reason="retry")
    assert [record["level"] for record in records(FAILED, again)] == ["warning", "info"]


@pytest.mark.parametrize("format", ["json", "text"])
def test_hostile_text_stays_in_its_line_and_moves_no_cursor(format: str) -> None:
    (line,) = lines(dataclasses.replace(FAILED, message=HOSTILE, type=HOSTILE), format=format)
    assert line.isprintable()
    assert "\\n" in line


def test_hostile_text_can_be_read_back_from_json() -> None:
    assert records(dataclasses.replace(FAILED, message=HOSTILE))[0]["message"] == HOSTILE


def test_hostile_text_cannot_end_its_quotes() -> None:
    (line,) = lines(dataclasses.replace(FAILED, message='x" status=completed "'), format="text")
    assert line.endswith('message="x\\" status=completed \\""')


@pytest.mark.parametrize("format", ["json", "text"])
def test_a_password_in_an_address_is_masked(format: str) -> None:
    (line, _) = lines(STARTED, h.DatabaseLost("refused by postgresql://me:hunter2@db/jobs"), format=format)
    assert "hunter2" not in line
    assert "postgresql://me:********@db/jobs" in line


def test_a_long_text_is_cut_and_says_so() -> None:
    message = records(dataclasses.replace(FAILED, message="x" * 100_000))[0]["message"]
    assert len(message) < 2100
    assert message.endswith("… (100000 letters)")


def test_auto_is_text_on_a_terminal_and_json_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert lines(SETTLED, format="auto")[0].startswith("{")
    assert re.match(r"\S+Z info    job_settled job=42 type=mail ", lines(SETTLED, format="auto", stream=Terminal())[0])
    assert "\x1b[33mwarning\x1b[0m" in lines(FAILED, format="auto", stream=Terminal())[0]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in lines(FAILED, format="auto", stream=Terminal())[0]


def test_a_stream_with_a_small_alphabet_still_gets_every_line() -> None:
    raw = io.BytesIO()
    listener = logs.configure(Log(format="text"), io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    listener(dataclasses.replace(FAILED, message="é"))
    assert b"message=\\xe9\n" in raw.getvalue()


def test_a_full_disk_loses_lines_but_stops_nothing_and_is_told_later() -> None:
    class Full(io.StringIO):
        is_full = True

        def write(self, text: str) -> int:
            if self.is_full:
                raise OSError(28, "No space left on device")
            return super().write(text)

    stream = Full()
    listener = logs.configure(Log(format="json"), stream)
    listener(SETTLED)
    listener(SETTLED)
    stream.is_full = False
    listener(SETTLED)
    listener(SETTLED)
    found = [json.loads(line).get("dropped_lines") for line in stream.getvalue().splitlines()]
    assert found == [2, None]


def test_two_listeners_share_nothing() -> None:
    lines(STARTED)
    assert "processor" not in records(SETTLED)[0]
