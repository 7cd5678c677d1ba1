"""`jobtable replay`: the handler really runs, and the queue does not notice."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Jobtable
from tests.conftest import migrate
from tests.databases import Database, Server
from tests.processors.running import PATIENCE, Site, eventually, is_alive, processes_with

TABLES = "jobs job_events job_errors job_types notifications processors schedules jobtable_version".split()
TYPES = """
[types.patient]
python = "deeds:fail"
max_attempts = 3
[types.patient.retry]
delay = 3600
jitter = 0
[types.large]
python = "deeds:large"
max_result_bytes = 100
[types.no_json]
python = "deeds:no_json"
[types.hoard]
python = "deeds:hoard"
memory_limit_bytes = 100000000
[types.hold]
python = "deeds:hold"
[types.gone]
python = "nowhere:at_all"
[types.shell]
command = ["/bin/sh", "-c", "exit $(cat)"]
[types.say]
command = ["/bin/sh", "-c", '''
    echo "said $JOB_ATTEMPT $JOB_FENCE"; echo '{"result": {"pages": 3}, "enqueue": {"type": "quick"}}' >&3
''']
[types.later]
python = "decorated:later"
[types."decorated.greet"]
python = "decorated:greet"
[types.absent]
command = ["/no/such/program"]
[types.hurried]
python = "deeds:until"
timeout = 0.4
"""


class Place(Site):
    """A folder with settings and a database in which jobs are replayed."""

    def __init__(self, db: Database, folder: Path) -> None:
        super().__init__(db, folder)
        self.jobtable = Jobtable(folder, db.url)
        self.write(TYPES)

    def replay(self, *arguments: object) -> tuple[int, str, str]:
        return self.jobtable.run("replay", *arguments)

    def answer(self, *arguments: object) -> tuple[int, dict[str, Any]]:
        code, out, err = self.replay(*arguments, "--json")
        assert "Traceback (most" not in err, err
        return code, json.loads(out)

    def replaying(self, *arguments: object) -> "subprocess.Popen[str]":
        return self.jobtable.start("replay", *arguments)

    def dump(self) -> dict[str, list[str]]:
        return {table: sorted(map(repr, self.db.rows(f"SELECT * FROM {table}"))) for table in TABLES}

    def close(self) -> None:
        self.jobtable.close()
        super().close()


@pytest.fixture
def place(db: Database, tmp_path: Path) -> Iterator[Place]:
    """On each database."""
    place = Place(db, tmp_path)
    yield place
    place.close()


@pytest.fixture
def here(sqlite: Server, tmp_path: Path) -> Iterator[Place]:
    """On SQLite alone, where the database cannot matter."""
    database = sqlite.create_migrated_database(migrate)
    place = Place(database, tmp_path)
    yield place
    place.close()
    database.drop()


@contextmanager
def service(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Answer each call with its number; gives the address and the calls."""
    calls: list[dict[str, Any]] = []

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            calls.append({"body": json.loads(body), **{name.lower(): text for name, text in self.headers.items()}})
            answer = json.dumps({"call": len(calls)}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", calls
        server.shutdown()


# -- what is run -------------------------------------------------------------------------------------------------------


def test_a_python_handler_runs_and_what_it_tells_is_shown(here: Place) -> None:
    code, out, err = here.replay(here.insert("talk"))
    assert code == 0, err
    lines = [line[8:] for line in out.splitlines()]
    assert "info     line 4" in lines
    assert "stdout   printed 0" in lines
    assert "progress 80 % step 4" in lines
    assert "output   all of it" in lines
    assert "verdict   completed (done)" in out
    assert "note: job 1 is pending: a processor will run it, too, when its turn comes" in err


def test_an_async_handler_runs(here: Place) -> None:
    code, answer = here.answer(here.insert("quick_async"))
    assert (code, answer["outcome"]["result"]) == (0, {"attempt": 1})
    assert here.starts() == [(1, 1)]


def test_a_decorated_handler_runs_with_its_options(here: Place) -> None:
    here.write(processor='modules = ["decorated"]')
    code, answer = here.answer(here.insert("decorated.later"))
    assert (code, answer["max_attempts"]) == (1, 3)
    assert answer["verdict"] == {"status": "scheduled", "reason": "retry", "delay": 0.05}


def test_a_command_runs_and_what_it_enqueues_is_shown(here: Place) -> None:
    code, out, err = here.replay(here.insert("say"))
    assert code == 0, err
    assert "stdout   said 1 replay-" in out  # a handler can tell
    assert '"pages": 3' in out
    assert "enqueues  quick {}" in out
    assert "1 job, not inserted: this is a replay" in out


def test_an_http_handler_is_called_with_the_payload(here: Place) -> None:
    with service() as (address, calls):
        here.write(f'[types.web]\nhttp = "{address}"\nsecret = "geheim"')
        code, answer = here.answer(here.insert("web", chapter=7))
    assert (code, answer["outcome"]["result"]) == (0, {"call": 1})
    [call] = calls
    assert call["body"]["chapter"] == 7
    assert (call["job-id"], call["idempotency-key"], call["job-attempt"]) == ("1", "1", "1")
    assert "webhook-signature" in call


def test_what_it_tells_comes_while_it_runs(here: Place) -> None:
    door = here.folder / "door"
    process = here.replaying(here.insert("until", until=str(door)))
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], PATIENCE)[0], "it said nothing"
    assert "progress 10 % waiting" in process.stdout.readline()  # it cannot have ended: the door is closed
    door.touch()
    out, err = process.communicate(timeout=30)
    assert (process.returncode, "completed (done)" in out) == (0, True), err


