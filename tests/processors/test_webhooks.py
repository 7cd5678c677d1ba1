"""Webhooks told by real processors to a real server on this machine."""

import http.server
import json
import signal
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Receiver
from standardwebhooks import WebhookVerificationError

from processor.addresses import networks
from processor.db import Database
from processor.queue import deliveries, webhooks
from processor.queue.deliveries import TYPE
from tests.patience import PATIENCE, eventually
from tests.processors.running import Site

ALLOWED = 'allow = ["127.0.0.0/8", "::1"]'
QUICK = f"[webhooks]\n{ALLOWED}\ndelay = 0.02\nfactor = 1\n"
on_sqlite = pytest.mark.parametrize("db", ["sqlite"], indirect=True)


class Server(http.server.ThreadingHTTPServer):
    """Remembers what it was sent; answers by its plan, then 200. A `held` path answers when it is let go."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.plan: list[tuple[int, dict[str, str]]] = []
        self.let_go = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}{path}"

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for _, headers, _ in self.requests]

    def handle_error(self, *_: Any) -> None:
        pass  # whoever is killed hangs up


class Answering(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): text for name, text in self.headers.items()}
        self.server.requests.append((self.path, headers, body))
        if self.path == "/held":
            self.server.let_go.wait(PATIENCE)
        status, more = self.server.plan.pop(0) if self.server.plan else (200, {})
        self.send_response(status)
        for name, text in more.items():
            self.send_header(name, text)
        self.send_header("content-length", "9")
        self.end_headers()
        self.wfile.write(b"not asked")

    do_GET = do_POST  # noqa: N815 - the name is the server's

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.let_go.set()
    server.shutdown()
    server.server_close()


class Hooks:
    """Webhooks of a site, and what became of their deliveries."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.database = Database(site.db.url)

    def make(self, url: str, **more: Any) -> tuple[webhooks.Webhook, str]:
        given = {"owner": "ann", "allowed": networks(["127.0.0.0/8", "::1"]), **more}
        return webhooks.create(self.database, url=url, **given)

    def told(self) -> list[dict[str, Any]]:
        names = ("id", "status", "reason", "attempt", "error_message", "result", "run_at")
        rows = self.site.db.rows(f"SELECT {', '.join(names)} FROM jobs WHERE type = '{TYPE}' ORDER BY id")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def await_status(self, status: str, count: int = 1) -> list[dict[str, Any]]:
        def seen() -> list[dict[str, Any]] | None:
            found = [row for row in self.told() if row["status"] == status]
            return found if len(found) >= count else None

        return list(eventually(seen, f"{count} deliveries {status}") or [])


@pytest.fixture
def hooks(site: Site) -> Iterator[Hooks]:
    site.write(types=QUICK)
    hooks = Hooks(site)
    yield hooks
    hooks.database.close()


def verified(secret: str, request: tuple[str, dict[str, str], bytes]) -> Any:
    _, headers, body = request
    return Receiver(secret).verify(body, headers)


def test_the_end_of_a_job_arrives_signed(site: Site, hooks: Hooks, server: Server) -> None:
    made, secret = hooks.make(server.url(), with_result=True)
    job = site.insert("quick", {"owner": "ann", "subject": "chapter:1"}, word="hidden")
    site.drain()
    [request] = server.requests
    message = verified(secret, request)
    assert message["type"] == "job.completed"
    assert (message["data"]["id"], message["data"]["subject"], message["data"]["status"]) == (
        job,
        "chapter:1",
        "completed",
    )
    assert "hidden" not in json.dumps(message)
    assert request[1]["webhook-id"].startswith(f"msg_{made.id}_{job}_")
    assert request[1]["content-type"] == "application/json"
    [told] = hooks.told()
    assert (told["status"], told["attempt"]) == ("completed", 1)
    result = told["result"] if isinstance(told["result"], dict) else json.loads(told["result"])
    assert result == {"status": 200}
    everything = [
        site.db.rows(f"SELECT * FROM {table}") for table in ("jobs", "job_events", "job_errors", "notifications")
    ]
    for text in (repr(everything), "".join(site.processors[0].raw)):
        assert secret not in text and secret.removeprefix("whsec_") not in text


