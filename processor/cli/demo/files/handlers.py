"""The handlers of the demo: ordinary functions, named in jobtable.toml, run in processes of their own."""

import html
import importlib
import pkgutil
import pydoc
import time
from collections.abc import Iterator
from pathlib import Path

from processor import Cancel, Job

PAGES = Path(__file__).parent / "pages"


def write_pages(job: Job, package: str) -> dict[str, int]:
    """Write the documentation of a package and its public modules; `package` comes from the payload."""
    names = list(_modules(package))
    letters = 0
    for place, name in enumerate(names):
        job.progress(100 * place / len(names), name)
        page = pydoc.html.page(name, _documentation(job, name))
        letters += (PAGES / f"{name}.html").write_text(page, encoding="utf-8", errors="replace")
    return {"pages": len(names), "letters": letters}


def _documentation(job: Job, name: str) -> str:
    try:
        return pydoc.html.document(importlib.import_module(name), name)
    except (ImportError, SystemExit) as error:  # of another platform, or left out of this Python
        job.log(f"{name} cannot be imported: {error}", "warning")
        return f"<p>This Python cannot import {name}: {html.escape(str(error))}</p>"


def _modules(name: str) -> Iterator[str]:
    yield name
    try:
        path = getattr(importlib.import_module(name), "__path__", [])
    except (ImportError, SystemExit):  # said above, when its page is written
        return
    for module in pkgutil.iter_modules(path, f"{name}."):
        if not module.name.rpartition(".")[2].startswith(("_", "test")):
            yield from _modules(module.name) if module.ispkg else [module.name]


def write_index(job: Job) -> dict[str, int]:
    """Write index.html over all pages."""
    names = sorted(page.stem for page in PAGES.glob("*.html") if page.stem != "index")
    links = "\n".join(f'<li><a href="{name}.html">{name}</a></li>' for name in names)
    text = f"<!doctype html><title>Python</title><h1>{len(names)} modules</h1><ul>{links}</ul>"
    (PAGES / "index.html").write_text(text, encoding="utf-8")
    return {"modules": len(names)}


def overrun(job: Job) -> None:
    """Take an hour; the type's limit is one second."""
    job.log("this will take an hour")
    time.sleep(3600)


def fail_once(job: Job) -> str:
    """Fail the first time; the type allows a second try."""
    if job.attempt == 1:
        raise ConnectionError("the first try fails on purpose")
    return f"done at try {job.attempt}"


def wait_to_be_cancelled(job: Job) -> None:
    """Go on until somebody sets `cancel_requested` in the row, and leave in order."""
    started = time.monotonic()
    while not job.cancelled:
        job.progress(min(99, round(time.monotonic() - started)), "until somebody cancels it")
        time.sleep(0.05)
    raise Cancel("somebody asked, and it stopped by itself")


def take_a_while(job: Job) -> dict[str, int]:
    """Do what three rows ask for, once: they have the same key."""
    time.sleep(1)
    return {"worked on as job": job.id}


def write_a_line(job: Job, line: str) -> None:
    """Write a line of a poem; the lane keeps the lines in their order."""
    time.sleep(0.3)
    with (PAGES / "poem.txt").open("a", encoding="utf-8") as poem:
        poem.write(f"{line}\n")


def tell_the_time(job: Job) -> str:
    """Say for which instant the schedule made this job."""
    return str(job.key)
