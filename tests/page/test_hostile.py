"""What jobs say is shown as text, however it looks, and tears nothing."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import Opens
from tests.page.site import Site

SCRIPT = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'><b>bold</b>"
RIGHT_TO_LEFT = "\u202eesrever\u202c مرحبا بالعالم"
LONG = "x" * 30_000
PHONE = {"width": 390, "height": 844}


def is_untouched(page: Page) -> None:
    assert page.evaluate("window.hacked") is None
    assert page.locator("main b, main script, main img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"


@pytest.mark.parametrize("text", [SCRIPT, RIGHT_TO_LEFT, LONG], ids=["script", "right to left", "long"])
def test_what_a_job_says_is_shown_as_text(site: Site, opens: Opens, text: str) -> None:
    page = opens(site, "/")
    jobs: list[dict[str, Any]] = [
        {
            "type": "chapter.analyse",
            "payload": {"log": text, "message": text},
            "subject": text[:200],
            "key": text[:100],
        },
        {"type": "report.daily", "payload": {"words": text}},
        {"type": text[:200].rstrip(), "payload": {text: text}},
    ]
    told, failed, unknown = (page.evaluate(MAKE, job) for job in jobs)
    page.goto(f"{site.address}/#/jobs/{told}")
    expect(page.locator(".heading .badge")).to_contain_text("completed")
    expect(page.get_by_role("region", name="Payload")).to_contain_text(json.dumps(text[:50], ensure_ascii=False)[1:-1])
    expect(page.get_by_role("log")).to_contain_text(text[:50])
    expect(page.get_by_role("log")).to_contain_text("that was it")
    is_untouched(page)
    page.goto(f"{site.address}/#/jobs/{failed}")
    expect(page.locator(".card.error")).to_contain_text(text[:50])
    is_untouched(page)
    for view in (f"/jobs/{unknown}", f"/create?replay={unknown}", "/jobs", "/", "/notifications", "/types"):
        page.goto(f"{site.address}/#{view}")
        expect(page.locator("main h1")).to_be_visible()
        expect(page.locator("main")).not_to_contain_text("Loading …")
        is_untouched(page)
    page.set_viewport_size(PHONE)
    for view in ("/jobs", "/", f"/jobs/{told}", f"/jobs/{failed}"):
        page.goto(f"{site.address}/#{view}")
        expect(page.locator("main h1")).to_be_visible()
        is_untouched(page)


MAKE = """async (job) => {
  const headers = {"Content-Type": "application/json"};
  const answer = await fetch("api/v1/jobs", {method: "POST", body: JSON.stringify(job), headers});
  return (await answer.json()).id;
}"""


def test_a_very_long_text_is_shown_whole_when_it_is_asked_for(site: Site, opens: Opens) -> None:
    job = site.enqueue("chapter.analyse", log="a" * 9_000)
    page = opens(site, f"/jobs/{job}")
    page.get_by_role("log").get_by_role("button", name="all 9,000 letters").click()
    expect(page.get_by_role("log")).to_contain_text("a" * 9_000)


def test_a_job_that_talks_much_keeps_the_page_alive(site: Site, opens: Opens) -> None:
    page = opens(site, "/")
    lines = "\n".join(f"line {number}" for number in range(300))
    job = site.enqueue("chapter.analyse", log=lines)
    page.goto(f"{site.address}/#/jobs/{job}")
    expect(page.get_by_role("log")).to_contain_text("line 299")
    expect(page.get_by_role("log")).to_contain_text("that was it")