@on_sqlite
def test_what_the_configuration_hides_is_hidden_from_who_is_told(site: Site, hooks: Hooks, server: Server) -> None:
    site.write(types=f'{QUICK}[serve]\nmask = ["attempt"]\n')
    hooks.make(server.url(), with_result=True)
    site.insert("quick", {"owner": "ann"})
    site.drain()
    [(_, _, body)] = server.requests
    told = json.loads(body)["data"]
    assert (told["attempt"], told["result"]) == (1, {"attempt": "***"})


def test_it_is_told_again_until_it_is_taken_and_is_the_same_message(site: Site, hooks: Hooks, server: Server) -> None:
    _, secret = hooks.make(server.url("/hook?token=abc"))
    server.plan = [(500, {}), (404, {})]
    site.insert("quick", {"owner": "ann"})
    processor = site.start()
    [told] = hooks.await_status("completed")
    assert told["attempt"] == 3
    assert len(server.requests) == 3
    assert [one.failures for one in webhooks.list_all(hooks.database)] == [0]
    assert len(set(server.ids())) == 1
    assert all(verified(secret, request)["type"] == "job.completed" for request in server.requests)
    errors = [row[0] for row in site.db.rows("SELECT error_message FROM job_errors ORDER BY id")]
    assert [error.split(" answered ")[1] for error in errors] == ["500 Internal Server Error", "404 Not Found"]
    assert "token" not in "".join(processor.raw) and "not asked" not in repr(errors)


def test_a_processor_that_dies_after_the_end_leaves_it_to_be_told(site: Site, hooks: Hooks, server: Server) -> None:
    hooks.make(server.url())
    site.insert("quick", {"owner": "ann"})
    dying = site.start("--drain", program=["-m", "tests.processors.crashing", "processor.work.settling:settle:after"])
    assert dying.wait() == -signal.SIGKILL
    assert server.requests == []
    assert [row["status"] for row in hooks.told()] == ["pending"]
    site.drain()
    assert len(server.requests) == 1
    assert [row["status"] for row in hooks.told()] == ["completed"]


def test_a_processor_that_dies_while_it_tells_tells_it_again_as_the_same(
    site: Site, hooks: Hooks, server: Server
) -> None:
    hooks.make(server.url("/held"))
    site.insert("quick", {"owner": "ann"})
    dying = site.start()
    eventually(lambda: server.requests, "the first try")
    dying.kill()
    server.let_go.set()
    site.start()
    [told] = hooks.await_status("completed")
    assert told["attempt"] == 2
    assert len(server.requests) == 2
    assert len(set(server.ids())) == 1


@pytest.mark.parametrize(
    ("status", "at", "ends", "asked"),
    [
        (200, "processor.work.settling:settle:before", "completed", 2),
        (410, "processor.queue.targets:disable:after", "cancelled", 1),
        (500, "processor.queue.targets:failed:after", "completed", 2),
    ],
    ids=["before it is written", "after it was gone", "after it was held back"],
)
def test_a_processor_that_dies_after_an_answer_leaves_its_delivery_to_others(
    site: Site, hooks: Hooks, server: Server, status: int, at: str, ends: str, asked: int
) -> None:
    made, _ = hooks.make(server.url())
    server.plan = [(status, {})]
    deliveries.make_test(hooks.database, made.id)
    dying = site.start("--drain", program=["-m", "tests.processors.crashing", at])
    assert dying.wait() == -signal.SIGKILL
    assert len(server.requests) == 1
    assert [row["status"] for row in hooks.told()] == ["running"]
    site.start()
    hooks.await_status(ends)
    assert len(server.requests) == asked
    assert len(set(server.ids())) == 1


