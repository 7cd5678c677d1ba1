"""To which number a delivery goes, whatever its name stands for by then."""

import asyncio
import json
import socket
import threading
from typing import Any

import pytest
from standardwebhooks import Webhook as Receiver

from processor.context import Fail, Job
from processor.work.webhook import NotDelivered, deliver
from tests.processors.test_webhooks import Server, server

__all__ = ["server"]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def send(to: Server | str, body: str = "{}") -> Any:
    settings = {
        "url": to if isinstance(to, str) else to.url(host="hooks.example"),
        "secrets": (SECRET,),
        "allow": ("127.0.0.1", "127.0.0.2"),
        "timeout": 20.0,
        "mask": ("token",),
    }
    job = Job(7, "jobtable.webhook", {}, payload_text=body)
    return asyncio.run(deliver(job, settings))


def stands_for(monkeypatch: pytest.MonkeyPatch, *numbers: str) -> None:
    """Let every name stand for these numbers."""
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (number, 80)) for number in numbers]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)


def test_where_nobody_listens_at_the_first_number_the_next_is_tried(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_for(monkeypatch, "127.0.0.2", "127.0.0.1")
    assert send(server) == {"status": 200}
    assert [headers["host"] for _, headers, _ in server.requests] == [f"hooks.example:{server.server_port}"]


def test_a_name_that_stands_for_something_else_a_moment_later_changes_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = socket.getaddrinfo, list[str]()

    def changing(host: str, *rest: Any, **more: Any) -> Any:
        if host != "hooks.example":
            return real(host, *rest, **more)
        asked.append(host)
        number = "127.0.0.1" if len(asked) == 1 else "127.0.0.3"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (number, server.server_port))]

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    assert send(server) == {"status": 200}
    assert asked == ["hooks.example"]


def test_nothing_is_sent_where_one_number_is_not_public(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    stands_for(monkeypatch, "127.0.0.1", "127.0.0.3")
    with pytest.raises(Fail, match="in a private network"):
        send(server)
    assert server.requests == []


def test_what_nobody_knows_may_be_known_later(server: Server) -> None:
    with pytest.raises(NotDelivered, match="cannot be found"):
        send("http://nobody.invalid/")


def test_no_proxy_of_the_environment_is_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    stands_for(monkeypatch, "127.0.0.1")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert send(server) == {"status": 200}


def test_a_broken_answer_is_tried_again_and_says_nothing_secret(server: Server) -> None:
    server.plan = [(99, {})]
    with pytest.raises(NotDelivered, match=r"broke off|answered") as error:
        send(server.url("/hook?token=abc"))
    assert "abc" not in str(error.value)


@pytest.mark.parametrize(
    ("told", "arrives"),
    [
        ({"result": {"api_token": 1, "pages": 2}}, {"result": {"api_token": "***", "pages": 2}}),
        ({"error_message": "refused: token=abc"}, {"error_message": "refused: token=***"}),
    ],
)
def test_a_receiver_sees_no_secret_that_is_hidden_from_readers(
    server: Server, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any], arrives: dict[str, Any]
) -> None:
    stands_for(monkeypatch, "127.0.0.1")
    rest = {"id": 7, "error_message": None}
    send(server, json.dumps({"type": "job.failed", "data": {**rest, **told}}))
    [(_, headers, body)] = server.requests
    assert json.loads(body) == {"type": "job.failed", "data": {**rest, **arrives}}
    Receiver(SECRET).verify(body, headers)


def test_a_name_that_comes_twice_hides_no_secret_behind_the_second(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python dict with the keys 1 and "1" is written so; who reads it takes the last one, and looks at no other."""
    stands_for(monkeypatch, "127.0.0.1")
    send(server, '{"data": {"result": {"1": {"password": "hunter2"}, "1": {}}}}')
    [(_, _, body)] = server.requests
    assert json.loads(body) == {"data": {"result": {"1": {}}}}
    assert b"hunter2" not in body


def test_what_hides_nothing_arrives_letter_by_letter(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    stands_for(monkeypatch, "127.0.0.1")
    written = '{"data":  {"result": [1.00, 1e2, "\\u00e9"]}}'
    send(server, written)
    assert [body.decode() for _, _, body in server.requests] == [written]


def test_nothing_goes_out_in_which_nobody_can_look_for_secrets(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    stands_for(monkeypatch, "127.0.0.1")
    with pytest.raises(Fail, match="cannot be read"):
        send(server, '{"data": {"result": ' + "[" * 200_000 + '{"token": 1}' + "]" * 200_000 + "}}")
    assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            b"HTTP/1.1 500 hidden\r\nRetry-After: hidden\r\nContent-Length: 6\r\n\r\nhidden",
            "answered 500 Internal Server Error",
        ),
        (b"HTTP/1.1 599 hidden\r\nContent-Length: 0\r\n\r\n", "answered 599"),
        (b"SSH-2.0-hidden\r\n", "broke off: RemoteProtocolError"),
    ],
)
def test_nothing_that_a_receiver_says_is_kept(answer: bytes, says: str) -> None:
    """Else whoever makes a webhook reads what a server says that only the processor can reach."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer_once() -> None:
            connection, _ = listening.accept()
            with connection:
                received = b""
                while not received.endswith(b"{}") and (more := connection.recv(65536)):
                    received += more
                connection.sendall(answer)

        receiver = threading.Thread(target=answer_once, daemon=True)
        receiver.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(NotDelivered) as error:
            send(url)
        receiver.join(30)
    assert str(error.value) == f"{url} {says}"
