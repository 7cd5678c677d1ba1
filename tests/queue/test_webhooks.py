"""Webhooks are made, listed, paused, rotated and deleted; nobody reads a secret again but who signs with it."""

import base64
import re
import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from processor.addresses import networks
from processor.errors import NotFound, QueueFull, Refused
from processor.judge import Backoff
from processor.outcome import Kind
from processor.queue import deliveries, targets, webhooks
from processor.queue.deliveries import TYPE
from processor.queue.settle import settle
from tests.queue.conftest import Queue, verdict_of

URL = "https://hooks.example/x"
LONG_AGO = "2020-06-01 00:00:00"
NO_ONE = "There is no webhook"


def make(queue: Queue, owner: str | None = "ann", **more: Any) -> tuple[webhooks.Webhook, str]:
    return webhooks.create(queue.database, **{"owner": owner, "url": URL, **more})


def end_one(queue: Queue, owner: str = "ann") -> None:
    queue.insert("type, owner", f"'a', '{owner}'")
    settle(queue.database, [verdict_of(job, Kind.RETURNED) for job in queue.claim()])


def deliveries_of(queue: Queue, webhook: webhooks.Webhook) -> list[str]:
    rows = queue.rows(f"SELECT status FROM jobs WHERE type = '{TYPE}' AND subject = 'webhook:{webhook.id}' ORDER BY id")
    return [row[0] for row in rows]


def test_a_webhook_is_made_and_its_secret_given_once(queue: Queue) -> None:
    made, secret = make(queue, type_="a", outcome="failed", name="the shop", with_result=True)
    assert re.fullmatch(r"[0-9a-f]{8}", made.id)
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    facts = (made.name, made.owner, made.type, made.outcome, made.url, made.with_result, made.paused_at)
    assert facts == ("the shop", "ann", "a", "failed", URL, True, None)
    assert webhooks.list_all(queue.database) == [made] == [webhooks.one(queue.database, made.id)]
    assert secret not in repr(webhooks.list_all(queue.database))
    assert not hasattr(made, "secret")


def test_two_webhooks_have_different_secrets(queue: Queue) -> None:
    assert make(queue)[1] != make(queue)[1]


def test_an_owner_has_its_own_alone(queue: Queue) -> None:
    (ann, _), (bob, _), (everybody, _) = make(queue), make(queue, "bob"), make(queue, None)
    assert webhooks.list_all(queue.database, "ann") == [ann]
    assert {one.id for one in webhooks.list_all(queue.database)} == {ann.id, bob.id, everybody.id}
    assert webhooks.one(queue.database, ann.id, "ann") == ann
    for other in (bob, everybody):
        with pytest.raises(NotFound, match=NO_ONE):
            webhooks.one(queue.database, other.id, "ann")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": "http://127.0.0.1:8080/"}, "it is in a private network"),
        ({"url": "http://localhost/"}, "it is in a private network"),
        ({"url": "ftp://hooks.example/"}, "it is no address"),
        ({"url": "https://ann:secret@hooks.example/"}, "a user or a password"),
        ({"outcome": "done"}, "There is no outcome 'done'"),
        ({"type_": TYPE}, "never tells of"),
    ],
)
def test_what_cannot_be_told_is_refused(queue: Queue, given: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says) as refused:
        make(queue, **given)
    assert "secret" not in str(refused.value)
    assert webhooks.list_all(queue.database) == []


def test_the_configuration_allows_private_networks(queue: Queue) -> None:
    make(queue, url="http://127.0.0.1:8080/", allowed=networks(["127.0.0.0/8"]))


