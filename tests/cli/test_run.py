"""`jobtable run`: composition; what the loop itself does is tested in tests/work."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.cli.conftest import Jobtable, environment, give_work
from tests.databases import Database


def test_drain_does_what_is_there_and_ends(jobtable: Jobtable) -> None:
    give_work(jobtable)
    jobs = [jobtable.enqueue("count") for _ in range(3)]
    code, out, log = jobtable.run("run", "--drain")
    assert (code, out) == (0, ""), log
    assert jobtable.ids("--status", "completed") == jobs[::-1]


def test_missing_tables_are_refused_with_the_command_to_run(on_sqlite: Jobtable) -> None:
    on_sqlite.url = f"sqlite:///{on_sqlite.folder / 'new.db'}"
    code, _, err = on_sqlite.run("run")
    assert code == 1
    assert "Run `jobtable migrate`" in err
    assert "Traceback" not in err


def test_tables_of_a_newer_version_are_refused(jobtable: Jobtable, db: Database) -> None:
    db.rows("UPDATE jobtable_version SET version_num = '9999'")
    code, _, err = jobtable.run("run")
    assert code == 1
    assert "are at revision 9999, which this version (it knows 0001) does not know" in err
    assert "Traceback" not in err


def test_a_database_that_is_away_at_the_start_is_waited_for_and_named(on_sqlite: Jobtable) -> None:
    with socket.socket() as closed:  # bound and not listening: nobody answers, nobody else can
        closed.bind(("127.0.0.1", 0))
        on_sqlite.url = f"postgresql://u:geheim@127.0.0.1:{closed.getsockname()[1]}/d"
        process = on_sqlite.start("run", "--metrics-listen", "")
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "database_lost" in line
        assert "geheim" not in line
        assert process.poll() is None
        process.terminate()
        _, rest = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in rest) == (0, False)


def test_a_port_in_use_is_refused_before_anything_is_claimed(on_sqlite: Jobtable) -> None:
    give_work(on_sqlite)
    job = on_sqlite.enqueue("count")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = on_sqlite.run("run", "--metrics-listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert code == 1
    assert "Address already in use" in err
    assert on_sqlite.ids("--status", "pending") == [job]


def test_metrics_and_health_are_served_while_it_runs(on_sqlite: Jobtable) -> None:
    give_work(on_sqlite)
    on_sqlite.enqueue("count")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = on_sqlite.start("run", "--metrics-listen", f"127.0.0.1:{port}")
    assert process.stderr is not None
    while "job_settled" not in process.stderr.readline():
        assert process.poll() is None
    answers = {
        path: urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10).read().decode()
        for path in ("metrics", "healthz", "readyz")
    }
    assert 'jobtable_jobs_finished_total{outcome="completed",reason="done",type="count"} 1.0' in answers["metrics"]
    assert '"ok"' in answers["healthz"]
    assert '"ok"' in answers["readyz"]
    process.terminate()
    assert process.wait(20) == 0


def test_systemd_hears_ready_watchdog_reload_and_stopping(on_sqlite: Jobtable) -> None:
    give_work(on_sqlite)
    address = on_sqlite.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(20)
        environ = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "200000"}
        process = on_sqlite.start("run", environ=environ)
        _hear(manager, "READY=1")
        _hear(manager, "WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        _hear(manager, "RELOADING=1")
        _hear(manager, "READY=1")
        process.terminate()
        _hear(manager, "STOPPING=1")
    assert process.wait(20) == 0


def _hear(manager: socket.socket, word: str) -> None:
    while word not in manager.recv(4096).decode().splitlines():
        pass


def test_a_drain_wants_no_port_unless_told(on_sqlite: Jobtable) -> None:
    with socket.socket() as default:
        default.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            default.bind(("127.0.0.1", 9750))
            default.listen()
        except OSError:
            pass  # somebody else has it: as good
        code, _, err = on_sqlite.run("run", "--drain")
    assert code == 0, err


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="needs Linux")
def test_as_process_1_it_reaps_orphans() -> None:
    code = (
        "import os, subprocess\nfrom processor.cli.run import reap\n"
        "children = [subprocess.Popen(['true']) for _ in range(3)]\n"
        "for child in children: os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)\n"
        "reap()\n"
        "try:\n    os.waitpid(-1, os.WNOHANG)\nexcept ChildProcessError:\n    print('none left')"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=20)
    assert done.stdout == "none left\n", done.stderr
    assert os.getpid() != 1
