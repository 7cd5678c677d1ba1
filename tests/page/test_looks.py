"""How every view looks: readable by everybody, light and dark, on a telephone; and pictures of it, when asked for.

`JOBTABLE_WRITE_SCREENSHOTS=1 pytest tests/page/test_looks.py` writes docs/screenshots.
"""

import math
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.page.conftest import Opens
from tests.page.site import Site

PICTURES = Path(__file__).parents[2] / "docs" / "screenshots"
WRITES = os.environ.get("JOBTABLE_WRITE_SCREENSHOTS") == "1"
PHONE = {"width": 390, "height": 844}
SCREEN = {"width": 1240, "height": 860}


class Scene:
    """A site in which a job runs, some have failed and some wait; `views` has all that the page can show."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        _history(site.folder / "jobs.db")
        go = str(folder / "never")
        log = "reading chapter 12\n812 words\nfound 14 names\n3 of them are new: Ada, Grace, Edsger"
        for subject, percent in (("chapter:12", 64), ("chapter:13", 27)):
            self.running = site.enqueue(
                "chapter.analyse",
                "--subject",
                subject,
                "--owner",
                "ann",
                log=log,
                until=go,
                percent=percent,
                message=f"{percent * 3} of 300 pages",
            )
        self.failed = site.enqueue("report.daily", "--owner", "bob", words="the printer has no paper")
        site.command("types", "pause", "thumbnail.make")
        for number in range(3):
            site.enqueue("thumbnail.make", "--subject", f"picture:{number}")
        for number in range(6):
            site.enqueue("mail.send", "--subject", f"order:{number}", "--owner", "ann", log=f"sent to {number}")
        site.enqueue("mail.send", "--in", "2h", "--subject", "reminder")
        site.command("schedules", "set", "morning", "--type", "mail.send", "--cron", "0 8 * * mon-fri")

    @property
    def views(self) -> dict[str, str]:
        return {
            "overview": "/",
            "jobs": "/jobs?status=failed&status=completed",
            "running job": f"/jobs/{self.running}",
            "failed job": f"/jobs/{self.failed}",
            "types": "/types",
            "schedules": "/schedules",
            "schedule": "/schedules/edit/morning",
            "processors": "/processors",
            "notifications": "/notifications?all",
            "create": "/create",
            "nothing": "/jobs?type=none",
            "missing": "/jobs/999999",
            "login": "/login",
        }


def _history(database: Path) -> None:
    """Put in what ended in the last day: more in the morning than at night, and a bad quarter of an hour."""
    rows = []
    for minute in range(0, 24 * 60, 2):
        many = 1 + round(3 + 3 * math.sin(minute / 90) + minute % 7 / 3)
        for number in range(many):
            status = "failed" if number == 0 and (300 < minute < 330 or minute % 50 == 0) else "completed"
            rows.append(
                (
                    ("mail.send", "chapter.analyse")[number % 2],
                    status,
                    *(f"-{minute * 60 + 20 + s} seconds" for s in (2, 1, 0)),
                )
            )
    _insert(database, rows)


def _insert(database: Path, rows: Sequence[tuple[str, ...]]) -> None:
    """Put in what ended: its type and state, and when it was created, started and finished, from now."""
    with closing(sqlite3.connect(database, timeout=10)) as connection, connection:
        connection.executemany(
            "INSERT INTO jobs (type, status, attempt, created_at, started_at, finished_at) VALUES"
            " (?, ?, 1, datetime('now', ?), datetime('now', ?), datetime('now', ?))",
            rows,
        )


@pytest.fixture(scope="module")
def scene(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    return Scene(site, tmp_path_factory.mktemp("scene"))


def is_there(page: Page) -> None:
    expect(page.locator("main h1, main .problem").first).to_be_visible()
    expect(page.locator("main")).not_to_contain_text("Loading …")


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['html'][:200]} {node['failureSummary']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_can_be_read_by_everybody(scene: Scene, opens: Opens, scheme: str) -> None:
    page = opens(scene.site, "/", scheme=scheme)
    wrong = {}
    for name, view in scene.views.items():
        page.goto(f"{scene.site.address}/#{view}")
        is_there(page)
        wrong[name] = violations(page)
    page.goto(f"{scene.site.address}/#/")
    is_there(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    wrong["keys"] = violations(page)
    assert {name: found for name, found in wrong.items() if found} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_question_and_answer_can_be_read_by_everybody(scene: Scene, opens: Opens, scheme: str) -> None:
    wrong = {}
    page = opens(scene.site, f"/jobs/{scene.running}", scheme=scheme)
    page.get_by_role("button", name="Priority …").click()
    wrong["priority"] = violations(page)
    page.keyboard.press("Escape")
    page.goto(f"{scene.site.address}/#/types")
    page.get_by_role("button", name="Limits of report.daily").click()
    page.get_by_label("Starts in a time").fill("soon")
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_role("alert")).to_be_visible()
    wrong["limits that are refused"] = violations(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Pause report.daily").click()
    page.get_by_role("button", name="Resume report.daily").click()
    expect(page.locator(".toast").nth(1)).to_be_visible()
    wrong["what was done"] = violations(page)
    page.goto(f"{scene.site.address}/#/jobs")
    page.get_by_role("button", name="Clean up …").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    wrong["a question"] = violations(page)
    page.goto(f"{scene.site.address}/#/create")
    page.get_by_label("Type", exact=True).fill("mail.send")
    page.get_by_label("Payload (JSON)").fill("{")
    page.get_by_role("button", name="Create the job").click()
    expect(page.locator("#payload-wrong")).not_to_be_empty()
    wrong["a field that is wrong"] = violations(page)
    assert {name: found for name, found in wrong.items() if found} == {}


def test_every_view_fits_a_telephone(scene: Scene, opens: Opens) -> None:
    page = opens(scene.site, "/", size=PHONE)
    wide = []
    for name, view in scene.views.items():
        page.goto(f"{scene.site.address}/#{view}")
        is_there(page)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(name)
    assert wide == []
    page.goto(f"{scene.site.address}/#/")
    is_there(page)
    assert violations(page) == []


BROKEN = """(which) => [...document.querySelectorAll(which)].filter((one) => {
  const range = document.createRange();
  range.selectNodeContents(one);
  return new Set([...range.getClientRects()].map((line) => Math.round(line.bottom))).size > 1;
}).map((one) => one.textContent)"""


TOO_WIDE = "[...document.querySelectorAll('.card')].filter((one) => one.scrollWidth > one.clientWidth).length"


def test_no_number_is_broken_where_there_is_little_room(scene: Scene, opens: Opens) -> None:
    scene.site.enqueue("mail.send", "--subject", "invoice:2026-11-28:88812", "--owner", "a-rather-long-name")
    scene.site.command("types", "set", "mail.send", "--rate", "1000/min", "--max-concurrent", 40)
    _insert(
        scene.site.folder / "jobs.db", [("nobody.runs.it", "completed", "-31 minutes", "-29 minutes", "-7 minutes")]
    )
    page = opens(scene.site, "/", size={"width": 820, "height": 900})
    for view in ("jobs", "types", "processors"):
        page.goto(f"{scene.site.address}/#{scene.views[view]}")
        expect(page.get_by_role("table")).to_be_visible()
        assert page.evaluate(BROKEN, "td.figure, td .one") == [], view
        assert page.evaluate(TOO_WIDE) == 0, view


@pytest.mark.parametrize("width", [800, 1240])
def test_no_short_name_is_broken_beside_a_long_error(scene: Scene, opens: Opens, width: int) -> None:
    words = "the printer has no paper, and nobody is there who could bring some " * 8
    scene.site.enqueue("report.daily", "--subject", "chapter:12", "--owner", "accounts", words=words)
    page = opens(scene.site, "/jobs?type=report.daily", size={"width": width, "height": 900})
    cells = [f'td[data-label="{name}"]' for name in ("subject", "owner")]
    expect(page.locator(cells[1]).get_by_text("accounts").first).to_be_visible()
    expect(page.get_by_role("table")).to_contain_text("nobody is there")
    assert page.evaluate(BROKEN, ", ".join(cells)) == []
    assert page.evaluate(TOO_WIDE) == 0


def test_every_view_is_reached_by_the_keyboard(scene: Scene, opens: Opens) -> None:
    page = opens(scene.site, "/")
    is_there(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for key, title in (("j", "Jobs"), ("t", "Types"), ("s", "Schedules"), ("p", "Processors"), ("n", "Notifications")):
        page.keyboard.press(key)
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
    page.keyboard.press("j")
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    page.keyboard.press("/")
    expect(page.get_by_label("Text in a name or an error")).to_be_focused()
    page.keyboard.type("job?")
    expect(page.get_by_label("Text in a name or an error")).to_have_value("job?")
    page.get_by_role("heading", level=1).click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("search jobs")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_switch_turns_light_to_dark_and_is_remembered(scene: Scene, opens: Opens) -> None:
    page = opens(scene.site, "/")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Light or dark").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    page.reload()
    is_there(page)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


def test_what_was_written_into_the_filter_stays_while_the_list_is_renewed(scene: Scene, opens: Opens) -> None:
    page = opens(scene.site, "/jobs")
    field = page.get_by_label("Text in a name or an error")
    field.fill("half a wo")
    with page.expect_response("**/api/v1/jobs?*"), page.expect_response("**/api/v1/jobs?*"):
        pass
    expect(field).to_be_focused()
    expect(field).to_have_value("half a wo")


def test_pictures_are_written_when_they_are_asked_for(scene: Scene, opens: Opens, tmp_path: Path) -> None:
    folder = PICTURES if WRITES else tmp_path
    folder.mkdir(exist_ok=True)
    for name, view, scheme, size in (
        ("overview-light", "/", "light", SCREEN),
        ("overview-dark", "/", "dark", SCREEN),
        ("job-live", f"/jobs/{scene.running}", "light", SCREEN),
        ("telephone", "/", "light", PHONE),
    ):
        page = opens(scene.site, view, scheme=scheme, size=size)
        is_there(page)
        if name == "job-live":
            expect(page.get_by_role("log")).to_contain_text("812 words")
        expect(page.locator("#live")).to_have_text("live")
        page.screenshot(path=folder / f"{name}.png")
        assert (folder / f"{name}.png").stat().st_size < 150_000


def test_on_a_telephone_jobs_come_before_their_filter_is_opened(scene: Scene, opens: Opens) -> None:
    page = opens(scene.site, "/jobs?status=failed", size=PHONE)
    expect(page.get_by_text("Filter: failed")).to_be_visible()
    expect(page.get_by_role("table").get_by_role("link").first).to_be_in_viewport()
    expect(page.get_by_label("Subject")).to_be_hidden()
    page.keyboard.press("/")
    expect(page.get_by_label("Text in a name or an error")).to_be_focused()
    page.get_by_label("Subject").fill("chapter:12")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("Filter: failed, subject chapter:12")).to_be_visible()
