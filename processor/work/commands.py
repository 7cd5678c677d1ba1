"""A command: any executable, with the payload on its stdin and JSON lines on its descriptor 3.

    {"progress": 40, "message": "…"}   {"output": "…"}   {"log": "…", "level": "info"}
    {"result": …}   {"retry_in": 30}   {"enqueue": {"type": "…", …}}   or a list of such

A line may carry several of these keys. Anything else on descriptor 3 fails the job as `protocol`, whatever the exit
code: a report that nobody could read is not a success."""

from __future__ import annotations

import json
import math
import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from processor.work.lines import Lines, text_of
from processor.work.processes import Cannot, Process
from processor.work.texts import ENQUEUE_BYTES, NotStorable, json_text, storable_rows

if TYPE_CHECKING:
    from processor.work.loop import Supervisor
    from processor.work.runs import Run
    from processor.work.specs import Spec

TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h
NEVER_AGAIN = 65  # EX_DATAERR
KEYS = frozenset(("progress", "message", "output", "log", "level", "result", "retry_in", "hold_type", "enqueue"))
QUOTED = 120  # characters of a bad line
LINE_ROOM = 64 * 1024  # of a line on descriptor 3, beside the result
WRITE_SIZE = 64 * 1024


class Command(Process):
    """One run of an executable."""

    def __init__(self, supervisor: Supervisor, spec: Spec, run: Run) -> None:
        super().__init__(supervisor, spec)
        self.run = run
        self._result: str | None = None
        self._retry_in: float | None = None
        self._enqueue: list[dict[str, Any]] = []
        self._enqueue_bytes = 0
        self._payload = memoryview(run.message.get("payload", "").encode("utf-8", "replace"))
        self._stdin = -1
        self._start()

    def _start(self) -> None:
        lines = Lines(self.spec.result_bytes * 2 + LINE_ROOM)  # an escaped character may be longer than itself
        with ExitStack() as theirs, ExitStack() as ours:
            ours.callback(self.discard)
            try:
                stdin, self._stdin = os.pipe()
                theirs.callback(os.close, stdin)
                ours.callback(os.close, self._stdin)
                reports, extra = os.pipe()
                theirs.callback(os.close, extra)
            except OSError as error:
                raise Cannot(f"no process can be started: {error}") from error
            os.set_blocking(self._stdin, False)
            os.set_blocking(reports, False)
            self._listen(reports, lambda data: self._take_reports(lines, data))
            self.launch(self.spec.command, self._environment(), stdin, extra)
            ours.pop_all()  # it has begun: nothing is to be undone
        self.supervisor.sources.register(self._stdin, self._write_payload, writing=True)
        self.run.start(self.pid)

    def _environment(self) -> dict[str, str]:
        job = self.run.job
        fence, key = job.get("fence"), job.get("key")
        named = {"JOB_KEY": key} if isinstance(key, str) and key.isprintable() else {}
        trace = job.get("trace_parent")
        if trace:
            named.update(TRACEPARENT=trace, JOBTABLE_TRACE_PARENT=trace)
        return {
            **self.spec.environment,
            **named,
            "JOB_ID": str(job.get("id")),
            "JOB_TYPE": str(job.get("type")),
            "JOB_ATTEMPT": str(job.get("attempt")),
            "JOB_FENCE": fence if isinstance(fence, str) else json.dumps(fence),
            "JOB_WORKDIR": self.workdir,
        }

    def _write_payload(self, _: int) -> None:
        try:
            count = os.write(self._stdin, self._payload[:WRITE_SIZE])
            self._payload = self._payload[count:]
        except BlockingIOError:
            return
        except OSError:
            self._payload = self._payload[:0]  # it closed its stdin: it needs no more of the payload
        if not self._payload:
            self._close_stdin()

    def _close_stdin(self) -> None:
        if self._stdin >= 0:
            self.supervisor.sources.unregister(self._stdin)
            os.close(self._stdin)
            self._stdin = -1

    # What it reports

    def output_run(self) -> Run:
        return self.run

    def runs_inside(self) -> list[Run]:
        return [self.run]

    def take_line(self, level: str, text: str) -> None:
        self.run.log(level, text)

    def _take_reports(self, lines: Lines, data: bytes) -> None:
        for line in lines.feed(data) if data else lines.rest():
            if self.run.outcome == "protocol":
                return  # one unreadable line is enough
            self._take_report(line)

    def _take_report(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            report = json.loads(line, parse_constant=_refuse_constant)
            self._obey(_checked(report))
        except (ValueError, TypeError, OverflowError, RecursionError, NotStorable) as error:
            start = text_of(line[: 4 * QUOTED])[:QUOTED]
            self.run.ask(
                "protocol",
                "protocol",
                f"descriptor 3 carried a line that is no report ({error}): {start!r};"
                f" write one JSON object per line with the keys {', '.join(sorted(KEYS))}",
            )

    def _obey(self, report: dict[str, Any]) -> None:
        if "progress" in report:
            self.run.event({"kind": "progress", "percent": report["progress"], "text": report.get("message")})
        if "output" in report:
            self.run.event({"kind": "output", "text": _text(report["output"])})
        if "log" in report:
            self.run.event({"kind": "log", "level": report.get("level", "info"), "text": _text(report["log"])})
        if "result" in report:
            self._result = json_text(report["result"], self.spec.result_bytes)
        if "retry_in" in report:
            self._retry_in = float(report["retry_in"])
        if "hold_type" in report:
            self.run.hold(report["hold_type"])
        if "enqueue" in report:
            rows = report["enqueue"]
            self._enqueue_bytes += len(json_text(rows))
            if self._enqueue_bytes > ENQUEUE_BYTES:
                raise NotStorable(f"the jobs it enqueued have over {ENQUEUE_BYTES} bytes together")
            self._enqueue += storable_rows(rows if isinstance(rows, list) else [rows])

    # Its end

    def ask(self, run: Run, why: str) -> None:
        self.signal_group(signal.SIGTERM)

    def force(self, run: Run) -> None:
        self.kill()

    def catch_up(self) -> None:
        self.supervisor.reap()  # it may have ended before the limit, unseen

    def gone(self) -> None:
        self._close_stdin()
        self.run.end(**self._ending())
        self.run.finish(cpu_seconds=self.cpu_seconds, max_rss_bytes=self.max_rss_bytes)

    def _ending(self) -> dict[str, Any]:
        problem = self.problem()
        if problem is not None:
            return {"outcome": "unusable", "message": cannot_start(self.spec.command[0], problem)}
        if os.WIFSIGNALED(self.status):
            return signal_ending(self.status, self.stderr_tail())
        code = os.WEXITSTATUS(self.status)
        if code == 0:
            enqueue = {"enqueue": self._enqueue} if self._enqueue else {}
            return {"outcome": "returned", "result": self._result or "null", "exit_code": 0, **enqueue}
        return {**self._failure(code), "exit_code": code, "error_detail": self.stderr_tail()}

    def _failure(self, code: int) -> dict[str, Any]:
        if code == TRY_AGAIN:
            return {
                "outcome": "retry",
                "delay": self._retry_in,
                "message": "it asked for another attempt (exit code 75)",
            }
        outcome = "refused" if code == NEVER_AGAIN else "raised"
        last = (self.stderr_tail() or "").strip().rpartition("\n")[2]
        return {
            "outcome": outcome,
            "error_type": f"exit code {code}",
            "message": last or f"the command ended with exit code {code} and wrote nothing to stderr",
        }


def cannot_start(executable: str, problem: str) -> str:
    return (
        f"{executable} cannot be started: {problem}; jobs of this type cannot start; correct its path, permissions or"
        " interpreter line, or PATH in the environment of the type"
    )


def signal_ending(status: int, detail: str | None) -> dict[str, Any]:
    """The outcome of a process that a signal ended, where nobody of ours sent it."""
    number = os.WTERMSIG(status)
    name = signal_name(number)
    hint = "; if nobody sent it, the kernel may have run out of memory" if number == signal.SIGKILL else ""
    message = f"the process was ended by {name}{hint}"
    return {"outcome": "exited", "signal": number, "error_type": name, "message": message, "error_detail": detail}


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _checked(report: Any) -> dict[str, Any]:
    if not isinstance(report, dict):
        raise ValueError("not an object")
    unknown = [key for key in report if key not in KEYS]
    if unknown or not report:
        raise ValueError(f"unknown key {unknown[0]!r}" if unknown else "an empty object")
    _check_number(report, "progress", math.inf)
    _check_number(report, "retry_in", 10 * 365 * 86400)
    _check_number(report, "hold_type", 10 * 365 * 86400)
    rows = report.get("enqueue", [])
    rows = rows if isinstance(rows, list) else [rows]
    if not all(isinstance(row, dict) and isinstance(row.get("type"), str) for row in rows):
        raise ValueError('"enqueue" needs an object with a "type", or a list of them')
    return report


def _check_number(report: dict[str, Any], key: str, most: float) -> None:
    value = report.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise ValueError(f'"{key}" is no number from 0 on')


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)
