import json
import sys
import venv
from pathlib import Path

import pytest

from tests.databases import Database
from tests.processors.running import Site


@pytest.fixture
def decorated(site: Site) -> Site:
    site.write(processor='modules = ["decorated"]')
    return site


def result(db: Database, job_id: int = 1) -> object:
    [(value,)] = db.rows(f"SELECT result FROM jobs WHERE id = {job_id}")
    return json.loads(value) if isinstance(value, str) and db.kind != "postgresql" else value


def test_decorated_handlers_are_found_and_run_with_their_options(decorated: Site) -> None:
    decorated.insert("decorated.later")
    decorated.start()
    job = decorated.await_status("failed")
    assert (job["attempt"], job["error_message"]) == (2, "never again")


def test_arguments_come_from_the_payload(decorated: Site) -> None:
    decorated.db.rows("INSERT INTO jobs (type, payload) VALUES ('decorated.greet', '{\"name\": \"Ada\"}')")
    decorated.db.rows("INSERT INTO jobs (type, payload) VALUES ('decorated.greet', '{\"nam\": \"Ada\"}')")
    decorated.drain()
    assert result(decorated.db) == "hello Ada"
    wrong = decorated.job(2)
    assert (wrong["status"], wrong["reason"]) == ("failed", "malformed")
    assert "name" in wrong["error_message"]


def test_a_snooze_does_not_count_as_an_attempt(decorated: Site) -> None:
    decorated.insert("decorated.snooze", times=str(decorated.folder / "seen"))
    decorated.start()
    decorated.await_status("completed")
    assert result(decorated.db) == 1


def test_a_worker_in_another_interpreter_without_our_packages_runs_a_decorated_handler(
    site: Site, tmp_path: Path
) -> None:
    venv.create(tmp_path / "theirs", with_pip=False)
    python = tmp_path / "theirs" / "bin" / "python"
    site.write(processor=f'modules = ["decorated"]\ninterpreter = "{python}"')
    site.insert("decorated.version")
    site.drain()
    assert result(site.db) == {"version": list(sys.version_info[:2]), "packages": False}


def test_a_command_gets_the_payload_and_answers_on_its_own_channel(site: Site) -> None:
    script = (
        "import json, os, sys; job = json.load(sys.stdin); print('working'); "
        "out = os.fdopen(3, 'w'); print(json.dumps({'progress': 50}), file=out); "
        "print(json.dumps({'result': [job['n'] + 1, os.environ['JOB_TYPE'], os.environ['JOB_ATTEMPT']]}), file=out)"
    )
    site.write(types=f"[types.add]\ncommand = {json.dumps([sys.executable, '-c', script])}")
    site.insert("add", n=41)
    site.drain()
    assert result(site.db) == [42, "add", "1"]
    assert site.db.rows("SELECT level, text FROM job_events WHERE kind = 'log'") == [("stdout", "working")]


@pytest.mark.parametrize(
    ("code", "status", "reason", "attempts"),
    [(0, "completed", "done", 1), (65, "failed", "error", 1), (75, "failed", "error", 3), (9, "failed", "error", 3)],
)
def test_exit_codes_of_a_command_mean_what_they_say(
    site: Site, code: int, status: str, reason: str, attempts: int
) -> None:
    site.write(types=f'[types.exit]\ncommand = ["/bin/sh", "-c", "echo why >&2; exit {code}"]\nmax_attempts = 3')
    site.insert("exit")
    site.start()
    job = site.await_status(status)
    assert (job["reason"], job["attempt"]) == (reason, attempts)


def test_what_cannot_be_started_is_said_at_the_start_and_fails_its_jobs(site: Site) -> None:
    site.write(types='[types.gone]\npython = "deeds:gone"\n[types.nowhere]\ncommand = ["/nowhere/at/all"]')
    site.insert("gone")
    site.insert("nowhere")
    processor = site.start("--drain")
    assert processor.wait() == 0
    assert "gone" in processor.await_event("handler_refused", type="gone")["error"]
    for number in (1, 2):
        job = site.job(number)
        assert (job["status"], job["reason"]) == ("failed", "handler"), job
        assert job["error_message"]


def test_an_http_job_is_posted_signed_and_its_answer_is_the_result(site: Site) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    from standardwebhooks import Webhook

    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    seen = []

    class Target(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.append(Webhook(secret).verify(body, dict(self.headers.items())))
            self.send_response(503 if len(seen) == 1 else 200)
            self.send_header("retry-after", "0")
            self.end_headers()
            self.wfile.write(b'{"accepted": true}')

        def log_message(self, *arguments: object) -> None:
            """Nothing on the terminal."""

    with HTTPServer(("127.0.0.1", 0), Target) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        target = f'http = "http://127.0.0.1:{server.server_port}/"\nsecret = "{secret}"'
        site.write(types=f"[types.hook]\n{target}\nmax_attempts = 2")
        site.insert("hook", n=1)
        site.start()
        job = site.await_status("completed")
        server.shutdown()
        thread.join()
    assert job["attempt"] == 2
    assert result(site.db) == {"accepted": True}
    assert seen[0]["n"] == seen[1]["n"] == 1


def test_the_types_of_decorated_handlers_are_known_without_a_processor(site: Site) -> None:
    site.write(processor='modules = ["decorated"]')
    handled = {row["type"]: row["handled"] for row in json.loads(site.command("types", "--json"))}
    assert handled["decorated.greet"] is True


def test_a_wish_that_cannot_be_a_job_fails_its_job_alone(site: Site) -> None:
    wish = '{"enqueue": {"type": "quick", "status": "running"}}'
    script = site.folder / "wish.sh"
    script.write_text(f"echo '{wish}' >&3\n")
    site.write(types=f'[types.wish]\ncommand = ["/bin/sh", "{script}"]')
    site.insert("wish")
    site.insert("quick")
    site.drain()
    job = site.job()
    assert (job["status"], job["error_type"]) == ("failed", "EnqueueRefused")
    assert "status" in job["error_message"]
    assert site.job(2)["status"] == "completed"
