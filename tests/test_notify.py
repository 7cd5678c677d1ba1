import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.notify import Notifier


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(5)
        channel.bind(str(tmp_path / "notify"))
        yield channel


@pytest.fixture
def notifier(systemd: socket.socket) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": systemd.getsockname()})


def heard(systemd: socket.socket) -> list[str]:
    return systemd.recv(4096).decode().split("\n")


def test_each_call_is_one_datagram_in_systemds_words(systemd: socket.socket, notifier: Notifier) -> None:
    notifier.ready("takes 3 jobs at once")
    notifier.watchdog()
    notifier.status("2 of 3 slots")
    notifier.stopping()
    assert [heard(systemd) for _ in range(4)] == [
        ["READY=1", "STATUS=takes 3 jobs at once"],
        ["WATCHDOG=1"],
        ["STATUS=2 of 3 slots"],
        ["STOPPING=1"],
    ]


def test_a_reload_carries_the_monotonic_clock(systemd: socket.socket, notifier: Notifier) -> None:
    before = time.monotonic() * 1e6
    notifier.reloading()
    word, clock = heard(systemd)
    assert word == "RELOADING=1"
    assert before - 1 <= int(clock.removeprefix("MONOTONIC_USEC=")) <= time.monotonic() * 1e6


def test_a_status_stays_one_line(systemd: socket.socket, notifier: Notifier) -> None:
    notifier.status("a\nREADY=1\nMAINPID=1")
    assert heard(systemd) == ["STATUS=a READY=1 MAINPID=1"]


def test_an_abstract_socket_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(5)
        channel.bind("")  # the kernel chooses an abstract name
        name: bytes = channel.getsockname()
        Notifier({"NOTIFY_SOCKET": f"@{name[1:].decode()}"}).ready()
        assert channel.recv(100) == b"READY=1"


def test_nothing_is_raised_without_systemd_or_after_it_left(systemd: socket.socket, notifier: Notifier) -> None:
    Notifier({}).ready()
    systemd.close()
    notifier.watchdog()
    notifier.stopping("bye")


def test_a_full_socket_does_not_hold_the_loop(notifier: Notifier) -> None:
    started = time.monotonic()
    for _ in range(2000):
        notifier.watchdog()
    assert time.monotonic() - started < 5


def test_the_watchdog_is_only_ours_when_it_names_us() -> None:
    assert Notifier({}).watchdog_seconds is None
    assert Notifier({"WATCHDOG_USEC": "60000000"}).watchdog_seconds == 60
    assert Notifier({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}).watchdog_seconds is None
    assert Notifier({"WATCHDOG_USEC": "soon"}).watchdog_seconds is None
