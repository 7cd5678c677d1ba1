"""Parent of one private server: the server never outlives the test run, however that ends.

    python keeper.py '{"command": [...], "folder": "...", "log": "...", "end": 2, "user": 1, "group": 1, "groups": []}'

The server's process id is the first line of standard output. Each line on standard input is a signal number for the
server. End of file there (the test run closed it, or died) ends the server with `end` and removes `folder`. Being the
server's parent, the keeper can never signal a stranger that got the same process id. Standard library only.
"""

import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

PATIENCE = 20.0  # seconds for an orderly end


def main() -> None:
    order = json.loads(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _outlive)  # a handler, because the server would inherit SIG_IGN
    server = _start(order)
    print(server.pid, flush=True)
    abandoned = threading.Event()
    threading.Thread(target=_listen, args=(server, order["end"], abandoned), daemon=True).start()
    server.wait()
    if abandoned.is_set():
        shutil.rmtree(order["folder"], ignore_errors=True)


def _outlive(*_: object) -> None:
    """Let the end of standard input decide, not the terminal's Ctrl-C."""


def _start(order: dict[str, Any]) -> "subprocess.Popen[bytes]":
    with Path(order["log"]).open("ab") as log:
        return subprocess.Popen(
            order["command"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=order["folder"],
            start_new_session=True,
            user=order["user"],
            group=order["group"],
            extra_groups=order["groups"],
        )


def _listen(server: "subprocess.Popen[bytes]", end: int, abandoned: threading.Event) -> None:
    for line in sys.stdin:
        server.send_signal(int(line))
    abandoned.set()
    server.send_signal(end)
    try:
        server.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    main()
