"""A real Prometheus, configured as deployment/ says, watches real processors and a real server.

The files are those of deployment/; only addresses and times are the test's. Scrapes and evaluations come every
second, and what has to hold for minutes until somebody is woken has to hold for two seconds. No expression is touched.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from tests.cli.conftest import environment
from tests.databases.machine import free_port
from tests.deployment import dashboard
from tests.deployment.prometheus import Prometheus
from tests.patience import PATIENCE, eventually
from tests.processors.running import Processor, Site
from tests.test_deployment import rules, with_the_server

OFTEN = "1s"
SOON = "2s"
WINDOW = "10s"
"""What the dashboard's rates look back on."""
OLD = "2026-01-01 00:00:00"
SILENT = {
    "Alerts that fired": "no alert fires while all is well",
    "Handlers that cannot be started": "every handler can be started",
    "Alerts firing": "an annotation of the same",
    "Processor started": "an annotation; a processor is new on its port here",
}
"""Who tells nothing about a busy processor that is well, beside series of what should not happen."""
UNTOLD = {"given back: {{cause}}": "claims are given back after a lost connection only"}


class Watch:
    """Processors and a server of one site, and the Prometheus that scrapes them."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.listens = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        self.serves = f"127.0.0.1:{free_port()}"
        self.folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        self._token = ""
        self._prometheus: Prometheus | None = None

    def processor(self, number: int) -> Processor:
        """Start the first or the second processor."""
        started = self.site.start("--name", f"p{number}", "--metrics-listen", self.listens[number])
        started.await_event("processor_started")
        return started

    def serve(self) -> None:
        """Start a server, and use what it can do."""
        self._token = self.site.command("token", "create", "--all-owners", "--scope", "admin").strip()
        token = self.site.command("token", "create", "--all-owners", "--scope", "metrics").strip()
        (self.folder / "server.token").write_text(token)
        command = [sys.executable, "-P", "-m", "processor", "--config", str(self.site.config)]
        self._server = subprocess.Popen(
            [*command, "serve", "--listen", self.serves],
            cwd=self.site.folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda: self.asks("/readyz") == 200, "the server")

    def asks(self, path: str) -> int:
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            return httpx.get(f"http://{self.serves}{path}", headers=headers, timeout=PATIENCE).status_code
        except httpx.TransportError:
            return 0

    @property
    def prometheus(self) -> Prometheus:
        if self._prometheus is None:
            self._prometheus = Prometheus(self._configured())
        return self._prometheus

    def _configured(self) -> Path:
        config = yaml.safe_load(with_the_server())
        config["global"] = {"scrape_interval": OFTEN, "scrape_timeout": OFTEN, "evaluation_interval": OFTEN}
        processors, server = config["scrape_configs"]
        del processors["dns_sd_configs"]
        processors["static_configs"] = [{"targets": self.listens}]
        server["static_configs"] = [{"targets": [self.serves]}]
        watched = [{**rule, "for": SOON} if "for" in rule else rule for rule in rules()]
        (self.folder / "alerts.yml").write_text(yaml.safe_dump({"groups": [{"name": "jobtable", "rules": watched}]}))
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        return self.folder / "prometheus.yml"

    def has_scraped(self, listen: str) -> None:
        """Wait until Prometheus read zeros from there twice: an increase begins at what it saw first."""
        zeros = f'jobtable_jobs_finished_total{{type="fail", reason="error", instance="{listen}"}}'
        counted = f"count_over_time({zeros}[1m]) >= 2"
        eventually(lambda: self.prometheus.query(counted), counted)

    def close(self) -> None:
        if self._prometheus is not None:
            self._prometheus.close()
        if self._server is not None:
            self._server.kill()
            self._server.wait()


@pytest.fixture
def watch(site: Site, tmp_path: Path) -> Iterator[Watch]:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    watch = Watch(site, folder)
    yield watch
    watch.close()


# --- a busy processor ------------------------------------------------------------------------------------------------

BUSY = """
[types.fail_once]
python = "deeds:fail_once"
max_attempts = 2
[types.quick]
python = "deeds:quick"
queue_limit = 1000
[schedules.often]
type = "nothing"
every = "1s"
[webhooks]
allow = ["127.0.0.0/8"]
"""


def keep_busy(watch: Watch) -> None:
    """Give a processor some of everything that a healthy one does."""
    site = watch.site
    site.write(types=BUSY, listen=watch.listens[0])
    old = f"'quick', 'completed', '{OLD}', '{OLD}'"
    site.db.rows(f"INSERT INTO jobs (type, status, created_at, finished_at) VALUES ({old})")
    nobody = f"http://127.0.0.1:{free_port()}/"
    site.command("webhook", "create", nobody, "--all-owners", "--type", "quick")
    site.insert("until", until=str(site.folder / "never"))
    watch.serve()


def unanswered(watch: Watch) -> list[str]:
    """Give the questions of the dashboard to which there is no answer yet, or not by what its legend names."""
    missing = []
    for question in dashboard.questions(dashboard.read()):
        found = watch.prometheus.query(dashboard.asked(question.text, WINDOW, "1m"))
        if not found or any(not sample.labels.get(label) for sample in found for label in question.labels):
            missing.append(f"{question.asker}: {question.text}")
    return missing


def silent() -> set[str]:
    board = dashboard.read()
    untold = [
        f"{panel['title']}: {target['expr']}"
        for panel in dashboard.panels(board)
        for target in panel["targets"]
        if target["legendFormat"] in UNTOLD
    ]
    return {f"{one.asker}: {one.text}" for one in dashboard.questions(board) if one.asker in SILENT} | set(untold)


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_the_dashboard_has_an_answer_to_everything_about_a_busy_processor(watch: Watch) -> None:
    keep_busy(watch)
    for number, listen in enumerate(watch.listens):
        processor = watch.processor(number)
        watch.has_scraped(listen)
        processor.signal(signal.SIGHUP)

    def answered() -> bool:
        for type_ in ("quick", "quick_async", "fail_once"):
            watch.site.insert(type_)
        watch.asks("/api/v1/jobs")
        left[:] = set(unanswered(watch)) ^ silent()
        return not left

    left: list[str] = []
    eventually(answered, left)
    assert watch.prometheus.firing() == {}


# --- what goes wrong with jobs ---------------------------------------------------------------------------------------

WRONG = """
[types.held]
python = "deeds:quick"
queue_limit = 2
[types.broken]
python = "nowhere:nothing"
[types.falls]
command = ["false"]
[types.touchy]
python = "deeds:quick"
[types.picky]
python = "deeds:quick"
[schedules.often]
type = "held"
every = "1s"
"""
REFUSES = (
    "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$",
    "CREATE TRIGGER a BEFORE UPDATE ON jobs FOR EACH ROW WHEN (NEW.type = 'touchy') EXECUTE FUNCTION no()",
    "CREATE TRIGGER b BEFORE UPDATE ON jobs FOR EACH ROW"
    " WHEN (NEW.type = 'picky' AND NEW.status = 'completed') EXECUTE FUNCTION no()",
)


def forget_a_paused_type(site: Site) -> None:
    """A type is paused, its jobs wait for an hour and fill their queue, and its schedule goes on."""
    site.command("types", "pause", "held")
    for _ in range(2):
        site.db.rows("INSERT INTO jobs (type, run_at) VALUES ('held', now() - interval '1 hour')")


def go_wrong(site: Site) -> None:
    """Everything that producers, handlers, operators and the database's own rules may do to jobs."""
    forget_a_paused_type(site)
    for statement in REFUSES:
        site.db.rows(statement)
    for type_ in ("broken", "touchy", "picky", "stranger", *["fail", "falls"] * 6):
        site.insert(type_)
    site.command("pause", str(site.insert("quick", {"run_at": "2040-01-01 00:00:00"})))
    site.db.rows("INSERT INTO schedules (name, type, cron) VALUES ('odd', 'quick', 'when I like')")


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_whoever_watches_is_told_what_goes_wrong_with_jobs(watch: Watch) -> None:
    watch.site.write(types=WRONG)
    del watch.listens[1]
    processor = watch.processor(0)
    watch.has_scraped(watch.listens[0])
    go_wrong(watch.site)
    watch.site.config.write_text(watch.site.config.read_text() + "\n[nonsense]\n")
    processor.signal(signal.SIGHUP)
    told = watch.prometheus
    told.await_alert("JobtableJobsWaitTooLong", type="held", severity="warning")
    told.await_alert("JobtableQueueFull", type="held")
    told.await_alert("JobtableFiringsSkipped", type="held")
    told.await_alert("JobtableFailureShare", type="fail")
    told.await_alert("JobtableFailureShare", type="falls")
    told.await_alert("JobtableTypesUnhandled")
    told.await_alert("JobtableHandlerUnusable", type="broken", severity="critical")
    told.await_alert("JobtableRowsRefused", type="touchy")
    told.await_alert("JobtableOutcomesUnstorable", type="picky")
    told.await_alert("JobtableJobsPausedLong", type="quick")
    told.await_alert("JobtableSchedulesUnreadable")
    told.await_alert("JobtableSettingsRefused", instance=watch.listens[0])


