from pathlib import Path

import pytest

from processor import layers
from processor import settings as s
from processor.errors import JobtableError, SettingsError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder the command is started in; the configuration file of most tests is elsewhere."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def file(tmp_path: Path, here: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    return folder / "jobtable.toml"


def load(
    file: Path | None = None, toml: str = "", /, flags: dict[str, object] | None = None, **environ: str
) -> s.Settings:
    if file is not None:
        file.write_text(toml, encoding="utf-8")
    return s.load(file, environ, flags)


def refusal(file: Path | None = None, toml: str = "", /, flags: dict[str, object] | None = None, **environ: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load(file, toml, flags, **environ)
    return str(refused.value)


def origin(settings: s.Settings, key: str) -> tuple[object, str]:
    return next((one.value, one.origin) for one in s.explain(settings) if one.key == key)


# --- places ---------------------------------------------------------------------------------------------------------


def test_no_file_is_a_good_file(here: Path) -> None:
    settings = load()
    assert settings.file is None
    assert settings.database.url == f"sqlite:///{here}/jobtable.db"
    assert (settings.processor.max_concurrent, settings.processor.max_attempts) == (3, 1)
    assert settings.metrics.address == ("127.0.0.1", 9750)


def test_flags_win_over_environment_over_file_over_defaults(file: Path) -> None:
    toml = "[processor]\nmax_concurrent = 4\ntimeout = 40\ngrace = 4\n"
    environ = {"JOBTABLE_PROCESSOR__TIMEOUT": "50", "JOBTABLE_PROCESSOR__GRACE": "5"}
    settings = load(file, toml, {"processor.grace": 6, "processor.timeout": None}, **environ)
    found = [origin(settings, f"processor.{key}") for key in ("poll_interval", "max_concurrent", "timeout", "grace")]
    assert found == [
        (1.0, "default"),
        (4, "jobtable.toml"),
        (50.0, "environment JOBTABLE_PROCESSOR__TIMEOUT"),
        (6.0, "flag --grace"),
    ]


def test_the_file_is_looked_for_by_flag_then_environment_then_here(file: Path, here: Path) -> None:
    file.write_text("[log]\nlevel = 'error'")
    other = here.parent / "other.toml"
    other.write_text("[log]\nlevel = 'warning'")
    (here / "jobtable.toml").write_text("[log]\nlevel = 'debug'")
    assert s.load(file, {"JOBTABLE_CONFIG": str(other)}).log.level == "error"
    assert s.load(None, {"JOBTABLE_CONFIG": str(other)}).log.level == "warning"
    assert s.load(None, {}).log.level == "debug"


@pytest.mark.parametrize("asked_by", ["--config", "JOBTABLE_CONFIG"])
def test_a_file_that_was_asked_for_must_exist(tmp_path: Path, asked_by: str) -> None:
    missing = tmp_path / "missing.toml"
    environ = {"JOBTABLE_CONFIG": str(missing)} if asked_by == "JOBTABLE_CONFIG" else {}
    with pytest.raises(SettingsError, match=f"{missing} .*{asked_by}.* does not exist"):
        s.load(missing if asked_by == "--config" else None, environ)


def test_a_folder_is_no_configuration_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a file"):
        s.load(tmp_path, {})


def test_a_file_that_is_no_toml_is_refused_with_its_line(file: Path) -> None:
    assert "is not valid TOML" in refusal(file, "[log]\nlevel =")
    assert "line 2" in refusal(file, "[log]\nlevel = oops")
    file.write_bytes(b"# \xff")
    with pytest.raises(SettingsError, match="is not valid TOML"):
        s.load(file, {})


def test_the_process_environment_is_read_when_none_is_given(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBTABLE_LOG__LEVEL", "error")
    assert s.load().log.level == "error"


def test_settings_cannot_be_changed_afterwards(here: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().processor.max_concurrent = 9  # type: ignore[misc]


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "place", "remedy"),
    [
        ("[processor]\nmax_concurent = 3", "[processor] max_concurent", "Did you mean max_concurrent?"),
        ("[procesor]\nmax_concurrent = 3", "procesor", "Did you mean processor?"),
        ("max_concurrent = 3", "max_concurrent", "Did you mean [processor] max_concurrent?"),
        ("[database]\ntimeout = 3", "[database] timeout", "Did you mean connect_timeout?"),
        ("[types.a]\npython = 'a:b'\nretry = {dely = 1}", "[types.a.retry] dely", "Did you mean delay?"),
        ('[types."a.b"]\npython = "a:b"\ntimout = 1', '[types."a.b"] timout', "Did you mean timeout?"),
        ("[log]\nzzz = 1", "[log] zzz", "Known here: format, level."),
    ],
)
def test_an_unknown_key_is_refused_with_its_place_and_the_nearest_key(
    file: Path, toml: str, place: str, remedy: str
) -> None:
    text = refusal(file, toml)
    assert text == f"{file}: {place} is not a known key. Nothing was started. {remedy}"


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[types.a]\ncommand = ['x']\nage_priority = 'soon'", 'expected priority per time, such as "1 per 10m"'),
        ("[types.a]\ncommand = ['x']\nfair = 'tenant'", "fair = \"tenant\": expected 'none' or 'owner'"),
        ("[processor]\ntimeout = 'soon'", '[processor] timeout = "soon": expected seconds (30)'),
        ("[processor]\ntimeout = -1", "[processor] timeout = -1: expected greater than"),
        ("[processor]\ntimeout = 0", "timeout = 0: expected greater than 0"),
        ("[processor]\ntimeout = nan", "timeout = NaN: expected"),
        ("[processor]\ntimeout = inf", "timeout = Infinity: expected"),
        ("[processor]\ntimeout = true", "timeout = true: expected seconds"),
        ("[processor]\nmax_concurrent = true", "max_concurrent = true: expected a number"),
        ("[processor]\nmax_concurrent = 0", "max_concurrent = 0: expected greater than or equal to 1"),
        ("[processor]\nmax_concurrent = 1.5", "max_concurrent = 1.5: expected a whole number"),
        ("[processor]\nmemory_limit_bytes = '64XB'", "expected whole bytes"),
        ('[processor]\nname = "a\\nb"', "expected 1 to 200 letters without line ends"),
        ("[processor]\nmodules = 3", "modules = 3: expected a list"),
        ('[processor]\nworkdir = "a\\u0000"', "expected a path without NUL"),
        ("[processor]\nworkdir = '~nobody-has-this-name/x'", "expected a path"),
        ("[processor.environment]\n'A=B' = 'x'", "expected names without '='"),
        ("processor = 3", "processor = 3: expected a table"),
        ("[database]\nurl = 'oracle://h/d'", "expected postgresql://…"),
        ("[database]\nurl = 'sqlite://'", "expected the path of a file"),
        ("[database]\nurl = 'sqlite:///:memory:'", "expected the path of a file"),
        ("[database]\nschema = 'a; drop'", "expected letters, digits and _"),
        ("[database]\nwakeup = 'perhaps'", "expected true or false"),
        ("[metrics]\nlisten = ':9750'", "expected host:port"),
        ("[metrics]\nlisten = '127.0.0.1'", "expected host:port"),
        ("[metrics]\nlisten = '127.0.0.1:99999'", "expected host:port"),
        ("[metrics]\nlisten = 'here'", '127.0.0.1:9750, 0.0.0.0:9750 for every network, or "" for off'),
        ("[serve]\nlisten = ''", "expected host:port such as 127.0.0.1:9760, 0.0.0.0:9760 for every network"),
        ("[serve]\nlisten = ':9760'", "expected host:port"),
        ("[serve]\nhosts = ['*']", "expected names such as jobs.example.org, without port; got '*'"),
        ("[serve]\nhosts = ['jobs.example.org:80']", "without port"),
        ("[serve]\nhosts = ['']", "expected names"),
        ("[serve]\norigins = ['*']", "expected origins such as https://app.example.org, without path; got '*'"),
        ("[serve]\norigins = ['https://a.example/']", "without path"),
        ("[serve]\norigins = ['https://me:pw@a.example']", "without path"),
        ("[serve]\norigins = ['https://*.example']", "without path"),
        ("[serve]\norigins = ['ftp://a.example']", "expected origins"),
        ("[serve]\norigins = ['null']", "expected origins"),
        ("[jwt]\njwks = 'http://id.example.org/'", "expected an address such as https://id.example.org/jwks.json"),
        ("[jwt]\njwks = 'https://me:pw@id.example.org/'", "http on loopback alone"),
        ("[jwt]\njwks = 'file:///etc/passwd'", "http on loopback alone"),
        ("[jwt]\njwks = 'https://id.example.org/'", "expected issuer and audience beside keys or jwks"),
        ("[jwt]\njwks = 'https://x/'\nissuer = 'i'", "expected issuer and audience beside keys or jwks"),
        ("[jwt]\nissuer = 'i'", "expected keys or jwks beside issuer and audience"),
        ("[jwt]\njwks = 'https://x/'\nkeys = ['a']\nissuer = 'i'\naudience = 'a'", "expected keys or jwks, got both"),
        ("[jwt]\nalgorithms = ['RS256', 'none']", "expected some of RS256"),
        ("[jwt]\nalgorithms = ['HS256']", "expected some of RS256"),
        ("[jwt]\nalgorithms = []", "expected some of RS256"),
        (
            "[jwt]\nscopes = {x = 'root'}",
            "expected each of them to be some of read, write, admin, metrics; 'x' is 'root'",
        ),
        ("[jwt]\nleeway = '1h'", "less than or equal to 300"),
        ("[serve]\nmask = ['password', '_']", "expected parts of names, with a letter or a digit; got '_'"),
        ("[serve]\nread_only = 'perhaps'", "expected true or false"),
        ("[log]\nlevel = 'loud'", "expected 'debug', 'info', 'warning' or 'error'"),
        ("[retry]\njitter = 2", "jitter = 2: expected less than or equal to 1"),
        ("[retry]\nfactor = 0.5", "factor = 0.5: expected greater than or equal to 1"),
        ("[types.'a b']\npython = 'a:b'", '[types] "a b": expected a type name'),
        ("[types.a]\ntimeout = 1", "[types] a: expected exactly one of python, command and http, got none of them"),
        ("[types.a]\npython = 'a:b'\ncommand = ['x']", "got python and command"),
        ("[types.a]\npython = 'no colon'", "expected a function such as"),
        ("[types.a]\ncommand = 'ls -l'", "expected a list"),
        ("[types.a]\ncommand = []", "expected a list that begins with the program"),
        ("[types.a]\nhttp = 'ftp://x/'", "expected an address such as"),
        ("[types.a]\nhttp = 'http://'", "expected an address such as"),
        ("[types.a]\nhttp = 'http://h:x/'", "expected an address such as"),
        ('[types.a]\nhttp = "http://h/"\nheaders = {A = "b\\r\\nC: d"}', "texts without line ends"),
        ("[types.a]\npython = 'a:b'\nsecret = 'x'", "only beside http"),
        ("[types.a]\npython = 'a:b'\nnotify = 'always'", "expected 'both', 'completed', 'failed' or 'none'"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_accepted(file: Path, toml: str, words: str) -> None:
    text = refusal(file, toml)
    assert text.startswith(f"{file}: ")
    assert words in text
    assert "\n" not in text


def test_a_lease_that_a_few_missed_heartbeats_outlast_is_refused(file: Path) -> None:
    assert load(file, "[processor]\nlease = 20\nheartbeat_interval = 5").processor.lease == 20
    assert "expected at least 20 s, 4 times heartbeat_interval = 5" in refusal(file, "[processor]\nlease = 19.9")
    assert "expected at least 80 s" in refusal(file, "[processor]\nheartbeat_interval = 20")


def test_all_problems_are_told_at_once(file: Path) -> None:
    text = refusal(file, "[log]\nlevel = 'loud'\n[processor]\ntimout = 1", JOBTABLE_RETRY__DELAY="x")
    assert text.startswith("3 settings are wrong. Nothing was started.\n")
    assert all(f"\n  {place}" in text for place in (f"{file}: [log]", f"{file}: [processor]", "environment variable"))


@pytest.mark.parametrize(
    "toml",
    [
        "[database]\nurl = 'oracle://me:hunter2@host/db'",
        "[types.a]\nhttp = 'ftp://me:hunter2@host/'",
        "[types.a]\nhttp = 'http://h/'\nsecret = ['hunter2']",
        "[types.a]\nhttp = 'http://h/'\nheaders = {Authorization = ['hunter2']}",
        "[types.a]\npython = 'a:b'\nenvironment = {API_TOKEN = ['hunter2']}",
    ],
)
def test_a_refusal_never_shows_a_secret(file: Path, toml: str) -> None:
    text = refusal(file, toml)
    assert "********" in text
    assert "hunter2" not in text


def test_a_settings_error_has_its_own_exit_code() -> None:
    assert (SettingsError("a").exit_code, JobtableError("a").exit_code) == (2, 1)


# --- environment ----------------------------------------------------------------------------------------------------


def test_a_refused_variable_is_named(here: Path) -> None:
    assert refusal(JOBTABLE_PROCESSOR__TIMEOUT="x").startswith(
        'environment variable JOBTABLE_PROCESSOR__TIMEOUT = "x": expected seconds'
    )
    assert refusal(JOBTABLE_PROCESSOR__TIMOUT="1") == (
        "environment variable JOBTABLE_PROCESSOR__TIMOUT is not a known key. Nothing was started. Did you mean timeout?"
    )
    assert "--max-concurrent = 0: expected" in refusal(flags={"processor.max_concurrent": 0})


def test_one_underscore_too_few_is_told_and_foreign_variables_are_left_alone(here: Path) -> None:
    assert "JOBTABLE_DATABASE__URL" in refusal(JOBTABLE_DATABASE_URL="sqlite:///x.db")
    assert load(JOBTABLE_PORT="tcp://10.0.0.1:80", JOBTABLE_SERVICE_HOST="10.0.0.1")


def test_lists_and_tables_can_be_variables(here: Path) -> None:
    settings = load(
        JOBTABLE_PROCESSOR__MODULES="novel.jobs, novel.more",
        JOBTABLE_PROCESSOR__PASS_ENVIRONMENT='["LANG", "TZ"]',
        JOBTABLE_PROCESSOR__ENVIRONMENT__Mixed_Case="1",
        JOBTABLE_TYPES__LS__COMMAND='["ls", "-l"]',
        JOBTABLE_TYPES__LS__RETRY__DELAY="1m",
    )
    assert settings.processor.modules == ("novel.jobs", "novel.more")
    assert settings.processor.pass_environment == ("LANG", "TZ")
    assert settings.processor.environment == {"Mixed_Case": "1"}
    assert settings.types["ls"].command == ("ls", "-l")
    assert settings.types["ls"].retry.delay == 60


def test_a_table_is_merged_key_by_key_and_each_key_knows_who_set_it(file: Path) -> None:
    settings = load(
        file,
        "[processor]\nenvironment = {A = 'file', B = 'file'}",
        JOBTABLE_PROCESSOR__ENVIRONMENT='{"B": "json", "C": "json"}',
        JOBTABLE_PROCESSOR__ENVIRONMENT__C="own",
    )
    assert settings.processor.environment == {"A": "file", "B": "json", "C": "own"}
    _, origins = origin(settings, "processor.environment")
    assert origins == (
        "jobtable.toml, environment JOBTABLE_PROCESSOR__ENVIRONMENT, environment JOBTABLE_PROCESSOR__ENVIRONMENT__C"
    )


def test_a_table_replaces_what_is_no_table(file: Path) -> None:
    environ = {"JOBTABLE_PROCESSOR__ENVIRONMENT": "oops", "JOBTABLE_PROCESSOR__ENVIRONMENT__A": "1"}
    assert load(file, "[processor]\nenvironment = {}", **environ).processor.environment == {"A": "1"}
    assert "JOBTABLE_PROCESSOR__ENVIRONMENT" in refusal(
        file, "[processor]\nenvironment = {A = '1'}", JOBTABLE_PROCESSOR__ENVIRONMENT="oops"
    )


def test_an_empty_variable_unsets_what_may_be_unset(file: Path) -> None:
    assert load(file, "[processor]\nworkdir = '/x'", JOBTABLE_PROCESSOR__WORKDIR="").processor.workdir is None
    assert load(file, "", JOBTABLE_METRICS__LISTEN="").metrics.address is None


def test_a_variable_finds_the_type_whose_name_a_shell_cannot_spell(file: Path) -> None:
    toml = '[types."Chapter.analyse"]\nhttp = "http://h/"'
    settings = load(file, toml, JOBTABLE_TYPES__CHAPTER_ANALYSE__SECRET="shh")
    assert settings.types["Chapter.analyse"].read_secret() == "shh"


def test_a_variable_that_could_mean_two_types_is_refused(file: Path) -> None:
    toml = '[types."a.b"]\nhttp = "http://h/"\n[types."a-b"]\nhttp = "http://h/"'
    assert "a-b and a.b" in refusal(file, toml, JOBTABLE_TYPES__A_B__SECRET="shh")


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("500ms", 0.5), ("90s", 90), ("10m", 600), ("2h", 7200), ("1.5 h", 5400)]
)
def test_a_duration_may_have_a_unit(here: Path, text: str, seconds: float) -> None:
    assert load(JOBTABLE_PROCESSOR__TIMEOUT=text).processor.timeout == seconds


