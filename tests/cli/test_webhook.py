"""`jobtable webhook`."""

import pytest

from processor.db import Database as Opened
from processor.judge import Backoff
from processor.queue import targets, webhooks
from processor.queue.deliveries import TYPE
from tests.cli.conftest import Jobtable
from tests.databases import Database

URL = "https://hooks.example/x"
CREATE = ("webhook", "create", URL, "--owner", "ann")


def test_a_webhook_is_made_listed_steered_and_deleted(jobtable: Jobtable, db: Database) -> None:
    assert jobtable("webhook", "list").stdout == "There is no webhook.\n"
    made = jobtable(*CREATE, "--type", "a", "--outcome", "failed", "--with-result", "--name", "the shop")
    assert made.exit_code == 0, made.stderr
    secret = made.stdout.removesuffix("\n")
    assert secret.startswith("whsec_")
    [row] = jobtable.json("webhook", "list")
    assert list(row) == [
        "id", "state", "name", "owner", "type", "outcome", "url", "with_result", "created_at", "failures", "held_until",
        "paused_at", "paused_reason", "former_secret_until", "last_job_id", "last_job_status",
    ]  # fmt: skip
    expected = {"name": "the shop", "owner": "ann", "type": "a", "outcome": "failed", "url": URL, "state": "on"}
    assert expected.items() <= row.items()
    assert row["with_result"] is True
    assert made.stderr == f"made the webhook {row['id']}; its secret is shown this once:\n"

    job = int(jobtable("webhook", "test", row["id"]).stdout)
    assert jobtable.json("list", "--type", TYPE)[0]["id"] == job
    assert jobtable("webhook", "pause", row["id"]).stdout == f"paused the webhook {row['id']}\n"
    [paused] = jobtable.json("webhook", "list")
    assert (paused["state"], paused["paused_reason"]) == ("paused", "asked")
    assert (paused["last_job_id"], paused["last_job_status"]) == (job, "paused")
    assert jobtable("webhook", "resume", row["id"]).stdout == f"resumed the webhook {row['id']}\n"
    [resumed] = jobtable.json("webhook", "list")
    assert (resumed["state"], resumed["last_job_status"]) == ("on", "pending")

    rotated = jobtable("webhook", "rotate", row["id"], "--keep", "1h")
    assert "new secret, which is shown this once" in rotated.stderr
    with Opened(db.url) as database:
        target = targets.target(database, row["id"], "ann")
    assert target is not None and target.secrets == (rotated.stdout.strip(), secret)
    assert secret not in jobtable("webhook", "list", "--json").stdout

    assert jobtable("webhook", "delete", row["id"]).stdout == f"deleted the webhook {row['id']}\n"
    assert jobtable.json("webhook", "list") == []
    assert jobtable.json("list", "--type", TYPE)[0]["status"] == "cancelled"


def test_what_is_given_of_a_webhook_is_changed(jobtable: Jobtable) -> None:
    jobtable(*CREATE, "--type", "a", "--name", "the shop")
    [made] = jobtable.json("webhook", "list")
    changed = jobtable("webhook", "set", made["id"], "--outcome", "failed", "--with-result", "yes", "--type", "b")
    assert changed.stdout == f"changed the webhook {made['id']}\n"
    [row] = jobtable.json("webhook", "list")
    assert row == {**made, "outcome": "failed", "with_result": True, "type": "b"}
    jobtable("webhook", "set", made["id"], "--address", f"{URL}/new", "--type", "", "--name", "", "--with-result", "no")
    [row] = jobtable.json("webhook", "list")
    assert row == {**made, "outcome": "failed", "url": f"{URL}/new", "type": None, "name": None}


def test_the_table_shows_of_what_each_tells(on_sqlite: Jobtable) -> None:
    on_sqlite(*CREATE)
    on_sqlite("webhook", "create", URL, "--all-owners", "--type", "a", "--outcome", "completed")
    with Opened(on_sqlite.url) as database:
        targets.disable(database, webhooks.list_all(database, "ann")[0].id, "ann")
    _, ann, everybody = (line.split() for line in on_sqlite("webhook", "list").stdout.splitlines())
    assert ann[1:5] == ["gone", "ann", "(all)", "any"]
    assert everybody[1:5] == ["on", "(all)", "a", "completed"]
    with Opened(on_sqlite.url) as database:
        targets.failed(database, everybody[0], None, Backoff())
    assert on_sqlite.json("webhook", "list")[1]["state"] == "failing"


def test_the_configuration_allows_private_networks(on_sqlite: Jobtable) -> None:
    create = ("webhook", "create", "http://127.0.0.1:9/", "--all-owners")
    assert "in a private network" in on_sqlite(*create).stderr
    on_sqlite.configure('[webhooks]\nallow = ["127.0.0.1"]\n')
    assert on_sqlite(*create).exit_code == 0


def test_without_a_subcommand_it_says_which_there_are(on_sqlite: Jobtable) -> None:
    shown = on_sqlite("webhook").stdout
    assert all(word in shown for word in ("create", "list", "set", "pause", "resume", "delete", "test", "rotate"))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("create", URL), 2, "Give --owner NAME or --all-owners"),
        (("create", URL, "--owner", "ann", "--all-owners"), 2, "one of the two"),
        (("create", "--owner", "ann"), 2, "Missing argument"),
        (("create", URL, "--owner", "ann", "--outcome", "fail"), 2, "Did you mean failed?"),
        (("create", "http://10.0.0.1/", "--owner", "ann"), 1, "let [webhooks] allow name its network"),
        (("create", "hooks.example", "--owner", "ann"), 1, "it is no address"),
        (("create", URL, "--owner", "ann", "--type", TYPE), 1, "never tells of"),
        (("set", "0a1b2c3d"), 2, "Nothing to set"),
        (("set", "0a1b2c3d", "--name", "x"), 1, "There is no webhook"),
        (("set", "0a1b2c3d", "--address", "http://10.0.0.1/"), 1, "Nothing was changed"),
        (("set", "0a1b2c3d", "--outcome", "fail"), 2, "Did you mean failed?"),
        (("pause", "0a1b2c3d"), 1, "There is no webhook '0a1b2c3d'"),
        (("resume", "0a1b2c3d"), 1, "There is no webhook"),
        (("delete", "0a1b2c3d"), 1, "There is no webhook"),
        (("test", "0a1b2c3d"), 1, "There is no webhook"),
        (("rotate", "0a1b2c3d"), 1, "There is no webhook"),
        (("rotate", "0a1b2c3d", "--keep", "soon"), 2, "is no duration"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    on_sqlite: Jobtable, arguments: tuple[str, ...], code: int, says: str
) -> None:
    result = on_sqlite("webhook", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert on_sqlite.json("webhook", "list") == []
