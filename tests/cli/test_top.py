"""`jobtable top`, in a real terminal, over real processors."""

import json
import re
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from processor.cli.top.job import KEPT_LINES
from tests.cli.conftest import Jobtable
from tests.cli.terminal import Terminal
from tests.cli.wire import Wire
from tests.databases import Database
from tests.patience import eventually

WORKING = """
[processor]
poll_interval = 0.05
name = "ada"
[metrics]
listen = ""
[types.read]
command = ["{python}", "{folder}/read.py"]
[types.fail]
command = ["{python}", "{folder}/fail.py"]
"""

READ = """
import json, os, pathlib, time
for percent, name in ((25, "half"), (75, "go")):
    os.write(3, json.dumps({"progress": percent, "message": "until " + name}).encode() + b"\\n")
    print("waits for", name, flush=True)
    while not pathlib.Path(__file__).with_name(name).exists():
        time.sleep(0.02)
"""

FAIL = """
import pathlib, sys
print("\\x1b[31mRED\\x1b[0m [bold]no markup[/bold]", flush=True)
if not pathlib.Path(__file__).with_name("mended").exists():
    sys.exit("[red]broken[/red] \\x1b[2J")
"""


@pytest.fixture
def configured(jobtable: Jobtable) -> Jobtable:
    return give_types(jobtable)


@pytest.fixture
def local(on_sqlite: Jobtable) -> Jobtable:
    return give_types(on_sqlite)


def give_types(jobtable: Jobtable) -> Jobtable:
    jobtable.configure(WORKING.format(python=sys.executable, folder=jobtable.folder))
    (jobtable.folder / "read.py").write_text(READ, encoding="utf-8")
    (jobtable.folder / "fail.py").write_text(FAIL, encoding="utf-8")
    return jobtable


def quit(terminal: Terminal) -> None:
    """Leave with q, and see that the terminal is as it was."""
    terminal.press("q")
    assert terminal.wait() == 0
    assert_restored(terminal)


def assert_restored(terminal: Terminal) -> None:
    eventually(lambda: b"\x1b[?1049l" in terminal.raw, "it leaves the other screen")
    assert terminal.raw.count(b"\x1b[?1049h") == 1
    assert terminal.raw.rfind(b"\x1b[?25h") > terminal.raw.rfind(b"\x1b[?25l")
    assert terminal.modes_now() == terminal.modes
    assert b"Traceback" not in terminal.raw


def end(processor: "subprocess.Popen[str]") -> None:
    processor.terminate()
    processor.communicate(timeout=20)


def test_progress_moves_the_log_is_read_and_what_runs_is_cancelled(configured: Jobtable) -> None:
    job = configured.enqueue("read", "--subject", "chapter:1")
    processor = configured.start("run")
    top = configured.on_a_terminal("top")
    shown = top.see("██▌░░░░░░░  25 % until half", "1 of 3 running", "ada", "works")
    assert [line.split()[:2] for line in shown.splitlines() if "25 %" in line] == [[str(job), "read"]]
    (configured.folder / "half").touch()
    top.see("███████▌░░  75 % until go")
    top.press("\r")
    top.see(f"job {job}  read  running", "chapter:1", "1 stdout   waits for half", "1 progress 75 % until go")
    top.press("c")
    top.see(f"Cancel job {job} (read)?  y yes  n no")
    top.press("n")
    top.see_no("Cancel job")
    assert not configured.json("show", job)["cancel_requested"]
    top.press("c")
    top.see(f"Cancel job {job} (read)?")
    top.press("y")
    top.see(f"job {job}  read  cancelled (asked)", "1 state    cancelled (asked)")
    top.press("q")
    top.see("0 of 3 running")
    quit(top)
    end(processor)


