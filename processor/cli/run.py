"""`jobtable run`: put a processor together and let it work."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from processor.cli.session import Session, configured, pass_session, setting

if TYPE_CHECKING:
    from processor.cli.beside import Server
    from processor.notify import Notifier
    from processor.settings import Settings


@click.command()
@configured
@click.option("--drain", is_flag=True, help="Work until nothing is left that can be run now, then exit.")
@click.option("--serve", is_flag=True, help="Serve the API, too, by a process of its own that ends with this one.")
@setting("processor.max_concurrent", "--max-concurrent", metavar="N", help="Jobs at once, of every kind.")
@setting("processor.poll_interval", "--poll-interval", metavar="SECONDS", help="Between two looks at the table.")
@setting("processor.name", "--name", metavar="TEXT", help="Name of this processor (default: the machine's).")
@setting(
    "metrics.listen",
    "--metrics-listen",
    "--listen",
    metavar="HOST:PORT",
    help='Where /metrics, /healthz and /readyz are served; "" for nowhere. With --drain only if it is set.',
)
@setting("serve.listen", "--serve-listen", metavar="HOST:PORT", help="With --serve: where the API is.")
@setting("log.level", "--log-level", "--level", metavar="LEVEL", help="debug, info, warning or error.")
@setting("log.format", "--log-format", "--format", metavar="FORMAT", help="auto, json or text.")
@pass_session
def run(session: Session, drain: bool, serve: bool) -> None:
    """Run jobs until SIGTERM or SIGINT, which let the running ones finish; a second one gives them back.

    SIGHUP reads the configuration again. The log goes to the standard error.
    """
    from processor import health, logs, metrics, notify
    from processor.cli import beside
    from processor.cli.announcer import Announcer
    from processor.happenings import Happenings
    from processor.work.daemon import Daemon

    if "serve.listen" in session.flags and not serve:
        raise click.UsageError("--serve-listen says where --serve answers; give both.")
    settings = session.settings
    notifier = notify.Notifier(os.environ)
    pulse = health.Pulse()
    alive, numbers = health.Health(pulse), metrics.Metrics(settings.types)
    happenings = Happenings(numbers, alive, Announcer(notifier), logs.configure(settings.log, sys.stderr))
    with ExitStack() as stack:
        address = _address(settings, drain)
        if address is not None:
            stack.callback(health.Endpoint(address, numbers.registry, alive).stop)
        server = None
        if serve:
            beside.check(settings)
            environment = beside.environment(session.config, session.flags)
            server = stack.enter_context(beside.Server(settings, environment, happenings.emit))
            happenings.listen(server)
        Daemon(
            settings,
            happenings,
            drain=drain,
            reload=_reload(session, notifier, server),
            pulse=_beats(pulse.beat, notifier),
        ).run()


def _address(settings: "Settings", drain: bool) -> tuple[str, int] | None:
    """Give where to listen; a short drain beside a processor must not want its port without being told to."""
    from processor.settings import explain

    origin = next(one.origin for one in explain(settings) if one.key == "metrics.listen")
    return None if drain and origin == "default" else settings.metrics.address


def _reload(session: Session, notifier: "Notifier", server: "Server | None") -> "Callable[[], Settings]":
    def reload() -> "Settings":
        notifier.reloading()
        settings = session.load()
        return settings if server is None else server.consider(settings)

    return reload


def _beats(beat: Callable[[], None], notifier: "Notifier") -> Callable[[], None]:
    """Make what the loop calls at each turn: a sign of life here and to systemd, and the duties of process 1."""
    watched = notifier.watchdog_seconds
    told_at = float("-inf")
    is_init = os.getpid() == 1

    def pulse() -> None:
        nonlocal told_at
        beat()
        if watched is not None and time.monotonic() - told_at >= watched / 4:
            told_at = time.monotonic()
            notifier.watchdog()
        if is_init:
            reap()

    return pulse


def reap() -> None:
    """Collect children that ended, orphans among them, as process 1 of a container must."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