@pytest.mark.parametrize(("text", "size"), [("5", 5), ("64MiB", 64 * 2**20), ("1gb", 10**9), ("2 KiB", 2048)])
def test_a_size_may_have_a_unit(here: Path, text: str, size: int) -> None:
    assert load(JOBTABLE_PROCESSOR__MAX_OUTPUT_BYTES=text).processor.max_output_bytes == size


def test_paths_in_the_file_are_read_against_its_folder(file: Path) -> None:
    settings = load(
        file,
        """
        [database]
        url = "sqlite:///data/jobs.db?timeout=3"
        [processor]
        workdir = "work"
        [types.a]
        python = "a:b"
        interpreter = "../novel/.venv/bin/python"
        pythonpath = ["src", "/opt/src"]
        [types.b]
        command = ["./count", "./left-alone"]
        [types.c]
        command = ["count"]
        """,
    )
    folder = file.parent
    assert settings.database.url == f"sqlite:///{folder}/data/jobs.db?timeout=3"
    assert settings.processor.workdir == folder / "work"
    assert settings.processor.pythonpath == (folder,)
    assert settings.types["a"].interpreter == folder.parent / "novel/.venv/bin/python"
    assert settings.types["a"].pythonpath == (folder / "src", Path("/opt/src"))
    assert settings.types["b"].command == (str(folder / "count"), "./left-alone")
    assert settings.types["c"].command == ("count",)