def test_an_owner_has_so_many_and_no_more(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST", 2)
    for owner in ("ann", "ann", "bob", None, None):
        make(queue, owner)
    for owner, says in (("ann", "the owner 'ann' has"), (None, "all owners have")):
        with pytest.raises(Refused, match=says):
            make(queue, owner)


def test_two_that_are_made_at_once_are_not_both_the_last(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST", 1)
    owners, at_once = [f"owner {number}" for number in range(10)], threading.Barrier(4, timeout=30)

    def make_for_each() -> None:
        for owner in owners:
            at_once.wait()
            with suppress(Refused):
                make(queue, owner)

    makers = [threading.Thread(target=make_for_each) for _ in range(at_once.parties)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert sorted(str(one.owner) for one in webhooks.list_all(queue.database)) == owners


def test_what_is_given_of_a_webhook_is_changed_and_nothing_else(queue: Queue) -> None:
    made, secret = make(queue, type_="a", name="the shop")
    webhooks.change(queue.database, made.id, {"outcome": "failed", "with_result": True})
    assert webhooks.one(queue.database, made.id) == replace(made, outcome="failed", with_result=True)
    webhooks.change(queue.database, made.id, {"url": f"{URL}/new", "type": None, "name": None})
    changed = replace(made, outcome="failed", with_result=True, url=f"{URL}/new", type=None, name=None)
    assert webhooks.one(queue.database, made.id) == changed
    webhooks.change(queue.database, made.id, {})
    assert webhooks.one(queue.database, made.id) == changed
    found = targets.target(queue.database, made.id, "ann")
    assert found is not None and (found.url, found.secrets) == (f"{URL}/new", (secret,))


def test_a_changed_webhook_tells_what_it_is_to_tell_from_then_on(queue: Queue) -> None:
    made, _ = make(queue, type_="b")
    end_one(queue)
    assert deliveries_of(queue, made) == []
    webhooks.change(queue.database, made.id, {"type": "a"})
    end_one(queue)
    assert deliveries_of(queue, made) == ["pending"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": "http://127.0.0.1:8080/"}, "it is in a private network"),
        ({"outcome": "done"}, "There is no outcome 'done'"),
        ({"type": TYPE}, "never tells of"),
        ({"type": "x" * 201}, "No type has over"),
    ],
)
def test_what_cannot_be_told_is_not_changed_to(queue: Queue, given: dict[str, Any], says: str) -> None:
    made, _ = make(queue)
    with pytest.raises(Refused, match=f"{says}.*Nothing was changed"):
        webhooks.change(queue.database, made.id, {"name": "other", **given})
    assert webhooks.one(queue.database, made.id) == made
    webhooks.change(queue.database, made.id, {"url": "http://127.0.0.1:8080/"}, networks(["127.0.0.0/8"]))


def test_what_waits_for_its_next_try_goes_to_a_new_address_at_once(queue: Queue) -> None:
    made, _ = make(queue)
    end_one(queue)
    queue.rows(f"UPDATE jobs SET status = 'scheduled', run_at = '2090-01-01 00:00:00' WHERE type = '{TYPE}'")
    webhooks.change(queue.database, made.id, {"url": URL, "name": "the shop"})
    assert deliveries_of(queue, made) == ["scheduled"], "its address is the same"
    webhooks.change(queue.database, made.id, {"url": f"{URL}/new"})
    assert queue.rows(f"SELECT run_at FROM jobs WHERE type = '{TYPE}'") == [(None,)]


def test_a_new_address_owes_nothing_to_the_former_one(queue: Queue) -> None:
    (gone, _), (asked, _) = make(queue), make(queue)
    for made in (gone, asked):
        targets.failed(queue.database, made.id, "ann", Backoff())
    targets.disable(queue.database, gone.id, "ann")
    webhooks.pause(queue.database, asked.id)
    for made in (gone, asked):
        webhooks.change(queue.database, made.id, {"url": URL, "name": "the shop"})
        same = webhooks.one(queue.database, made.id)
        assert same.failures == 1 and same.paused_at is not None, "its address is the same"
        webhooks.change(queue.database, made.id, {"url": f"{URL}/new"})
        assert held_for(queue, made.id) == 0
    moved, still = webhooks.one(queue.database, gone.id), webhooks.one(queue.database, asked.id)
    assert (moved.failures, moved.paused_at, moved.paused_reason) == (0, None, None)
    assert (still.failures, still.paused_reason) == (0, "asked")
    assert still.paused_at is not None


def test_what_became_of_a_try_says_nothing_of_another_address(queue: Queue) -> None:
    made, _ = make(queue)
    webhooks.change(queue.database, made.id, {"url": f"{URL}/new"})
    targets.failed(queue.database, made.id, "ann", Backoff(), url=URL)
    assert not targets.disable(queue.database, made.id, "ann", URL)
    found = webhooks.one(queue.database, made.id)
    assert (found.failures, found.held_until, found.paused_at) == (0, None, None)
    targets.failed(queue.database, made.id, "ann", Backoff(), url=f"{URL}/new")
    targets.succeeded(queue.database, made.id, "ann", URL)
    assert webhooks.one(queue.database, made.id).failures == 1
    targets.succeeded(queue.database, made.id, "ann", f"{URL}/new")
    assert webhooks.one(queue.database, made.id).failures == 0
    assert targets.disable(queue.database, made.id, "ann", f"{URL}/new")


def test_a_new_secret_signs_beside_the_former_for_a_time(queue: Queue) -> None:
    made, first = make(queue)
    second = webhooks.rotate(queue.database, made.id)
    found = targets.target(queue.database, made.id, "ann")
    assert found is not None and found.secrets == (second, first)
    assert webhooks.one(queue.database, made.id).former_secret_until is not None
    queue.rows(f"UPDATE webhooks SET former_secret_until = '{LONG_AGO}'")
    found = targets.target(queue.database, made.id, "ann")
    assert found is not None and found.secrets == (second,)


def test_a_new_secret_can_replace_the_former_at_once(queue: Queue) -> None:
    made, first = make(queue)
    second = webhooks.rotate(queue.database, made.id, keep=0)
    found = targets.target(queue.database, made.id, "ann")
    assert found is not None and found.secrets == (second,)
    assert first not in repr(queue.rows("SELECT * FROM webhooks"))


@pytest.mark.parametrize("owner", ["ann", None])
def test_nobody_signs_with_the_secret_of_another_owner(queue: Queue, owner: str | None) -> None:
    made, _ = make(queue, owner)
    assert targets.target(queue.database, made.id, owner) is not None
    for other in {"bob", "ann", "Ann", "", None} - {owner}:
        assert targets.target(queue.database, made.id, other) is None


def test_while_it_is_paused_nothing_is_told_and_what_waits_is_kept(queue: Queue) -> None:
    (made, _), (other, _) = make(queue), make(queue)
    end_one(queue)
    webhooks.pause(queue.database, made.id)
    assert (deliveries_of(queue, made), deliveries_of(queue, other)) == (["paused"], ["pending"])
    paused = webhooks.one(queue.database, made.id)
    assert paused.paused_at is not None and paused.paused_reason == "asked"
    end_one(queue)
    webhooks.pause(queue.database, made.id)
    assert webhooks.one(queue.database, made.id).paused_at == paused.paused_at
    assert (deliveries_of(queue, made), deliveries_of(queue, other)) == (["paused"], ["pending"] * 2)
    webhooks.resume(queue.database, made.id)
    end_one(queue)
    assert webhooks.one(queue.database, made.id).paused_at is None
    assert (deliveries_of(queue, made), deliveries_of(queue, other)) == (["pending"] * 2, ["pending"] * 3)


def test_an_address_that_is_gone_pauses_its_own_webhook_alone(queue: Queue) -> None:
    (made, _), (other, _) = make(queue), make(queue)
    assert not targets.disable(queue.database, made.id, "bob")
    assert targets.disable(queue.database, made.id, "ann")
    assert not targets.disable(queue.database, made.id, "ann")
    found = targets.target(queue.database, made.id, "ann")
    assert found is not None and found.paused_reason == "gone"
    assert webhooks.one(queue.database, other.id).paused_at is None


def test_with_a_webhook_its_deliveries_go(queue: Queue) -> None:
    (made, _), (other, _) = make(queue), make(queue)
    end_one(queue)
    told = queue.rows("SELECT count(*) FROM notifications")
    webhooks.remove(queue.database, made.id)
    assert queue.rows("SELECT count(*) FROM notifications") == told
    assert (deliveries_of(queue, made), deliveries_of(queue, other)) == (["cancelled"], ["pending"])
    assert targets.target(queue.database, made.id, "ann") is None
    assert [one.id for one in webhooks.list_all(queue.database)] == [other.id]


def test_what_another_owner_says_is_a_delivery_is_left_alone(queue: Queue) -> None:
    """Anybody may write a type and a subject."""
    made, _ = make(queue)
    end_one(queue)
    queue.insert("type, owner, subject", f"'{TYPE}', 'bob', 'webhook:{made.id}'")
    webhooks.pause(queue.database, made.id)
    assert deliveries_of(queue, made) == ["paused", "pending"]
    queue.rows(f"UPDATE jobs SET status = 'paused' WHERE type = '{TYPE}'")
    webhooks.resume(queue.database, made.id)
    assert deliveries_of(queue, made) == ["pending", "paused"]
    webhooks.remove(queue.database, made.id)
    assert deliveries_of(queue, made) == ["cancelled", "paused"]


def test_a_test_is_a_delivery_about_no_job(queue: Queue) -> None:
    made, _ = make(queue)
    ids = {deliveries.make_test(queue.database, made.id) for _ in range(2)}
    assert len(ids) == 2
    rows = queue.rows(f"SELECT owner, subject, concurrency_key FROM jobs WHERE type = '{TYPE}'")
    assert rows == [("ann", f"webhook:{made.id}", made.id)] * 2
    found = webhooks.one(queue.database, made.id)
    assert (made.last_job_id, found.last_job_id, found.last_job_status) == (None, max(ids), "pending")
    queue.insert("type, owner, subject", f"'{TYPE}', 'bob', 'webhook:{made.id}'")
    assert webhooks.one(queue.database, made.id) == found


def test_so_many_tests_wait_and_no_more(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MOST_TESTS", 2)
    (made, _), (other, _) = make(queue), make(queue)
    end_one(queue)
    targets.failed(queue.database, made.id, "ann", Backoff())
    for _ in range(2):
        deliveries.make_test(queue.database, made.id)
    targets.failed(queue.database, made.id, "ann", Backoff())
    with pytest.raises(QueueFull, match=r"2 tests of the webhook .* were not taken yet"):
        deliveries.make_test(queue.database, made.id)
    assert held_for(queue, made.id) > 0, "the address is left alone, too"
    assert len(deliveries_of(queue, made)) == 3
    queue.insert("type, owner, key", *[f"'{TYPE}', 'bob', 'msg_{other.id}_test_0'"] * 2)
    deliveries.make_test(queue.database, other.id)
    queue.rows(f"UPDATE jobs SET status = 'failed' WHERE concurrency_key = '{made.id}'")
    deliveries.make_test(queue.database, made.id)


def test_of_what_is_not_there_everybody_says_so(queue: Queue) -> None:
    with pytest.raises(NotFound, match=NO_ONE):
        webhooks.change(queue.database, "0a1b2c3d", {"name": "x"})
    for verb in (webhooks.one, webhooks.pause, webhooks.resume, webhooks.remove, webhooks.rotate, deliveries.make_test):
        with pytest.raises(NotFound, match=NO_ONE):
            verb(queue.database, "0a1b2c3d")  # type: ignore[operator]


def held_for(queue: Queue, id: str) -> float:
    found = targets.target(queue.database, id, "ann")
    assert found is not None
    return found.held_for


def test_after_a_failed_try_everything_of_a_webhook_waits_longer_each_time(queue: Queue) -> None:
    made, _ = make(queue)
    assert held_for(queue, made.id) == 0
    for longest in (7.5, 30, 120, 480, 900, 900):
        targets.failed(queue.database, made.id, "ann", Backoff(10.0, 4.0, 1e6))
        assert longest - 5 < held_for(queue, made.id) <= longest + 0.01
    assert webhooks.one(queue.database, made.id).failures == 6
    targets.failed(queue.database, made.id, "bob", Backoff())
    targets.succeeded(queue.database, made.id, "bob")
    assert webhooks.one(queue.database, made.id).failures == 6
    targets.succeeded(queue.database, made.id, "ann")
    found = webhooks.one(queue.database, made.id)
    assert (found.failures, found.held_until) == (0, None)


def test_who_asks_for_time_gets_it_for_all_that_waits(queue: Queue) -> None:
    made, _ = make(queue)
    targets.failed(queue.database, made.id, "ann", Backoff(), wish=3600.0)
    assert 3500 < held_for(queue, made.id) <= 3600.01
    deliveries.make_test(queue.database, made.id)
    assert held_for(queue, made.id) == 0, "who tries it out wants to see it now"
    targets.failed(queue.database, made.id, "ann", Backoff(), wish=1e9)
    assert held_for(queue, made.id) <= 86_400.01
    webhooks.resume(queue.database, made.id)
    assert held_for(queue, made.id) == 0
