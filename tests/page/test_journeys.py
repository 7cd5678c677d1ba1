"""What people do on the page, from creating a job to its end, on a processor that really runs it."""

import json
import re
from pathlib import Path

from fastapi import FastAPI
from playwright.sync_api import Page, Route, expect

from processor.api.app import application
from processor.settings import load
from tests.api.conftest import serving
from tests.conftest import migrate
from tests.databases import Server
from tests.page.conftest import Opens
from tests.page.site import Site


def create(page: Page, type_: str, payload: str, subject: str = "") -> int:
    page.get_by_role("link", name="Create a job").first.click()
    page.get_by_label("Type", exact=True).fill(type_)
    page.get_by_label("Payload (JSON)").fill(payload)
    page.get_by_label("Subject").fill(subject)
    page.get_by_role("button", name="Create the job").click()
    page.wait_for_url(re.compile(r"#/jobs/\d+$"))
    return int(page.url.rpartition("/")[2])


def state(page: Page) -> object:
    return page.locator(".heading .badge")


def live_to_its_end(page: Page, folder: Path) -> None:
    """Create a job, watch it, read what it says while it says it, and see its result."""
    go = folder / "go"
    create(page, "chapter.analyse", json.dumps({"log": "the first line", "until": str(go)}), "chapter:12")
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "42")
    expect(page.locator("main")).to_contain_text("half way")
    expect(page.get_by_role("log")).to_contain_text("the first line")
    expect(state(page)).to_contain_text("running")
    assert "that was it" not in page.get_by_role("log").inner_text()
    go.touch()
    expect(page.get_by_role("log")).to_contain_text("that was it")
    expect(state(page)).to_contain_text("completed")
    expect(page.get_by_role("region", name="Result")).to_contain_text('"said": "the first line"')
    expect(page.locator("main")).to_contain_text("It has ended; this is all it told.")
    lines = page.get_by_role("log").locator(".line").all_inner_texts()
    assert sum("the first line" in line for line in lines) == 1


def test_a_job_is_created_watched_and_read_to_its_end(site: Site, opens: Opens, tmp_path: Path) -> None:
    live_to_its_end(opens(site), tmp_path)


def test_a_job_is_created_watched_and_read_to_its_end_on_postgresql(
    postgresql: Server, opens: Opens, tmp_path: Path
) -> None:
    database = postgresql.create_migrated_database(migrate)
    there = Site(tmp_path, database.url)
    try:
        there.serve()
        there.start("run")
        live_to_its_end(opens(there), tmp_path)
    finally:
        there.close()
        database.drop()


def test_what_is_no_json_is_said_beside_its_field_and_not_sent(site: Site, opens: Opens) -> None:
    page = opens(site, "/create")
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.get_by_label("Type", exact=True).fill("mail.send")
    page.get_by_label("Payload (JSON)").fill('{"log": ')
    page.get_by_role("button", name="Create the job").click()
    expect(page.locator("#payload-wrong")).to_contain_text("This is no JSON")
    expect(page.get_by_label("Payload (JSON)")).to_be_focused()
    assert sent == []


def test_what_the_server_refuses_stands_beside_the_field_with_its_remedy(site: Site, opens: Opens) -> None:
    page = opens(site, "/create")
    page.get_by_label("Type", exact=True).fill("mail.send")
    page.get_by_label("Wait before it may run").fill("5")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Not before").fill("2030-01-01T08:00:00")
    page.get_by_role("button", name="Create the job").click()
    expect(page.locator("#delay_seconds-wrong")).to_contain_text("Nothing was enqueued. Give one.")


def test_a_running_job_is_cancelled(site: Site, opens: Opens, tmp_path: Path) -> None:
    job = site.enqueue("chapter.analyse", until=str(tmp_path / "never"))
    page = opens(site, f"/jobs/{job}")
    expect(state(page)).to_contain_text("running")
    page.get_by_role("button", name="Cancel").click()
    expect(state(page)).to_contain_text("cancelled")
    expect(page.locator("#toasts")).to_contain_text(f"Job {job} was asked to stop.")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_a_failed_job_shows_its_trace_and_is_retried(site: Site, opens: Opens) -> None:
    job = site.enqueue("report.daily", words="no paper")
    page = opens(site, f"/jobs/{job}")
    expect(state(page)).to_contain_text("failed")
    expect(page.locator(".card.error")).to_contain_text("ValueError no paper")
    expect(page.get_by_role("region", name="Trace of the error")).to_contain_text("Traceback")
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("table", name="Jobs that failed lately")).to_contain_text("no paper")
    page.go_back()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("main")).to_contain_text("Failed attempts (2)")
    expect(page.get_by_role("log")).to_contain_text("pending (asked)")


