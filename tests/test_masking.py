"""Nothing under a secret's name is shown, whatever is around it."""

import json
import time
from typing import Any

import pytest

from processor.masking import masked, masked_name, masked_text

PATTERNS = ("password", "secret", "token", "authorization", "api_key")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"password": "x", "user": "ann"}, {"password": "***", "user": "ann"}),
        ({"a": [{"b": {"DB_Password_2": ["x", {"y": 1}]}}, 2]}, {"a": [{"b": {"DB_Password_2": "***"}}, 2]}),
        ([[{"secret": None}], "secret"], [[{"secret": "***"}], "secret"]),
        (
            {"openaiApiKey": 1, "X-Api-Key": True, "api key": 0},
            dict.fromkeys(["openaiApiKey", "X-Api-Key", "api key"], "***"),
        ),
        ({"": 1, "key": "k", "pass": "p"}, {"": 1, "key": "k", "pass": "p"}),
        ("password", "password"),
        (None, None),
        (1.5, 1.5),
        ({}, {}),
        ([], []),
    ],
)
def test_what_is_under_a_matching_key_is_hidden(value: Any, shown: Any) -> None:
    before = json.dumps(value)
    assert masked(value, PATTERNS) == shown
    assert json.dumps(value) == before, "the given value was changed"


def test_without_patterns_nothing_is_hidden() -> None:
    value = {"password": ["x"], "": 1}
    assert masked(value, ()) == value
    assert masked(value, ("", "_")) == value
    assert masked_text("password=x", ()) == "password=x"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"password": "***"}, "password"),
        ([[{"a": [{"X-Api-Key": "***"}]}]], "X-Api-Key"),
        ({"password": "****", "pin": "***", "token": ["***"], "secret": {"value": "***"}}, None),
        ({"password": None}, None),
        (["password", "***"], None),
        ("***", None),
        (None, None),
    ],
)
def test_where_a_mask_stands_for_a_secret_is_named(value: Any, name: str | None) -> None:
    assert masked_name(value, PATTERNS) == name
    assert masked_name(value, ()) is None


@pytest.mark.parametrize("depth", [1000, 100_000])
def test_any_depth_is_reached(depth: int) -> None:
    value: Any = {"password": "x"}
    for number in range(depth):
        value = {"in": value} if number % 2 else [value]
    shown = masked(value, PATTERNS)
    for _ in range(depth):
        shown = shown["in"] if isinstance(shown, dict) else shown[0]
    assert shown == {"password": "***"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=hunter2", "password=***"),
        ("password = hunter2, and more", "password = *** and more"),
        ("login with PASSWORD: hunter2 failed", "login with PASSWORD: *** failed"),
        ("DB_PASSWORD=hunter2 USER=ann", "DB_PASSWORD=*** USER=ann"),
        ('{"token": "hunter2", "user": "ann"}', '{"token": "***", "user": "ann"}'),
        ('{"token":"hun\\"ter2","user":"ann"}', '{"token":"***","user":"ann"}'),
        ("{'token': 'hunter2', 'user': 'ann'}", "{'token': '***', 'user': 'ann'}"),
        ('{"token":123,"user":"ann"}', '{"token":***,"user":"ann"}'),
        ('{"body": "{\\"token\\": \\"hunter2\\", \\"n\\": 1}"}', '{"body": "{\\"token\\": \\"***\\", \\"n\\": 1}"}'),
        ('msg="login password=hunter2 failed" n=1', 'msg="login password=*** failed" n=1'),
        ("url=https://a.example/?token=hunter2&page=2", "url=https://a.example/?token=***&page=2"),
        ("secret='hunter2 with spaces' n=1", "secret='***' n=1"),
        ("secret='token=hunter2 hunter2' n=1", "secret='***' n=1"),
        ("secret='hunter2 that is cut", "secret='***'"),
        ("secret='hunter2\nnext", "secret='***'\nnext"),
        ("Authorization: Bearer hunter2", "Authorization: ***"),
        ("Authorization: Basic aHVudGVyMg==", "Authorization: ***"),
        ("authorization=hunter2", "authorization=***"),
        ("got bearer eyJhbGciOiJIUzI1NiJ9.hunter2", "got bearer ***"),
        ("bearer of news", "bearer of news"),
        ("curl --api-key hunter2 --retry 3", "curl --api-key *** --retry 3"),
        ("{:token => 'hunter2'}", "{:token => '***'}"),
        ("token := hunter2", "token := ***"),
        ("jt_0a1b2c3d_hunter2-hunter2_", "***"),
        ("postgresql://ann:hunter2@db/jobs", "postgresql://ann:********@db/jobs"),
        ("token", "token"),
        ("token: ", "token: "),
        ("three tokens were read", "three tokens were read"),
        ("", ""),
    ],
)
def test_what_looks_like_a_secret_in_a_text_is_hidden(text: str, shown: str) -> None:
    assert masked_text(text, PATTERNS) == shown


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a=",
        "token",
        "token=",
        '"',
        'token="',
        "\\",
        'token\\"',
        "=",
        " ",
        "--token ",
        "bearer ",
        "://",
        "://a:",
        "a\\",
    ],
)
def test_the_time_grows_with_the_length_alone(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        begin = time.perf_counter()
        masked_text(text, PATTERNS)
        return time.perf_counter() - begin

    assert min(seconds(400_000) for _ in range(2)) < 20 * min(seconds(50_000) for _ in range(3)) + 0.05