def test_the_environment_is_the_handlers_own(here: Place) -> None:
    here.write("[types.environment]\npython = 'deeds:environment'\nenvironment = {TOKEN = 'geheim'}")
    _, answer = here.answer(here.insert("environment"))
    environment = answer["outcome"]["result"]
    assert environment["TOKEN"] == "geheim"
    assert not [name for name in environment if name.startswith(("JOBTABLE_D", "PYTHONPATH"))]


# -- the verdict is the processor's ------------------------------------------------------------------------------------

DEEDS: dict[str, tuple[str, str | dict[str, Any]]] = {
    "completed": ("quick", {}),
    "failed": ("fail", {}),
    "failed, tried again": ("patient", {}),
    "its process is killed": ("die", {}),
    "no JSON": ("no_json", {}),
    "result too large": ("large", {"letters": 1000}),
    "over its memory": ("hoard", {}),
    "over its time": ("hurried", {"until": "/no/such/file"}),
    "not importable": ("gone", {}),
    "no such program": ("absent", {}),
    "asks for another try": ("shell", "75"),
    "asks for none": ("shell", "65"),
    "arguments do not fit": ("decorated.greet", '{"nam": "Ada"}'),
    "asks to come later": ("later", {}),
    "no letter": ("quick", r'{"log": "\u0000"}'),
    "too large": ("quick", json.dumps("x" * 2000)),
}


def test_the_verdict_is_the_one_that_a_processor_reaches(here: Place) -> None:
    here.write(TYPES, processor="max_payload_bytes = 1000")
    jobs = {deed: _insert(here, type_, payload) for deed, (type_, payload) in DEEDS.items()}
    replayed = {deed: here.answer(job) for deed, job in jobs.items()}
    here.drain()
    for deed, (code, answer) in replayed.items():
        row = here.job(jobs[deed])
        outcome, verdict = answer["outcome"], answer["verdict"]
        told = (verdict["status"], verdict["reason"], outcome["error_type"], outcome["error_message"])
        assert told == (row["status"], row["reason"], row["error_type"], row["error_message"]), deed
        assert code == (0 if row["status"] == "completed" else 1), deed


def _insert(place: Place, type_: str, payload: "str | dict[str, Any]") -> int:
    return place.insert(type_, {"payload": payload}) if isinstance(payload, str) else place.insert(type_, **payload)