def test_a_job_is_replayed_as_a_new_one(site: Site, opens: Opens) -> None:
    job = site.enqueue("chapter.analyse", "--subject", "chapter:7", log="once more")
    page = opens(site, f"/jobs/{job}")
    page.get_by_role("link", name="Replay as new").click()
    expect(page.get_by_label("Payload (JSON)")).to_have_value(re.compile("once more"))
    page.get_by_role("button", name="Create the job").click()
    page.wait_for_url(re.compile(r"#/jobs/\d+$"))
    assert int(page.url.rpartition("/")[2]) > job
    expect(page.locator(".facts")).to_contain_text("chapter:7")
    expect(page.get_by_role("log")).to_contain_text("once more")


def test_all_that_a_filter_finds_is_counted_and_then_steered(site: Site, opens: Opens) -> None:
    jobs = [site.enqueue("mail.send", "--in", "1h", "--subject", "letters") for _ in range(3)]
    page = opens(site, "/jobs?subject=letters")
    expect(page.get_by_role("row")).to_have_count(4)
    page.get_by_role("button", name="Cancel …").click()
    expect(page.get_by_role("dialog")).to_contain_text("Cancel 3 jobs?")
    page.get_by_role("button", name="Leave it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert all(json.loads(site.command("show", job, "--json"))["status"] != "cancelled" for job in jobs[:1])
    page.get_by_role("button", name="Cancel …").click()
    page.get_by_role("button", name="Yes: cancel 3 jobs").click()
    expect(page.locator("#toasts")).to_contain_text("3 jobs were cancelled or asked to stop.")
    expect(page.locator("td .badge.cancelled")).to_have_count(3)
    page.get_by_role("button", name="Resume …").click()
    expect(page.locator("#toasts")).to_contain_text("None of these jobs is in a state to resume.")


def test_jobs_are_filtered_and_searched(site: Site, opens: Opens) -> None:
    site.enqueue("mail.send", "--in", "1h", "--subject", "needle:1")
    page = opens(site, "/jobs")
    page.get_by_label("Text in a name or an error").fill("needle")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_label("running").check()
    expect(page.locator("main")).to_contain_text("No job is like that.")
    page.go_back()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="Clear").click()
    expect(page.get_by_label("Text in a name or an error")).to_have_value("")


def test_a_type_is_paused_and_the_overview_says_why_its_jobs_wait(site: Site, opens: Opens) -> None:
    page = opens(site, "/types")
    page.get_by_role("button", name="Pause thumbnail.make").click()
    expect(page.locator("#toasts")).to_contain_text("thumbnail.make is paused on every processor")
    job = site.enqueue("thumbnail.make")
    page.get_by_role("link", name="Overview").click()
    waits = page.get_by_role("row").filter(has_text="thumbnail.make")
    expect(waits).to_contain_text("paused until somebody resumes it")
    page.get_by_role("link", name="Types").click()
    page.get_by_role("button", name="Resume thumbnail.make").click()
    page.goto(f"{site.address}/#/jobs/{job}")
    expect(state(page)).to_contain_text("completed")


def test_the_limits_of_a_type_are_set(site: Site, opens: Opens) -> None:
    page = opens(site, "/types")
    page.get_by_role("button", name="Limits of mail.send").click()
    page.get_by_label("Starts in a time").fill("soon")
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_role("dialog")).to_contain_text("Such as 10/min.")
    page.get_by_label("Starts in a time").fill("1000/s")
    page.get_by_label("At once, on all processors").fill("9")
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_role("row").filter(has_text="mail.send")).to_contain_text("9 at once, 1000/s")


