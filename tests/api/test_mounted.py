"""The application inside another one."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from processor.api.app import application
from tests.api.conftest import Api, serving
from tests.api.test_socket import talking

CHECKOUT = Path(__file__).parents[2]


@contextmanager
def yours(folder: Path, url: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Run the application of the documentation, by the command of the documentation, on a free port."""
    documented = (CHECKOUT / "docs" / "api.md").read_text("utf-8")
    [code] = re.findall(r"( {4}# yours\.py\n.*?)\n    uvicorn ", documented, re.DOTALL)
    [options] = re.findall(r"^    uvicorn yours:app(.*)$", documented, re.MULTILINE)
    (folder / "yours.py").write_text(textwrap.dedent(code).replace("is_loopback=False", "is_loopback=True"), "utf-8")
    (folder / "jobtable.toml").write_text(f'[database]\nurl = "{url}"\n', "utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "yours:app", "--port", "0", *options.split()],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        address = next(found[0] for line in process.stderr if (found := re.search(r"http://[\d.:]+", line)))
        yield address, process
    finally:
        process.kill()
        process.communicate()


def test_the_application_of_the_documentation_answers_and_ends_though_somebody_listens(
    api: Api, tmp_path: Path
) -> None:
    job = api.make()
    with yours(tmp_path, api.queue.given.url) as (address, process):
        assert "<title>jobtable</title>" in httpx.get(f"{address}/queue/").text
        described = httpx.get(f"{address}/queue/api/v1/openapi.json").json()
        assert described["servers"] == [{"url": "/queue"}]
        assert httpx.get(f"{address}{described['servers'][0]['url']}/api/v1/jobs/{job}").json()["id"] == job
        live = {"Accept": "text/event-stream"}
        with httpx.stream("GET", f"{address}/queue/api/v1/jobs/{job}/events", headers=live, timeout=20) as answer:
            lines = answer.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=30)
            with pytest.raises(httpx.RemoteProtocolError):
                list(lines)
    assert "Application shutdown complete" in said
    assert "Traceback" not in said


def test_another_application_mounts_it(api: Api) -> None:
    outer = FastAPI()
    outer.mount("/queue", application(api.settings, api.queue.database, is_loopback=True))
    with serving(outer) as address:
        made = httpx.post(f"{address}/queue/api/v1/jobs", json={"type": "work"})
        assert (made.status_code, made.headers["Location"]) == (202, "/queue/api/v1/jobs/1")
        assert httpx.get(f"{address}/queue/api/v1/jobs/1").json()["type"] == "work"
        with talking(f"{address}/queue") as talk:
            talk.say("subscribe", to="job", job=1)
            assert talk.hear()["event"] == "ready"
        wrong = httpx.request("PUT", f"{address}/queue/api/v1/jobs/1")
        assert (wrong.status_code, wrong.headers["Allow"]) == (405, "DELETE, GET, PATCH")


def test_mounted_it_needs_a_token_unless_only_this_machine_reaches_it(api: Api) -> None:
    with serving(application(api.settings, api.queue.database, is_loopback=False)) as address:
        assert httpx.get(f"{address}/api/v1/jobs").status_code == 401
