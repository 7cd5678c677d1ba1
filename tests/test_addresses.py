"""Where something may be sent that other people ask for."""

import socket
from typing import Any

import pytest

from processor import addresses
from processor.addresses import NOT_PUBLIC, is_open, misshapen, networks, refusal

PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.2.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2001:0:0:0:0:0:80ff:fffe",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b:1::7f00:1",
    "fec0::1",
    "4000::1",
    "nonsense",
    "",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_nothing_is_sent_into_networks_that_are_not_public(address: str) -> None:
    assert not is_open(address, ())


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_open(address: str) -> None:
    assert is_open(address, ())


def test_what_the_configuration_allows_is_open_and_nothing_beside_it() -> None:
    allowed = networks(["127.0.0.1", "10.1.0.0/16", "fc00::/7"])
    assert all(is_open(address, allowed) for address in ("127.0.0.1", "10.1.2.3", "fc00::1", "8.8.8.8"))
    assert not any(is_open(address, allowed) for address in ("127.0.0.2", "10.2.0.1", "::1", "fe80::1"))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://example.org/", "no address"),
        ("example.org/hook", "no address"),
        ("https:///hook", "no address"),
        ("https://example.org:0/", "no address"),
        ("https://example.org:99999/", "no address"),
        ("https://[::1/", "no address"),
        ("https://exämple.org/", "no address"),
        ("https://example.org/a b", "no address"),
        ("https://example.org/\n", "no address"),
        ("https://example.org\\@127.0.0.1/", "no address"),
        ("https://ann:secret@example.org/", "a user or a password"),
        ("https://@example.org/", "a user or a password"),
        ("https://example.org/#part", "a #"),
        ("https://example.org/" + "x" * 2000, "2,000 letters"),
    ],
)
def test_what_is_no_plain_address_is_refused(url: str, says: str) -> None:
    assert says in str(misshapen(url))
    assert says in str(refusal(url, ()))


@pytest.mark.parametrize(
    "url",
    ["https://example.org", "http://example.org:8080/a?b=c", "https://[2606:4700::1111]/", "HTTPS://Example.Org/"],
)
def test_plain_addresses_are_taken(url: str) -> None:
    assert misshapen(url) is None


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0"]
)
def test_however_this_machine_is_written_it_is_not_public(host: str) -> None:
    assert refusal(f"http://{host}:9/hook", ()) == NOT_PUBLIC


def test_one_address_that_is_not_public_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [(0, 0, 0, "", ("8.8.8.8", 443)), (0, 0, 0, "", ("10.0.0.1", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    assert refusal("https://two.example/", ()) == NOT_PUBLIC
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers[:1])
    assert refusal("https://two.example/", ()) is None


@pytest.mark.parametrize("host", ["nobody.invalid", "a..b", "x" * 70 + ".example"])
def test_a_name_that_nobody_knows_is_asked_for_when_something_is_sent(host: str) -> None:
    assert refusal(f"https://{host}/", ()) is None
    with pytest.raises(OSError, match=r"no name|not known|failure"):
        addresses.resolve(host, 443)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "everything", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"network|has host bits"):
        networks([text])