def test_a_schedule_is_made_fired_paused_and_deleted(site: Site, opens: Opens) -> None:
    page = opens(site, "/schedules")
    page.get_by_role("link", name="New schedule").click()
    page.get_by_label("Name", exact=True).fill("morning")
    page.get_by_label("Type", exact=True).fill("mail.send")
    page.get_by_label("Cron").fill("every day")
    page.get_by_role("button", name="Make the schedule").click()
    expect(page.locator("form")).to_contain_text("Nothing was changed.")
    page.get_by_label("Cron").fill("0 8 * * *")
    page.get_by_role("button", name="Make the schedule").click()
    row = page.get_by_role("row").filter(has_text="morning")
    expect(row.locator("time")).to_have_count(4)  # three firings, and how far ahead the first one is
    page.get_by_role("button", name="Fire morning").click()
    expect(row).to_contain_text("completed")
    page.get_by_role("button", name="Pause morning").click()
    expect(row).to_contain_text("paused")
    page.get_by_role("button", name="Delete morning").click()
    page.get_by_role("button", name="Delete it").click()
    expect(row).to_have_count(0)


def test_a_notification_is_told_and_read(site: Site, opens: Opens) -> None:
    job = site.enqueue("report.daily", words="nobody was there")
    page = opens(site, "/notifications")
    row = page.get_by_role("row").filter(has_text=f"#{job} ")
    expect(row).to_contain_text("nobody was there")
    row.get_by_role("button").click()
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Mark all as read").click()
    expect(page.locator("main")).to_contain_text("Nothing is unread.")
    page.get_by_role("link", name="All", exact=True).click()
    expect(row).to_contain_text("read")


def test_a_processor_is_drained(site: Site, opens: Opens) -> None:
    other = site.start("run", "--name", "the-other-one")
    page = opens(site, "/processors")
    page.get_by_role("button", name="Drain the-other-one").click()
    page.get_by_role("button", name="Drain it").click()
    expect(page.get_by_role("row").filter(has_text="the-other-one")).to_have_count(0)
    assert other.wait(30) == 0


def test_the_log_goes_on_where_a_server_that_ended_had_stopped(own_site: Site, opens: Opens, tmp_path: Path) -> None:
    server = own_site.serve()
    own_site.start("run")
    numbers = tmp_path / "numbers"
    numbers.mkdir()
    job = own_site.enqueue("chapter.count", folder=str(numbers), upto=3)
    page = opens(own_site, f"/jobs/{job}")
    (numbers / "1").touch()
    expect(page.get_by_role("log")).to_contain_text("number 1 of 3")
    own_site.end(server)
    (numbers / "2").touch()
    expect(page.locator("#banner")).to_contain_text("The server does not answer.")
    own_site.serve(listen=own_site.address.removeprefix("http://"))
    (numbers / "3").touch()
    expect(page.get_by_role("log")).to_contain_text("number 3 of 3", timeout=40_000)
    expect(page.locator("#banner")).to_be_empty()
    lines = page.get_by_role("log").locator(".line").all_inner_texts()
    assert [sum(f"number {n} of 3" in line for line in lines) for n in (1, 2, 3)] == [1, 1, 1]


