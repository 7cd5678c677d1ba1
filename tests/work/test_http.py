"""The built-in http handler against a real server."""

import contextlib
import email.utils
import http.server
import json
import threading
import time

import pytest
from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answering)
        self.requests, self.answers, self.hold = [], {}, threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Answering(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests.append((self.path, dict(self.headers.items()), body))
        if self.path == "/never":
            self.server.hold.wait(30)
            return
        status, headers, answer = self.server.answers[self.path]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # whoever reads 64 KiB of ten megabytes hangs up
            self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815 - the name is the server's

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    serving = Server()
    yield serving
    serving.hold.set()
    serving.shutdown()
    serving.server_close()


def post(supervision, server, path, answer=(200, {}, b""), environment=None, job=None, **settings):
    server.answers[path] = answer
    fields = {"environment": environment} if environment else {}
    settings = {"url": server.url(path), **settings}
    spec = supervision.define("http", kind="shared", handler="processor.work.http:post", settings=settings, **fields)
    return supervision.run(spec, '{"a": "ü"}', id=42, attempt=2, **(job or {}))


def test_the_payload_is_posted_as_it_stands_signed_and_with_its_identity(supervision, server):
    ended = post(supervision, server, "/", (201, {}, b'{"ok": 1}'), secret=SECRET, headers={"X-Key": "k"})
    assert (ended["outcome"], ended["result"]) == ("returned", '{"ok":1}')
    _, headers, body = server.requests[0]
    assert body == '{"a": "ü"}'.encode()
    assert Webhook(SECRET).verify(body, {name.lower(): value for name, value in headers.items()})
    assert (headers["idempotency-key" if "idempotency-key" in headers else "Idempotency-Key"], headers["X-Key"]) == (
        "42",
        "k",
    )
    assert (headers["Job-Attempt"], headers["Job-Fence"]) == ("2", f"{ended['run']}:p:1")


def test_the_trace_of_a_job_goes_with_the_request(supervision, server):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    post(supervision, server, "/", job={"trace_parent": trace})
    post(supervision, server, "/")
    assert [headers.get("traceparent") for _, headers, _ in server.requests] == [trace, None]


def test_an_answer_that_is_no_json_is_kept_as_text(supervision, server):
    assert json.loads(post(supervision, server, "/", (200, {}, b"hello"))["result"]) == {"status": 200, "body": "hello"}
    long = json.loads(post(supervision, server, "/long", (200, {}, b"x" * 10_000_000))["result"])
    assert len(long["body"]) == 64 * 1024 and long["cut"] is True


@pytest.mark.parametrize(
    "status, headers, outcome",
    [
        (400, {}, "refused"),
        (404, {}, "refused"),
        (302, {"Location": "/elsewhere"}, "refused"),
        (500, {}, "raised"),
        (502, {}, "raised"),
        (429, {}, "retry"),
        (503, {}, "retry"),
    ],
)
def test_the_status_is_the_outcome(supervision, server, status, headers, outcome):
    ended = post(supervision, server, "/x?secret=1", (status, headers, b"because"))
    assert ended["outcome"] == outcome
    assert f"answered {status}" in ended["error_message"] and "because" in ended["error_message"]
    assert "secret" not in ended["error_message"]
    assert len(server.requests) == 1  # no redirect was followed


def test_retry_after_is_obeyed_in_seconds_and_as_a_date(supervision, server):
    assert post(supervision, server, "/", (429, {"Retry-After": "17"}, b""))["delay"] == 17
    date = email.utils.formatdate(time.time() + 120, usegmt=True)
    assert 100 < post(supervision, server, "/date", (503, {"Retry-After": date}, b""))["delay"] <= 120
    past = email.utils.formatdate(time.time() - 120, usegmt=True)
    assert post(supervision, server, "/past", (503, {"Retry-After": past}, b""))["delay"] == 0
    assert "delay" not in post(supervision, server, "/odd", (503, {"Retry-After": "soon"}, b""))


def test_the_time_limit_of_the_job_is_that_of_the_exchange(supervision, server):
    settings = {"url": server.url("/never")}
    spec = supervision.define("http", kind="shared", handler="processor.work.http:post", settings=settings)
    assert supervision.run(spec, timeout=0.5)["outcome"] == "timed_out"
    assert server.requests, "it had been sent"


def test_a_refused_connection_is_an_error_that_may_be_tried_again(supervision, server):
    ended = post(supervision, server, "/", url="http://127.0.0.1:9/")
    assert (ended["outcome"], ended["error_type"]) == ("raised", "httpx.ConnectError")


def test_no_proxy_of_the_environment_is_used(supervision, server):
    environment = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    assert post(supervision, server, "/", (200, {}, b"1"), environment=environment)["result"] == "1"
