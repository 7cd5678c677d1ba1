"""The page below another application: everything it asks for lies there, too."""

from playwright.sync_api import expect

from tests.api.test_mounted import yours
from tests.page.conftest import Opens
from tests.page.site import Site
from tests.page.test_login import log_in


def test_who_logs_in_follows_a_job_below_another_application(opens: Opens, own_site: Site) -> None:
    token = own_site.command("token", "create", "--owner", "ann", "--scope", "read,write")
    job = own_site.enqueue("mail.send", "--in", "1h", "--owner", "ann")
    with yours(own_site.folder, f"sqlite:///{own_site.folder / 'jobs.db'}") as (address, _):
        page = opens(f"{address}/queue", f"/jobs/{job}")
        log_in(page, token)
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("log")).to_contain_text("cancelled (asked)")
        page.reload()
        expect(page.locator(".heading .badge")).to_contain_text("cancelled")
        assert [cookie["path"] for cookie in page.context.cookies()] == ["/queue/"]
