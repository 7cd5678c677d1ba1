"""The built-in handler that tells a webhook: the payload goes out as it is, signed, to an address that was judged;
only what `[serve] mask` hides from who reads it over the API is hidden from who is told, too.

The name in the address is resolved here, each time, and the connection goes to what was judged: a name that stands for
something else a moment later changes nothing. No connection is kept, because the next delivery to the same number may
be for another name, to which this one's certificate says nothing.

2xx is delivered. 410 pauses the webhook. 429 and 503 say when to come again. Everything else, a redirect too, is tried
again by the pauses of the configuration: receivers are mended. Of what they answer the status and `Retry-After` are
read, and none of their words is kept: they might be those of a server which the owner cannot reach."""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import Mapping, Sequence
from http.client import responses
from typing import Any
from urllib.parse import urlsplit

import httpx

from processor import addresses
from processor.context import Fail, Job, Retry
from processor.masking import masked_body
from processor.work.http import in_header, place, retry_after, signature

CONNECT_SECONDS = 10.0
"""Of one address; a name may stand for several."""
MOST_TRIED = 3
"""Addresses of a name that are tried, where nobody listens at the first."""

_clients: weakref.WeakKeyDictionary[Any, httpx.AsyncClient] = weakref.WeakKeyDictionary()  # one per event loop


class Gone(Fail):
    """The address answered 410: there is nothing any more, for good."""


class NotDelivered(Exception):
    """It was not taken, and may be next time."""


async def deliver(job: Job, settings: Mapping[str, Any]) -> Any:
    """Send the payload once. Raises `Gone`, `Fail`, `Retry`, `NotDelivered`."""
    url, seconds = settings["url"], settings["timeout"]
    try:
        async with asyncio.timeout(seconds):
            status, wait = await _send(job, settings)
    except TimeoutError:
        raise NotDelivered(f"{place(url)} did not answer within {seconds:g} s") from None
    if 200 <= status < 300:
        return {"status": status}
    said = f"{place(url)} answered {status} {responses.get(status, '')}".rstrip()
    if status == 410:
        raise Gone(f"{said}: the webhook is paused until somebody resumes it")
    if status in (429, 503):
        raise Retry(wait, said)
    raise NotDelivered(said + ("; redirects are not followed" if 300 <= status < 400 else ""))


async def _send(job: Job, settings: Mapping[str, Any]) -> tuple[int, float | None]:
    """Give the status, and how long to wait, as the first address that is reached answers."""
    url = settings["url"]
    body = _body(job, settings["mask"])
    refused: Exception | None = None
    for number in await _judged(settings):
        try:
            request = _request(url, number, body, _headers(job, body, settings))
            response = await _client().send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            refused = error
            continue
        except httpx.HTTPError as error:
            raise NotDelivered(f"{place(url)} broke off: {type(error).__name__}") from None  # its text may quote them
        await response.aclose()
        return response.status_code, retry_after(response.headers.get("retry-after"))
    raise NotDelivered(f"{place(url)} cannot be reached: {_words(refused)}") from None


def _body(job: Job, mask: Sequence[str]) -> str:
    """Give what is sent: the payload letter by letter, where nothing of it is to be hidden. Raises `Fail`.

    Of a name that comes twice the last one is read: the others are not looked at, and not sent.
    """
    text = job.payload_text if job.payload_text is not None else json.dumps(job.payload)
    unread = 0

    def read(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal unread
        found = dict(pairs)
        unread += len(pairs) - len(found)
        return found

    try:
        told = json.loads(text, object_pairs_hook=read)
        hidden = masked_body(told, mask)
        return text if hidden == told and not unread else json.dumps(hidden)
    except (ValueError, RecursionError) as error:
        raise Fail(f"Its body cannot be read, to hide what is secret in it: {error}") from None


async def _judged(settings: Mapping[str, Any]) -> list[str]:
    """Resolve the name, and give what it stands for. Raises `Fail` where something may not be sent there."""
    url = settings["url"]
    if (shape := addresses.misshapen(url)) is not None:
        raise Fail(f"Nothing can be sent to its address: {shape}")
    try:
        found = await asyncio.to_thread(addresses.resolve, *addresses.host_and_port(url))
    except OSError as error:
        raise NotDelivered(f"{place(url)} cannot be found: {error.strerror or error}") from None
    allowed = addresses.networks(settings["allow"])
    if not all(addresses.is_open(number, allowed) for number in found):
        raise Fail(f"Nothing may be sent to {place(url)}: {addresses.NOT_PUBLIC}")
    return found[:MOST_TRIED]


def _request(url: str, number: str, body: str, headers: dict[str, str]) -> httpx.Request:
    """Address a request to a number; the name goes into `Host`, and is what the certificate has to be for."""
    parts = urlsplit(url)
    host, port = addresses.host_and_port(url)
    named = f"[{host}]" if ":" in host else host
    headers["Host"] = named if port == addresses.PORTS[parts.scheme] else f"{named}:{port}"
    to = parts._replace(netloc=f"[{number}]:{port}" if ":" in number else f"{number}:{port}")
    return _client().build_request(
        "POST", to.geturl(), content=body.encode(), headers=headers, extensions={"sni_hostname": host}
    )


def _client() -> httpx.AsyncClient:
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients[loop] = httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        )
    return _clients[loop]


def _headers(job: Job, body: str, settings: Mapping[str, Any]) -> dict[str, str]:
    message_id = in_header(job.key or f"msg_{job.id}")  # the same each time: receivers drop what they have seen by it
    return {
        "Content-Type": "application/json",
        "User-Agent": "jobtable",
        **signature(message_id, body, settings["secrets"]),
    }


def _words(error: Exception | None) -> str:
    return f"{type(error).__name__}: {error}" if error and str(error) else type(error).__name__