def test_a_job_is_replayed_as_its_next_try_or_as_its_latest_once_more(here: Place) -> None:
    waits = here.insert("patient", {"attempt": 1})
    ended = here.insert("patient", {"attempt": 3, "status": "failed"})
    for job, attempt, verdict in ((waits, 2, "scheduled"), (ended, 3, "failed")):
        _, answer = here.answer(job)
        assert (answer["attempt"], answer["verdict"]["status"]) == (attempt, verdict)
    assert here.starts() == [(waits, 2), (ended, 3)]


def test_deaths_in_a_row_count_as_they_would(here: Place) -> None:
    columns = {"max_attempts": 9, "attempt": 3}
    fresh = here.insert("die", {**columns, "crashes": 2})
    poisoned = here.insert("die", {**columns, "crashes": 3, "status": "failed", "reason": "poison"})
    twice = here.insert("die", {**columns, "crashes": 2, "status": "failed"})  # the second of them is this try
    reasons = [here.answer(job)[1]["verdict"]["reason"] for job in (fresh, poisoned, twice)]
    assert reasons == ["poison", "poison", "retry"]


def test_the_time_limit_of_the_row_counts_and_another_can_be_given(here: Place) -> None:
    job = here.insert("until", {"timeout_seconds": 0.3}, until="/no/such/file")
    _, answer = here.answer(job)
    assert "its time limit of 0.3 s" in answer["outcome"]["error_message"]
    _, answer = here.answer(job, "--timeout", "0.2")
    assert "its time limit of 0.2 s" in answer["outcome"]["error_message"]


def test_another_payload_can_be_given_and_the_row_keeps_its_own(here: Place) -> None:
    job = here.insert("large", letters=1000)
    assert here.answer(job)[1]["outcome"]["kind"] == "protocol"
    code, answer = here.answer(job, "--payload", '{"letters": 3}')
    assert (code, answer["outcome"]["result"]) == (0, "xxx")
    assert here.answer(job)[1]["outcome"]["kind"] == "protocol"


def test_a_payload_that_is_given_and_too_large_is_judged_as_a_rows(here: Place) -> None:
    here.write(TYPES, processor="max_payload_bytes = 1000")
    given = here.folder / "given.json"
    given.write_text(json.dumps("x" * 2000))
    code, answer = here.answer(here.insert("quick"), "--payload", f"@{given}")
    assert (code, answer["verdict"]["reason"]) == (1, "malformed")
    assert (
        "The payload has 2,002 bytes; [processor] max_payload_bytes allows 1,000" in answer["outcome"]["error_message"]
    )
    assert here.starts() == []


def test_a_job_that_came_too_late_is_run_and_that_is_said(here: Place) -> None:
    job = here.insert("quick", {"expires_at": "2020-01-01 00:00:00"})
    code, _, err = here.replay(job)
    assert code == 0
    assert "note: its expires_at has passed: a processor would let it fail as expired" in err


# -- the queue does not notice -----------------------------------------------------------------------------------------


def test_nothing_is_written_whatever_the_handler_does(place: Place) -> None:
    waits = place.insert("spawn_more", {"owner": "ada", "concurrency_key": "lane", "key": "k"})
    talks = place.insert("talk", {"status": "completed", "attempt": 1})
    fails = place.insert("patient", {"status": "failed", "attempt": 3})
    holds = place.insert("hold", {"status": "paused", "reason": "asked"})
    wrong = place.insert("quick", {"status": "scheduled", "run_at": "2090-01-01 00:00:00"})
    before = place.dump()
    assert before["jobs"]
    codes = [place.replay(job)[0] for job in (waits, talks, fails, holds)]
    assert codes == [0, 0, 1, 0]
    assert place.replay(wrong, "--payload", "[]")[0] == 1
    assert place.replay(waits, "--dry")[0] == 0
    assert _interrupted(place, place.insert("deaf", until="/no/such/file")) == 130
    place.db.rows("DELETE FROM jobs WHERE type = 'deaf'")
    assert place.dump() == before


