"""Who is let in, what they may, and where the token is not kept."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import Opens, make_site
from tests.page.site import Site


class Guarded:
    """A site with tokens: `ann` may read and write, `reader` only read, `admin` everything, of all owners."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.ann = self.token("--owner", "ann", "--scope", "read,write")
        self.reader = self.token("--owner", "ann", "--scope", "read")
        self.admin = self.token("--all-owners", "--scope", "admin")
        self.of_ann = site.enqueue("mail.send", "--in", "1h", "--owner", "ann", "--subject", "a letter")
        self.of_bob = site.enqueue("mail.send", "--in", "1h", "--owner", "bob", "--subject", "a secret")

    def token(self, *words: str) -> str:
        return self.site.command("token", "create", *words)


@pytest.fixture(scope="module")
def guarded(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    site = make_site(tmp_path_factory.mktemp("guarded"))
    guarded = Guarded(site)
    site.serve()
    yield guarded
    site.close()


def log_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()


def test_a_wrong_token_is_refused_in_words(guarded: Guarded, opens: Opens) -> None:
    page = opens(guarded.site, "/jobs")
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    log_in(page, "jt_0123456789abcdef_" + "A" * 43)
    expect(page.get_by_role("alert")).to_contain_text("The token is not valid")
    expect(page.get_by_label("Token")).to_have_value("")
    expect(page.get_by_role("navigation", name="Views")).to_have_count(0)


def test_who_logs_in_sees_the_view_that_was_asked_for_and_leaves_again(guarded: Guarded, opens: Opens) -> None:
    page = opens(guarded.site, f"/jobs/{guarded.of_ann}")
    log_in(page, guarded.ann)
    expect(page.locator(".facts")).to_contain_text("a letter")
    page.get_by_role("button", name="Cancel").click()  # with the cookie, and what guards it
    expect(page.locator(".heading .badge")).to_contain_text("cancelled")
    expect(page.get_by_role("log")).to_contain_text("cancelled (asked)")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".heading .badge")).not_to_contain_text("cancelled")
    page.reload()
    expect(page.locator(".facts")).to_contain_text("a letter")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


def test_the_token_is_sent_in_a_header_once_and_kept_nowhere(guarded: Guarded, opens: Opens) -> None:
    page = opens(guarded.site, "/jobs")
    asked: list[tuple[str, str, str]] = []
    page.on("request", lambda one: asked.append((one.method, one.url, one.headers.get("authorization", ""))))
    log_in(page, guarded.ann)
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    assert not any(guarded.ann in url for _, url, _ in asked)
    [(method, url, _)] = [one for one in asked if one[2]]
    assert (method, url.endswith("/api/v1/session")) == ("POST", True)
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")
    assert guarded.ann not in kept
    assert "jobtable_session" not in kept
    assert guarded.ann not in page.content()


def test_an_owner_finds_its_own_jobs_only(guarded: Guarded, opens: Opens) -> None:
    page = opens(guarded.site, "/jobs")
    log_in(page, guarded.ann)
    expect(page.get_by_role("table")).to_contain_text("a letter")
    expect(page.locator("body")).not_to_contain_text("a secret")
    page.goto(f"{guarded.site.address}/#/jobs/{guarded.of_bob}")
    expect(page.get_by_role("alert")).to_contain_text(f"There is no job {guarded.of_bob}.")
    page.goto(f"{guarded.site.address}/#/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(page.locator("body")).not_to_contain_text("a secret")
    expect(page.get_by_role("link", name="Processors")).to_have_count(0)
    page.goto(f"{guarded.site.address}/#/processors")
    expect(page.locator("main")).to_contain_text("No permission")


def test_who_only_reads_is_told_why_nothing_happens(guarded: Guarded, opens: Opens) -> None:
    page = opens(guarded.site, f"/jobs/{guarded.of_ann}")
    log_in(page, guarded.reader)
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_have_attribute("aria-disabled", "true")
    expect(page.get_by_role("link", name="Create a job")).to_have_count(0)
    cancel.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("it lacks the scope write")
    page.goto(f"{guarded.site.address}/#/create")
    expect(page.locator("main")).to_contain_text("No permission")


def test_who_is_admin_sees_all_of_it(guarded: Guarded, opens: Opens) -> None:
    page = opens(guarded.site, "/jobs")
    log_in(page, guarded.admin)
    expect(page.get_by_role("table")).to_contain_text("a secret")
    page.get_by_role("link", name="Processors").click()
    expect(page.locator("main")).to_contain_text("No processor is alive, so nothing runs.")


def test_a_token_that_is_revoked_ends_its_session(guarded: Guarded, opens: Opens) -> None:
    token = guarded.token("--owner", "ann", "--scope", "read")
    page = opens(guarded.site, "/jobs")
    log_in(page, token)
    expect(page.get_by_role("table")).to_be_visible()
    guarded.site.command("token", "revoke", token.split("_")[1])
    expect(page.locator("main")).to_contain_text("Your session has ended, or its token was revoked.")


def test_a_server_that_only_reads_says_so(own_site: Site, opens: Opens) -> None:
    own_site.serve("--read-only")
    job = own_site.enqueue("mail.send")
    page = opens(own_site, f"/jobs/{job}")
    expect(page.get_by_role("banner")).to_contain_text("read-only")
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_have_attribute("title", "This server only reads.")
    page.goto(f"{own_site.address}/#/create")
    expect(page.locator("main")).to_contain_text("This server only reads.")


def log_in_elsewhere(page: Page, token: str) -> None:
    """Open another session in the same browser, as another page of the server would, without telling this one."""
    status = page.evaluate(
        """async (token) => {
          const headers = { Authorization: `Bearer ${token}` };
          return (await fetch("api/v1/session", { method: "POST", headers })).status;
        }""",
        token,
    )
    assert status == 201


def looking_at_a_job(guarded: Guarded, opens: Opens) -> Page:
    """Open a job of ann's that waits, as ann."""
    job = guarded.site.enqueue("mail.send", "--in", "1h", "--owner", "ann")
    page = opens(guarded.site, f"/jobs/{job}")
    log_in(page, guarded.ann)
    expect(page.locator(".heading .badge")).to_contain_text("pending")
    return page


def test_a_session_that_was_opened_anew_elsewhere_still_lets_this_page_write(guarded: Guarded, opens: Opens) -> None:
    page = looking_at_a_job(guarded, opens)
    log_in_elsewhere(page, guarded.ann)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".heading .badge")).to_contain_text("cancelled")


def test_nothing_is_done_in_the_name_of_who_logged_in_elsewhere(guarded: Guarded, opens: Opens) -> None:
    page = looking_at_a_job(guarded, opens)
    log_in_elsewhere(page, guarded.admin)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#toasts")).to_contain_text(
        "all owners is logged in since, in another tab. Nothing was changed."
    )
    expect(page.locator(".person")).to_have_text("all owners")
    expect(page.locator(".heading .badge")).to_contain_text("pending")


def test_other_tabs_follow_who_logs_in_and_out(guarded: Guarded, opens: Opens) -> None:
    page = opens(guarded.site, "/jobs")
    other = page.context.new_page()
    other.goto(f"{guarded.site.address}/#/types")
    log_in(page, guarded.ann)
    expect(other.locator(".person")).to_have_text("ann")
    expect(other.get_by_role("heading", level=1)).to_have_text("Types")
    other.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
