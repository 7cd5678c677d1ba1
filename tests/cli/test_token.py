"""`jobtable token`."""

import pytest

from processor.db import Database as Opened
from processor.queue import tokens
from tests.cli.conftest import Jobtable
from tests.databases import Database

CREATE = ("token", "create", "--owner", "ann", "--scope", "write,read")


def test_a_token_is_made_listed_and_revoked(jobtable: Jobtable, db: Database) -> None:
    assert jobtable("token", "list").stdout == "There is no token.\n"
    result = jobtable(*CREATE, "--name", "the shop", "--expires", "90d")
    assert result.exit_code == 0, result.stderr
    text = result.stdout.removesuffix("\n")
    with Opened(db.url) as database:
        found = tokens.find(database, text)
    assert found is not None
    assert result.stderr.startswith(f"made the token {found.id} of ann: read, write; valid until 2")
    assert "from now on every request to the API needs a token" in result.stderr
    assert text not in result.stderr

    [row] = jobtable.json("token", "list")
    assert list(row) == [
        "id", "name", "owner", "scopes", "state", "created_at", "expires_at", "revoked_at", "last_used_at"
    ]  # fmt: skip
    expected = {"id": found.id, "name": "the shop", "owner": "ann", "scopes": ["read", "write"], "state": "valid"}
    assert expected.items() <= row.items()
    assert row["expires_at"] > row["created_at"]
    assert (row["revoked_at"], row["last_used_at"]) == (None, None)

    with Opened(db.url) as database:
        tokens.mark_used(database, found.id)
    [row] = jobtable.json("token", "list")
    assert row["last_used_at"] >= row["created_at"]

    assert jobtable("token", "revoke", found.id).stdout == f"revoked the token {found.id}\n"
    [row] = jobtable.json("token", "list")
    assert row["state"] == "revoked"
    assert row["revoked_at"] is not None
    with Opened(db.url) as database:
        assert tokens.find(database, text) is None


def test_the_table_shows_whose_each_token_is_and_what_it_may(on_sqlite: Jobtable) -> None:
    on_sqlite(*CREATE)
    second = on_sqlite("token", "create", "--all-owners", "--scope", "metrics, admin", "--expires", "1ms")
    assert "of all owners: admin, metrics; valid until" in second.stderr
    assert "first" not in second.stderr
    table = on_sqlite("token", "list").stdout
    secret = second.stdout.strip().split("_", 2)[2]
    assert secret not in table
    _, ann, everybody = (line.split() for line in table.splitlines())
    assert ann[1:4] == ["valid", "ann", "read,write"]
    assert everybody[1:4] == ["expired", "(all)", "admin,metrics"]


def test_the_output_is_the_token_alone(on_sqlite: Jobtable) -> None:
    code, out, err = on_sqlite.run(*CREATE)
    assert code == 0, err
    assert out.count("\n") == 1
    assert out.startswith("jt_")
    assert len(out) == len("jt_12345678_") + 43 + 1


def test_without_a_subcommand_it_says_which_there_are(on_sqlite: Jobtable) -> None:
    result = on_sqlite("token")
    assert result.exit_code == 0
    assert all(word in result.stdout for word in ("create", "list", "revoke"))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("create", "--scope", "read"), 2, "Give --owner NAME or --all-owners"),
        (("create", "--owner", "ann", "--all-owners", "--scope", "read"), 2, "one of the two"),
        (("create", "--owner", "", "--scope", "read"), 2, "it is empty"),
        (("create", "--owner", "ann"), 2, "--scope"),
        (("create", "--owner", "ann", "--scope", "read,all"), 2, "write some of read, write, admin, metrics"),
        (("create", "--owner", "ann", "--scope", ","), 2, "write some of read, write, admin, metrics"),
        (("create", "--owner", "ann", "--scope", "admin"), 1, "The scope admin reaches all owners"),
        (("create", "--owner", "ann", "--scope", "read", "--expires", "soon"), 2, "is no duration"),
        (("create", "--owner", "ann", "--scope", "read", "--expires", "0"), 1, "expires at once"),
        (("revoke", "0a1b2c3d"), 1, "There is no token '0a1b2c3d'"),
        (("revoke",), 2, "Missing argument"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    on_sqlite: Jobtable, arguments: tuple[str, ...], code: int, says: str
) -> None:
    result = on_sqlite("token", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert on_sqlite.json("token", "list") == []
