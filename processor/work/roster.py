"""Which types this processor can run, and how: the settings, completed by what the handlers say of themselves.

The daemon never imports a handler. It asks a worker of the handler's own interpreter, once at start and at each
reload: is the function there, is it async, which types does a module of decorated handlers bring? A handler that
cannot be found is said at once, and its jobs are still claimed and fail with the same sentence: a job that nobody
tells about is worse than one that failed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from processor.errors import SettingsError
from processor.happenings import HandlerUnusable, Happenings
from processor.judge import Backoff, Policy
from processor.quantities import NEVER
from processor.queue.claim import Wanted
from processor.queue.deliveries import TYPE as DELIVERY
from processor.queue.keeping import DEFAULT, FOREVER, Keep, Keeps
from processor.queue.rules import NO_RULES, Rules
from processor.sections import Retention, Type
from processor.settings import Limits, Settings

WORKER = Path(__file__).with_name("worker.py")
DESCRIBE_SECONDS = 20.0
"""How long a user's modules may take to be imported when they are asked what they are."""
DECORATED = "decorated"
"""Stands for the function in a decorated handler's settings; the worker finds it by the name of its type."""
PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SYSTEMROOT")
"""What a handler inherits of the daemon's environment; everything else, secrets first of all, it does not."""


BATCH = "batch"
"""The type of a job whose only work is to wait for its children, unless one is configured under that name."""
NOTHING = "nothing"
"""The kind of a type for which nothing is run."""
DELIVER = "processor.work.webhook:deliver"
"""The handler that tells webhooks; `delivering` completes what it is told, delivery by delivery."""
DELIVERY_OVERTIME = 5.0
"""Seconds by which a delivery may outlast the limit that the handler itself keeps."""


@dataclass(frozen=True, slots=True)
class Runnable:
    """How one type is run. `spec` is what the supervisor is told; `timeout` in seconds."""

    type: str
    spec: dict[str, Any]
    policy: Policy
    timeout: float
    rules: Rules = NO_RULES
    keep: Keep = DEFAULT

    @property
    def process(self) -> bool:
        return self.spec["kind"] not in ("shared", NOTHING)

    @property
    def is_nothing(self) -> bool:
        """Tell whether its jobs are done when they are claimed."""
        return bool(self.spec["kind"] == NOTHING)

    @property
    def is_delivery(self) -> bool:
        """Tell whether its jobs tell a webhook."""
        return self.spec.get("handler") == DELIVER

    def wanted(self, running: int) -> Wanted:
        limit = self.rules.max_per_processor
        room = None if limit is None else limit - running
        return Wanted(self.type, self.process, self.rules, room)


@dataclass(frozen=True, slots=True)
class Roster:
    """All types this processor can run."""

    types: Mapping[str, Runnable] = field(default_factory=dict)
    unusable: tuple[str, ...] = ()
    """Types whose handler cannot be started."""

    def wanted(self, running: Callable[[str], int]) -> list[Wanted]:
        """Give what to claim, where so many of a type are running here."""
        wanted = [one.wanted(running(one.type)) for one in self.types.values()]
        return [one for one in wanted if one.room is None or one.room > 0]

    def notifies(self, type_: str, status: Any) -> bool:
        """Tell whether a final state is worth a notification; of a type that is not ours: as by default."""
        runnable = self.types.get(type_)
        return (runnable.policy if runnable else Policy()).notifies(status)


def call_up(settings: Settings, happenings: Happenings) -> Roster:
    """Put the roster together; asks each interpreter about its handlers.

    Raises `SettingsError` for a module of decorated handlers that cannot be imported.
    """
    answers = _Answers(settings, happenings)
    entries = {name: _complete(settings, name, entry, answers.of(name)) for name, entry in settings.types.items()}
    for name, answer in answers.decorated.items():
        entries.setdefault(name, _complete(settings, name, _decorated(name, answer), answer))
    nothing = {"spec": BATCH, "kind": NOTHING}
    entries.setdefault(BATCH, Runnable(BATCH, nothing, Policy(), 0.0, keep=_keep(settings.retention)))
    if settings.webhooks.deliver:
        entries.setdefault(DELIVERY, _delivery(settings))
    return Roster(entries, tuple(sorted(name for name in entries if "error" in answers.of(name))))