def test_the_default_database_lies_beside_the_file(file: Path) -> None:
    assert load(file, "").database.url == f"sqlite:///{file.parent}/jobtable.db"


def test_a_venvs_interpreter_is_not_followed_to_where_it_links(file: Path) -> None:
    (file.parent / "python").symlink_to("/bin/sh")
    settings = load(file, "[processor]\ninterpreter = 'python'")
    assert settings.processor.interpreter == file.parent / "python"


def test_paths_typed_by_a_person_are_read_against_where_the_person_is(file: Path, here: Path) -> None:
    settings = load(file, "", {"database.url": "sqlite:///x.db"}, JOBTABLE_PROCESSOR__WORKDIR="work")
    assert settings.database.url == f"sqlite:///{here}/x.db"
    assert settings.processor.workdir == here / "work"


def test_a_server_address_is_left_as_it_is(here: Path) -> None:
    url = "postgresql://me:p%40ss@host:5433/db?sslmode=require"
    settings = load(JOBTABLE_DATABASE__URL=url)
    assert settings.database.url == url
    assert settings.database.safe_url == "postgresql://me:********@host:5433/db?sslmode=require"


@pytest.mark.parametrize(
    ("listen", "address", "is_loopback"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0), True),
        ("localhost:80", ("localhost", 80), True),
        ("[::1]:9750", ("::1", 9750), True),
        ("0.0.0.0:9750", ("0.0.0.0", 9750), False),
        ("[::]:9750", ("::", 9750), False),
    ],
)
def test_listen_is_an_address_and_tells_whether_others_reach_it(
    here: Path, listen: str, address: tuple[str, int], is_loopback: bool
) -> None:
    metrics = load(JOBTABLE_METRICS__LISTEN=listen).metrics
    assert (metrics.address, metrics.is_loopback) == (address, is_loopback)


