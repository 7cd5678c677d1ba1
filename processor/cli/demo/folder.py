"""Lay out the folder of the demo: its configuration, its handlers, an empty database."""

import json
import os
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from processor.errors import Refused, StartRefused

DEFAULT = "jobtable-demo"
MARK = "# Made by `jobtable demo`"
DATABASE = "jobtable.db"

SETTINGS = """\
{mark}: change it, and go on with `jobtable run` in this folder.

[database]
url = "sqlite:///{database}"         # or postgresql://…, or mysql://…

[processor]
max_concurrent = {slots}                   # jobs at once
poll_interval = 0.2                  # seconds
grace = 1                            # seconds between asking a job to stop and killing it
environment = {{ PYTHONDONTWRITEBYTECODE = "1" }}

[retry]
delay = 0.5                          # seconds before the second try; doubled for each further one

[metrics]
listen = ""                          # "127.0.0.1:9750" serves /metrics, /healthz and /readyz

[types."pages.write"]                # a Python function of handlers.py, which is in this folder
python = "handlers:write_pages"
jobs_per_worker = 50                 # starting Python anew for each page would take longer than the page

[types."pages.index"]
python = "handlers:write_index"

[types."pages.measure"]              # any executable: its arguments, no shell
command = {measure}
max_concurrent = 1                   # never two at once, however many processors there are

[types."demo.same_work"]             # rows with the same key: one is worked on, the others get its result
python = "handlers:take_a_while"

[types."demo.in_turn"]               # rows with the same concurrency_key run one after the other, in order
python = "handlers:write_a_line"

[types."demo.call"]                  # an HTTP call; the demo's own server has gone with the demo
http = "http://127.0.0.1:{port}/hook"

[types."demo.overrun"]
python = "handlers:overrun"
timeout = 1                          # seconds

[types."demo.fail_once"]
python = "handlers:fail_once"
max_attempts = 3

[types."demo.cancelled"]
python = "handlers:wait_to_be_cancelled"

[types."demo.clock"]
python = "handlers:tell_the_time"

[schedules.clock]                    # by the clock; or cron = "0 8 * * mon-fri" and a time_zone
type = "demo.clock"
every = "2s"
"""


def choose(wanted: Path | None) -> Path:
    """Choose and make the folder: the one wanted, else ./jobtable-demo, else a temporary one.

    Raises `Refused` where it holds something else, `StartRefused` where it cannot be made.
    """
    folder = (wanted or Path(DEFAULT)).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        if wanted is None:
            return Path(tempfile.mkdtemp(prefix=f"{DEFAULT}-"))
        raise StartRefused(
            f"The folder {folder} cannot be written: {error.strerror}. Nothing was started.",
            "Name another with --keep.",
        ) from error
    return folder


def lay_out(folder: Path, port: int, slots: int) -> None:
    """Write configuration and handlers; what an earlier demo left is replaced. Raises `Refused`."""
    _clear(folder)
    (folder / "pages").mkdir()
    for file in ("handlers.py", "measure.py"):
        (folder / file).write_text((files("processor.cli.demo") / "files" / file).read_text("utf-8"), "utf-8")
    measure = json.dumps([sys.executable, str(folder / "measure.py")])
    text = SETTINGS.format(mark=MARK, database=DATABASE, slots=slots, port=port, measure=measure)
    (folder / "jobtable.toml").write_text(text, "utf-8")


def _clear(folder: Path) -> None:
    settings = folder / "jobtable.toml"
    is_ours = settings.is_file() and settings.read_text("utf-8", errors="replace").startswith(MARK)
    if not is_ours and any(folder.iterdir()):
        raise Refused(f"The folder {folder} holds something else. Nothing was started.", "Name another with --keep.")
    for file in folder.glob(f"{DATABASE}*"):
        file.unlink()
    shutil.rmtree(folder / "pages", ignore_errors=True)
