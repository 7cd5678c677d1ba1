"""Where requests may go that other people ask for: to public addresses, and to what the configuration allows.

A name is resolved, and what it stands for is judged, once where the address is given and again each time something is
sent: names change. Who sends connects to the very address that was judged.
"""

import ipaddress
import socket
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST = 2000
"""Letters of an address."""
PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is given out to the public (RFC 4291, 2.4); what lies outside may lead into a network of its own."""


def is_http(address: str) -> bool:
    """Tell whether a text is an address of http or https."""
    try:
        parts = urlsplit(address)
        return parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0 and address.isprintable()
    except ValueError:  # a port that is no number, or a bracket that does not close
        return False


def misshapen(url: str) -> str | None:
    """Say why something cannot be sent to an address, whatever it stands for; None: it can."""
    if len(url) > LONGEST:
        return f"it has more than {LONGEST:,} letters"
    if not url.isascii() or " " in url or "\\" in url or not is_http(url):
        return "it is no address such as https://example.org/hook, in ASCII"
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        return "it has a user or a password in it"
    return "it has a # in it" if "#" in url else None


def host_and_port(url: str) -> tuple[str, int]:
    """Give where an address is, as a name or a number."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or PORTS[parts.scheme]


def resolve(host: str, port: int) -> list[str]:
    """Give what a name stands for, best first. Raises `OSError` where nobody knows it."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label that is empty, or too long
        raise OSError(f"{host!r} is no name") from None
    return list(dict.fromkeys(str(answer[4][0]) for answer in found))


def is_open(address: str, allowed: Sequence[Network]) -> bool:
    """Tell whether something may be sent to an address in numbers: it is public, or in one of the networks."""
    try:
        read = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if any(read.version == network.version and read in network for network in allowed):
        return True
    return all(_is_public(one) for one in _meant(read))


def _is_public(address: Address) -> bool:
    given_out = isinstance(address, ipaddress.IPv4Address) or address in _GLOBAL
    return given_out and address.is_global and not address.is_multicast


def _meant(address: Address) -> Iterator[Address]:
    """Give what a packet to an address reaches: some of IPv6 stand for one of IPv4."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address in _NAT64:
        yield ipaddress.IPv4Address(address.packed[-4:])
    else:
        yield address
        yield from (one for one in (address.sixtofour, *(address.teredo or ())) if one is not None)


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Read networks such as 10.0.0.0/8, or single addresses. Raises `ValueError`."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def refusal(url: str, allowed: Sequence[Network]) -> str | None:
    """Say why nothing may be sent to an address; None: it may, as far as can be told now.

    A name that nobody knows yet is let through: it is asked again when something is sent.
    """
    if (shape := misshapen(url)) is not None:
        return shape
    try:
        found = resolve(*host_and_port(url))
    except OSError:
        return None
    return None if all(is_open(one, allowed) for one in found) else NOT_PUBLIC


NOT_PUBLIC = "it is in a private network, or another that is not public"
