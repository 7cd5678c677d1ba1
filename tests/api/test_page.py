"""The files of the page as a server gives them: who may ask, what browsers are told, what is kept."""

import re

import httpx
import pytest
from fastapi import FastAPI

from processor.api.app import application
from processor.api.routes.page import page
from tests.api.conftest import Api, serving


def assets(api: Api) -> list[str]:
    return re.findall(r'"(page/[^"]+)"', api.client.get("/").text)


def test_the_page_is_given_without_a_token_and_says_nothing_of_jobs(api: Api) -> None:
    api.make(subject="a secret subject")
    api.asks_as("ann")
    answer = api.client.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "secret" not in answer.text


def test_every_file_that_the_page_names_is_there(api: Api) -> None:
    named = assets(api)
    assert len(named) >= 4
    kinds = {api.client.get(f"/{name}").headers["content-type"].partition(";")[0] for name in named}
    assert kinds == {"text/css", "text/javascript", "image/svg+xml"}


def test_browsers_run_nothing_but_files_of_this_server(api: Api) -> None:
    for address in ("/", f"/{assets(api)[0]}"):
        headers = api.client.get(address).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self' data:",
            "connect-src": "'self'",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


def test_no_file_has_a_script_or_a_style_in_its_markup_or_names_another_host() -> None:
    texts = {"index.html": page().index.body, **{name: file.body for name, file in page().assets.items()}}
    for name, body in texts.items():
        text = body.decode().replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, name
        assert not re.search(r"<style|style=\"|<[^>]* on[a-z]+=|<script>", text), name
        if name.endswith(".js"):
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
            ), name


def test_files_are_kept_for_ever_and_the_page_is_asked_for_again(api: Api) -> None:
    index = api.client.get("/")
    assert index.headers["cache-control"] == "no-cache"
    again = api.client.get("/", headers={"If-None-Match": index.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    file = api.client.get(f"/{assets(api)[0]}")
    assert "immutable" in file.headers["cache-control"]


@pytest.mark.parametrize(
    "address", ["/page/0/main.js", "/page/{version}/none.js", "/page/{version}/../app.py", "/page"]
)
def test_what_is_no_file_of_the_page_is_not_found(api: Api, address: str) -> None:
    answer = api.client.get(address.replace("{version}", page().version))
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_the_page_is_only_read(api: Api) -> None:
    assert api.client.head("/").status_code == 200
    answer = api.client.post("/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_mounted_in_another_application_its_addresses_stay_below_it(api: Api) -> None:
    outer = FastAPI()
    outer.mount("/queue", application(api.settings, api.queue.database, is_loopback=True))
    with serving(outer) as address:
        named = re.findall(r'"(page/[^"]+)"', httpx.get(f"{address}/queue/").text)
        assert all(httpx.get(f"{address}/queue/{name}").status_code == 200 for name in named)
        assert httpx.get(f"{address}/queue", follow_redirects=True).url.path == "/queue/"
