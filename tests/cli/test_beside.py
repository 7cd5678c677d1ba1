"""`jobtable run --serve`: the server beside the processor, and what becomes of one when the other dies."""

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.conftest import Jobtable, give_work
from tests.patience import eventually

ANYWHERE = {"JOBTABLE_SERVE__LISTEN": "127.0.0.1:0"}


def line(process: Any, event: str) -> dict[str, Any]:
    """Read the log up to an event."""
    for text in process.stderr:
        if f'"{event}"' in text:
            told: dict[str, Any] = json.loads(text)
            return told
    raise AssertionError(f"it ended before {event}")


def is_there(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz").text == "ok\n"
    except httpx.HTTPError:
        return False


def server_of(processor: int) -> int:
    """Find the process of the server among the children of a processor."""
    children = [
        int(child)
        for task in Path(f"/proc/{processor}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    [server] = [child for child in children if b"beside" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return server


def test_one_command_works_and_serves_until_it_is_told_to_end(jobtable: Jobtable) -> None:
    give_work(jobtable)
    process = jobtable.start("run", "--serve", environ=ANYWHERE)
    address = line(process, "server_started")["address"]
    made = httpx.post(f"{address}/api/v1/jobs", json={"type": "count"})
    assert made.status_code == 202
    assert line(process, "job_settled")["job"] == made.json()["id"]
    process.terminate()
    _, log = process.communicate(timeout=30)
    assert (process.returncode, "server_stopped" in log, "server_lost" in log, "Traceback" in log) == (
        *(0, True, False, False),
    )
    assert not is_there(address)


def test_a_processor_that_is_killed_takes_its_server_along(on_sqlite: Jobtable) -> None:
    process = on_sqlite.start("run", "--serve", "--metrics-listen", "", environ=ANYWHERE)
    address = line(process, "server_started")["address"]
    server = server_of(process.pid)
    process.kill()
    eventually(lambda: not is_there(address), "the end of the server")
    eventually(lambda: not Path(f"/proc/{server}").exists(), "the end of its process")


def test_a_stream_does_not_keep_the_server_of_a_dead_processor(on_sqlite: Jobtable) -> None:
    process = on_sqlite.start("run", "--serve", "--metrics-listen", "", environ=ANYWHERE)
    address = line(process, "server_started")["address"]
    server = server_of(process.pid)
    job = on_sqlite.enqueue("nobody.runs.it")
    live = {"Accept": "text/event-stream"}
    with httpx.stream("GET", f"{address}/api/v1/jobs/{job}/events", headers=live, timeout=20) as answer:
        process.kill()
        assert "event: dropped" in answer.iter_lines()
    eventually(lambda: not Path(f"/proc/{server}").exists(), "the end of its process")


def test_a_server_that_dies_is_started_again_and_the_processor_works_on(on_sqlite: Jobtable) -> None:
    give_work(on_sqlite)
    process = on_sqlite.start("run", "--serve", environ=ANYWHERE)
    line(process, "server_started")
    os.kill(server_of(process.pid), signal.SIGKILL)
    assert line(process, "server_lost")["code"] == -signal.SIGKILL
    assert is_there(line(process, "server_started")["address"])
    job = on_sqlite.enqueue("count")
    assert line(process, "job_settled")["job"] == job
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_settings_of_the_call_reach_the_server_and_stand_in_no_list_of_processes(on_sqlite: Jobtable) -> None:
    """The database is known by a flag alone, which may have a password in it."""
    process = on_sqlite.start("run", "--serve", "--metrics-listen", "", environ=ANYWHERE)
    address = line(process, "server_started")["address"]
    command = Path(f"/proc/{server_of(process.pid)}/cmdline").read_bytes()
    assert b"jobs.db" not in command
    made = httpx.post(f"{address}/api/v1/jobs", json={"type": "nobody.runs.it"})
    assert on_sqlite.ids() == [made.json()["id"]]
    process.terminate()
    process.communicate(timeout=30)


def test_an_interrupt_from_the_terminal_is_for_the_processor_alone(on_sqlite: Jobtable) -> None:
    process = on_sqlite.start("run", "--serve", "--metrics-listen", "", environ=ANYWHERE, start_new_session=True)
    line(process, "server_started")
    os.killpg(process.pid, signal.SIGINT)
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "server_lost" not in log
    assert log.index("processor_stopped") < log.index("server_stopped"), "people can watch the last jobs"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def configure(jobtable: Jobtable, serve: str, more: str = "") -> None:
    jobtable.configure(f'[metrics]\nlisten = ""\n[serve]\n{serve}\n{more}')


def test_settings_that_are_read_anew_are_those_of_the_server_too(on_sqlite: Jobtable) -> None:
    port = free_port()
    configure(on_sqlite, f'listen = "127.0.0.1:{port}"')
    process = on_sqlite.start("run", "--serve")
    address = line(process, "server_started")["address"]
    job = on_sqlite.enqueue("nobody.runs.it")
    live = {"Accept": "text/event-stream"}
    with httpx.stream("GET", f"{address}/api/v1/jobs/{job}/events", headers=live, timeout=20) as answer:
        configure(on_sqlite, f'listen = "127.0.0.1:{port}"\nread_only = true')
        process.send_signal(signal.SIGHUP)
        assert "event: dropped" in answer.iter_lines()
    assert line(process, "server_started")["address"] == address
    assert httpx.get(f"{address}/api/v1/session").json()["read_only"] is True
    server = server_of(process.pid)
    process.send_signal(signal.SIGHUP)
    line(process, "settings_reloaded")
    assert server_of(process.pid) == server, "nothing has changed"
    process.terminate()
    _, log = process.communicate(timeout=30)
    assert (process.returncode, "server_lost" in log) == (0, False)


def test_settings_with_which_no_server_could_start_are_refused(on_sqlite: Jobtable) -> None:
    configure(on_sqlite, 'listen = "127.0.0.1:0"')
    process = on_sqlite.start("run", "--serve")
    address = line(process, "server_started")["address"]
    configure(on_sqlite, 'listen = "0.0.0.0:0"')
    process.send_signal(signal.SIGHUP)
    assert "There is no token yet" in line(process, "settings_refused")["error"]
    assert is_there(address)
    configure(on_sqlite, 'listen = "127.0.0.1:0"', "[database]\nconnect_timeout = 7")
    process.send_signal(signal.SIGHUP)
    line(process, "settings_reloaded")
    assert is_there(address), "with the database the processor has"
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_where_it_answers_is_said_in_the_same_call(on_sqlite: Jobtable) -> None:
    address = f"127.0.0.1:{free_port()}"
    process = on_sqlite.start("run", "--serve", "--serve-listen", address, "--listen", "127.0.0.1:0")
    assert line(process, "server_started")["address"] == f"http://{address}"
    process.terminate()
    process.communicate(timeout=30)
    alone = on_sqlite("run", "--serve-listen", address)
    assert (alone.exit_code, "--serve-listen says where --serve answers; give both." in alone.stderr) == (2, True)


def test_a_port_in_use_is_refused_before_anything_is_claimed(on_sqlite: Jobtable) -> None:
    give_work(on_sqlite)
    job = on_sqlite.enqueue("count")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = on_sqlite.start(
            "run", "--serve", environ={"JOBTABLE_SERVE__LISTEN": f"127.0.0.1:{taken.getsockname()[1]}"}
        )
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "cannot be listened on: Address already in use" in err
    assert "Choose another one with --serve-listen." in err, "--listen would be that of the metrics"
    assert on_sqlite.ids("--status", "pending") == [job]


def test_without_a_token_an_address_for_others_is_refused(on_sqlite: Jobtable) -> None:
    process = on_sqlite.start("run", "--serve", environ={"JOBTABLE_SERVE__LISTEN": "0.0.0.0:0"})
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "There is no token yet" in err


@pytest.mark.timeout(120)
def test_a_database_that_is_away_is_waited_for_by_both(on_sqlite: Jobtable) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        on_sqlite.url = f"postgresql://u:geheim@127.0.0.1:{closed.getsockname()[1]}/d"
        process = on_sqlite.start("run", "--serve", "--metrics-listen", "", environ=ANYWHERE)
        assert line(process, "server_lost")["code"] == 1
        assert process.poll() is None
        process.terminate()
        _, rest = process.communicate(timeout=30)
    assert (process.returncode, "geheim" in rest) == (0, False)
