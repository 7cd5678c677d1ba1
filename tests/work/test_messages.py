"""Frames, however the bytes arrive."""

import os
import random
import socket

import pytest

from processor.work.messages import Broken, Channel, Decoder, encode

MESSAGES = [{"do": "run", "payload": "é\ud800\0" * n} for n in range(50)]


def test_messages_survive_any_cutting_of_their_bytes():
    chance = random.Random(7)
    data = encode(MESSAGES[:20]) + encode(MESSAGES[20:]) + encode([])
    decoder, heard = Decoder(), []
    while data:
        cut = chance.randint(1, 40)
        heard += decoder.feed(data[:cut])
        data = data[cut:]
    assert heard == MESSAGES


def test_large_batches_are_cut_into_several_frames():
    messages = [{"payload": "x" * 1_000_000}] * 10
    data = encode(messages)
    assert int.from_bytes(data[:4], "big") < 4 * 1024 * 1024
    assert Decoder().feed(data) == messages


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xff", b"\0\0\0\2{}", b"\0\0\0\3[1]", b"\0\0\0\3abc", b"\0\1\0\0" + b"[" * 65536]
)
def test_anything_else_is_broken(data):
    with pytest.raises(Broken):
        Decoder().feed(data)


def test_what_came_before_a_breach_is_not_lost():
    with pytest.raises(Broken) as breach:
        Decoder().feed(encode(MESSAGES) + b"\xff\xff\xff\xff")
    assert breach.value.before == MESSAGES


def test_random_bytes_are_broken_or_wait_for_more_but_nothing_else():
    for _ in range(2000):
        try:
            Decoder().feed(os.urandom(64))
        except Broken:
            pass


def test_a_nonblocking_channel_buffers_what_the_socket_does_not_take_and_keeps_order():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    sender, receiver = Channel(ours), Channel(theirs)
    messages = [{"n": n, "fill": "x" * 10_000} for n in range(500)]
    for message in messages:
        sender.post(message)
    assert not sender.flush() and sender.buffered > 1_000_000
    heard = []
    while len(heard) < len(messages):
        heard += receiver.receive()
        sender.flush()
    assert heard == messages and sender.buffered == 0
    sender.close()
    assert receiver.receive() is None
    receiver.close()