def test_the_api_listens_somewhere_and_the_metrics_need_not(here: Path) -> None:
    settings = load(JOBTABLE_METRICS__LISTEN="")
    assert settings.metrics.address is None
    assert settings.serve.address == ("127.0.0.1", 9760)
    assert settings.serve.is_loopback


def test_lists_of_the_api_are_read_from_the_environment_in_small_letters(here: Path) -> None:
    serve = load(
        JOBTABLE_SERVE__HOSTS="Jobs.example.org, [::1]",
        JOBTABLE_SERVE__ORIGINS="https://App.example.org,http://localhost:3000",
        JOBTABLE_SERVE__MASK="",
        JOBTABLE_SERVE__READ_ONLY="true",
    ).serve
    assert serve.hosts == ("jobs.example.org", "[::1]")
    assert serve.origins == ("https://app.example.org", "http://localhost:3000")
    assert (serve.mask, serve.read_only) == ((), True)


def test_processes_are_never_more_than_slots(here: Path) -> None:
    assert load().processor.processes == 3
    assert load(JOBTABLE_PROCESSOR__MAX_PROCESSES="2").processor.processes == 2
    assert load(JOBTABLE_PROCESSOR__MAX_PROCESSES="9").processor.processes == 3


# --- types ----------------------------------------------------------------------------------------------------------


