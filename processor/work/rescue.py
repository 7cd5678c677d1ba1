"""Find the jobs of the dead and settle them like any other outcome: `lost`."""

import tempfile
import time
from pathlib import Path

from processor.db import Database
from processor.happenings import Happenings, JobRescued, ProcessorDeclaredDead
from processor.judge import Policy
from processor.outcome import Kind, Outcome
from processor.queue import leases
from processor.queue.leases import Observer, Orphan, Peer
from processor.queue.settle import settle
from processor.queue.settlement import Settlement
from processor.work import families, workdirs
from processor.work.incarnation import is_proved_dead, remove_lock
from processor.work.ledger import settlement_of
from processor.work.roster import Roster

UNKNOWN_TYPE = Policy()
"""For a type that this processor does not run: at most one attempt, so that nothing is started by guessing."""


class Rescuer:
    """Watch the other processors; `look` once at start and then every few seconds."""

    def __init__(self, database: Database, happenings: Happenings, lease: float, workdir: Path | None = None) -> None:
        self._workdir = str(workdir or tempfile.gettempdir())
        self._lease = lease
        self._database = database
        self._happenings = happenings
        self._observer = Observer(lease, time.monotonic)

    def forget(self) -> None:
        """The database was away, so nothing that was observed before counts."""
        self._observer.forget()

    def look(self, processor_id: str, roster: Roster) -> int:
        """Declare dead whom it is proved of, and settle the jobs of all dead; give how many jobs."""
        peers = leases.peers(self._database, processor_id)
        for peer in peers:
            if is_proved_dead(peer.lock_file, peer.id):
                self._end_what_is_left()
                self._declare(peer, processor_id, "lock", proved=True)
        for peer in self._observer.silent(peers):
            self._declare(peer, processor_id, "lease", proved=False)
        return self._rescue(processor_id, roster)

    def _end_what_is_left(self) -> None:
        """Kill what daemon and supervisor left on this machine when both were killed, before it is tried again."""
        for token, _ in workdirs.leftovers(self._workdir):
            families.kill_marked(token)

    def _declare(self, peer: Peer, processor_id: str, proof: str, *, proved: bool) -> None:
        if leases.declare_dead(self._database, peer, processor_id, proved=proved):
            if proved:
                remove_lock(peer.lock_file)
            self._happenings.emit(ProcessorDeclaredDead(peer.id, peer.name, proof))

    def _rescue(self, processor_id: str, roster: Roster) -> int:
        """Settle in batches until none is left but those that somebody holds locked; they are found again later."""
        count, left_out = 0, set[str]()
        while found := leases.orphans(self._database, left_out=left_out):
            others = self._spoken_for(found, processor_id, roster)
            if others:
                left_out |= others
                continue
            settled = len(settle_lost(self._database, self._happenings, roster, found, _how(found[0])))
            count += settled
            if settled < len(found):
                break
        return count

    def _spoken_for(self, found: list[Orphan], processor_id: str, roster: Roster) -> set[str]:
        """Name the types that we do not run and others do: only they know how often one of them may be tried."""
        strange = {orphan.type for orphan in found} - set(roster.types)
        return strange & leases.spoken_for(self._database, processor_id, self._lease) if strange else strange


def _how(orphan: Orphan) -> str:
    return f"Processor {orphan.processor_id} ended while the job ran, so nobody can say what became of it."


def settle_lost(
    database: Database, happenings: Happenings, roster: Roster, orphans: list[Orphan], message: str
) -> list[Settlement]:
    """Settle jobs that nobody runs any more; give what was accepted."""
    outcome = Outcome(Kind.LOST, error_type="Lost", error_message=message)
    policies = {name: runnable.policy for name, runnable in roster.types.items()}
    batch = [settlement_of(orphan, outcome, policies.get(orphan.type, UNKNOWN_TYPE)) for orphan in orphans]
    settled = settle(database, batch)
    for settlement in settled.accepted:
        verdict = settlement.verdict
        happenings.emit(
            JobRescued(
                settlement.job_id,
                settlement.type,
                verdict.status.value,
                verdict.reason.value,
                settlement.processor_id,
            )
        )
    return list(settled.accepted)