def _delivery(settings: Settings) -> Runnable:
    """Tell how webhooks are told: in our own interpreter, with nothing in its environment that types are given."""
    section = settings.webhooks
    spec = {
        "spec": DELIVERY,
        "kind": "shared",
        "handler": DELIVER,
        "environment": {"PATH": os.defpath, **{name: os.environ[name] for name in PASSED if name in os.environ}},
        "grace": settings.processor.grace,
        "output_bytes": settings.processor.max_output_bytes,
        "workdir": str(settings.processor.workdir) if settings.processor.workdir else None,
        "interpreter": sys.executable,
        "pythonpath": _our_packages(),
    }
    policy = Policy(section.max_attempts, section.backoff, notify="failed")
    return Runnable(DELIVERY, spec, policy, section.timeout + DELIVERY_OVERTIME, keep=_keep(settings.retention))


def _decorated(name: str, answer: dict[str, Any]) -> Type:
    """Read a decorated handler's options as if they stood in the configuration."""
    try:
        return Type.model_validate({"python": f"{answer['handler']}:{DECORATED}", **answer.get("options", {})})
    except ValueError as error:
        raise SettingsError(
            f"The options of the decorated handler {name!r} cannot be used: {error}", "Correct @handler(…)."
        ) from error


def _complete(settings: Settings, name: str, entry: Type, answer: dict[str, Any]) -> Runnable:
    limits = settings.limits(entry)
    spec = _spec(settings, name, entry, limits, answer)
    return Runnable(name, spec, _policy(limits), limits.timeout, Rules.of(entry), keep_of(entry, limits))


def keep_of(entry: Type, limits: Limits) -> Keep:
    """Give how long rows of a type are kept; a result stays for as long as it is lent."""
    keep = _keep(limits.retention)
    return replace(keep, completed=max(keep.completed, entry.reuse_result_for))


def _keep(retention: Retention) -> Keep:
    return Keep(**{kind: FOREVER if kept == NEVER else float(kept) for kind, kept in retention})


def keeps_of(settings: Settings, roster: Roster) -> Keeps:
    """Give how long rows are kept, by type."""
    return Keeps(_keep(settings.retention), {name: runnable.keep for name, runnable in roster.types.items()})


def configured_keeps(settings: Settings) -> Keeps:
    """Give the same by the configuration alone, without asking any handler."""
    default = _keep(settings.retention)
    types = {name: keep_of(entry, settings.limits(entry)) for name, entry in settings.types.items()}
    return Keeps(default, {BATCH: default, DELIVERY: default, **types})


def _policy(limits: Limits) -> Policy:
    retry = limits.retry
    backoff = Backoff(retry.delay, retry.factor, retry.max_delay, retry.jitter)
    return Policy(limits.max_attempts, backoff, limits.retry_on, limits.notify)


def _spec(settings: Settings, name: str, entry: Type, limits: Limits, answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "spec": name,
        **_handler(entry, answer),
        "environment": environment(limits),
        "grace": limits.grace,
        "memory_bytes": limits.memory_limit_bytes,
        "output_bytes": limits.max_output_bytes,
        "result_bytes": limits.max_result_bytes,
        "workdir": str(settings.processor.workdir) if settings.processor.workdir else None,
        "workdir_bytes": limits.workdir_limit_bytes,
        "interpreter": str(limits.interpreter or sys.executable),
        "pythonpath": [str(folder) for folder in limits.pythonpath],
    } | _http_overrides(entry)