def test_a_type_takes_what_it_does_not_say_from_the_processor(file: Path) -> None:
    settings = load(
        file,
        """
        [processor]
        timeout = 100
        grace = 1
        environment = {A = "1", B = "1"}
        pass_environment = ["LANG"]
        [retry]
        delay = 3
        jitter = 0
        [types.a]
        python = "a:b"
        timeout = 5
        retry = {delay = 7}
        environment = {B = "2"}
        pass_environment = ["TZ", "LANG"]
        """,
    )
    limits = settings.limits(settings.types["a"])
    assert (limits.timeout, limits.grace, limits.max_attempts) == (5, 1, 1)
    assert (limits.retry.delay, limits.retry.jitter, limits.retry.factor) == (7, 0, 2)
    assert limits.environment == {"A": "1", "B": "2"}
    assert limits.pass_environment == ("LANG", "TZ")
    assert limits.retry_on is None


def test_a_secret_can_lie_in_a_file_that_is_read_anew(file: Path) -> None:
    secret = file.parent / "hook.secret"
    secret.write_text("first\n")
    settings = load(file, "[types.a]\nhttp = 'http://h/'\nsecret_file = 'hook.secret'")
    assert settings.types["a"].read_secret() == "first"
    secret.write_text("second\n")
    assert settings.types["a"].read_secret() == "second"