def test_what_is_held_back_and_enqueued_is_told(here: Place) -> None:
    _, out, _ = here.replay(here.insert("hold"))
    assert "holds     its type for 1 h 0 min; not done: this is a replay" in out
    _, answer = here.answer(here.insert("spawn_more"))
    assert [wish["payload"]["n"] for wish in answer["enqueued"]] == [0, 1, 2]


def test_a_running_job_can_be_replayed_and_its_processor_goes_on(place: Place) -> None:
    door, other = place.folder / "door", place.folder / "other"
    other.touch()
    job = place.insert("until", until=str(door))
    processor = place.start()
    place.await_status("running", job)
    eventually(place.starts)
    code, out, err = place.replay(job, "--payload", json.dumps({"log": str(place.log), "until": str(other)}))
    assert (code, "completed (done)" in out) == (0, True), err
    assert f"note: job {job} is running at this moment, by processor" in err
    assert place.job(job)["status"] == "running"
    door.touch()
    assert place.await_status("completed", job)["attempt"] == 1
    assert place.starts() == [(job, 1), (job, 1)]
    assert processor.events("stale_outcome_refused") == []
    assert processor.events("supervisor_lost") == []
    processor.signal(signal.SIGTERM)
    assert processor.wait() == 0


def test_no_connection_is_held_while_it_runs(postgresql: Server, tmp_path: Path) -> None:
    database = postgresql.create_migrated_database(migrate)
    place = Place(database, tmp_path)
    try:
        process = place.replaying(place.insert("until", until=str(tmp_path / "door")))
        eventually(place.starts)
        [(others,)] = database.rows(
            f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database.name}' AND pid <> pg_backend_pid()"
        )
        assert others == 0
        (tmp_path / "door").touch()
        process.communicate(timeout=30)
        assert process.returncode == 0
    finally:
        place.close()
        database.drop()


# -- stopping it -------------------------------------------------------------------------------------------------------


def _interrupted(place: Place, job: int) -> int:
    started = len(place.starts())
    process = place.replaying(job)
    eventually(lambda: len(place.starts()) > started)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    return int(process.returncode)


def test_an_interrupt_asks_and_a_handler_may_end_by_itself(here: Place) -> None:
    process = here.replaying(here.insert("until", until="/no/such/file"), "--json")
    eventually(here.starts)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    answer = json.loads(out)
    assert (process.returncode, answer["interrupted"]) == (130, True), err
    assert answer["verdict"] == {"status": "cancelled", "reason": "asked", "delay": None}
    assert answer["outcome"]["error_message"] == "it was cancelled while it ran"  # and was not killed


def test_a_handler_that_does_not_listen_is_killed_after_its_grace(here: Place) -> None:
    process = here.replaying(here.insert("deaf", until="/no/such/file"))
    [pid] = eventually(here.handler_pids)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "it did not end within 0.5 s of being asked and was killed" in out
    assert not is_alive(pid)
    assert list((here.folder / "work").iterdir()) == []


def test_a_second_interrupt_kills_at_once(here: Place) -> None:
    here.write("[types.deaf]\npython = 'deeds:deaf'\ngrace = 3600")
    process = here.replaying(here.insert("deaf", until="/no/such/file"))
    [pid] = eventually(here.handler_pids)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert (process.returncode, is_alive(pid)) == (130, False)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_a_replay_that_is_killed_leaves_no_process_and_no_folder(place: Place, number: int) -> None:
    mark = f"mark-{os.urandom(8).hex()}"
    before = place.dump()["processors"]
    process = place.replaying(place.insert("breed", mark=mark))
    eventually(place.starts)
    child = int(eventually(lambda: _text(place.log.with_suffix(".pid"))))
    [handler] = place.handler_pids()
    [supervisor] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(number)
    process.wait(30)
    eventually(lambda: not any(map(is_alive, (handler, child, int(supervisor)))), "all of them gone")
    assert processes_with(mark) == []
    assert list((place.folder / "work").iterdir()) == []
    assert not (place.folder / "run").exists()  # no lock file that nobody would remove
    assert place.job(1)["status"] == "pending"
    assert place.dump()["processors"] == before


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_a_supervisor_that_is_killed_is_an_outcome(here: Place) -> None:
    process = here.replaying(here.insert("spin"), "--json")
    eventually(here.starts)
    [supervisor] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(supervisor), signal.SIGKILL)
    out, err = process.communicate(timeout=30)
    answer = json.loads(out)
    assert (process.returncode, answer["verdict"]["reason"]) == (1, "lost"), err
    eventually(lambda: not any(map(is_alive, here.handler_pids())))


