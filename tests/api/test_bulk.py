"""Steering all that a filter finds, counted first; what waits and why."""

from typing import Any

import pytest

from tests.api.conftest import Api

BULK = "/api/v1/jobs/bulk"


def bulk(api: Api, verb: str, client: Any = None, **which: Any) -> int:
    answer = (client or api.client).post(BULK, json={"verb": verb, **which})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["jobs"])


def states(api: Api) -> list[str]:
    return [job["status"] for job in api.client.get("/api/v1/jobs").json()["items"][::-1]]


def test_a_dry_run_counts_and_changes_nothing(api: Api) -> None:
    for subject in ("a", "a", "b"):
        api.make(subject=subject)
    assert bulk(api, "cancel", subject="a", dry_run=True) == 2
    assert states(api) == ["pending", "pending", "pending"]
    assert bulk(api, "cancel", subject="a") == 2
    assert states(api) == ["cancelled", "cancelled", "pending"]


def test_each_verb_leaves_alone_what_its_move_does_not_allow(api: Api) -> None:
    for _ in range(2):
        api.make()
    api.make(delay_seconds=600)
    assert bulk(api, "run-now", types=["work"]) == 1
    assert bulk(api, "resume", types=["work"]) == 0
    assert bulk(api, "pause", types=["work"]) == 3
    assert bulk(api, "resume", statuses=["paused"]) == 3
    assert bulk(api, "retry", statuses=["pending"], dry_run=True) == 0
    assert bulk(api, "cancel", statuses=["pending", "completed"]) == 3
    assert bulk(api, "retry", types=["work"], dry_run=True) == 3
    assert bulk(api, "delete", types=["other"]) == 0
    assert bulk(api, "delete", types=["work"]) == 3
    assert states(api) == []


def test_an_owner_steers_its_own_jobs_only(api: Api) -> None:
    for owner in ("ann", "bob"):
        api.make(owner=owner)
    ann = api.asks_as("ann")
    assert bulk(api, "cancel", ann, owner="bob") == 0
    assert bulk(api, "cancel", ann, types=["work"], dry_run=True) == 1
    assert bulk(api, "cancel", ann, types=["work"]) == 1
    admin = api.asks_as(None, "admin")
    assert [job["status"] for job in admin.get("/api/v1/jobs").json()["items"]] == ["pending", "cancelled"]


def test_without_a_filter_nothing_is_steered(api: Api) -> None:
    api.make()
    answer = api.client.post(BULK, json={"verb": "delete"})
    assert answer.status_code == 409
    assert "every job" in answer.json()["detail"]
    assert states(api) == ["pending"]


@pytest.mark.parametrize("given", [{"verb": "burn", "types": ["work"]}, {"verb": "cancel", "colour": "red"}])
def test_what_is_no_verb_or_no_filter_is_refused(api: Api, given: dict[str, Any]) -> None:
    api.make()
    assert api.client.post(BULK, json=given).status_code == 422


def test_a_token_that_reads_steers_nothing(api: Api) -> None:
    api.make()
    answer = api.asks_as(None, "read").post(BULK, json={"verb": "cancel", "types": ["work"]})
    assert answer.status_code == 403


def test_what_waits_is_told_with_what_keeps_the_oldest(api: Api) -> None:
    for _ in range(2):
        api.make()
    api.make(type="few")
    work, few = api.client.get("/api/v1/statistics/waiting").json()["items"]
    assert (work["type"], work["status"], work["jobs"], work["oldest"]) == ("work", "pending", 2, 1)
    assert "runs the type 'few'" in few["why"][0]


def test_an_owner_is_told_of_its_own_backlog_without_names_of_processors(api: Api) -> None:
    for owner in ("ann", "bob", "bob"):
        api.make(owner=owner)
    [one] = api.asks_as("ann").get("/api/v1/statistics/waiting").json()["items"]
    assert (one["jobs"], one["oldest"]) == (1, 1)
    assert one["why"] == ["No processor that is alive runs its type."]
