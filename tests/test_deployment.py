"""What is in `deployment/`, checked by the tools that will read it; without a tool, its tests are skipped."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from processor import settings as s
from processor.api import server
from processor.cli.root import COMMANDS
from processor.errors import SettingsError
from processor.metrics import Metrics

FOLDER = Path(__file__).parent.parent / "deployment"
UNIT = FOLDER / "jobtable.service"
SERVER_UNIT = FOLDER / "jobtable-serve.service"
EXPOSURE = 2.5
"""systemd's own score, 10 is naked; below 2.5 it says OK."""


def run(tool: str, package: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which(tool)
    if program is None:
        pytest.skip(f"{tool} is NOT installed, deployment/ was not checked with it: apt-get install {package}")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run("promtool", "prometheus", *(FOLDER / a if a.endswith(".yml") else a for a in arguments))


@pytest.fixture(params=[UNIT, SERVER_UNIT], ids=lambda path: path.name)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit with a program that exists here; systemd refuses one that does not."""
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", request.param.read_text(), flags=re.MULTILINE)
    copy = tmp_path / str(request.param.name)
    copy.write_text(text)
    return copy


def unit_values(key: str, unit: Path = UNIT) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return parsed


# --- systemd --------------------------------------------------------------------------------------------------------


def test_systemd_has_no_complaint_about_the_unit(unit: Path) -> None:
    verified = run("systemd-analyze", "systemd", "verify", unit)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")  # unknown keys only print


def test_systemd_would_complain_about_a_wrong_unit(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("ProtectClock=", "ProtectClok="))
    assert "ProtectClok" in run("systemd-analyze", "systemd", "verify", unit).stderr


def test_the_unit_is_hardened(unit: Path) -> None:
    threshold = f"--threshold={round(EXPOSURE * 10)}"
    scored = run("systemd-analyze", "systemd", "security", "--offline=true", threshold, unit)
    assert scored.returncode == 0, scored.stdout


def test_the_unit_waits_longer_than_a_drain() -> None:
    processor = s.Processor.model_validate({})
    assert int(unit_values("TimeoutStopSec")[0]) >= processor.drain_timeout + processor.grace + 5


def test_the_unit_of_the_server_waits_longer_than_its_requests_may_take() -> None:
    assert int(unit_values("TimeoutStopSec", SERVER_UNIT)[0]) >= server.DRAIN + 5


def test_the_server_is_tried_again_for_as_long_as_its_database_is_away() -> None:
    found = {key: unit_values(key, SERVER_UNIT) for key in ("Restart", "StartLimitIntervalSec")}
    assert found == {"Restart": ["always"], "StartLimitIntervalSec": ["0"]}
    (unit_section, _, _) = SERVER_UNIT.read_text().partition("[Service]")
    assert "StartLimitIntervalSec" in unit_section


@pytest.mark.parametrize("path", [UNIT, SERVER_UNIT], ids=lambda path: path.name)
def test_the_unit_runs_a_command_that_exists(path: Path) -> None:
    [command] = unit_values("ExecStart", path)
    program, name = command.split()
    assert program == "/opt/jobtable/bin/jobtable"
    assert name in COMMANDS


@pytest.mark.parametrize("path", [UNIT, SERVER_UNIT], ids=lambda path: path.name)
def test_the_unit_stops_for_good_on_refused_settings(path: Path) -> None:
    assert unit_values("RestartPreventExitStatus", path) == [str(SettingsError.exit_code)]


@pytest.mark.parametrize("path", [UNIT, SERVER_UNIT], ids=lambda path: path.name)
def test_the_unit_sets_only_settings_that_exist(path: Path, tmp_path: Path) -> None:
    (tmp_path / "jobtable.toml").touch()
    environ = dict(pair.split("=", 1) for pair in unit_values("Environment", path))
    assert environ["JOBTABLE_CONFIG"].startswith("/etc/")
    s.load(tmp_path / "jobtable.toml", environ)


# --- prometheus -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
)
def test_prometheus_accepts_its_files(arguments: tuple[str, ...]) -> None:
    checked = promtool(*arguments)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "SUCCESS" in checked.stdout


def with_the_server() -> str:
    """Give prometheus.yml with the scrape of the server; it stands there as a comment, since it needs a token."""
    text = (FOLDER / "prometheus.yml").read_text()
    before, _, rest = text.partition("  # - job_name: jobtable-server\n")
    assert rest
    return before + re.sub(r"^  # ", "  ", f"  # - job_name: jobtable-server\n{rest}", flags=re.MULTILINE)


def test_prometheus_accepts_the_scrape_of_the_server(tmp_path: Path) -> None:
    config = tmp_path / "prometheus.yml"
    config.write_text(with_the_server())
    shutil.copy(FOLDER / "alerts.yml", tmp_path)
    (tmp_path / "server.token").write_text("jt_x")
    checked = run("promtool", "prometheus", "check", "config", config)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "job_name: jobtable-server\n    authorization:" in config.read_text()


def test_every_alert_is_raised_in_a_test() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", (FOLDER / "alerts.yml").read_text()))
    tests = (FOLDER / "alerts_test.yml").read_text()
    raised = set(re.findall(r"- alertname: (\w+)\n\s+eval_time: \w+\n\s+exp_alerts:\n", tests))
    assert len(alerts) >= 7
    assert raised == alerts


def test_every_alert_is_quiet_in_a_test() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", (FOLDER / "alerts.yml").read_text()))
    tests = (FOLDER / "alerts_test.yml").read_text()
    assert set(re.findall(r"\{alertname: (\w+), eval_time: \w+, exp_alerts: \[\]\}", tests)) == alerts


def test_every_alert_says_what_to_do_and_where_more_is_written() -> None:
    for rule in rules():
        notes = rule["annotations"]
        assert set(notes) == {"summary", "description", "runbook_url"}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert len(re.findall(r"[.?](?: |$)", notes["description"])) >= 3, rule[
            "alert"
        ]  # what happened, what follows, what to do
        path, _, anchor = notes["runbook_url"].partition("#")
        titles = re.findall(r"^### (\w+)$", (FOLDER.parent / path).read_text(), re.MULTILINE)
        assert [title for title in titles if title.lower() == anchor] == [rule["alert"]]


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_every_metric_in_an_alert_exists() -> None:
    named = set(re.findall(r"\bjobtable_\w+", (FOLDER / "alerts.yml").read_text()))
    assert named
    assert named <= exported()


def exported() -> set[str]:
    """Give the names of the series that a processor exports."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
    families = Metrics(["mail"]).registry.collect()
    return {family.name + suffix for family in families for suffix in suffixes.get(family.type, ("",))}


def test_alerts_fit_the_default_settings() -> None:
    (late,) = re.findall(r"jobtable_heartbeat_age_seconds > (\d+)", (FOLDER / "alerts.yml").read_text())
    processor = s.Processor.model_validate({})
    assert 2 * processor.heartbeat_interval < int(late) < processor.lease / 2


# --- containers -----------------------------------------------------------------------------------------------------


def test_the_services_start_in_order() -> None:
    services = compose()["services"]
    assert services["migrate"]["depends_on"]["database"]["condition"] == "service_healthy"
    assert services["processor"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert "healthcheck" in services["database"]


def test_the_services_run_commands_that_exist() -> None:
    services = compose()["services"]
    for name in ("migrate", "processor", "server"):
        program = "import sys; from processor.cli import main; sys.exit(main())"
        arguments = [*services[name]["command"], "--help"]
        shown = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)
        assert shown.returncode == 0, shown.stderr


def test_the_services_set_only_settings_that_exist() -> None:
    for service in compose()["services"].values():
        environ = {
            name: value.replace("${POSTGRES_PASSWORD:?choose one, of letters and digits}", "hunter2")
            for name, value in service.get("environment", {}).items()
        }
        url = s.load(None, environ).database.url
        assert "JOBTABLE_DATABASE__URL" not in environ or url == "postgresql://jobtable:hunter2@database/jobtable"


def test_the_services_have_no_more_rights_than_they_need() -> None:
    for name in ("migrate", "processor", "server"):
        service = compose()["services"][name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
    published = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_server_is_started_when_asked_for_and_answers_where_it_is_looked_for() -> None:
    service = compose()["services"]["server"]
    settings = s.load(None, service["environment"], {"serve.listen": service["command"][-1]}).serve
    assert (service["profiles"], settings.hosts) == (["server"], ("server",))
    assert settings.address == ("0.0.0.0", 9760)
    assert service["ports"] == ["127.0.0.1:9760:9760"]
    assert "http://127.0.0.1:9760/healthz" in service["healthcheck"]["test"][-1]
    assert "server:9760" in (FOLDER / "prometheus.yml").read_text()
    assert "jobtable[mariadb,web]" in (FOLDER / "Dockerfile").read_text()


def test_what_the_services_mount_exists() -> None:
    mounts = [volume for service in compose()["services"].values() for volume in service.get("volumes", [])]
    files = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert files
    assert all((FOLDER / file).is_file() for file in files)
    assert all((FOLDER / mount.split(":")[0]).is_dir() for mount in mounts if mount.startswith("../"))
    named = {mount.split(":")[0] for mount in mounts if not mount.startswith(".")}
    assert named == set(compose()["volumes"])


def grafana(name: str) -> Any:
    return yaml.safe_load((FOLDER / "grafana" / name).read_text())


def mounted(service: str) -> dict[str, str]:
    """Give where a service finds our files: path in the container, path beside compose.yaml."""
    pairs = [volume.split(":") for volume in compose()["services"][service]["volumes"]]
    assert all(pair[2:] == ["ro"] for pair in pairs if pair[0].startswith("."))
    return {pair[1]: pair[0] for pair in pairs if pair[0].startswith(".")}


def test_prometheus_and_grafana_are_started_when_asked_for() -> None:
    services = compose()["services"]
    profiles = {name: service.get("profiles") for name, service in services.items()}
    assert profiles["prometheus"] == profiles["grafana"] == ["watch"]
    assert not any(profiles[name] for name in ("database", "migrate", "processor"))
    assert mounted("prometheus")["/etc/prometheus/alerts.yml"] == "./alerts.yml"
    assert "--config.file=/etc/prometheus/prometheus.yml" in services["prometheus"]["command"]


def test_grafana_finds_its_data_source_and_the_dashboard() -> None:
    files = mounted("grafana")
    assert files["/etc/grafana/provisioning/datasources/jobtable.yml"] == "./grafana/datasource.yml"
    assert files["/etc/grafana/provisioning/dashboards/jobtable.yml"] == "./grafana/provider.yml"
    [provider] = grafana("provider.yml")["providers"]
    home = compose()["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert files[home] == "./grafana/jobtable.json"
    assert home.startswith(f"{provider['options']['path']}/")
    [docs] = [one for one in grafana("jobtable.json")["templating"]["list"] if one["name"] == "docs"]
    assert files[f"/usr/share/grafana{docs['query']}"] == "../docs"


def test_the_data_source_is_the_prometheus_beside_it_and_knows_how_often_that_scrapes() -> None:
    [source] = grafana("datasource.yml")["datasources"]
    scrapes = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert (source["url"], source["type"]) == ("http://prometheus:9090", "prometheus")
    assert compose()["services"]["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]
    assert source["jsonData"]["timeInterval"] == scrapes["global"]["scrape_interval"]


def test_in_grafana_who_looks_can_change_nothing() -> None:
    service = compose()["services"]["grafana"]
    environ = service["environment"]
    assert environ["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environ["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"  # there is nobody to log in as
    assert (environ["GF_AUTH_BASIC_ENABLED"], environ["GF_AUTH_DISABLE_LOGIN_FORM"]) == ("false", "true")
    assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert [one["allowUiUpdates"] for one in grafana("provider.yml")["providers"]] == [False]
    assert [one["editable"] for one in grafana("datasource.yml")["datasources"]] == [False]


def test_a_container_is_given_longer_than_a_drain() -> None:
    processor = s.Processor.model_validate({})
    seconds = int(compose()["services"]["processor"]["stop_grace_period"].removesuffix("s"))
    assert seconds >= processor.drain_timeout + processor.grace + 5


def test_the_image_sets_only_settings_that_exist_and_is_no_root() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    assert s.load(None, dict(re.findall(r"\b(JOBTABLE_\w+)=(\S+)", text))).metrics.address == ("0.0.0.0", 9750)
    assert re.findall(r"^USER (\d+)$", text, re.MULTILINE)[-1] != "0"
    assert 'ENTRYPOINT ["tini", "--", "jobtable"]' in text
    assert "--require-hashes" in text
