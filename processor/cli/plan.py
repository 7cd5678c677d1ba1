"""What `jobtable replay --dry` shows: how a job would be run. Names of variables and headers, never their values."""

import sys
from typing import TYPE_CHECKING, Any

import click

from processor.cli.shown import span, visible
from processor.lifecycle import Status
from processor.provenance import mask_text

if TYPE_CHECKING:
    from processor.queue.taking import ClaimedJob
    from processor.settings import Settings
    from processor.work.roster import Runnable

WORKERS = {"solo": "a process of its own", "shared": "a shared worker", "command": "a process of its own"}


def plan(
    settings: "Settings", runnable: "Runnable", job: "ClaimedJob", status: Status, unusable: str | None
) -> dict[str, Any]:
    """Collect how a job would be run, and under `problems` why it could not."""
    spec, most = runnable.spec, settings.processor.max_payload_bytes
    return {
        "job": job.id,
        "type": job.type,
        "status": status.value,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts if job.max_attempts is not None else runnable.policy.max_attempts,
        **_handler(spec),
        "worker": spec["kind"],
        "timeout_seconds": job.timeout_seconds or runnable.timeout,
        "grace_seconds": spec["grace"],
        "memory_limit_bytes": spec["memory_bytes"],
        "max_output_bytes": spec["output_bytes"],
        "max_result_bytes": spec["result_bytes"],
        "workdir": spec["workdir"],
        "workdir_limit_bytes": spec["workdir_bytes"],
        "payload_bytes": job.payload_bytes,
        "max_payload_bytes": most,
        "environment": sorted(spec["environment"]),
        "problems": list(_problems(job, most, unusable)),
    }


def _handler(spec: dict[str, Any]) -> dict[str, Any]:
    if spec["kind"] == "command":
        return {"kind": "command", "handler": [mask_text(part) for part in spec["command"]]}
    if "settings" in spec:
        target = spec["settings"]
        names = {"headers": sorted(target["headers"]), "signed": target["secret"] is not None}
        return {"kind": "http", "handler": mask_text(target["url"]), **names}
    decorated = spec.get("name")
    handler = f'@handler("{decorated}") in {spec["handler"]}' if decorated else spec["handler"]
    paths = {"interpreter": spec["interpreter"], "pythonpath": spec["pythonpath"]}
    return {"kind": "python", "handler": handler, **paths}


def _problems(job: "ClaimedJob", most: int, unusable: str | None) -> Any:
    from processor.queue.fitness import unfit

    reason = unfit(job, {job.type}, most)
    if reason is not None:
        yield reason.error_message
    if unusable is not None:
        yield unusable


def write_plan(found: dict[str, Any]) -> None:
    """Write a plan for people."""
    click.echo(f"job {found['job']}  {visible(found['type'])}  {found['status']}")
    for label, text in _lines(found):
        click.echo(f"  {label:<15} {visible(text)}")
    for problem in found["problems"]:
        click.echo(f"  {'problem':<15} {visible(problem)}")
    sys.stdout.flush()
    click.echo("Nothing was run.", err=True)


def _lines(found: dict[str, Any]) -> Any:
    handler = found["handler"]
    yield "try", f"{found['attempt']} of {found['max_attempts']}"
    yield found["kind"], handler if isinstance(handler, str) else _argv(handler)
    yield "runs in", WORKERS[found["worker"]]
    if found["kind"] == "python":
        yield "interpreter", found["interpreter"]
        yield "pythonpath", ", ".join(found["pythonpath"])
    if found["kind"] == "http":
        yield "headers", ", ".join(found["headers"]) or "none of its own"
        yield "signed", "yes" if found["signed"] else "no"
    yield "time limit", f"{span(found['timeout_seconds'])}, then {span(found['grace_seconds'])} to end"
    yield "memory", _bytes(found["memory_limit_bytes"])
    yield "workdir", f"{_bytes(found['workdir_limit_bytes'])} in {found['workdir'] or 'the temporary folder'}"
    yield "output, result", f"{_bytes(found['max_output_bytes'])}, {_bytes(found['max_result_bytes'])}"
    yield "payload", f"{found['payload_bytes']:,} bytes of at most {found['max_payload_bytes']:,}"
    yield "environment", ", ".join(found["environment"])


def _argv(argv: list[str]) -> str:
    import shlex

    return shlex.join(argv)


def _bytes(limit: int | None) -> str:
    return "no limit" if limit is None else f"at most {limit:,} bytes"
