"""Tables for people: every run, the bad ones too, then medians and ratios."""

import os
import platform
from collections.abc import Callable, Sequence
from statistics import median

from bench.runs import Run
from bench.streams import Figure as StreamFigure

Figure = Callable[[Run], float]

HEADER = (
    f"{'round':<7}{'':<14}{'jobs/s':>9}{'s':>8}{'whole jobs/s':>14}{'whole s':>9}{'CPU s':>8}{'server CPU s':>14}"
    f"{'load':>7}"
)

STREAMS_HEADER = (
    f"{'':<22}{'':<20}{'before':>8}{'open':>8}{'peak':>8}{'median':>8}{'p95':>8}{'worst':>8}"
    f"{'idle CPU':>10}{'busy CPU':>10}{'statements/s':>14}{'load':>6}"
)


def machine() -> str:
    """Say on what it ran, without a name."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def line(round_: str, run: Run) -> str:
    """Write one run, with the load of the machine at its end."""
    server = f"{run.server_cpu:14.2f}" if run.server_cpu is not None else f"{'-':>14}"
    return (
        f"{round_:<7}{run.name:<14}{run.rate:9,.0f}{run.steady:8.2f}{run.whole_rate:14,.0f}{run.whole:9.2f}"
        f"{run.cpu:8.2f}{server}{os.getloadavg()[0]:7.1f}"
    )


def stream_line(figure: StreamFigure) -> str:
    """Write what 1,000 who listen cost, with the load of the machine at the end."""
    statements = f"{figure.statements:14.1f}" if figure.statements is not None else f"{'-':>14}"
    return (
        f"{figure.database[:20]:<22}{figure.listening:<20}{figure.before:8.0f}{figure.open:8.0f}{figure.peak:8.0f}"
        f"{figure.median:8.0f}{figure.p95:8.0f}{figure.worst:8.0f}{figure.cpu_idle:10.0f}{figure.cpu_busy:10.0f}"
        f"{statements}{os.getloadavg()[0]:6.1f}"
    )


def summary(rounds: Sequence[dict[str, Run]]) -> list[str]:
    """Write the medians, and the ratios of us to each of the others: side by side in each round, and their median."""
    names = list(rounds[0])
    lines = ["", f"{'median':<7}{'':<14}{'jobs/s':>9}{'':>8}{'whole jobs/s':>14}{'':>9}{'CPU s':>8}"]
    for name in names:
        runs = [one[name] for one in rounds]
        lines.append(
            f"{'':<7}{name:<14}{median(run.rate for run in runs):9,.0f}{'':>8}"
            f"{median(run.whole_rate for run in runs):14,.0f}{'':>9}{median(run.cpu for run in runs):8.2f}"
        )
    lines.append("")
    for name in names[1:]:
        steady, whole = (_ratios(rounds, name, figure) for figure in (_steady, _whole))
        lines.append(f"jobtable / {name}: {steady} from first claim to last settle")
        lines.append(f"jobtable / {name}: {whole} whole process")
    return lines


def _ratios(rounds: Sequence[dict[str, Run]], other: str, figure: Figure) -> str:
    """Compare the first contestant with another in each round; a median of ratios, because machines drift."""
    each = [figure(one["jobtable"]) / figure(one[other]) for one in rounds]
    return f"{median(each):.2f}x (rounds: {', '.join(f'{ratio:.2f}' for ratio in each)})"


def _steady(run: Run) -> float:
    return run.rate


def _whole(run: Run) -> float:
    return run.whole_rate