def test_a_secret_file_that_cannot_be_read_is_refused_at_once(file: Path) -> None:
    toml = "[types.a]\nhttp = 'http://h/'\nsecret_file = 'hook.secret'"
    assert f"secret_file {file.parent}/hook.secret cannot be read" in refusal(file, toml)
    (file.parent / "hook.secret").write_text("\n")
    assert "is empty" in refusal(file, toml)
    (file.parent / "hook.secret").write_text("x")
    assert "secret or secret_file, got both" in refusal(file, f"{toml}\nsecret = 'y'")


# --- explain --------------------------------------------------------------------------------------------------------


def test_every_key_in_force_is_explained(file: Path) -> None:
    settings = load(file, "[types.a]\npython = 'a:b'\n[schedules.a]\ntype = 'a'\ncron = '@daily'")
    keys = {".".join(path).replace(".NAME.", ".a.") for path, _ in layers.fields(s.Settings)}
    assert {one.key for one in s.explain(settings)} == keys


def test_inherited_values_say_from_where(file: Path) -> None:
    settings = load(file, "[processor]\ntimeout = 9\n[types.'a.b']\npython = 'a:b'", {"processor.grace": 2})
    assert origin(settings, 'types."a.b".timeout') == (9.0, "processor.timeout (jobtable.toml)")
    assert origin(settings, 'types."a.b".grace') == (2.0, "processor.grace (flag --grace)")
    assert origin(settings, 'types."a.b".retry.delay') == (10.0, "retry.delay (default)")