def test_what_failed_is_run_again(local: Jobtable) -> None:
    job = local.enqueue("fail")
    processor = local.start("run")
    top = local.on_a_terminal("top")
    top.see("failed in the last 24 hours", "error  exit code 1: [red]broken", "0 done   1 failed")
    (local.folder / "mended").touch()
    top.press("r")
    top.see(f"Retry job {job} (fail)?")
    top.press("y")
    top.see(f"Job {job} is to be run again.")
    top.see("Nothing runs, nothing waits, nothing failed.", "1 done   0 failed")
    assert local.json("show", job)["status"] == "completed"
    quit(top)
    end(processor)


def test_a_type_is_paused_and_resumed(local: Jobtable) -> None:
    job = local.enqueue("read")
    top = local.on_a_terminal("top")
    top.see("no processor is alive", "No processor is alive. Start one: jobtable run")
    top.press("\t")
    top.see_selected(" read ", "·")
    top.press("p")
    top.see("Pause the type read? What runs goes on.")
    top.press("y")
    top.see("The type read is paused on every processor.", "its type is paused")
    assert [row["paused"] for row in local.json("types") if row["type"] == "read"] == [True]
    top.press("p")
    top.see("Resume the type read?")
    top.press("y")
    top.see("The type read is resumed.", "no processor is alive")
    top.press("\t\t")
    top.see_selected(str(job), "no processor is alive")
    top.press("p")
    top.see(f"Pause job {job} (read)?")
    top.press("y")
    top.see(f"Job {job} is paused.", "1 paused")
    assert local.json("show", job)["status"] == "paused"
    quit(top)


def test_what_waits_is_shown_in_the_order_in_which_it_will_run(configured: Jobtable, db: Database) -> None:
    (configured.folder / "jobtable.toml").write_text(
        (configured.folder / "jobtable.toml").read_text().replace("[processor]", "[processor]\nmax_concurrent = 1")
    )
    running = configured.enqueue("read")
    processor = configured.start("run")
    top = configured.on_a_terminal("top", lines=40)
    top.see("25 % until half")
    many = ", ".join(["('nobody', 9)"] * 150)
    db.rows(f"INSERT INTO jobs (type, priority) VALUES {many}")
    order = [configured.enqueue("read", "--priority", priority) for priority in (5, 1, 9)]
    first, second, third = order[2], order[0], order[1]
    top.see("due, every slot is taken", "no processor runs its type", "waiting, next to run on top, the first 100")
    assert jobs_of(top.text())[:5] == [str(running), str(first), str(second), str(third), str(running + 1)]
    quit(top)
    for name in ("half", "go"):
        (configured.folder / name).touch()
    end(processor)


def test_it_explains_filters_and_helps(local: Jobtable) -> None:
    local.enqueue("read", "--subject", "chapter:7", "--in", "2h")
    local.enqueue("fail", "--owner", "ada")
    top = local.on_a_terminal("top")
    top.see_selected("2", "fail")
    top.press("j")
    top.see_selected("1", "read")
    top.press("e")
    top.see("job 1", "x No processor is alive. Start one: jobtable run.", "x It is due in ")
    top.press("\x1b")
    top.see_no("It is due in ")
    top.press("/")
    top.see("a part of a type, subject, key, owner or error")
    top.press("CHAPTER:7\r")
    top.see("filter: CHAPTER:7")
    assert jobs_of(top.see_no("  2  fail")) == ["1"]
    top.press("\x1b")
    top.see("  2  fail", "  1  read")
    top.press("?")
    top.see("cancel: what waits ends", "It asks before it changes something.")
    top.press("?")
    top.see_no("It asks before it changes something.")
    quit(top)


def jobs_of(shown: str) -> list[str]:
    """Give the ids of the jobs that a screen shows."""
    return re.findall(r"^ {1,8}(\d+)  ", shown, re.MULTILINE)


def test_read_only_changes_nothing(local: Jobtable) -> None:
    local.enqueue("read")
    top = local.on_a_terminal("top", "--read-only")
    top.see_selected("1", "read")
    for key in "cp":
        top.press(key)
        top.see("This is --read-only: nothing is changed.", "read-only  ")
    top.press("r")
    top.see("Job 1 is pending: there is nothing to retry.")
    quit(top)
    assert local.json("show", 1)["status"] == "pending"


