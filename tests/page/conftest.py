"""A real browser before a real server and a real processor.

Each page that a test opens is watched: what asks another host, what the policy of the page forbids, and every error of
a script fails the test.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.conftest import migrate
from tests.page.site import Site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LARGE = {"width": 1280, "height": 800}
SECONDS = 15
"""Until what a browser shows counts as missing."""
expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture(scope="package")  # as long as it is there its event loop runs, and no other test may run one
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: apt install chromium")
    with sync_playwright() as playwright:
        root = os.geteuid() == 0
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if root else [])
        yield browser
        browser.close()


def make_site(folder: Path) -> Site:
    """Make a folder a site, on SQLite."""
    url = f"sqlite:///{folder / 'jobs.db'}"
    migrate(url)
    return Site(folder, url)


@pytest.fixture(scope="module")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that lets everybody in, and a processor, on SQLite."""
    site = make_site(tmp_path_factory.mktemp("site"))
    site.serve()
    site.start("run")
    yield site
    site.close()


@pytest.fixture
def own_site(browser: Browser, tmp_path: Path) -> Iterator[Site]:
    """A folder of this test alone, in which nothing was started."""
    site = make_site(tmp_path)
    yield site
    site.close()


class Watch:
    """What the pages of a test did that they must not do."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def over(self, page: Page) -> Page:
        page.on("request", lambda request: self._must_stay(page, request.url))
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("dialog", lambda dialog: self.wrong.append(f"a script asks: {dialog.message}"))
        return page

    def _must_stay(self, page: Page, url: str) -> None:
        home = urlsplit(page.url).netloc
        if home and urlsplit(url).netloc != home:
            self.wrong.append(f"asks another host: {url}")

    def _hear(self, kind: str, text: str) -> None:
        refused = text.startswith("Failed to load resource")  # the answer to it is the page's matter
        if kind in ("error", "warning") and not refused:
            self.wrong.append(f"{kind}: {text}")


Opens = Callable[..., Page]


@pytest.fixture
def opens(browser: Browser) -> Iterator[Opens]:
    """Open an address in a browser of its own: `opens(site, "/jobs")`."""
    watch, contexts = Watch(), list[BrowserContext]()

    def open_(at: Site | str, view: str = "/", *, scheme: str = "light", size: dict[str, int] | None = None) -> Page:
        context = browser.new_context(viewport=size or LARGE, color_scheme=scheme, locale="en-GB")
        context.set_default_timeout(SECONDS * 1000)
        contexts.append(context)
        page = watch.over(context.new_page())
        page.goto(f"{at.address if isinstance(at, Site) else at}/#{view}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert watch.wrong == []