# --- what goes wrong with processors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_whoever_watches_is_told_what_goes_wrong_with_processors(watch: Watch, tmp_path: Path) -> None:
    site, told, never = watch.site, watch.prometheus, str(tmp_path / "never")
    dies = watch.processor(1)
    site.await_status("running", site.insert("until", until=never))
    watch.has_scraped(watch.listens[1])
    dies.kill()
    told.await_alert("JobtableNoProcessor", severity="critical")

    successor = watch.processor(0)  # at another address; it settles what the dead one ran before anybody scrapes it
    told.await_alert("JobtableProcessorDied")
    told.await_alert("JobtableJobsLost")
    told.await_alert("JobtableProcessorDown", instance=watch.listens[1], severity="warning")
    assert "JobtableNoProcessor" not in told.firing()

    [supervisor] = successor.children()
    os.kill(supervisor, signal.SIGKILL)
    told.await_alert("JobtableSupervisorRestarts", instance=watch.listens[0])

    for job in [site.insert("until", until=never) for _ in range(4)]:
        site.await_status("running", job)
    site.db.rows("INSERT INTO jobs (type, run_at) VALUES ('quick', now() - interval '2 minutes')")
    told.await_alert("JobtableSlotsSaturated")
    successor.signal(signal.SIGTERM)
    told.await_alert("JobtableDrainsTooLong", instance=watch.listens[0])


# --- what goes wrong with the database -------------------------------------------------------------------------------


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_whoever_watches_is_told_that_the_database_is_away(watch: Watch) -> None:
    site = watch.site
    site.config.write_text(site.config.read_text().replace("lease = 4", "lease = 60"))
    del watch.listens[1]
    processor = watch.processor(0)
    watch.has_scraped(watch.listens[0])
    told, one = watch.prometheus, {"instance": watch.listens[0]}
    with away(site, processor):
        told.await_alert("JobtableDatabaseDown", severity="critical", **one)
    for _ in range(3):
        with away(site, processor):
            pass
    told.await_alert("JobtableDatabaseUnsteady", **one)
    eventually(lambda: "JobtableDatabaseDown" not in told.firing(), "it is up again")


@contextmanager
def away(site: Site, processor: Processor) -> Iterator[None]:
    """Take the database away until the end of the block; a processor has noticed both."""
    noticed = len(processor.events("database_lost"))
    site.db.server.stop("kill")
    try:
        eventually(lambda: len(processor.events("database_lost")) > noticed, "it is lost")
        yield
    finally:
        site.db.server.start()
    eventually(lambda: len(processor.events("database_returned")) > noticed, "it is back")
