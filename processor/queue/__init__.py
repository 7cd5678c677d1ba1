"""The verbs of the queue, one file each; the only place (with `db`) where SQL is written.

`enqueue` makes rows · `upkeep` keeps the due index small · `claim` takes due rows · `settle` writes verdicts ·
`events` stores what running jobs tell · `leases` knows who is alive and rescues the jobs of the dead ·
`control` is what people ask for · `lookup` reads.
"""
