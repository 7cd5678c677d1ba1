"""Browsers: a session opened with a token, kept in a cookie, guarded against pages elsewhere; tickets."""

from typing import Any

import httpx
import pytest

from processor.queue import tokens
from tests.api.conftest import Api

SESSION = "/api/v1/session"


def browser(api: Api, owner: str | None, *scopes: str, path: str = SESSION) -> tuple[httpx.Client, dict[str, Any]]:
    """Log in as a browser does; give who asks with the cookie alone, and what the server said."""
    _, text = tokens.create(api.queue.database, owner=owner, scopes=scopes)
    client = httpx.Client(base_url=api.client.base_url, timeout=30)
    api.opened.append(client)
    answer = client.post(path, headers={"Authorization": f"Bearer {text}"})
    assert answer.status_code == 201, answer.text
    return client, answer.json()


def shown(api: Api, cookie: str) -> httpx.Response:
    return api.client.get(SESSION, headers={"Cookie": f"jobtable_session={cookie}"})


def test_a_browser_logs_in_once_and_asks_with_its_cookie(api: Api) -> None:
    client, said = browser(api, "ann", "read", "write")
    assert {**said, "csrf": 1, "expires_at": 1} == {
        "owner": "ann",
        "all_owners": False,
        "scopes": ["read", "write"],
        "csrf": 1,
        "is_open": False,
        "read_only": False,
        "expires_at": 1,
    }
    assert client.get(SESSION).json() == said
    assert client.get("/api/v1/jobs").status_code == 200
    assert api.client.get("/api/v1/jobs").status_code == 401
    assert client.get("/api/v1/processors").status_code == 403


def test_no_script_reads_the_cookie_and_no_page_elsewhere_sends_it(api: Api) -> None:
    _, text = tokens.create(api.queue.database, owner="ann", scopes=("read",))
    answer = api.client.post(SESSION, headers={"Authorization": f"Bearer {text}"})
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie.lower() for word in ("httponly", "samesite=strict", "path=/"))
    assert "secure" not in cookie.lower()
    assert text not in cookie
    origin = f"https://{api.client.base_url.netloc.decode()}"
    by_tls = api.client.post(SESSION, headers={"Authorization": f"Bearer {text}", "Origin": origin})
    assert "secure" in by_tls.headers["set-cookie"].lower()


@pytest.mark.parametrize("shown", [None, "", "wrong", "é"])
def test_a_cookie_alone_changes_nothing(api: Api, shown: str | None) -> None:
    client, said = browser(api, "ann", "read", "write")
    headers = {} if shown is None else {"X-CSRF-Token": shown.encode()}
    answer = client.post("/api/v1/jobs", json={"type": "work"}, headers=headers)
    assert answer.status_code == 403
    assert "X-CSRF-Token" in answer.json()["detail"]
    assert client.delete(SESSION, headers=headers).status_code == 403
    assert api.queue.rows("SELECT id FROM jobs") == []
    made = client.post("/api/v1/jobs", json={"type": "work"}, headers={"X-CSRF-Token": said["csrf"]})
    assert made.status_code == 202


def test_a_session_may_do_what_its_token_may(api: Api) -> None:
    client, said = browser(api, "ann", "read")
    answer = client.post("/api/v1/jobs", json={"type": "work"}, headers={"X-CSRF-Token": said["csrf"]})
    assert answer.status_code == 403
    assert "scope write" in answer.json()["detail"]


def test_who_logs_out_is_out(api: Api) -> None:
    client, said = browser(api, "ann", "read")
    cookie = dict(client.cookies)
    assert client.delete(SESSION, headers={"X-CSRF-Token": said["csrf"]}).status_code == 204
    assert dict(client.cookies) == {}
    assert shown(api, cookie["jobtable_session"]).status_code == 401


def test_a_revoked_token_ends_its_sessions(api: Api) -> None:
    client, _ = browser(api, "ann", "read")
    [token] = tokens.list_all(api.queue.database)
    tokens.revoke(api.queue.database, token.id)
    assert client.get("/api/v1/jobs").status_code == 401


def test_a_session_opens_no_other_session(api: Api) -> None:
    client, said = browser(api, "ann", "read")
    assert client.post(SESSION, headers={"X-CSRF-Token": said["csrf"]}).status_code == 401


def test_a_wrong_cookie_is_none(api: Api) -> None:
    assert shown(api, "js_wrong").json()["is_open"]
    tokens.create(api.queue.database, owner="ann", scopes=("read",))
    for text in ("js_wrong", "js_0123456789abcdef_" + "a" * 43, ""):
        assert shown(api, text).status_code == 401


def test_before_the_first_token_nobody_logs_in(api: Api) -> None:
    said = api.client.get(SESSION).json()
    assert (said["is_open"], said["all_owners"], said["csrf"]) == (True, True, None)
    assert "admin" in said["scopes"]
    assert api.client.post(SESSION).status_code == 409


def test_a_link_elsewhere_may_be_followed_but_nothing_else_comes_from_there(api: Api) -> None:
    from_elsewhere = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert api.client.get("/healthz", headers=from_elsewhere).status_code == 200
    assert api.client.post("/api/v1/jobs", json={"type": "work"}, headers=from_elsewhere).status_code == 403
    assert api.client.get("/healthz", headers={**from_elsewhere, "Sec-Fetch-Mode": "no-cors"}).status_code == 403


def test_a_ticket_is_given_to_who_is_let_in(api: Api) -> None:
    client, said = browser(api, "ann", "read")
    answer = client.post("/api/v1/ws-tickets", headers={"X-CSRF-Token": said["csrf"]})
    assert answer.status_code == 201
    assert answer.json()["ticket"].startswith("js_")
    assert api.client.post("/api/v1/ws-tickets").status_code == 401
