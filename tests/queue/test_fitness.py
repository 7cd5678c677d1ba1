"""Which payloads no handler is given, though the database took them."""

import json

import pytest

from processor.queue.fitness import no_letter


@pytest.mark.parametrize(
    "payload, found",
    [
        (r'{"a": "\u0000"}', r"\u0000"),
        (r'"\ud800"', r"\ud800"),
        (r'"\uDFFF"', r"\uDFFF"),
        (r'"\udc00\ud800"', r"\udc00"),
        (r'"\ud83d\ud83d\ude00"', r"\ud83d"),
        (r'"\ud83d\ude00"', None),
        (r'"\\u0000"', None),
        (r'"\\\u0000"', r"\u0000"),
        (r'"\u00e9 \n \u2028"', None),
        ('"é😀"', None),
    ],
)
def test_an_escape_that_is_no_letter_is_found(payload, found):
    json.loads(payload)
    assert no_letter(payload) == found
