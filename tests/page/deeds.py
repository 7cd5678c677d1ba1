"""What the jobs of these tests do: they say what their payload says, and go on when a file is there."""

import time
from pathlib import Path

from processor import Job


def work_until(path: str | Path) -> None:
    """Work until a file appears."""
    while not Path(path).exists():
        time.sleep(0.02)


def tell(
    job: Job, log: str = "hello", until: str = "", percent: float = 42, message: str = "half way"
) -> dict[str, str]:
    """Say something, line by line, and wait for a file where one is named."""
    for line in log.splitlines():
        job.log(line)
    job.progress(percent, message)
    if until:
        work_until(until)
    job.log("that was it")
    return {"said": log}


def count(job: Job, folder: str, upto: int) -> None:
    """Say a number for each file that appears."""
    for number in range(1, upto + 1):
        work_until(Path(folder, str(number)))
        job.log(f"number {number} of {upto}")


def fail(job: Job, words: str = "it broke") -> None:
    """Fail with these words."""
    job.log("this will not go well", "warning")
    raise ValueError(words)
