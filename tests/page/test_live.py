"""Views show what changes when it changes, and ask nothing while nothing does."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page, Request, expect

from tests.page.conftest import Opens
from tests.page.site import Site
from tests.patience import eventually

VIEWS = ["/", "/jobs", "/types", "/notifications", "/schedules"]
SLOWLY = 10_000
"""Milliseconds from one look to the next of a view that is told what changes."""
A_SECOND = 1_100
COUNT = "unread=true&limit=100"
"""What the menu asks for, and no view."""


def hears(page: Page) -> None:
    """Wait until a view is told what changes, and has looked since."""
    expect(page.locator("#live")).to_have_text("live")


def stop_the_clock(page: Page) -> None:
    """Let nothing happen by itself from now on: what a page does, it was told to do."""

    def stops() -> bool:
        try:
            page.clock.pause_at(page.evaluate("Date.now() / 1000 + 1.5"))
        except Error:  # the machine stood still for so long that this instant has passed
            return False
        return True

    eventually(stops, "the clock stands")


def opened(opens: Opens, site: Site, view: str) -> Page:
    """Open a view whose clock the test holds."""
    page = opens(site, "/nowhere")
    page.clock.install()
    page.goto(f"{site.address}/#{view}")
    page.reload()
    hears(page)
    return page


def has_looked(page: Page) -> None:
    """Let time go by until a view looks, and has what it asked for."""
    asked, answered = set[Request](), set[Request]()
    page.on("request", lambda request: COUNT in request.url or asked.add(request))
    page.on("requestfinished", lambda request: answered.add(request))  # noqa: PLW0108 - a builtin can note nothing

    def has() -> bool:
        page.clock.run_for(0 if asked else A_SECOND // 2)
        page.evaluate("0")
        return bool(asked) and asked <= answered

    eventually(has, "a look of the view")


@contextmanager
def asks_nothing(page: Page) -> Iterator[None]:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield
    assert asked == []


def test_a_job_that_ends_is_shown_without_waiting_for_the_next_look(site: Site, opens: Opens, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job = site.enqueue("chapter.analyse", "--subject", "at once", until=str(go))
    page = opened(opens, site, "/jobs?subject=at+once")
    expect(page.locator("td .badge")).to_contain_text("running")
    stop_the_clock(page)
    page.clock.run_for(A_SECOND)
    go.touch()
    eventually(lambda: "completed" in site.command("show", job), "the end of the job")
    page.clock.run_for(A_SECOND)  # one look a second
    expect(page.locator("td .badge")).to_contain_text("completed")
    assert page.get_by_role("row").filter(has_text=f"#{job} ").count() == 1


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_asks_nothing_while_nothing_changes(own_site: Site, opens: Opens, view: str) -> None:
    own_site.serve()
    page = opened(opens, own_site, view)
    stop_the_clock(page)
    has_looked(page)
    with asks_nothing(page):
        page.clock.run_for(SLOWLY - 2 * A_SECOND)
    has_looked(page)  # a stream may be dead, and a job that only came in tells nothing


def test_a_job_that_has_ended_is_asked_for_slowly(site: Site, opens: Opens) -> None:
    job = site.enqueue("mail.send")
    page = opened(opens, site, f"/jobs/{job}")
    expect(page.locator(".heading .badge")).to_contain_text("completed")
    page.reload()
    expect(page.locator("main")).to_contain_text("It has ended; this is all it told.")
    hears(page)
    stop_the_clock(page)
    has_looked(page)
    with asks_nothing(page):
        page.clock.run_for(SLOWLY - 2 * A_SECOND)


def test_ages_are_those_of_the_server_where_the_clock_of_the_browser_is_wrong(site: Site, opens: Opens) -> None:
    site.enqueue("mail.send", "--subject", "lately")
    page = opens(site, "/nowhere")
    page.clock.install(time=datetime.now(UTC) + timedelta(hours=3))
    page.reload()
    page.goto(f"{site.address}/#/jobs?subject=lately")
    expect(page.locator("td time")).to_have_text(re.compile(r"^(\d+ s ago|now)$"))


def test_without_the_stream_a_view_looks_by_itself(site: Site, opens: Opens) -> None:
    page = opens(site, "/nowhere")
    page.route("**/api/v1/changes*", lambda route: route.abort())
    page.goto(f"{site.address}/#/jobs?subject=by+itself")
    expect(page.locator("main")).to_contain_text("No job is like that.")
    site.enqueue("mail.send", "--subject", "by itself")
    expect(page.locator("td .badge")).to_contain_text("completed")
    expect(page.locator("#live")).to_be_empty()


def test_a_stream_that_is_cut_is_opened_again(own_site: Site, opens: Opens) -> None:
    server = own_site.serve()
    own_site.start("run")
    page = opens(own_site, "/jobs")
    hears(page)
    own_site.end(server)
    expect(page.locator("#banner")).to_contain_text("The server does not answer.")
    own_site.serve(listen=own_site.address.removeprefix("http://"))
    own_site.enqueue("mail.send", "--subject", "afterwards")
    expect(page.get_by_role("row").filter(has_text="afterwards")).to_contain_text("completed")
    hears(page)


def test_a_page_that_nobody_sees_keeps_no_stream(own_site: Site, opens: Opens, tmp_path: Path) -> None:
    own_site.serve()
    own_site.start("run")
    job = own_site.enqueue("chapter.analyse", until=str(tmp_path / "go"))
    page = opens(own_site, f"/jobs/{job}")
    expect(page.locator("main")).to_contain_text("half way")  # from here on it tells nothing
    for view, stream in ((f"/jobs/{job}", f"**/jobs/{job}/events*"), ("/jobs", "**/changes*")):
        page.goto(f"{own_site.address}/#{view}")
        hears(page)
        with page.expect_event("requestfailed", lambda one, stream=stream: fnmatch(one.url, stream)):  # it is given up
            is_seen(page, False)
        with page.expect_request(stream):
            is_seen(page, True)
        hears(page)
    (tmp_path / "go").touch()
    expect(page.locator("td .badge")).to_contain_text("completed")


def is_seen(page: Page, seen: bool) -> None:
    page.evaluate(
        """(state) => {
          Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        "visible" if seen else "hidden",
    )
