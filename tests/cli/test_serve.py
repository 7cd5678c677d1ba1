"""`jobtable serve`: the process around the API; what it answers is tested in tests/api."""

import json
import re
import signal
import socket
import sqlite3
from typing import Any

import httpx
import pytest

from tests.cli.conftest import Jobtable


def started(process: Any) -> dict[str, Any]:
    """Read the log up to the line that says where the server answers."""
    for line in process.stderr:
        if "server_started" in line:
            told: dict[str, Any] = json.loads(line)
            return told
    raise AssertionError("the server ended before it answered")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_until_it_is_told_to_end(jobtable: Jobtable, how: signal.Signals) -> None:
    process = jobtable.start("serve", "--listen", "127.0.0.1:0")
    address = started(process)["address"]
    made = httpx.post(f"{address}/api/v1/jobs", json={"type": "count"})
    assert (made.status_code, jobtable.ids()) == (202, [made.json()["id"]])
    assert httpx.get(f"{address}/readyz").text == "ok\n"
    process.send_signal(how)
    _, log = process.communicate(timeout=20)
    assert (process.returncode, "server_stopped" in log, "Traceback" in log) == (0, True, False)


def test_its_end_ends_the_streams_and_says_so(on_sqlite: Jobtable) -> None:
    process = on_sqlite.start("serve", "--listen", "127.0.0.1:0")
    address = started(process)["address"]
    job = on_sqlite.enqueue("count")
    live = {"Accept": "text/event-stream"}
    with httpx.stream("GET", f"{address}/api/v1/jobs/{job}/events", headers=live, timeout=20) as answer:
        lines = answer.iter_lines()
        on_sqlite("pause", job)
        assert "id: 1" in lines
        process.terminate()
        assert "event: dropped" in lines
    _, log = process.communicate(timeout=20)
    assert (process.returncode, "server_stopped" in log) == (0, True)


def test_without_a_token_only_this_machine_is_served(on_sqlite: Jobtable) -> None:
    code, _, err = on_sqlite.run("serve", "--listen", "0.0.0.0:0")
    assert code == 1
    assert "There is no token yet, so 0.0.0.0:0 would let everybody who reaches it do everything." in err
    assert "jobtable token create" in err
    on_sqlite("token", "create", "--owner", "ann", "--scope", "read")
    process = on_sqlite.start("serve", "--listen", "0.0.0.0:0")
    assert started(process)["is_open"] is False
    process.terminate()
    process.communicate(timeout=20)


def test_who_asks_does_not_say_from_where_and_no_token_is_in_the_log(on_sqlite: Jobtable) -> None:
    """Headers that a proxy would write are anybody's: they change neither the address that fails nor the host."""
    secret = on_sqlite("token", "create", "--owner", "ann", "--scope", "read").stdout
    token = re.search(r"jt_[0-9a-f]{8}_[\w-]{43}", secret)
    assert token is not None
    process = on_sqlite.start("serve", "--listen", "127.0.0.1:0")
    address = started(process)["address"]
    wrong, codes = f"{token[0][:-4]}AAAA", []
    for number in range(12):
        claimed = f"192.0.2.{number}"
        headers = {"X-Forwarded-For": claimed, "Forwarded": f"for={claimed}", "X-Real-IP": claimed}
        headers |= {"X-Forwarded-Host": "localhost", "Authorization": f"Bearer {wrong}"}
        codes.append(httpx.get(f"{address}/api/v1/jobs?token={token[0]}", headers=headers).status_code)
    assert codes == [401] * 10 + [429] * 2
    elsewhere = {"Host": "evil.example", "X-Forwarded-Host": "localhost"}
    assert httpx.get(f"{address}/healthz", headers=elsewhere).status_code == 421
    assert httpx.get(f"{address}/api/v1/jobs", headers={"Authorization": f"Bearer {token[0]}"}).status_code == 200
    process.terminate()
    out, log = process.communicate(timeout=20)
    assert token[0].rpartition("_")[2][:20] not in out + log


def test_with_jwts_of_a_provider_other_machines_are_served_without_any_token(on_sqlite: Jobtable) -> None:
    on_sqlite.configure("[jwt]\njwks = 'https://127.0.0.1:1/'\nissuer = 'i'\naudience = 'a'\n")
    process = on_sqlite.start("serve", "--listen", "0.0.0.0:0")
    told = started(process)
    assert told["is_open"] is False
    port = told["address"].rpartition(":")[2]
    assert httpx.get(f"http://127.0.0.1:{port}/api/v1/jobs").status_code == 401
    process.terminate()
    process.communicate(timeout=20)


def test_a_server_that_only_reads_changes_nothing(on_sqlite: Jobtable) -> None:
    process = on_sqlite.start("serve", "--listen", "127.0.0.1:0", "--read-only")
    address = started(process)["address"]
    refused = httpx.post(f"{address}/api/v1/jobs", json={"type": "count"})
    assert (refused.status_code, on_sqlite.ids()) == (403, [])
    assert httpx.get(f"{address}/api/v1/jobs").json() == {"items": [], "next": None}
    process.terminate()
    process.communicate(timeout=20)


def test_a_port_in_use_is_refused(on_sqlite: Jobtable) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = on_sqlite.run("serve", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert code == 1
    assert "cannot be listened on" in err
    assert "--listen" in err
    assert "Traceback" not in err


def test_a_bug_is_answered_with_its_number_and_told_in_the_log(on_sqlite: Jobtable) -> None:
    process = on_sqlite.start("serve", "--listen", "127.0.0.1:0")
    address = started(process)["address"]
    on_sqlite("enqueue", "count")
    with sqlite3.connect(on_sqlite.url.removeprefix("sqlite:///")) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE jobs SET status = 'nonsense'")
    connection.close()
    answer = httpx.get(f"{address}/api/v1/jobs/1")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    process.terminate()
    _, log = process.communicate(timeout=20)
    [failed] = [json.loads(line) for line in log.splitlines() if "request_failed" in line]
    assert failed["number"] == answer.json()["number"]
    assert failed["path"] == "/api/v1/jobs/1"
