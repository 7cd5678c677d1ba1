import pytest

from processor.lifecycle import FINAL, MOVES, NOT_STARTED, Status, allows

P, S, W, U, R = Status.PENDING, Status.SCHEDULED, Status.WAITING, Status.PAUSED, Status.RUNNING
C, F, X = Status.COMPLETED, Status.FAILED, Status.CANCELLED

ALLOWED = {
    P: {P, S, W, R, U, C, X},
    S: {P, W, U, X},
    W: {P, U, C, F, X},
    U: {P, W, X},
    R: {P, S, W, C, F, X},
    C: {P},
    F: {P},
    X: {P},
}
"""The whole table: from each state, every state that some move reaches."""


@pytest.mark.parametrize("before", Status)
@pytest.mark.parametrize("after", Status)
def test_a_state_is_left_only_for_the_states_of_the_table(before: Status, after: Status) -> None:
    assert allows(before, after) == (after in ALLOWED[before])


def test_every_state_is_running_final_or_not_started() -> None:
    assert FINAL | NOT_STARTED | {Status.RUNNING} == set(Status)
    assert not FINAL & NOT_STARTED


def test_the_states_that_are_not_final_come_last_in_the_alphabet() -> None:
    """`has_open_children` reads them as one range of an index."""
    assert all(status > max(FINAL) for status in Status if status not in FINAL)


def test_only_a_person_brings_a_final_job_back() -> None:
    assert [name for name, (leaves, _) in MOVES.items() if leaves & FINAL] == ["retry"]
