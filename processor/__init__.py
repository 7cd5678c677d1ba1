"""jobtable: the table is the queue.

The story of a job is the map of this package:

    inserted    queue/enqueue       a row: by our code here, or by any program's plain INSERT
    claimed     queue/claim         due rows become `running`, owned by (job_id, processor_id, claim_no): the fence
    dispatched  work/daemon         the loop: settle, upkeep, claim, rest
    executed    work/supervisor     -> work/worker (python, http) or an executable (command)
    outcome     outcome             what came back, or what became of it
    judged      judge               pure: outcome + job + policy -> verdict
    settled     queue/settle        fenced, in batches, one transaction with errors and notifications
    observed    queue/lookup, cli/, metrics, logs

Handlers import what they need from here; it is the standard library alone, on any Python from 3.9 on.
"""

from processor.context import Cancel, Fail, Job, Retry, Snooze
from processor.handlers import handler

__all__ = ["Cancel", "Fail", "Job", "Retry", "Snooze", "handler"]