def test_hostile_texts_are_texts(local: Jobtable) -> None:
    job = local.enqueue("fail", "--subject", "\x1b]0;title\x07[b]")
    local.enqueue("na\x1b[2Jme[/red]", "--owner", "\u202eevil\r")
    processor = local.start("run")
    top = local.on_a_terminal("top", columns=200, lines=60)
    top.see("[red]broken[/red] ", "\\x1b]0;title\\x07[b]", "na\\x1b[2Jme[/red]", "\\u202eevil\\r")
    top.see_selected("2", "na\\x1b[2Jme[/red]")
    top.press("3")
    top.see_selected(str(job), "broken")
    top.press("l")
    top.see("\\x1b[31mRED\\x1b[0m [bold]no markup[/bold]", "[red]broken[/red] \\x1b[2J")
    top.press("q")
    top.see("jobtable top")
    quit(top)
    assert b"\x1b[31mRED" not in top.raw
    assert b"\x1b]0;title" not in top.raw
    assert "\u202e".encode() not in top.raw
    end(processor)


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (200, 60)])
def test_all_of_it_is_seen_in_small_and_large_terminals(local: Jobtable, columns: int, lines: int) -> None:
    (local.folder / "half").touch()
    local.enqueue("read")
    local.enqueue("fail")
    local.enqueue("nobody", "--in", "1h")
    processor = local.start("run")
    top = local.on_a_terminal("top", columns=columns, lines=lines)
    shown = top.see(
        "75 % until go", "no processor runs its type", "broken", "nobody runs it", "ada", "q quit", "last hour:"
    )
    assert [word for word in ("run", "due", "later", "wait", "done/h", "failed") if word not in shown] == []
    quit(top)
    (local.folder / "go").touch()
    end(processor)


def test_what_matters_most_is_seen_on_a_terminal_of_twenty_columns(local: Jobtable) -> None:
    job = local.enqueue("read")
    processor = local.start("run")
    top = local.on_a_terminal("top", columns=20)
    shown = top.see("running", "ada")
    assert next(line.split() for line in shown.splitlines() if "read" in line) == [str(job), "read"]
    top.press("c")
    top.see(f"Cancel job {job}", "(read)?", "y yes")
    top.press("y")
    top.see_no("y yes")
    eventually(lambda: local.json("show", job)["status"] == "cancelled", "it is cancelled")
    quit(top)
    end(processor)


def test_a_question_is_read_to_its_end(local: Jobtable) -> None:
    local.enqueue("t" * 150)
    top = local.on_a_terminal("top")
    top.see_selected("1", "ttt")
    top.press("c")
    assert "ttt)? y yes n no" in " ".join(top.see("Cancel job 1", "yes  n no").split())
    top.press("n")
    quit(top)


def test_colours_are_the_terminals_own_and_none_where_none_are_wanted(local: Jobtable) -> None:
    local.enqueue("read")
    for environ, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        top = local.on_a_terminal("top", **environ)
        top.see_selected("1", "read")
        quit(top)
        codes = {code for codes in re.findall(rb"\x1b\[([\d;]*)m", top.raw) for code in codes.split(b";")}
        grounds = {b"48", *(str(code).encode() for code in (*range(40, 48), *range(100, 108)))}
        assert not codes & grounds, "no ground but the terminal's: it may be light or dark"
        assert b"38" not in codes
        assert bool(codes & {str(code).encode() for code in range(30, 38)}) is coloured