def _handler(entry: Type, answer: dict[str, Any]) -> dict[str, Any]:
    if entry.command is not None:
        return {"kind": "command", "command": list(entry.command)}
    if entry.http is not None:
        return {"kind": "shared", "handler": "processor.work.http:post", "settings": _target(entry)}
    handler = {"handler": answer.get("handler") or entry.python, "name": answer.get("name")}
    if answer.get("async"):
        return {"kind": "shared", **handler}
    return {"kind": "solo", "jobs_per_worker": entry.jobs_per_worker, **handler}


def _target(entry: Type) -> dict[str, Any]:
    return {"url": entry.http, "secret": entry.read_secret(), "headers": dict(entry.headers)}


def _http_overrides(entry: Type) -> dict[str, Any]:
    """The built-in handler is ours and runs in our interpreter, with our packages."""
    return {} if entry.http is None else {"interpreter": sys.executable, "pythonpath": _our_packages()}


def _our_packages() -> list[str]:
    return [folder for folder in sys.path if folder and Path(folder).is_dir()]


def environment(limits: Limits) -> dict[str, str]:
    """Put together the complete environment of a handler."""
    passed = {name: os.environ[name] for name in (*PASSED, *limits.pass_environment) if name in os.environ}
    return {"PATH": os.defpath, **passed, **limits.environment}


class _Answers:
    """What the handlers say of themselves, asked once for each interpreter and path."""

    def __init__(self, settings: Settings, happenings: Happenings) -> None:
        self._happenings = happenings
        self.decorated: dict[str, dict[str, Any]] = {}
        self._found: dict[str, dict[str, Any]] = {}
        for (interpreter, path), handlers in _questions(settings).items():
            self._found |= self._ask(interpreter, path, {"handlers": handlers})
        if settings.processor.modules:
            self._ask_modules(settings)

    def of(self, name: str) -> dict[str, Any]:
        return self._found.get(name, {})

    def _ask_modules(self, settings: Settings) -> None:
        interpreter = str(settings.processor.interpreter or sys.executable)
        path = tuple(str(folder) for folder in settings.processor.pythonpath)
        found = self._ask(interpreter, path, {"modules": list(settings.processor.modules)})
        broken = [answer["error"] for answer in found.values() if "error" in answer]
        if broken:
            raise SettingsError(" ".join(broken), "Correct [processor] modules, pythonpath or interpreter.")
        self.decorated = found

    def _ask(self, interpreter: str, path: Iterable[str], question: dict[str, Any]) -> dict[str, dict[str, Any]]:
        names = [*question.get("handlers", ()), *question.get("modules", ())]
        try:
            answer = _describe(interpreter, {"pythonpath": list(path), **question})
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            answer = {name: {"error": f"Its interpreter {interpreter} does not answer: {error}"} for name in names}
        for name in names:
            if "error" in answer.get(name, {}):
                self._happenings.emit(HandlerUnusable(name, answer[name]["error"]))
        return answer


def _questions(settings: Settings) -> dict[tuple[str, tuple[str, ...]], dict[str, str]]:
    questions: dict[tuple[str, tuple[str, ...]], dict[str, str]] = {}
    for name, entry in settings.types.items():
        if entry.python is not None:
            limits = settings.limits(entry)
            path = tuple(str(folder) for folder in limits.pythonpath)
            asked = questions.setdefault((str(limits.interpreter or sys.executable), path), {})
            asked[name] = entry.python
    return questions


def _describe(interpreter: str, question: dict[str, Any]) -> dict[str, dict[str, Any]]:
    finished = subprocess.run(  # noqa: S603 - the interpreter is the configuration's
        [interpreter, "-I", str(WORKER), "--describe"],
        input=json.dumps(question).encode(),
        capture_output=True,
        timeout=DESCRIBE_SECONDS,
        check=False,
        env={name: os.environ[name] for name in PASSED if name in os.environ},
    )
    if finished.returncode:
        last = finished.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise ValueError(f"it ended with code {finished.returncode}: {last[0]}")
    types: dict[str, dict[str, Any]] = json.loads(finished.stdout)["types"]
    return types