def test_a_reader_that_leaves_ends_it(here: Place) -> None:
    process = here.replaying(here.insert("flood", mebibytes=1))
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    process.communicate(timeout=30)
    assert process.returncode == 1


# -- what is refused, and --dry ----------------------------------------------------------------------------------------


def test_a_job_that_does_not_exist_is_said(here: Place) -> None:
    code, out, err = here.replay(99)
    assert (code, out) == (1, "")
    assert err == "error: There is no job 99. Nothing was run. See `jobtable list`.\n"


def test_a_type_that_is_not_configured_here_is_said_with_those_that_are(here: Place) -> None:
    code, out, err = here.replay(here.insert("spwn_more"))
    assert (code, out) == (1, "")
    assert "has the type spwn_more, which is not configured here. Nothing was run. Did you mean spawn_more?" in err
    assert "Types here: absent, breed, deaf," in err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--timeout", "0"), "A time limit of 0 lets nothing run"),
        (("--timeout", "soon"), "is no duration"),
        (("--payload", "{"), "it is no JSON"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(here: Place, flags: tuple[str, ...], words: str) -> None:
    code, out, err = here.replay(here.insert("quick"), *flags)
    assert (code, out, words in err) == (2, "", True), err
    assert here.starts() == []


def test_a_folder_that_cannot_be_made_is_said_before_anything_runs(here: Place) -> None:
    (here.folder / "file").touch()
    text = here.config.read_text().replace(f'workdir = "{here.folder}/work"', f'workdir = "{here.folder}/file/work"')
    here.config.write_text(text)
    code, _, err = here.replay(here.insert("quick"))
    assert (code, here.starts()) == (1, [])
    assert "No private folder can be made for jobs in" in err


def test_dry_shows_how_it_would_be_run_and_runs_nothing(here: Place) -> None:
    here.write(
        """
[types.quick]
python = "deeds:quick"
timeout = 90
max_attempts = 4
memory_limit_bytes = 1000000000
environment = {TOKEN = "geheim"}
[types.tool]
command = ["tool", "--from", "https://me:geheim@example.org/a b"]
[types.web]
http = "https://me:geheim@example.org/x"
secret = "geheim"
headers = {X-Token = "geheim"}
"""
    )
    python, tool, web = (here.insert(name, {"attempt": 1}) for name in ("quick", "tool", "web"))
    code, out, err = here.replay(python, "--dry")
    assert (code, err) == (0, "Nothing was run.\n")
    for label, text in (
        ("try", "2 of 4"),
        ("python", "deeds:quick"),
        ("interpreter", sys.executable),
        ("time limit", "1 min 30 s, then 500 ms to end"),
        ("memory", "at most 1,000,000,000 bytes"),
    ):
        assert f"  {label:<15} {text}\n" in out
    assert "TOKEN" in out
    shown = out + "".join(here.replay(job, "--dry")[1] for job in (tool, web))
    assert "tool --from 'https://me:********@example.org/a b'" in shown
    assert "X-Token" in shown
    assert "geheim" not in shown + json.dumps([here.answer(job, "--dry") for job in (python, tool, web)])
    assert here.starts() == []


def test_dry_says_why_it_could_not_be_run(here: Place) -> None:
    for job, words in (
        (here.insert("gone"), "No module named 'nowhere'"),
        (here.insert("quick", {"payload": r'"\u0000"'}), "which is no letter"),
    ):
        code, found = here.answer(job, "--dry")
        assert code == 1
        assert words in found["problems"][0]
