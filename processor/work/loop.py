"""The supervisor's loop: what the daemon wants, what children do, what the clock says.

One thread, one place that waits. Every turn: wait, call whom it concerns, fire timers, then write each channel
once, so that a thousand messages are one system call.

Promises: every `run` is answered by exactly one `ended`, after the last process of the run is gone. The end of the
control channel, a `kill`, or a lease that was not renewed kill everything. Nothing the daemon or a handler does
blocks the loop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from typing import Any

from processor.work import families
from processor.work.commands import Command
from processor.work.kin import Kin
from processor.work.messages import Broken, Channel, Message
from processor.work.processes import Cannot, Process
from processor.work.runs import Run
from processor.work.sources import Sources
from processor.work.specs import Spec
from processor.work.timers import Timers
from processor.work.watches import Watches
from processor.work.workdirs import Workdirs
from processor.work.worker_kinds import Shared, Solo
from processor.work.workers import Worker

CONGESTED = 4 * 1024 * 1024  # bytes the daemon has not read: children are not heard until half of them are gone
LAST_KILLS = 5.0  # seconds to see everything die after the daemon is gone, which waits for 10; mostly some ms


class Supervisor:
    def __init__(self, control: socket.socket) -> None:
        control.setblocking(False)
        self.daemon = Channel(control)
        self.sources = Sources()
        self.timers = Timers()
        self.kin = Kin(os.getpid())
        self.watches = Watches(self)
        self.workdirs = Workdirs(self._kill_leftovers, self.kin.remove_later)
        self.specs: dict[str, Spec] = {}
        self.runs: dict[int, Run] = {}
        self.processes: dict[int, Process] = {}  # by the pid of a leader that is not reaped
        self.dirty: set[Worker] = set()  # workers with posted messages
        self._shared: dict[str, Shared] = {}
        self._resting: dict[int, list[Solo]] = {}  # by the number of the spec
        self._lease: Any = None
        self._fenced: str | None = None
        self._markers = 0
        self._leaving = False

    def live(self) -> None:
        """Serve until the daemon is gone, then leave nothing behind."""
        self._listen_to_signals()
        self.sources.register_main(self.daemon.fileno(), self._hear_daemon)
        self.tell({"tell": "ready", "pid": os.getpid()})
        self._flush()
        try:
            while not self._leaving:
                self.sources.wait(self.timers.wait())
                self.timers.fire()
                self._flush()
        finally:  # an error of ours, too, must leave nothing behind
            self._leave()

    # Talking to the daemon

    def tell(self, message: Message) -> None:
        self.daemon.post(message)

    def notice(self, text: str, **more: Any) -> None:
        self.tell({"tell": "notice", "text": text, **more})

    def _flush(self) -> None:
        while self.dirty:
            self.dirty.pop().flush()
        try:
            done = self.daemon.flush()
        except OSError:
            self._leaving = True
            return
        self.sources.modify_main(self.daemon.fileno(), writing=not done)
        if self.daemon.buffered > CONGESTED:
            self.sources.valve(open=False)
        elif self.daemon.buffered < CONGESTED // 2:
            self.sources.valve(open=True)

    def _hear_daemon(self, mask: int) -> None:
        if not self.sources.is_reading(mask):
            return  # writing is what every turn ends with
        try:
            messages = self.daemon.receive()
        except Broken as error:
            sys.stderr.write(f"the daemon does not speak frames: {error}\n")
            messages = None
        if messages is None:
            self._leaving = True
            return
        for message in messages:
            self._obey(message)

    def _obey(self, message: Message) -> None:
        do = message.get("do")
        if do == "run":
            self._run(message)
        elif do == "stop":
            self._stop(message)
        elif do == "define":
            self._define(message)
        elif do == "kill":
            self._kill_all("the processor lost its claim on this work")
        elif do == "lease":
            self._renew(float(message["seconds"]))

    # What the daemon wants

    def _define(self, message: Message) -> None:
        spec = self.specs.get(message["spec"])
        for worker in self._resting.pop(spec.number, []) if spec else []:
            worker.dismiss()
        self.specs[message["spec"]] = Spec(message)
        wanted = {spec.group for spec in self.specs.values() if spec.kind == "shared"}
        for group in [group for group in self._shared if group not in wanted]:
            self._dismiss_when_empty(self._shared[group])

    def _dismiss_when_empty(self, worker: Shared) -> None:
        worker.condemn()
        if not worker.runs:
            worker.dismiss()

    def _run(self, message: Message) -> None:
        if message["run"] in self.runs:
            self.notice(f"run {message['run']} was asked for twice; the second was not started")
            return
        spec = self.specs.get(message["spec"]) or Spec({"spec": message["spec"]})
        run = self.runs[message["run"]] = Run(self, spec, message)
        if self._fenced is not None:
            run.end("stopped", self._fenced)
        elif spec.error is not None:
            run.end(
                "unusable",
                f"the definition {message['spec']!r} cannot be used: {spec.error}; correct the configuration",
            )
        else:
            self._start(run)
        if run.home is None:
            run.finish()

    def _start(self, run: Run) -> None:
        home: Process | None = None
        try:
            home = self._home(run)
            if isinstance(home, Worker):
                home.take(run)
            run.home = home
        except (Cannot, OSError) as error:
            run.end("not_started", f"{error}; the job was not started and goes back; see to the machine")
            if isinstance(home, Worker):
                home.dismiss()

    def _home(self, run: Run) -> Process:
        if run.spec.kind == "shared":
            return self._shared_worker(run.spec)
        resting = self._resting.get(run.spec.number)
        if resting:
            home = resting.pop()
        else:
            home = self._begin(Command(self, run.spec, run) if run.spec.kind == "command" else Solo(self, run.spec))
        self.watches.watch_workdir(run, home.workdir)
        return home

    def _shared_worker(self, spec: Spec) -> Shared:
        worker = self._shared.get(spec.group)
        if worker is None:
            worker = self._shared[spec.group] = self._begin(Shared(self, spec))
        return worker

    def _begin(self, process: Any) -> Any:
        if process.spec.memory_bytes:
            self.watches.watch_memory()
        return process

    def _stop(self, message: Message) -> None:
        run = self.runs.get(message["run"])
        if run is None:
            return  # it ended while the message was on its way
        if message.get("why") == "release":
            run.ask("stopped", "release", "the processor is stopping")
        else:
            run.ask("cancelled", "cancel", "it was cancelled while it ran")

    def _renew(self, seconds: float) -> None:
        self._fenced = None
        self.timers.cancel(self._lease)
        self._lease = self.timers.after(seconds, lambda: self._lease_over(seconds))

    def _lease_over(self, seconds: float) -> None:
        text = f"the processor did not renew its lease within {seconds:g} s"
        self._kill_all(text)
        self._fenced = f"{text}; nothing is started until it does"

    def _kill_all(self, why: str) -> None:
        for run in self.runs.values():
            run.end("stopped", f"{why}; its processes were killed")
        for process in list(self.processes.values()):
            if isinstance(process, Worker):
                process.condemn()
            process.kill()

    # What children do

    def forget(self, run: Run) -> None:
        self.runs.pop(run.number, None)

    def rest(self, worker: Solo) -> None:
        """Keep a worker for the next job of its type."""
        self._resting.setdefault(worker.spec.number, []).append(worker)

    def retire(self, worker: Worker) -> None:
        """Send no run to this worker any more."""
        if self._shared.get(worker.spec.group) is worker:
            del self._shared[worker.spec.group]
        resting = self._resting.get(worker.spec.number, [])
        if worker in resting:
            resting.remove(worker)

    def new_marker(self) -> str:
        self._markers += 1
        return f"{self.workdirs.token}.{self._markers}"

    def reap(self) -> None:
        """See who has ended. The group of a leader is killed in the moment its number is still its own."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            if ended.si_pid in self.processes:
                families.signal_group(ended.si_pid, signal.SIGKILL)
            self._reap_one(ended.si_pid)

    def _reap_one(self, pid: int) -> None:
        _, status, usage = os.wait4(pid, 0)
        self.kin.reaped(pid)
        process = self.processes.pop(pid, None)
        if process is not None:
            unit = 1 if sys.platform == "darwin" else 1024
            process.leader_ended(status, round(usage.ru_utime + usage.ru_stime, 6), usage.ru_maxrss * unit)

    def _listen_to_signals(self) -> None:
        """Children that end wake the loop; signals sent to the whole group are the daemon's matter.

        SIGCHLD and no pidfd: an adopted orphan has an end, too, and nobody opened a pidfd for it.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        reading, writing = socket.socketpair()
        reading.setblocking(False)
        writing.setblocking(False)
        signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wakeup = (reading, writing)
        self.sources.register_main(reading.fileno(), self._woken)

    def _woken(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wakeup[0].recv(4096)
        self.reap()

    # Leaving

    def _kill_leftovers(self, token: str) -> None:
        count = self.kin.kill_marked(token)
        self.notice(f"a supervisor was killed before this one; {count} processes it had left were killed")

    def _leave(self) -> None:
        """Kill everything, wait until it is gone, remove the folders."""
        for process in self.processes.values():
            process.kill()
        deadline = time.monotonic() + LAST_KILLS
        while self.kin.kill_all() and time.monotonic() < deadline:
            time.sleep(0.002)  # nothing else is left to do
        self.workdirs.close()