@on_sqlite
def test_who_asks_for_time_gets_it(site: Site, hooks: Hooks, server: Server) -> None:
    hooks.make(server.url())
    server.plan = [(503, {"Retry-After": "0"}), (429, {"Retry-After": "3600"})]
    site.insert("quick", {"owner": "ann"})
    site.start()
    eventually(lambda: len(server.requests) == 2, "two tries")
    [told] = hooks.await_status("scheduled")
    ahead = datetime.fromisoformat(told["run_at"]).replace(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(minutes=50) < ahead <= timedelta(hours=1)


@on_sqlite
def test_an_address_that_is_gone_is_told_nothing_more(site: Site, hooks: Hooks, server: Server) -> None:
    made, _ = hooks.make(server.url())
    server.plan = [(410, {})]
    for _ in range(2):
        deliveries.make_test(hooks.database, made.id)
    processor = site.start()
    processor.await_event("webhook_gone", webhook=made.id)
    assert webhooks.one(hooks.database, made.id).paused_reason == "gone"
    [refused] = hooks.await_status("failed")
    assert "answered 410 Gone: the webhook is paused" in refused["error_message"]
    [other] = hooks.await_status("cancelled")
    assert other["error_message"] == "Its webhook is paused, because its address is gone."
    site.await_status("completed", site.insert("quick", {"owner": "ann"}))
    assert (len(server.requests), len(hooks.told())) == (1, 2)


@pytest.mark.parametrize("status", [410, 500])
def test_an_address_that_changes_meanwhile_is_not_judged_by_the_former_one(
    site: Site, hooks: Hooks, server: Server, status: int
) -> None:
    site.write(types=QUICK.replace("0.02", "1000"))
    made, _ = hooks.make(server.url("/held"))
    server.plan = [(status, {})]
    deliveries.make_test(hooks.database, made.id)
    site.start()
    eventually(lambda: server.requests, "the try at the former one")
    webhooks.change(hooks.database, made.id, {"url": server.url("/new")}, networks(["127.0.0.0/8"]))
    server.let_go.set()
    hooks.await_status("failed" if status == 410 else "scheduled")
    found = webhooks.one(hooks.database, made.id)
    assert (found.failures, found.held_until, found.paused_at) == (0, None, None)
    deliveries.make_test(hooks.database, made.id)
    hooks.await_status("completed")
    assert [path for path, _, _ in server.requests] == ["/held", "/new"]


@on_sqlite
def test_a_redirect_is_not_followed(site: Site, hooks: Hooks, server: Server) -> None:
    hooks.make(server.url())
    server.plan = [(302, {"Location": server.url("/elsewhere")})]
    site.insert("quick", {"owner": "ann"})
    site.start()
    hooks.await_status("completed")
    assert [path for path, _, _ in server.requests] == ["/hook", "/hook"]
    assert "302 Found; redirects are not followed" in site.db.rows("SELECT error_message FROM job_errors")[0][0]


@on_sqlite
def test_what_is_not_public_is_refused_when_it_is_told_too(site: Site, hooks: Hooks, server: Server) -> None:
    """A name may stand for something else by now: so it is for this processor, which allows nothing."""
    for host in ("127.0.0.1", "localhost"):
        made, _ = hooks.make(server.url(host=host))
        deliveries.make_test(hooks.database, made.id)
    site.write()
    site.drain()
    assert [(told["status"], told["attempt"]) for told in hooks.told()] == [("failed", 1)] * 2
    assert all("in a private network" in told["error_message"] for told in hooks.told())
    assert server.requests == []


@on_sqlite
def test_a_name_goes_along_to_the_number_that_it_stands_for(site: Site, hooks: Hooks, server: Server) -> None:
    hooks.make(server.url(host="localhost"))
    site.insert("quick", {"owner": "ann"})
    site.drain()
    [(_, headers, _)] = server.requests
    assert headers["host"] == f"localhost:{server.server_port}"


@on_sqlite
def test_a_certificate_must_be_for_the_name(site: Site, hooks: Hooks, server: Server, tmp_path: Path) -> None:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    context.sni_callback = lambda _, name, __: names.append(name)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    hooks.make(server.url(host="localhost").replace("http:", "https:"))
    site.insert("quick", {"owner": "ann"})
    site.start()
    error = eventually(lambda: site.db.rows("SELECT error_message FROM job_errors"), "the error")[0][0]
    assert "cannot be reached" in error and "CERTIFICATE_VERIFY_FAILED" in error
    assert set(names) == {"localhost"}
    assert server.requests == []


def certificate(folder: Path) -> Path:
    """Make a certificate for localhost that nobody trusts."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    until = datetime.now(UTC) + timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, until - timedelta(days=2), until)
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "certificate.pem"
    path.write_bytes(secret + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


@on_sqlite
def test_who_never_answers_holds_up_nobody_else(site: Site, hooks: Hooks, server: Server) -> None:
    slow, _ = hooks.make(server.url("/held"))
    hooks.make(server.url("/quick"))
    for _ in range(6):
        site.insert("quick", {"owner": "ann"})
    site.start()
    eventually(lambda: sum(path == "/quick" for path, _, _ in server.requests) == 6, "all of the other")
    hooks.await_status("completed", 6)
    assert sum(path == "/held" for path, _, _ in server.requests) == 1
    running = site.db.rows(f"SELECT concurrency_key FROM jobs WHERE status = 'running' AND type = '{TYPE}'")
    assert running == [(slow.id,)]


@on_sqlite
def test_a_dead_address_is_asked_now_and_then_and_not_by_each_delivery(
    site: Site, hooks: Hooks, server: Server
) -> None:
    site.write(types=QUICK.replace("0.02", "1000"))
    made, _ = hooks.make(server.url())
    server.plan = [(500, {})]
    for _ in range(5):
        deliveries.make_test(hooks.database, made.id)
    processor = site.start()
    hooks.await_status("scheduled", 2)
    for _ in range(4):  # turns of the loop in which the others are left alone: one is looked for now and then
        site.await_status("completed", site.insert("nothing", {"owner": "bob"}))
    assert [row["status"] for row in hooks.told()].count("scheduled") == 2
    assert len(server.requests) == 1
    found = webhooks.one(hooks.database, made.id)
    assert found.failures == 1
    assert found.held_until is not None
    assert processor.events("job_settled", reason="snooze")


@on_sqlite
def test_who_does_not_answer_in_time_is_told_again(site: Site, hooks: Hooks, server: Server) -> None:
    site.write(types=f"{QUICK}timeout = 0.3\n")
    hooks.make(server.url("/held"))
    site.insert("quick", {"owner": "ann"})
    site.start()
    eventually(lambda: len(server.requests) >= 2, "another try")
    server.let_go.set()
    hooks.await_status("completed")
    errors = site.db.rows("SELECT error_type, error_message FROM job_errors")
    assert set(errors) == {("processor.work.webhook.NotDelivered", f"{server.url('')} did not answer within 0.3 s")}


@on_sqlite
def test_where_nobody_listens_it_is_tried_as_often_as_it_may_be(site: Site, hooks: Hooks, server: Server) -> None:
    site.write(types=f"{QUICK}max_attempts = 2\n")
    server.shutdown()
    server.server_close()
    hooks.make(server.url())
    site.insert("quick", {"owner": "ann"})
    site.start()
    [told] = hooks.await_status("failed")
    assert told["attempt"] == 2
    assert "cannot be reached: ConnectError" in told["error_message"]


@on_sqlite
def test_of_a_delivery_that_failed_for_good_its_owner_hears(site: Site, hooks: Hooks, server: Server) -> None:
    hooks.make(server.url())
    server.plan = [(410, {})]
    told = "SELECT owner, type, status FROM notifications ORDER BY id"
    site.insert("quick", {"owner": "ann"})
    site.start()
    hooks.await_status("failed")
    assert site.db.rows(told) == [("ann", "quick", "completed"), ("ann", TYPE, "failed")]
    for webhook in webhooks.list_all(hooks.database):
        webhooks.resume(hooks.database, webhook.id)
    site.command("retry", str(hooks.told()[0]["id"]))
    hooks.await_status("completed")
    assert len(set(server.ids())) == 1
    assert len(server.requests) == 2


@on_sqlite
def test_with_a_webhook_what_is_under_way_is_stopped(site: Site, hooks: Hooks, server: Server) -> None:
    made, _ = hooks.make(server.url("/held"))
    deliveries.make_test(hooks.database, made.id)
    processor = site.start()
    eventually(lambda: server.requests, "the try")
    webhooks.remove(hooks.database, made.id)
    processor.await_event("job_stop_requested", type=TYPE)
    [told] = hooks.await_status("cancelled")
    assert (told["reason"], len(server.requests)) == ("asked", 1)


@on_sqlite
def test_a_type_of_ones_own_takes_the_place_of_what_tells(site: Site, hooks: Hooks, server: Server) -> None:
    site.write(types=f'{QUICK}[types."{TYPE}"]\npython = "deeds:nothing"\n')
    made, _ = hooks.make(server.url())
    deliveries.make_test(hooks.database, made.id)
    site.drain()
    assert [(row["status"], row["error_message"]) for row in hooks.told()] == [("completed", None)]
    assert server.requests == []


@on_sqlite
def test_two_secrets_sign_while_one_replaces_the_other(site: Site, hooks: Hooks, server: Server) -> None:
    made, first = hooks.make(server.url())
    second = webhooks.rotate(hooks.database, made.id)
    deliveries.make_test(hooks.database, made.id)
    site.drain()
    webhooks.rotate(hooks.database, made.id, keep=0)
    deliveries.make_test(hooks.database, made.id)
    site.drain()
    both, neither = server.requests
    for secret in (first, second):
        assert verified(secret, both)["type"] == "webhook.test"
        with pytest.raises(WebhookVerificationError):
            verified(secret, neither)


@on_sqlite
def test_nobody_has_something_signed_by_the_webhook_of_another(site: Site, hooks: Hooks, server: Server) -> None:
    """Whoever may make a job may make one of this type; of a webhook that was deleted nothing is told either."""
    made, _ = hooks.make(server.url())
    mine = site.insert(TYPE, {"concurrency_key": made.id, "owner": "ann"}, amount=1)
    for columns in ({"owner": "bob"}, {}, {"owner": "ann", "concurrency_key": "0a1b2c3d"}):
        site.insert(TYPE, {"concurrency_key": made.id, "subject": f"webhook:{made.id}", **columns}, amount=1000)
    site.insert(TYPE, {"owner": "ann"}, amount=1000)
    site.drain()
    assert [headers["webhook-id"] for _, headers, _ in server.requests] == [f"msg_{mine}"]
    first, *others = hooks.told()
    assert first["status"] == "completed"
    assert [(told["status"], told["error_message"]) for told in others] == [
        ("cancelled", "Its webhook was deleted.")
    ] * 4


@on_sqlite
def test_a_processor_may_be_told_not_to_tell(site: Site, hooks: Hooks, server: Server) -> None:
    hooks.make(server.url())
    site.write(types="[webhooks]\ndeliver = false\n")
    site.insert("quick", {"owner": "ann"})
    site.drain()
    assert ([row["status"] for row in hooks.told()], server.requests) == (["pending"], [])
    types = json.loads(site.db.rows("SELECT types FROM processors")[0][0])
    assert TYPE not in types


@on_sqlite
def test_what_comes_up_while_it_is_paused_waits(site: Site, hooks: Hooks, server: Server) -> None:
    made, _ = hooks.make(server.url())
    deliveries.make_test(hooks.database, made.id)
    site.db.rows("UPDATE webhooks SET paused_at = '2026-01-01 00:00:00'")
    site.start()
    [told] = hooks.await_status("scheduled")
    assert (told["reason"], told["attempt"], server.requests) == ("snooze", 0, [])


@on_sqlite
def test_a_delivery_can_be_replayed(site: Site, hooks: Hooks, server: Server) -> None:
    made, secret = hooks.make(server.url())
    job = deliveries.make_test(hooks.database, made.id)
    site.command("replay", str(job))
    assert verified(secret, server.requests[0])["type"] == "webhook.test"
    assert [row["status"] for row in hooks.told()] == ["pending"]
