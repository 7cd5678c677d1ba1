"""How fast the queue is: beside a peer and beside bare SQL, in alternating runs on one private PostgreSQL.

    make bench                             three rounds of 20,000 jobs
    make bench ARGS="--rounds 5 --claims"  more of them, and what a claim costs when 100,000 rows are pending

Only ratios of runs side by side mean something: the figures of one machine, or of one hour, say nothing of another.
docs/performance.md has what was measured and what bounds it.
"""