def test_explain_never_shows_a_secret(file: Path) -> None:
    settings = load(
        file,
        """
        [database]
        url = "postgresql://me:hunter2@host/db"
        [processor]
        environment = {DB_PASSWORD = "hunter2", UPSTREAM = "http://me:hunter2@h/", PLAIN = "seen"}
        [types.a]
        http = "http://me:hunter2@h/"
        secret = "hunter2"
        headers = {Authorization = "Bearer hunter2"}
        """,
    )
    shown = repr(s.explain(settings))
    assert "seen" in shown
    assert "hunter2" not in shown
    assert "hunter2" not in repr(settings)


# --- retention ------------------------------------------------------------------------------------------------------


def test_how_long_rows_are_kept_is_a_duration_or_never_also_by_type(file: Path) -> None:
    toml = '[retention]\ncompleted = "2d"\nfailed = "never"\n[types.a]\npython = "m:f"\nretention = {failed = "1h"}\n'
    settings = load(file, toml, JOBTABLE_TYPES__A__RETENTION__CANCELLED="never", JOBTABLE_RETENTION__NOTIFICATIONS="0")
    kept = settings.limits(settings.types["a"]).retention
    assert (kept.completed, kept.failed, kept.cancelled, kept.notifications) == (2 * 86400, 3600, "never", 0)
    assert settings.retention.failed == "never"
    assert origin(settings, "types.a.retention.completed")[1].startswith("retention.completed (")


@pytest.mark.parametrize("value", ['"soon"', '"-1d"', '"4000d"', "-1", "true", "inf", '"Never"'])
def test_a_retention_that_cannot_be_meant_is_refused(file: Path, value: str) -> None:
    assert 'expected a duration of at most ten years such as "7d", or "never"' in refusal(
        file, f"[retention]\ncompleted = {value}\n"
    )


def test_keys_of_a_provider_are_beside_the_file_or_where_they_were_typed(file: Path, here: Path) -> None:
    rest = "issuer = 'i'\naudience = 'a'\n"
    assert load(file, f"[jwt]\nkeys = ['id.pem']\n{rest}").jwt.keys == (file.parent / "id.pem",)
    typed = load(file, f"[jwt]\n{rest}", JOBTABLE_JWT__KEYS="a.pem, b.pem")
    assert typed.jwt.keys == (here / "a.pem", here / "b.pem")
    assert load(file, f"[jwt]\njwks = 'http://127.0.0.1:8080/jwks'\n{rest}").jwt.is_on
    assert not load(file).jwt.is_on


def test_a_delivery_is_tried_ten_times_in_about_a_day() -> None:
    """So docs/webhooks.md promises, in words."""
    webhooks = s.Webhooks()
    pauses = [webhooks.backoff.seconds(attempt, 0.5) for attempt in range(1, webhooks.max_attempts)]
    assert pauses[:3] == [10.0, 40.0, 160.0]
    assert (len(pauses), max(pauses)) == (9, 6 * 3600.0)
    assert 20 * 3600 < sum(pauses) < 26 * 3600
