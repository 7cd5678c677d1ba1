"""Turn happenings into numbers for Prometheus, in a registry of our own.

Two rules. A label is a word we know: the types this processor can run (every other is `other`), the states and reasons
of `lifecycle`; so rows cannot make series. And the happenings that come with every job cost a dictionary look-up and an
increment: the labelled children are kept.

What comes from the table itself (`Sampled`) is the same number on every processor of a database: use `max`, not `sum`.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from processor import happenings as h
from processor.depth import OTHER, Depth, family
from processor.lifecycle import FINAL, Reason, Status
from processor.version import our_version

RUN = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400)
WAIT = (0.01, 0.05, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14400)
STATEMENT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

_FINAL = frozenset(str(status) for status in FINAL)
_REASONS = frozenset(str(reason) for reason in Reason)


class Metrics:
    """The listener that counts, and the registry that `/metrics` shows."""

    def __init__(self, types: Iterable[str] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self._types: frozenset[str] = frozenset()
        self._clock = clock
        self._settled: dict[tuple[str, str, str], tuple[Any, Any]] = {}
        self._started: dict[str, tuple[Any, Any]] = {}
        self._table = _Table(lambda: self._types, h.Sampled({}, {}, {}))
        self._running = _Running()
        self._make_job_metrics()
        self._make_schedule_metrics()
        self._make_processor_metrics()
        for collector in (self._table, self._running):
            self.registry.register(collector)
        ProcessCollector(registry=self.registry)
        self._rules = self._table_of_rules()
        self._know(types)

    def __call__(self, happening: object) -> None:
        rule = self._rules.get(type(happening))
        if rule is not None:
            rule(happening)

    # --- what is measured ------------------------------------------------------------------------------------------

    def _make_job_metrics(self) -> None:
        self.jobs_started = self._counter("jobs_started", "Attempts that entered their handler.", "type")
        self.jobs_finished = self._counter(
            "jobs_finished", "Jobs that reached a final state here.", "type", "outcome", "reason"
        )
        self.jobs_requeued = self._counter(
            "jobs_requeued", "Attempts after which the job waits for another: retry, snooze, release.", "type", "reason"
        )
        self.job_run = self._histogram("job_run_seconds", "From start to end of one attempt.", RUN, "type")
        self.job_wait = self._histogram("job_wait_seconds", "From due to started.", WAIT, "type")
        self.stale_outcomes = self._counter(
            "stale_outcomes", "Outcomes refused because the claim no longer owned its job.", "type"
        )
        self.unstorable_outcomes = self._counter(
            "unstorable_outcomes", "Outcomes the database refused to store; the job failed instead.", "type"
        )
        self.rows_refused = self._counter("rows_refused", "Pending rows that the database let nobody claim.", "type")
        self.rescued_jobs = self._counter(
            "rescued_jobs", "Jobs of dead processors settled here, by the state they reached.", "outcome"
        )
        self.claims_released = self._counter(
            "claims_released", "Claims given back because their answer never arrived.", "cause"
        )

        self.rows_deleted = self._counter("rows_deleted", "Old rows deleted here, by what they were.", "kind")

    def _make_schedule_metrics(self) -> None:
        self.scheduled_jobs = self._counter("scheduled_jobs", "Jobs that schedules made here.", "type")
        self.skipped_firings = self._counter("skipped_firings", "Firings here that made no job.", "type", "why")
        self.schedule_late = self._histogram("schedule_late_seconds", "From a firing's time to its job.", WAIT, "type")
        self.schedules = self._gauge("schedules", "Schedules of the table.", "state")

    def _make_processor_metrics(self) -> None:
        self.claim = self._histogram("claim_seconds", "One claim statement.", STATEMENT)
        self.settle = self._histogram("settle_seconds", "One settle batch.", STATEMENT)
        self.heartbeat = self._histogram("heartbeat_seconds", "One heartbeat.", STATEMENT)
        self.heartbeats_missed = self._counter("heartbeats_missed", "Heartbeats that did not reach the database.")
        self.slots = self._gauge("slots", "Jobs this processor may run at once.")
        self.slots_used = self._gauge("slots_used", "Slots taken by claimed jobs.")
        self.database_up = self._gauge("database_up", "1 while the database answers.")
        self.database_losses = self._counter("database_losses", "Times the database went away.")
        self.draining = self._gauge("draining", "1 once the processor takes no more jobs.")
        self.fenced = self._counter("processor_fenced", "Times this process lost its lease and killed what it ran.")
        self.dead_processors = self._counter("dead_processors", "Processors declared dead here, by proof.", "proof")
        self.supervisor_restarts = self._counter("supervisor_restarts", "Supervisors that died and were replaced.")
        self.unusable_handlers = self._gauge("unusable_handlers", "1 while its handler cannot be started.", "type")
        self.reloads = self._counter("settings_reloads", "Readings of the settings while running.", "result")
        self._beaten_at = self._clock()
        self._gauge("heartbeat_age_seconds", "Since the last heartbeat that reached the database.").set_function(
            lambda: self._clock() - self._beaten_at
        )
        build = self._gauge("build_info", "Versions, as labels.", "version", "python")
        build.labels(our_version(), ".".join(map(str, sys.version_info[:3]))).set(1)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"jobtable_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"jobtable_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"jobtable_{name}", text, labels, buckets=buckets, registry=self.registry)

    # --- what each happening changes -------------------------------------------------------------------------------

    def _table_of_rules(self) -> dict[type, Callable[[Any], None]]:
        return {
            h.ProcessorStarted: self._processor_started,
            h.DrainStarted: lambda _: self.draining.set(1),
            h.ProcessorFenced: self._processor_fenced,
            h.SettingsReloaded: self._settings_reloaded,
            h.SettingsRefused: lambda _: self.reloads.labels("refused").inc(),
            h.ClaimFinished: lambda it: self.claim.observe(it.seconds),
            h.JobStarted: self._job_started,
            h.JobSettled: self._job_settled,
            h.JobReused: self._job_reused,
            h.ParentEnded: self._parent_ended,
            h.SettleFinished: lambda it: self.settle.observe(it.seconds),
            h.OutcomeStale: self._outcome_stale,
            h.RowRefused: lambda it: self.rows_refused.labels(self._label(it.type)).inc(),
            h.OutcomeUnstorable: lambda it: self.unstorable_outcomes.labels(self._label(it.type)).inc(),
            h.JobRescued: lambda it: self.rescued_jobs.labels(_known(it.status, _STATES)).inc(),
            h.ProcessorDeclaredDead: lambda it: self.dead_processors.labels(_known(it.proof, _PROOFS)).inc(),
            h.ClaimsReleased: lambda it: self.claims_released.labels(_known(it.cause, _CAUSES)).inc(it.jobs),
            h.DatabaseLost: self._database_lost,
            h.DatabaseReturned: lambda _: self.database_up.set(1),
            h.SupervisorLost: lambda _: self.supervisor_restarts.inc(),
            h.HeartbeatSent: self._heartbeat_sent,
            h.HeartbeatMissed: lambda _: self.heartbeats_missed.inc(),
            h.ScheduleFired: self._schedule_fired,
            h.ScheduleSkipped: self._schedule_skipped,
            h.SchedulesSeen: self._schedules_seen,
            h.Sampled: self._table.take,
            h.SlotsUsed: self._slots_used,
            h.RowsDeleted: lambda it: self.rows_deleted.labels(it.kind).inc(it.count),
        }

    def _processor_started(self, it: h.ProcessorStarted) -> None:
        self._know(it.types, it.unusable)
        self.slots.set(it.max_concurrent)
        self.database_up.set(1)
        self.draining.set(0)
        self._beaten_at = self._clock()  # registering wrote the first beat

    def _processor_fenced(self, _: h.ProcessorFenced) -> None:
        self.fenced.inc()
        self._running.clear()

    def _settings_reloaded(self, it: h.SettingsReloaded) -> None:
        self._know(it.types, it.unusable)
        self.reloads.labels("accepted").inc()

    def _job_started(self, it: h.JobStarted) -> None:
        children = self._started.get(it.type)
        if children is None:
            label = self._label(it.type)
            children = self.jobs_started.labels(label), self.job_wait.labels(label)
            self._keep(self._started, it.type, it.type == label, children)
        self._running.add(it.job, self._label(it.type))
        children[0].inc()
        children[1].observe(it.wait_seconds)

    def _job_settled(self, it: h.JobSettled) -> None:
        key = (it.type, it.status, it.reason)
        children = self._settled.get(key)
        if children is None:
            label, reason = self._label(it.type), _known(it.reason, _REASONS)
            if it.status in _FINAL:
                count = self.jobs_finished.labels(label, it.status, reason)
            else:
                count = self.jobs_requeued.labels(label, reason)
            children = count, self.job_run.labels(label)
            self._keep(self._settled, key, (label, reason) == (it.type, it.reason), children)
        self._running.remove(it.job)
        children[0].inc()
        children[1].observe(it.seconds)

    def _job_reused(self, it: h.JobReused) -> None:
        self.jobs_finished.labels(self._label(it.type), "completed", _known(it.reason, _REASONS)).inc()

    def _parent_ended(self, it: h.ParentEnded) -> None:
        self.jobs_finished.labels(self._label(it.type), it.status, _known(it.reason, _REASONS)).inc()

    def _schedule_fired(self, it: h.ScheduleFired) -> None:
        self.scheduled_jobs.labels(self._label(it.type)).inc(it.jobs)
        self.schedule_late.labels(self._label(it.type)).observe(it.late_seconds)

    def _schedule_skipped(self, it: h.ScheduleSkipped) -> None:
        self.skipped_firings.labels(self._label(it.type), _known(it.why, _SKIPS)).inc()

    def _schedules_seen(self, it: h.SchedulesSeen) -> None:
        for state in ("ready", "paused", "unreadable"):
            self.schedules.labels(state).set(getattr(it, state))

    def _outcome_stale(self, it: h.OutcomeStale) -> None:
        self._running.remove(it.job)
        self.stale_outcomes.labels(self._label(it.type)).inc()

    def _database_lost(self, _: h.DatabaseLost) -> None:
        self.database_up.set(0)
        self.database_losses.inc()

    def _heartbeat_sent(self, it: h.HeartbeatSent) -> None:
        self._beaten_at = self._clock()
        self.heartbeat.observe(it.seconds)

    def _slots_used(self, it: h.SlotsUsed) -> None:
        self.slots_used.set(it.used)
        self.slots.set(it.total)

    # --- labels ----------------------------------------------------------------------------------------------------

    def _know(self, types: Iterable[str], unusable: Iterable[str] = ()) -> None:
        """Take over the types of a start or reload, and of which of them the handler cannot be started.

        The endings that alerts look for start at 0, because `increase` does not see a series that begins at 1.
        """
        self._types = frozenset(types)
        self._settled.clear()
        self._started.clear()
        self.unusable_handlers.clear()
        for label in self._types:
            self.unusable_handlers.labels(label).set(label in unusable)
        for label in (*self._types, OTHER):
            for counter in (self.stale_outcomes, self.unstorable_outcomes, self.rows_refused):
                counter.labels(label)
            for why in _SKIPS:
                self.skipped_firings.labels(label, why)
            for outcome, reason in _WATCHED:
                self.jobs_finished.labels(label, outcome, reason)
        for outcome in _RESCUES:
            self.rescued_jobs.labels(outcome)
        for proof in _PROOFS:
            self.dead_processors.labels(proof)
        self.reloads.labels("refused")

    def _label(self, type: str) -> str:
        return type if type in self._types else OTHER

    def _keep(self, kept: dict[Any, Any], key: Any, is_known: bool, children: Any) -> None:
        if is_known:  # words we do not know are not kept: there is no end of them
            kept[key] = children


_STATES = frozenset(str(status) for status in Status)
_WATCHED = [
    ("completed", "done"),
    *(("failed", reason) for reason in ("error", "exit", "handler", "timeout", "lost", "poison")),
]
_RESCUES = ("failed", "scheduled", "pending", "cancelled")
_PROOFS = frozenset({"lock", "lease"})
_CAUSES = frozenset({"abandoned", "audit"})
_SKIPS = frozenset({"missed", "running", "full"})


def _known(word: str, words: frozenset[str]) -> str:
    return word if word in words else OTHER


class _Running(Collector):
    """The jobs this processor runs now, by type; a set, so that no lost or repeated happening can make it drift."""

    def __init__(self) -> None:
        self._jobs: dict[int, str] = {}

    def add(self, job: int, label: str) -> None:
        self._jobs[job] = label

    def remove(self, job: int) -> None:
        self._jobs.pop(job, None)

    def clear(self) -> None:
        self._jobs = {}

    def collect(self) -> Iterator[Metric]:
        labels = list(self._jobs.copy().values())
        counts = {(label,): labels.count(label) for label in set(labels)}
        yield family("jobs_running", "Jobs this processor runs now.", ["type"], counts)


class _Table(Depth):
    """What every server tells of the table, and what only a processor can: what it cannot run."""

    def collect(self) -> Iterator[Metric]:
        yield from super().collect()
        last, types = self.last, self.types()
        limits = {(type,): limit for type, limit in last.queue_limits.items() if type in types}
        yield family("queue_limit", "So many jobs may wait until `jobtable enqueue` refuses.", ["type"], limits)
        unhandled = {(): sum(last.unhandled.values())}
        yield family("unhandled_jobs", "Due jobs of types this processor cannot run.", [], unhandled)
        yield family("unhandled_types", "Such types.", [], {(): len(last.unhandled)})
