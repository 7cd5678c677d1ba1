"""Decorated handlers, as a user's module brings them."""

import sys
from pathlib import Path

from processor import Fail, Retry, Snooze, handler


@handler("decorated.version", timeout=30)
def version(job):
    return {"version": sys.version_info[:2], "packages": "sqlalchemy" in sys.modules}


@handler("decorated.greet")
async def greet(name, greeting="hello"):
    return f"{greeting} {name}"


@handler("decorated.later", max_attempts=3)
def later(job):
    if job.attempt == 1:
        raise Retry(in_=0.05)
    raise Fail("never again")


@handler("decorated.snooze")
def snooze(job, log, times):
    seen = Path(times)
    if not seen.exists():
        seen.touch()
        raise Snooze(0.05)
    return job.attempt
