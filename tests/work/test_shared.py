"""Many asyncio jobs in one process."""

import json
import os

from supervision import is_gone

from tests.patience import eventually

WAITING = """
import asyncio, os, time
async def run(job, do="wait"):
    job.log("in")
    if do == "wait": await asyncio.sleep(1000)
    if do == "block": time.sleep(1000)
    if do == "exit": os._exit(7)
    if do == "polite":
        try: await asyncio.sleep(1000)
        except asyncio.CancelledError: return "tidied " + str(job.cancelled_why)
    if do == "deaf":
        while True:
            try: await asyncio.sleep(1000)
            except asyncio.CancelledError: pass
    return os.getpid()
"""


def test_runs_share_one_process_and_overlap(supervision):
    source = """
import asyncio, os
arrived = []
async def run(job):
    arrived.append(job.id)
    while len(arrived) < 500: await asyncio.sleep(0.001)
    return os.getpid()
"""
    spec = supervision.python(source, kind="shared")
    runs = [supervision.start(spec) for _ in range(500)]
    assert len({supervision.ended(run)["result"] for run in runs}) == 1


def test_each_run_has_its_own_printed_lines(supervision):
    source = """
import asyncio, sys
async def run(job):
    print("begin", job.id, end=" "); await asyncio.sleep(0.01); print("end", job.id)
    await asyncio.to_thread(print, "thread", job.id); print("err", file=sys.stderr, end="")
"""
    if not hasattr(__import__("asyncio"), "to_thread"):
        source = source.replace("await asyncio.to_thread(print, ", "print(")
    spec = supervision.python(source, kind="shared")
    runs = [supervision.start(spec, id=id) for id in (11, 12, 13)]
    for run, id in zip(runs, (11, 12, 13), strict=True):
        supervision.ended(run)
        assert supervision.texts(run, "stdout") == [f"begin {id} end {id}", f"thread {id}"]
        assert supervision.texts(run, "stderr") == ["err"]


def test_a_cancel_reaches_the_task_and_a_return_in_time_is_still_cancelled(supervision):
    spec = supervision.python(WAITING, kind="shared", grace=15)
    run, neighbour = supervision.start(spec, {"do": "polite"}), supervision.start(spec)
    supervision.event(run, "in")
    supervision.stop(run)
    assert supervision.ended(run, 10)["outcome"] == "cancelled"
    supervision.stop(neighbour, "release")
    assert supervision.ended(neighbour, 10)["outcome"] == "stopped"


def test_a_time_limit_cancels_one_and_not_its_neighbours(supervision):
    spec = supervision.python(WAITING, kind="shared", grace=15)
    neighbour = supervision.start(spec)
    worker = supervision.started(neighbour)["pid"]
    assert supervision.run(spec, timeout=0.1)["outcome"] == "timed_out"
    assert supervision.run(spec, {"do": "return"})["result"] == str(worker)


def test_a_handler_that_blocks_the_loop_takes_its_neighbours_with_it(supervision):
    spec = supervision.python(WAITING, kind="shared")
    neighbours = [supervision.start(spec) for _ in range(3)]
    for run in neighbours:
        supervision.event(run, "in")
    culprit = supervision.start(spec, {"do": "block"}, timeout=0.2, id=77)
    assert supervision.ended(culprit)["outcome"] == "timed_out"
    for run in neighbours:
        ended = supervision.ended(run)
        assert ended["outcome"] == "lost"
        assert "because job 77 (timed out) did not end in time" in ended["error_message"]


def test_a_run_that_swallows_its_cancellation_condemns_the_worker(supervision):
    spec = supervision.python(WAITING, kind="shared")
    culprit = supervision.start(spec, {"do": "deaf"}, id=78)
    supervision.event(culprit, "in")
    supervision.stop(culprit)
    ended = supervision.ended(culprit)
    assert ended["outcome"] == "cancelled" and "was killed" in ended["error_message"]


def test_a_new_run_goes_to_a_fresh_worker_once_the_old_is_condemned(supervision):
    spec = supervision.python(WAITING, kind="shared")
    supervision.run(spec, {"do": "return"})  # the worker is there: the time limit is not spent on its start
    culprit = supervision.start(spec, {"do": "block"}, timeout=1)
    old = supervision.started(culprit)["pid"]
    waiting = supervision.start(spec, {"do": "return"})  # into the worker that is not known to be blocked yet
    supervision.ended(culprit)
    assert supervision.ended(waiting)["outcome"] == "lost"
    fresh = supervision.run(spec, {"do": "return"})
    assert fresh["outcome"] == "returned" and fresh["result"] != str(old)


