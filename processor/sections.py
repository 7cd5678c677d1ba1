"""Every key that can be set, its default, and what is accepted: one class for each table of `jobtable.toml`.

What a value may look like is in `quantities`; rules that concern several keys are here, beside them.
"""

import ipaddress
import json
import re
import socket
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from processor import addresses, provenance
from processor.addresses import is_http
from processor.ageing import Ageing
from processor.cron import Cron
from processor.errors import SettingsError
from processor.judge import Backoff
from processor.quantities import (
    Argv,
    Count,
    File,
    Files,
    Kept,
    Names,
    Portion,
    Positive,
    Ratio,
    Seconds,
    Size,
    Table,
    against_folder,
    matching,
)
from processor.rates import Rate
from processor.timetable import LONGEST_JITTER, MOST_CAUGHT_UP, SHORTEST, zone_of

DATABASES = ("sqlite", "postgresql", "mysql", "mariadb")
LEASE_BEATS = 4
"""A lease outlives three missed heartbeats: one lost packet or one slow commit must not fence a healthy processor."""
_NAME = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
TypeName = Annotated[
    str,
    AfterValidator(
        matching(
            r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}",
            "a type name: letters, digits and _ . : - (at most 100, the first a letter or digit)",
        )
    ),
]
Identifier = Annotated[str, AfterValidator(matching(r"[A-Za-z_]\w{0,62}", "letters, digits and _ (at most 63)"))]
Function = Annotated[str, AfterValidator(matching(f"{_NAME}:{_NAME}", 'a function such as "package.module:function"'))]
PrintableName = Annotated[
    str, AfterValidator(matching(r"[^\x00-\x1f\x7f]{1,200}", "1 to 200 letters without line ends"))
]
AgePriority = Annotated[str, AfterValidator(lambda text: str(Ageing.parse(text)))]
StartRate = Annotated[str, AfterValidator(lambda text: str(Rate.parse(text)))]
CronText = Annotated[str, AfterValidator(lambda text: text if Cron.parse(text) else "")]
ZoneName = Annotated[str, AfterValidator(lambda name: zone_of(name).key)]
Attempts = Annotated[Count, Field(le=1000)]
Factor = Annotated[Ratio, Field(ge=1, le=100)]
Share = Annotated[Ratio, Field(ge=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Database(Section):
    url: str = Field(default="sqlite:///jobtable.db", validate_default=True, repr=False)
    schema_name: Identifier | None = Field(default=None, alias="schema")
    wakeup: bool = False
    connect_timeout: Positive = 5.0

    @field_validator("url")
    @classmethod
    def _known_database(cls, url: str, info: ValidationInfo) -> str:
        scheme, separator, rest = url.partition("://")
        if not separator or scheme.partition("+")[0] not in DATABASES:
            raise ValueError("expected postgresql://…, mysql://…, mariadb://… or sqlite:///path")
        if scheme.partition("+")[0] != "sqlite":
            return url
        path, question, options = rest.removeprefix("/").partition("?")
        if not rest.startswith("/") or path in ("", ":memory:"):
            raise ValueError("expected the path of a file, sqlite:///path: processor and commands have to share it")
        return f"{scheme}:///{against_folder(Path(path), info)}{question}{options}"

    @property
    def safe_url(self) -> str:
        """The address without its password, for messages and logs."""
        return provenance.mask_text(self.url)


class Processor(Section):
    name: PrintableName = Field(default_factory=socket.gethostname)
    max_concurrent: Count = 3
    max_processes: Count | None = None
    poll_interval: Annotated[Seconds, Field(ge=0.01)] = 1.0
    timeout: Positive = 600.0
    grace: Seconds = 5.0
    max_attempts: Attempts = 1
    drain_timeout: Seconds = 30.0
    heartbeat_interval: Annotated[Seconds, Field(ge=0.05)] = 5.0
    lease: Positive = Field(default=60.0, validate_default=True)
    sample_interval: Annotated[Seconds, Field(ge=0.1)] = 15.0
    workdir: File | None = None
    workdir_limit_bytes: Size = 1024**3
    memory_limit_bytes: Size | None = None
    max_payload_bytes: Portion = 1024**2
    max_output_bytes: Size = 1024**2
    max_result_bytes: Portion = 1024**2
    run_dir: File | None = None
    modules: Names = ()
    interpreter: File | None = None
    pythonpath: Files = Field(default=(Path(),), validate_default=True)
    environment: Table = Field(default={}, repr=False)
    pass_environment: Names = ()

    @field_validator("lease")
    @classmethod
    def _outlives_missed_beats(cls, lease: float, info: ValidationInfo) -> float:
        beat = info.data.get("heartbeat_interval")
        if beat is not None and lease < LEASE_BEATS * beat:
            raise ValueError(
                f"expected at least {LEASE_BEATS * beat:g} s, {LEASE_BEATS} times heartbeat_interval = {beat:g};"
                f" got {lease:g}, and a processor that misses a few heartbeats would be declared dead while it works"
            )
        return lease

    @property
    def processes(self) -> int:
        """How many of the slots may be operating-system processes of their own."""
        return min(self.max_processes or self.max_concurrent, self.max_concurrent)


class Retry(Section):
    """The n-th pause is `delay * factor ** (n - 1)`, at most `max_delay`, plus or minus the share `jitter`."""

    delay: Seconds = 10.0
    factor: Factor = 2.0
    max_delay: Seconds = 3600.0
    jitter: Share = 0.2


class TypeRetry(Section):
    delay: Seconds | None = None
    factor: Factor | None = None
    max_delay: Seconds | None = None
    jitter: Share | None = None


class Retention(Section):
    """How long rows are kept: jobs from their end on, notifications from their making on; `never`: not deleted."""

    completed: Kept = 7 * 86400.0
    failed: Kept = 30 * 86400.0
    cancelled: Kept = 30 * 86400.0
    notifications: Kept = 30 * 86400.0


class TypeRetention(Section):
    completed: Kept | None = None
    failed: Kept | None = None
    cancelled: Kept | None = None
    notifications: Kept | None = None


class Listener(Section):
    """What listens on an address. Where `may_be_off` an empty one means nowhere."""

    may_be_off: ClassVar[bool] = False

    listen: str

    @field_validator("listen")
    @classmethod
    def _an_address(cls, listen: str) -> str:
        if not listen and cls.may_be_off:
            return listen
        host, port = _split_address(listen)
        if not re.fullmatch(r"[A-Za-z0-9_.:%-]+", host) or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
            usual = cls.model_fields["listen"].default
            every = f"0.0.0.0:{_split_address(usual)[1]} for every network"
            raise ValueError(f"expected host:port such as {usual}, {every}" + (', or "" for off' * cls.may_be_off))
        return listen

    @property
    def address(self) -> tuple[str, int] | None:
        """Where to listen; None: nowhere."""
        return _host_and_port(self.listen) if self.listen else None

    @property
    def is_loopback(self) -> bool:
        host = _split_address(self.listen)[0]
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


class Metrics(Listener):
    may_be_off = True

    listen: str = "127.0.0.1:9750"


class Traces(Section):
    enabled: bool = False
    endpoint: str | None = None

    @field_validator("endpoint")
    @classmethod
    def _address(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not is_http(endpoint):
            raise ValueError("expected an address such as http://127.0.0.1:4318/v1/traces")
        return endpoint


class Serve(Listener):
    listen: str = "127.0.0.1:9760"
    hosts: Names = ()
    origins: Names = ()
    mask: Names = (
        "password",
        "passwd",
        "secret",
        "token",
        "authorization",
        "api_key",
        "apikey",
        "credential",
        "private_key",
    )
    read_only: bool = False

    @property
    def address(self) -> tuple[str, int]:
        """Where to listen."""
        return _host_and_port(self.listen)

    @field_validator("hosts")
    @classmethod
    def _host_names(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not re.fullmatch(r"[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]", host):
                raise ValueError(f"expected names such as jobs.example.org, without port; got {host!r}")
        return tuple(host.lower() for host in hosts)

    @field_validator("origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not is_http(origin) or not re.fullmatch(r"\w+://[A-Za-z0-9_.:\[\]-]+", origin, re.ASCII):
                raise ValueError(f"expected origins such as https://app.example.org, without path; got {origin!r}")
        return tuple(origin.lower() for origin in origins)

    @field_validator("mask")
    @classmethod
    def _patterns(cls, mask: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in mask:
            if not any(letter.isalnum() for letter in pattern):
                raise ValueError(f"expected parts of names, with a letter or a digit; got {pattern!r}")
        return mask


def _split_address(listen: str) -> tuple[str, str]:
    host, _, port = listen.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


def _host_and_port(listen: str) -> tuple[str, int]:
    host, port = _split_address(listen)
    return host, int(port)


class Webhooks(Section):
    """How webhooks are told; the n-th pause is `delay * factor ** (n - 1)`, at most `max_delay`."""

    deliver: bool = True
    allow: Names = ()
    timeout: Positive = 15.0
    max_attempts: Attempts = 10
    delay: Seconds = 10.0
    factor: Factor = 4.0
    max_delay: Seconds = 6 * 3600.0

    @field_validator("allow")
    @classmethod
    def _networks(cls, allow: tuple[str, ...]) -> tuple[str, ...]:
        try:
            addresses.networks(allow)
        except ValueError as error:
            raise ValueError(f'expected networks such as "10.0.0.0/8", or addresses; {error}') from None
        return allow

    @property
    def backoff(self) -> Backoff:
        """How long a delivery that was not taken waits."""
        return Backoff(self.delay, self.factor, self.max_delay)

    @property
    def networks(self) -> tuple[addresses.Network, ...]:
        """Networks that are not public and to which something may be sent all the same."""
        return addresses.networks(self.allow)


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


class Type(Section):
    """How one type is run. What is None is taken from [processor] and [retry]."""

    python: Function | None = None
    command: Argv | None = None
    http: str | None = Field(default=None, repr=False)
    timeout: Positive | None = None
    grace: Seconds | None = None
    max_attempts: Attempts | None = None
    retry_on: Names | None = None
    retry: TypeRetry = TypeRetry()
    retention: TypeRetention = TypeRetention()
    notify: Literal["both", "completed", "failed", "none"] = "both"
    jobs_per_worker: Count = 1
    max_concurrent: Count | None = None
    max_per_processor: Count | None = None
    max_per_lane: Count = 1
    rate: StartRate | None = None
    dedupe: Literal["key", "payload", "none"] = "key"
    reuse_result_for: Seconds = 0.0
    across_owners: bool = False
    queue_limit: Annotated[int, Field(ge=1)] | None = None
    fair: Literal["none", "owner"] = "none"
    age_priority: AgePriority | None = None
    interpreter: File | None = None
    pythonpath: Files | None = None
    environment: Table = Field(default={}, repr=False)
    pass_environment: Names = ()
    memory_limit_bytes: Size | None = None
    workdir_limit_bytes: Size | None = None
    max_output_bytes: Size | None = None
    max_result_bytes: Portion | None = None
    secret: SecretStr | None = None
    secret_file: File | None = None
    headers: Table = Field(default={}, repr=False)

    @field_validator("http")
    @classmethod
    def _an_http_address(cls, http: str | None) -> str | None:
        if http is not None and not is_http(http):
            raise ValueError("expected an address such as https://example.org/hook")
        return http

    @field_validator("headers")
    @classmethod
    def _headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, text in headers.items():
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
                raise ValueError(f"expected header names, and texts without line ends; got {name!r}")
        return headers

    @model_validator(mode="after")
    def _exactly_one_handler(self) -> "Type":
        named = [kind for kind in ("python", "command", "http") if getattr(self, kind) is not None]
        if len(named) != 1:
            found = " and ".join(named) or "none of them"
            raise ValueError(f"expected exactly one of python, command and http, got {found}")
        if self.http is None and (self.secret or self.secret_file or self.headers):
            raise ValueError("expected secret, secret_file and headers only beside http")
        if self.secret is not None and self.secret_file is not None:
            raise ValueError("expected secret or secret_file, got both")
        return self

    @property
    def kind(self) -> Literal["python", "command", "http"]:
        return "python" if self.python is not None else "command" if self.command is not None else "http"

    def read_secret(self) -> str | None:
        """Return the signing secret; `secret_file` is read anew, so that a reload picks up a changed one."""
        if self.secret_file is None:
            return self.secret.get_secret_value() if self.secret is not None else None
        try:
            secret = self.secret_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise SettingsError(
                f"The secret_file {self.secret_file} cannot be read: {why}. Nothing was started.",
                "Make it readable for this user, or correct its path.",
            ) from error
        if not secret:
            raise SettingsError(f"The secret_file {self.secret_file} is empty.", "Write the secret into it.")
        return secret


class Schedule(Section):
    """What makes jobs of one type by the clock."""

    type: TypeName
    cron: CronText | None = None
    every: Annotated[Seconds, Field(ge=SHORTEST)] | None = None
    time_zone: ZoneName = "UTC"
    payload: dict[str, Any] = Field(default={}, repr=False)
    priority: Annotated[int, Field(ge=-32767, le=32767)] = 5
    owner: PrintableName | None = None
    subject: PrintableName | None = None
    jitter: Annotated[Seconds, Field(le=LONGEST_JITTER)] = 0.0
    catch_up: Literal["none", "once", "all"] = "once"
    catch_up_limit: Annotated[Count, Field(le=MOST_CAUGHT_UP)] = 100
    skip_if_running: bool = False

    @field_validator("payload")
    @classmethod
    def _json(cls, payload: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(payload, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"expected what JSON can say; {error}") from error
        return payload

    @model_validator(mode="after")
    def _cron_or_every(self) -> "Schedule":
        if (self.cron is None) == (self.every is None):
            raise ValueError(f"expected exactly one of cron and every, got {'none' if self.cron is None else 'both'}")
        if self.every is not None and self.jitter >= self.every:
            raise ValueError(f"expected a jitter shorter than every = {self.every:g} s, got {self.jitter:g}")
        return self