@pytest.mark.parametrize(("how", "code"), [("\x03", 130), (signal.SIGTERM, 0)])
def test_however_it_ends_the_terminal_is_restored(local: Jobtable, how: str | signal.Signals, code: int) -> None:
    top = local.on_a_terminal("top")
    top.see("Nothing runs, nothing waits, nothing failed.")
    if isinstance(how, str):
        top.press("/")
        top.see("a part of a type")  # wherever the keys go at the moment
        top.press(how)
    else:
        top.process.send_signal(how)
    assert top.wait() == code
    assert_restored(top)


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
def test_a_database_that_is_away_is_said_and_waited_for(configured: Jobtable, db: Database) -> None:
    job = configured.enqueue("read")
    top = configured.on_a_terminal("top")
    top.see_selected(str(job), "read")
    db.server.stop("kill")
    try:
        top.see("the database is away", "read")
        top.press("?")
        top.see("It asks before it changes something.")  # it does not wait for the database
        top.press("?")
    finally:
        db.server.start()
    top.see("The database answers again.")
    top.see_no("the database is away")
    assert configured("cancel", job).exit_code == 0
    top.see("Nothing runs, nothing waits, nothing failed.")
    quit(top)


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_a_database_that_does_not_answer_is_said_before_it_fails(configured: Jobtable, db: Database) -> None:
    wire = Wire(db.url)
    configured.url = wire.url
    with closing(wire):
        top = configured.on_a_terminal("top")
        top.see("Nothing runs, nothing waits, nothing failed.")
        wire.go_dead()
        top.see("the database is away", "The database has not answered for 5 s.")
        wire.work_again()
        top.see("The database answers again.")
        job = configured.enqueue("nobody")
        top.see_selected(str(job), "nobody")
        top.press("\r")
        top.see(f"job {job}  nobody  pending", "log: time")
        wire.go_dead()
        top.see(f"job {job}  nobody  pending", "the database is away", "The database has not answered for 5 s.")
        wire.work_again()
        top.see("The database answers again.", "log: time")
        wire.go_dead()
        top.press("\x1b")
        top.see("waiting, next to run on top")
        quit(top)  # it waits for nothing


def test_what_is_wrong_is_read_to_its_end_and_looked_at_again_soon(local: Jobtable) -> None:
    top = local.on_a_terminal("top", columns=60)
    top.see("Nothing runs, nothing waits, nothing failed.")
    assert local("migrate", "--down", "--yes").exit_code == 0
    assert "no such table" in " ".join(top.see("the database is away", "no such").split())
    assert local("migrate").exit_code == 0
    top.see("The database answers again.")
    top.see("e explain")
    quit(top)


def test_a_long_log_is_seen_from_near_its_end(configured: Jobtable, db: Database) -> None:
    job, many = configured.enqueue("read"), KEPT_LINES + 1000
    rows = ", ".join(f"({job}, {number}, 1, 'log', 'info', 'line {number}')" for number in range(1, many + 1))
    db.rows(f"INSERT INTO job_events (job_id, number, attempt, kind, level, text) VALUES {rows}")
    db.rows(f"UPDATE jobs SET event_no = {many}")
    top = configured.on_a_terminal("top")
    top.see_selected(str(job), "read")
    top.press("l")
    top.see(f"info     line {many}")
    top.press("\x1b[H")
    top.see(f"1,000 events before, jobtable logs {job}", "line 1001")
    top.press("q")
    quit(top)


def test_a_job_that_is_deleted_while_it_is_followed_is_said(local: Jobtable) -> None:
    job = local.enqueue("read")
    top = local.on_a_terminal("top")
    top.see_selected(str(job), "read")
    top.press("\r")
    top.see(f"job {job}  read  pending")
    assert local("delete", job).exit_code == 0
    top.see(f"There is no job {job}.")
    top.press("\x1b")
    shown = top.see("Nothing runs, nothing waits, nothing failed.")
    assert "The database answers again." not in shown  # it was never away
    quit(top)


def test_a_terminal_that_cannot_be_drawn_on_is_refused(local: Jobtable) -> None:
    top = local.on_a_terminal("top", TERM="dumb")
    assert top.wait() == 1
    top.see("error: `jobtable top` cannot draw on this terminal: TERM is dumb")
    assert b"\x1b" not in top.raw


def test_it_needs_a_terminal(local: Jobtable) -> None:
    result = local("top")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "`jobtable top` needs a terminal." in result.stderr
    assert "jobtable list --json" in result.stderr
    assert json.loads(local("list", "--json").stdout) == []