def test_the_death_of_a_shared_worker_is_told_to_each_of_its_runs(supervision):
    spec = supervision.python(WAITING, kind="shared")
    alone = supervision.run(spec, {"do": "exit"})
    assert (alone["outcome"], alone["exit_code"]) == ("exited", 7)
    neighbours = [supervision.start(spec) for _ in range(2)]
    for run in neighbours:
        supervision.event(run, "in")
    runs = [*neighbours, supervision.start(spec, {"do": "exit"})]
    assert {supervision.ended(run)["outcome"] for run in runs} == {"lost"}
    assert "exit code 7" in supervision.ended(runs[0])["error_message"]


def test_a_workdir_is_made_only_when_asked_for_and_removed_after(supervision):
    source = """
import os
async def run(job, ask):
    base = os.getcwd()
    if ask:
        (job.workdir / "deep").mkdir(); (job.workdir / "deep" / "file").write_text("x")
    made = sorted(os.listdir(base))
    return [made, str(job.workdir), oct(os.stat(job.workdir).st_mode & 0o777)] if ask else [made]
"""
    spec = supervision.python(source, kind="shared")
    assert json.loads(supervision.run(spec, {"ask": False})["result"])[0] == []
    made, path, mode = json.loads(supervision.run(spec, {"ask": True})["result"])
    assert len(made) == 1 and mode == "0o700"
    assert not os.path.exists(path)


def test_a_plain_function_is_refused_with_the_way_out(supervision):
    ended = supervision.run(supervision.python("def run(job): return 1", kind="shared"))
    assert ended["outcome"] == "unusable"
    assert "write it as async def, or let it run in a solo worker" in ended["error_message"]


def test_sys_exit_ends_one_run_and_not_the_worker(supervision):
    spec = supervision.python(
        "import sys, os\nasync def run(job, leave):\n if leave: sys.exit(3)\n return os.getpid()", kind="shared"
    )
    before = supervision.run(spec, {"leave": False})["result"]
    assert supervision.run(spec, {"leave": True})["outcome"] == "raised"
    assert supervision.run(spec, {"leave": False})["result"] == before


def test_a_worker_retires_after_its_number_of_jobs(supervision):
    spec = supervision.python("import os\nasync def run(job): return os.getpid()", kind="shared", jobs_per_worker=2)
    pids = [int(supervision.run(spec)["result"]) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    eventually(lambda: is_gone(pids[0]), "the end of the retired worker")


def test_a_new_definition_of_the_surroundings_replaces_the_worker(supervision):
    source = "import os\nasync def run(job): return [os.getpid(), os.environ.get('X')]"
    first = json.loads(supervision.run(supervision.python(source, kind="shared", environment={"X": "1"}))["result"])
    second = json.loads(supervision.run(supervision.python(source, kind="shared", environment={"X": "2"}))["result"])
    assert (first[1], second[1]) == ("1", "2")
    eventually(lambda: is_gone(first[0]), "the end of the replaced worker")


def test_specs_with_the_same_surroundings_share_a_worker(supervision):
    source = "import os\nasync def run(job): return os.getpid()"
    one, two = (
        supervision.python(source, kind="shared", name="one"),
        supervision.python(source, kind="shared", name="two"),
    )
    assert supervision.run(one)["result"] == supervision.run(two)["result"]
    other = supervision.python(source, kind="shared", name="two", memory_bytes=500_000_000)
    assert supervision.run(other)["result"] != supervision.run(one)["result"]


def test_a_stop_that_comes_with_its_run_ends_that_run_alone(supervision):
    spec = supervision.python("import asyncio\nasync def run(job): await asyncio.sleep(1000)", kind="shared")
    neighbour = supervision.start(spec)
    supervision.started(neighbour)
    job = {"id": 99, "type": "test", "attempt": 1, "fence": "f"}
    supervision.send(
        {"do": "run", "run": 99, "spec": spec, "job": job, "payload": "{}", "timeout": None},
        {"do": "stop", "run": 99, "why": "cancel"},
    )
    assert supervision.ended(99)["outcome"] == "cancelled"
    supervision.stop(neighbour, "release")
    assert supervision.ended(neighbour)["outcome"] == "stopped"
