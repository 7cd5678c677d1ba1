"""The index for turns is made by who needs it, once."""

import threading

from processor.queue import turns_index
from processor.queue.rules import Rules
from tests.queue.conftest import Queue

FAIR = Rules(fair="owner")


def test_the_index_is_made_once_and_only_for_who_needs_it(queue: Queue) -> None:
    assert not turns_index.ensure(queue.database, [Rules(), Rules(age_priority="1 per 10m")])
    assert turns_index.ensure(queue.database, [Rules(), FAIR])
    assert not turns_index.ensure(queue.database, [FAIR])


def test_of_processors_that_start_at_once_one_makes_it(queue: Queue) -> None:
    barrier, made = threading.Barrier(4), list[bool]()

    def start() -> None:
        barrier.wait()
        made.append(turns_index.ensure(queue.database, [FAIR]))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False, False, False, True]
