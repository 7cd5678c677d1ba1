"""`make bench`: drain the same number of jobs with each contestant, in turns, and print what came out."""

import argparse
import sys
import tempfile
from pathlib import Path

from bench import claims, lists, peer, report, server, situations, streams
from bench.bare import Bare
from bench.ours import MAX_CONCURRENT, Jobtable
from bench.runs import Broken, Contestant, Run, measure
from tests.databases import Server, Unavailable

PENDING = 100_000


def main() -> None:
    """Exit code 0 whatever the figures are; not 0 where they could not be had."""
    asked = _arguments()
    try:
        with server.started() as postgresql, tempfile.TemporaryDirectory(prefix="jobtable-bench-") as folder:
            say(f"{report.machine()}; {server.described(postgresql)}")
            if asked.rounds:
                race(postgresql, Path(folder), asked.rounds, asked.jobs)
            if asked.claims:
                claim(postgresql)
            if asked.situations:
                situate(postgresql)
            if asked.lists:
                read(postgresql)
            if asked.streams:
                stream(postgresql)
    except (Broken, Unavailable) as error:
        sys.exit(f"bench: {error}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=sys.modules["bench"].__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=3, help="of each contestant, in turns (3); 0: none")
    parser.add_argument("--jobs", type=int, default=20_000, help="in each run (20,000)")
    parser.add_argument("--situations", action="store_true", help="also: a claim with too much of something")
    parser.add_argument("--lists", action="store_true", help=f"also: pages and statistics of {lists.ROWS:,} rows")
    parser.add_argument("--streams", action="store_true", help=f"also: {streams.LISTENERS:,} who listen to one server")
    parser.add_argument("--claims", action="store_true", help=f"also: one claim with {PENDING:,} rows pending")
    return parser.parse_args()


def race(postgresql: Server, folder: Path, rounds: int, jobs: int) -> None:
    """Let them drain in turns, each round beginning with another, and print every run."""
    contestants = _contestants(postgresql, folder)
    say(f"{jobs:,} async jobs that do nothing; jobtable: max_concurrent = {MAX_CONCURRENT}, everything on\n")
    say(report.HEADER)
    ran: list[dict[str, Run]] = []
    for round_ in range(rounds):
        turn = round_ % len(contestants)
        runs = {}
        for contestant in [*contestants[turn:], *contestants[:turn]]:
            runs[contestant.name] = run = measure(postgresql, contestant, jobs)
            say(report.line(str(round_ + 1), run))
        ran.append({contestant.name: runs[contestant.name] for contestant in contestants})
    for line in report.summary(ran):
        say(line)


def situate(postgresql: Server) -> None:
    """Print what a claim of ten costs in each situation, and how much more than on a clean table."""
    say(f"\n{'claim of ten, with 100,000 rows due':<44}{'':<22}{'ms':>8}{'worst':>8}{'ratio':>8}")
    for figure in situations.measured(postgresql):
        if isinstance(figure, str):
            say(figure)
        else:
            ratio = f"{figure.ratio:8.2f}" if figure.ratio else ""
            say(f"{figure.situation:<44}{figure.database[:20]:<22}{figure.median:8.1f}{figure.worst:8.1f}{ratio}")


def read(postgresql: Server) -> None:
    """Print what reading costs."""
    say(f"\nwith {lists.ROWS:,} rows, ms\n{'':<44}{'':<22}{'median':>8}{'p95':>8}")
    for figure in lists.measured(postgresql):
        if isinstance(figure, str):
            say(figure)
        else:
            say(f"{figure.reading:<44}{figure.database[:20]:<22}{figure.median:8.1f}{figure.p95:8.1f}")


def stream(postgresql: Server) -> None:
    """Print what those who listen cost a server."""
    say(f"\n{streams.LISTENERS:,} listen, {streams.ROUNDS} times something is told; MiB, ms, % of a core")
    say(report.STREAMS_HEADER)
    for figure in streams.measured(postgresql):
        say(figure if isinstance(figure, str) else report.stream_line(figure))


def _contestants(postgresql: Server, folder: Path) -> list[Contestant]:
    found: list[Contestant] = [Jobtable(postgresql, folder), Bare(postgresql)]
    try:
        peer.install()
        found[1:1] = [peer.PgQueuer(postgresql, batch) for batch in peer.BATCHES]
    except peer.Missing as error:
        say(f"PgQueuer could not be installed, so there is no ratio to it: {error}")
    return found


def claim(postgresql: Server) -> None:
    """Print what a claim costs."""
    say(f"\none claim with {PENDING:,} rows pending, ms\n{'':<28}{'jobs':>6}{'median':>9}{'worst':>9}")
    for latency in claims.measured(postgresql, PENDING):
        if isinstance(latency, str):
            say(latency)
        else:
            say(f"{latency.database:<28}{latency.size:>6}{latency.median:>9.1f}{latency.worst:>9.1f}")


def say(text: str) -> None:
    """Print at once: a run takes seconds."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