def test_mounted_in_another_application_it_works_below_its_path(opens: Opens, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    migrate(url)
    outer = FastAPI()
    app = application(load(environ={}, flags={"database.url": url}), is_loopback=True)
    outer.mount("/queue", app)
    with serving(outer) as address:
        page = opens(f"{address}/queue")
        try:
            create(page, "mail.send", "{}", "below a path")
            expect(page.locator(".facts")).to_contain_text("below a path")
            expect(page.locator("main")).to_contain_text("No processor is alive.")
        finally:
            page.close()  # its stream would keep the server
    app.state.service.database.close()


def test_a_job_that_is_not_there_is_said(site: Site, opens: Opens) -> None:
    page = opens(site, "/jobs/999999")
    expect(page.get_by_role("alert")).to_contain_text("There is no job 999999.")
    page.get_by_role("link", name="all jobs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    page.goto(f"{site.address}/#/nowhere")
    expect(page.locator("main")).to_contain_text("There is no such page.")


def test_what_has_ended_is_counted_and_then_deleted(own_site: Site, opens: Opens) -> None:
    own_site.serve()
    own_site.start("run")
    sent = [own_site.enqueue("mail.send") for _ in range(2)]
    own_site.enqueue("report.daily")
    later = own_site.enqueue("mail.send", "--in", "1h")
    page = opens(own_site, "/jobs")
    expect(page.locator("td .badge.completed")).to_have_count(2)
    expect(page.locator("td .badge.failed")).to_have_count(1)
    page.get_by_label("Created longer ago than").select_option("a day")
    page.get_by_role("button", name="Clean up …").click()
    expect(page.locator("#toasts")).to_contain_text("No job is like that, so there is nothing to clean up.")
    page.get_by_label("Created longer ago than").select_option("any age")
    page.get_by_role("button", name="Clean up …").click()
    expect(page.get_by_role("dialog")).to_contain_text("Delete 2 jobs?")
    page.get_by_role("button", name="Leave it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert [json.loads(own_site.command("show", job, "--json"))["status"] for job in sent] == ["completed"] * 2
    page.get_by_role("button", name="Clean up …").click()
    page.get_by_role("button", name="Yes: delete 2 jobs").click()
    expect(page.locator("td .badge.completed")).to_have_count(0)
    expect(page.locator("td .badge.failed")).to_have_count(1)
    page.get_by_label("Jobs that are").select_option("all that ended, also cancelled")
    page.get_by_role("button", name="Clean up …").click()
    page.get_by_role("button", name="Yes: delete 1 job").click()
    expect(page.get_by_role("row")).to_have_count(2)  # the head, and what has not ended
    expect(page.get_by_role("row").nth(1)).to_contain_text(f"#{later} ")


def test_a_number_of_a_payload_keeps_all_its_digits_when_it_is_shown_and_replayed(site: Site, opens: Opens) -> None:
    large = 12345678901234567891
    job = site.enqueue("report.daily", words=large)
    page = opens(site, f"/jobs/{job}")
    expect(page.get_by_role("region", name="Payload")).to_contain_text(f'"words": {large}')
    page.get_by_role("link", name="Replay as new").click()
    expect(page.get_by_label("Payload (JSON)")).to_have_value(re.compile(str(large)))
    page.get_by_role("button", name="Create the job").click()
    page.wait_for_url(re.compile(r"#/jobs/\d+$"))
    again = page.url.rpartition("/")[2]
    assert json.loads(site.command("show", again, "--json"))["payload"] == {"words": large}


def test_a_key_that_is_pressed_twice_does_not_retry_what_it_cancelled(site: Site, opens: Opens, tmp_path: Path) -> None:
    job = site.enqueue("chapter.analyse", until=str(tmp_path / "never"))
    page = opens(site, f"/jobs/{job}")
    expect(state(page)).to_contain_text("running")
    page.get_by_role("button", name="Cancel").focus()
    page.keyboard.press("Enter")
    expect(state(page)).to_contain_text("cancelled")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Delete …").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert json.loads(site.command("show", job, "--json"))["status"] == "cancelled"


def test_who_aims_at_cancel_when_a_job_ends_does_not_retry_it(site: Site, opens: Opens, tmp_path: Path) -> None:
    job = site.enqueue("chapter.analyse", until=str(tmp_path / "go"))
    page = opens(site, f"/jobs/{job}")
    expect(state(page)).to_contain_text("running")
    box = page.get_by_role("button", name="Cancel").bounding_box()
    assert box is not None
    (tmp_path / "go").touch()
    expect(state(page)).to_contain_text("completed")
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Replay job {job} as new")


def test_what_was_masked_is_not_replayed_as_stars(site: Site, opens: Opens) -> None:
    job = site.enqueue("nobody.runs", password="hunter2", to="ann", note="***")
    page = opens(site, f"/create?replay={job}")
    expect(page.get_by_label("Payload (JSON)")).to_have_value(re.compile(r'"password": "\*\*\*"'))
    page.get_by_role("button", name="Create the job").click()
    expect(page.locator("#payload-wrong")).to_contain_text("The payload has *** under 'password'")
    page.get_by_label("Payload (JSON)").fill('{"password": "another", "note": "***"}')
    page.get_by_role("button", name="Create the job").click()
    page.wait_for_url(re.compile(r"#/jobs/\d+$"))
    again = page.url.rpartition("/")[2]
    assert json.loads(site.command("show", again, "--json"))["payload"]["password"] == "another"


def test_what_is_masked_in_a_schedule_is_not_overwritten_with_stars(site: Site, opens: Opens) -> None:
    secret = '{"password": "hunter2"}'
    site.command("schedules", "set", "nightly", "--type", "nobody.runs", "--cron", "0 3 * * *", "--payload", secret)
    page = opens(site, "/schedules/edit/nightly")
    page.get_by_label("Cron").fill("0 4 * * *")
    page.get_by_role("button", name="Change it").click()
    row = page.get_by_role("row").filter(has_text="nightly")
    expect(row).to_contain_text("0 4 * * *")
    assert "hunter2" in site.command("schedules", "--json")
    row.get_by_role("link", name="nightly").click()
    page.get_by_label("Payload (JSON)").fill('{"password": "***", "to": "ann"}')
    page.get_by_role("button", name="Change it").click()
    expect(page.locator("#payload-wrong")).to_contain_text("The payload has *** under 'password'")
    page.get_by_label("Payload (JSON)").fill(secret.replace("2", "3"))
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Schedules")
    assert "hunter3" in site.command("schedules", "--json")


def test_a_schedule_that_is_changed_keeps_all_that_was_not(site: Site, opens: Opens) -> None:
    page = opens(site, "/nowhere")
    change = {"type": "mail.send", "cron": "@daily", "catch_up": "all", "catch_up_limit": 7, "owner": "ann"}
    page.evaluate(
        """async (change) => {
          const headers = { "Content-Type": "application/json" };
          await fetch("api/v1/schedules/kept", { method: "PUT", headers, body: JSON.stringify(change) });
        }""",
        {**change, "subject": "s", "jitter_seconds": 30, "skip_if_running": True, "time_zone": "Europe/Vienna"},
    )
    read = "async () => (await (await fetch('api/v1/schedules/kept')).json())"
    before = page.evaluate(read)
    page.goto(f"{site.address}/#/schedules/edit/kept")
    page.get_by_label("Subject").fill("another")
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Schedules")
    assert {**before, "subject": "another"} == page.evaluate(read)


def test_a_limit_that_was_not_changed_is_left_to_the_configuration(site: Site, opens: Opens) -> None:
    page = opens(site, "/types")
    page.get_by_role("button", name="Limits of thumbnail.make").click()
    expect(page.get_by_label("At once, on all processors")).to_have_value("1")
    page.get_by_label("Starts in a time").fill("500/s")
    with page.expect_request(lambda request: request.method == "PATCH") as sent:
        page.get_by_role("button", name="Set").click()
    assert sent.value.post_data_json == {"rate": "500/s"}
    expect(page.get_by_role("row").filter(has_text="thumbnail.make")).to_contain_text("1 at once, 500/s")


def test_who_leaves_before_a_job_is_shown_again_is_not_told_of_an_error(
    site: Site, opens: Opens, tmp_path: Path
) -> None:
    job = site.enqueue("chapter.analyse", until=str(tmp_path / "never"))
    page = opens(site, f"/jobs/{job}")
    expect(state(page)).to_contain_text("running")
    held: list[Route] = []
    page.route(f"**/api/v1/jobs/{job}", lambda route: held.append(route))  # noqa: PLW0108 - a builtin can hold nothing
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#toasts")).to_contain_text("was asked to stop")
    page.keyboard.press("t")
    expect(page.get_by_role("heading", level=1)).to_have_text("Types")
    assert held
    assert page.locator(".toast.bad").all_inner_texts() == []


def test_unread_notifications_are_counted_in_the_menu_from_the_first_view_on(own_site: Site, opens: Opens) -> None:
    own_site.serve()
    own_site.start("run")
    job = own_site.enqueue("report.daily")
    page = opens(own_site, f"/jobs/{job}")
    expect(state(page)).to_contain_text("failed")
    expect(page.locator("#unread")).to_have_text("1")
    page.reload()
    expect(page.locator("#unread")).to_have_text("1")
    own_site.enqueue("report.daily")
    page.keyboard.press("o")
    expect(page.locator("#unread")).to_have_text("2")
