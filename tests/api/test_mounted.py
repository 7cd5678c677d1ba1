"""The application inside another one."""

import httpx
from fastapi import FastAPI

from processor.api.app import application
from tests.api.conftest import Api, serving


def test_another_application_mounts_it(api: Api) -> None:
    outer = FastAPI()
    outer.mount("/queue", application(api.settings, api.queue.database, is_loopback=True))
    with serving(outer) as address:
        made = httpx.post(f"{address}/queue/api/v1/jobs", json={"type": "work"})
        assert (made.status_code, made.headers["Location"]) == (202, "/queue/api/v1/jobs/1")
        assert httpx.get(f"{address}/queue/api/v1/jobs/1").json()["type"] == "work"
        wrong = httpx.request("PUT", f"{address}/queue/api/v1/jobs/1")
        assert (wrong.status_code, wrong.headers["Allow"]) == (405, "DELETE, GET, PATCH")


def test_mounted_it_needs_a_token_unless_only_this_machine_reaches_it(api: Api) -> None:
    with serving(application(api.settings, api.queue.database, is_loopback=False)) as address:
        assert httpx.get(f"{address}/api/v1/jobs").status_code == 401
