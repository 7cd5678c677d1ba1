"""One job in a process of its own: what it is given, what becomes of what it does."""

import json
import os

import pytest
from supervision import is_gone


def test_a_returned_value_is_the_result(supervision):
    spec = supervision.python("def run(job): return {'id': job.id, 'payload': job.payload, 'fence': job.fence}")
    ended = supervision.run(spec, {"chapter": 3}, id=42)
    assert ended["outcome"] == "returned"
    assert json.loads(ended["result"]) == {"id": 42, "payload": {"chapter": 3}, "fence": "1:p:1"}


def test_the_payload_fills_the_arguments_the_signature_asks_for(supervision):
    spec = supervision.python("def run(job, chapter, depth=2): return [job.id, chapter, depth]")
    assert json.loads(supervision.run(spec, {"chapter": "x"}, id=5)["result"]) == [5, "x", 2]


@pytest.mark.parametrize(
    "payload, words",
    [
        ("{}", "lacks 'chapter'"),
        ('{"chapter": 1, "dept": 2}', "has 'dept', which handlers:run does not take"),
        ("[1]", "an array and not an object"),
        ("{not json", "is no JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_payload_that_does_not_fit_is_malformed(supervision, payload, words):
    spec = supervision.python("def run(chapter, depth=2): return 1")
    ended = supervision.run(spec, payload)
    assert ended["outcome"] == "malformed"
    assert words in ended["error_message"]


@pytest.mark.parametrize(
    "source, words",
    [
        ("import no_such_thing", "cannot import handlers: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("def other(): pass", "handlers has no 'run'"),
        ("def run(job, *rest): pass", "the positional argument 'rest'"),
        ("def run(job): yield 1", "contains `yield`"),
        ("def run(job) return", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_handler_that_cannot_be_called_is_unusable(supervision, source, words):
    ended = supervision.run(supervision.python(source))
    assert ended["outcome"] == "unusable"
    assert words in ended["error_message"]
    assert "jobs cannot start; " in ended["error_message"]  # what follows, and what to do


def test_an_interpreter_that_does_not_exist_is_unusable(supervision):
    ended = supervision.run(supervision.python("def run(job): pass", interpreter="/no/such/python"))
    assert ended["outcome"] == "unusable"
    assert "/no/such/python cannot be started" in ended["error_message"]


def test_an_interpreter_that_is_no_python_is_unusable(supervision):
    ended = supervision.run(supervision.python("def run(job): pass", interpreter="/bin/false"))
    assert (ended["outcome"], "ended before it was ready" in ended["error_message"]) == ("unusable", True)


def test_an_exception_is_told_with_its_kinds_and_traceback(supervision):
    source = "class Busy(OSError): pass\ndef run(job):\n    raise Busy('the disk is full')"
    ended = supervision.run(supervision.python(source))
    assert (ended["outcome"], ended["error_type"]) == ("raised", "handlers.Busy")
    assert ended["error_message"] == "the disk is full"
    assert ended["error_kinds"][:3] == ["handlers.Busy", "builtins.OSError", "OSError"]
    assert "raise Busy('the disk is full')" in ended["error_detail"]
    assert "processor/work" not in ended["error_detail"]


def test_a_huge_error_keeps_its_head_and_tail(supervision):
    ended = supervision.run(supervision.python("def run(job): raise ValueError('head' + 'é' * 10**6 + 'tail')"))
    assert ended["error_message"].startswith("head") and ended["error_message"].endswith("tail")
    assert len(ended["error_message"].encode()) <= 8 * 1024
    assert len(ended["error_detail"].encode()) <= 16 * 1024


@pytest.mark.parametrize(
    "what, outcome, fields",
    [
        ("Retry(in_=30, message='later')", "retry", {"delay": 30, "error_message": "later"}),
        ("Retry()", "retry", {}),
        ("Snooze(60)", "snooze", {"delay": 60}),
        ("Cancel('changed my mind')", "cancelled", {"error_message": "changed my mind"}),
        ("Fail('never')", "refused", {"error_message": "never"}),
    ],
)
def test_a_control_exception_decides_the_outcome(supervision, what, outcome, fields):
    source = f"from processor import Retry, Snooze, Cancel, Fail\ndef run(job): raise {what}"
    ended = supervision.run(supervision.python(source))
    assert ended["outcome"] == outcome
    assert {key: ended.get(key) for key in fields} == fields


@pytest.mark.parametrize(
    "value, words",
    [
        ("{1, 2}", "of type set, is no JSON"),
        ("float('nan')", "is no JSON"),
        ("'x' * 5000", "the result has 5002 bytes, at most 1000 are kept"),
    ],
)
def test_a_result_that_cannot_be_kept_fails_the_job(supervision, value, words):
    ended = supervision.run(supervision.python(f"def run(job): return {value}", result_bytes=1000))
    assert ended["outcome"] == "protocol"
    assert words in ended["error_message"]


def test_results_and_errors_are_storable_everywhere(supervision):
    spec = supervision.python("def run(job): return {'a\\0b': ['x\\ud800y', '\\U0001f600', '\\\\u0000']}")
    result = supervision.run(spec)["result"]
    assert json.loads(result) == {"ab": ["x\ufffdy", "\U0001f600", "\\u0000"]}
    spec = supervision.python("def run(job):\n job.log('l\\0\\udcff')\n raise ValueError('a\\0b\\ud800')", name="other")
    run = supervision.start(spec)
    assert supervision.ended(run)["error_message"] == "ab\ufffd"
    assert supervision.texts(run, "info") == ["l\ufffd"]


def test_reports_arrive_before_the_end_and_in_order(supervision):
    source = "def run(job):\n job.progress(10, 'begun')\n job.log('a line', 'warning')\n job.output('a piece')\n job.progress(100)"  # noqa: E501
    run = supervision.start(supervision.python(source))
    supervision.ended(run)
    plain = [{k: v for k, v in event.items() if k not in ("tell", "run")} for event in supervision.events(run)]
    assert plain == [
        {"kind": "progress", "percent": 10, "text": "begun"},
        {"kind": "log", "level": "warning", "text": "a line"},
        {"kind": "output", "text": "a piece"},
        {"kind": "progress", "percent": 100},
    ]
    order = [told["tell"] for told in supervision.told if told.get("run") == run]
    assert order == ["started", "event", "event", "event", "event", "ended"]


def test_what_is_printed_becomes_log_lines(supervision):
    source = "import sys, os\ndef run(job):\n print('out', flush=False)\n print('err', file=sys.stderr)\n os.write(1, b'\\xff\\0raw')"  # noqa: E501
    run = supervision.start(supervision.python(source))
    supervision.ended(run)
    assert supervision.texts(run, "stdout") == ["out", "\ufffdraw"]
    assert supervision.texts(run, "stderr") == ["err"]


def test_enqueued_jobs_ride_with_the_completion_only(supervision):
    source = "def run(job, fail):\n job.enqueue('next', {'a': 1}, priority=7)\n if fail: raise ValueError"
    spec = supervision.python(source)
    assert supervision.run(spec, {"fail": False})["enqueue"] == [{"type": "next", "payload": {"a": 1}, "priority": 7}]
    assert "enqueue" not in supervision.run(spec, {"fail": True})


def test_a_run_has_only_what_it_shall_have(supervision):
    source = """
import os, resource, signal, sys
def run(job):
    open("left behind", "w").close()
    mask = os.umask(0); os.umask(mask)
    return {"cwd": os.getcwd(), "workdir": str(job.workdir), "mode": os.stat(".").st_mode & 0o777, "umask": mask,
            "fds": [fd for fd in sorted(map(int, os.listdir("/proc/self/fd"))) if os.path.exists(f"/dev/fd/{fd}")],
            "environment": sorted(os.environ), "sid": os.getsid(0) == os.getpid(),
            "core": resource.getrlimit(resource.RLIMIT_CORE)[0], "oom": open("/proc/self/oom_score_adj").read().strip(),
            "ignored": [s for s in (1, 2, 15, 17) if signal.getsignal(s) is signal.SIG_IGN], "path": sys.path}
"""
    spec = supervision.python(source, environment={"ONLY": "this"})
    found = json.loads(supervision.run(spec)["result"])
    assert found["cwd"] == found["workdir"]
    assert (found["mode"], found["umask"], found["sid"], found["core"]) == (0o700, 0o077, True, 0)
    assert found["fds"] == [0, 1, 2, 100]  # 100 is the channel, closed in whatever it starts
    assert set(found["environment"]) <= {"ONLY", "JOBTABLE_RUN", "LC_CTYPE"}
    assert found["oom"] == "900" and found["ignored"] == []
    assert not os.path.exists(found["workdir"])
    assert found["path"][0] == str(supervision.folder)
    assert not [path for path in found["path"] if path == str(supervision.folder.parents[0])]


def test_what_a_handler_starts_does_not_get_the_channel(supervision):
    source = "import subprocess\ndef run(job): return subprocess.run(['ls', '/proc/self/fd'], close_fds=False, capture_output=True, text=True).stdout.split()"  # noqa: E501
    assert supervision.run(supervision.python(source))["result"] == '["0","1","2","3"]'  # 3 is ls's own folder


def test_each_run_has_a_process_of_its_own_by_default(supervision):
    spec = supervision.python("import os\ndef run(job): return os.getpid()")
    first, second = supervision.run(spec)["result"], supervision.run(spec)["result"]
    assert first != second
    assert is_gone(int(first)) and is_gone(int(second))


def test_a_worker_is_used_again_up_to_its_number_and_starts_clean(supervision):
    source = """
import os
def run(job):
    seen = [os.getpid(), os.environ.get("LEAK"), os.listdir("."), os.getcwd() == str(job.workdir)]
    os.environ["LEAK"] = "x"; open("file", "w").close(); os.chdir("/")
    return seen
"""
    spec = supervision.python(source, jobs_per_worker=3)
    runs = [json.loads(supervision.run(spec)["result"]) for _ in range(4)]
    pids = [run[0] for run in runs]
    assert pids[0] == pids[1] == pids[2] != pids[3]
    assert all(run[1:] == [None, [], True] for run in runs)
    assert len(supervision.leftovers()) == 1  # the folder of the worker that rests


def test_a_worker_that_left_a_process_is_not_used_again(supervision):
    source = "import os, subprocess\ndef run(job): return [os.getpid(), subprocess.Popen(['sleep', '1000']).pid]"
    spec = supervision.python(source, jobs_per_worker=9)
    worker, left = json.loads(supervision.run(spec)["result"])
    assert is_gone(worker) and is_gone(left)
    assert json.loads(supervision.run(spec)["result"])[0] != worker


def test_the_time_and_memory_of_a_run_are_accounted(supervision):
    source = "def run(job):\n x = bytearray(80_000_000)\n n = 0\n while n < 3_000_000: n += 1"
    ended = supervision.run(supervision.python(source))
    assert ended["cpu_seconds"] > 0.05
    assert 80_000_000 < ended["max_rss_bytes"] < 250_000_000
    assert ended["seconds"] > 0.05


def test_a_solo_worker_runs_async_handlers_and_cancels_them(supervision):
    source = "import asyncio\nasync def run(job):\n job.log('in')\n await asyncio.sleep(1000)"
    run = supervision.start(supervision.python(source, grace=15))
    supervision.event(run, "in")
    supervision.stop(run)
    assert supervision.ended(run, 10)["outcome"] == "cancelled"


def test_sys_exit_is_an_error_of_the_handler(supervision):
    ended = supervision.run(supervision.python("import sys\ndef run(job): sys.exit(0)"))
    assert (ended["outcome"], ended["error_type"]) == ("raised", "SystemExit")


def test_a_declared_handler_is_found_by_its_name(supervision):
    (supervision.folder / "novel.py").write_text(
        "from processor import handler\n@handler('chapter.analyse', timeout=9)\ndef analyse(chapter): return chapter + 1"  # noqa: E501
    )
    spec = supervision.define("declared", kind="solo", handler="novel", name="chapter.analyse")
    assert supervision.run(spec, {"chapter": 1})["result"] == "2"
    spec = supervision.define("undeclared", kind="solo", handler="novel", name="chapter.other")
    assert 'declares no @handler("chapter.other")' in supervision.run(spec)["error_message"]
