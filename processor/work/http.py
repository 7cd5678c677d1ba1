"""The built-in handler for types whose work is an HTTP call.

    POST <url of the configuration>, body: the payload as it stands in the row
    webhook-id, webhook-timestamp, webhook-signature   after the Standard Webhooks convention, when a secret is set
    Idempotency-Key: the job's id; Job-Id, Job-Type, Job-Attempt, Job-Fence; traceparent where it has one

2xx is done: a JSON body is the result. 429 and 503 are another attempt, when Retry-After says. Any other 4xx, and a
redirect, is never tried again. 5xx and a broken connection raise, so the type's retry policy decides. The target
comes from the configuration and never from the payload; redirects are not followed and no proxy or .netrc of the
environment is used, so that nobody who can insert a job can choose where the secret's signature goes."""

from __future__ import annotations

import asyncio
import email.utils
import json
import weakref
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from standardwebhooks import Webhook

from processor.context import Fail, Job, Retry

BODY_BYTES = 64 * 1024  # of an answer; the rest is not read
QUOTED = 500  # characters of an answer in an error
DEADLINE = httpx.Timeout(None, connect=30.0)  # of the rest, the job's own time limit has the last word
CONNECTIONS = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
MOST_PATIENT = 7 * 86400  # seconds; a Retry-After beyond is cut to this

_clients: weakref.WeakKeyDictionary[Any, httpx.AsyncClient] = weakref.WeakKeyDictionary()  # one per event loop


class ServerError(Exception):
    """The server answered 5xx."""


async def post(job: Job, settings: Mapping[str, Any]) -> Any:
    """Send the payload and give what came back. Raises Retry, Fail, ServerError, or httpx's errors."""
    body = job.payload_text if job.payload_text is not None else json.dumps(job.payload)
    headers = _headers(job, body, settings)
    async with _client().stream("POST", settings["url"], content=body.encode(), headers=headers) as response:
        text, whole = await _read(response)
    return _judged(response, text, whole, settings["url"])


def _client() -> httpx.AsyncClient:
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients[loop] = httpx.AsyncClient(
            trust_env=False, follow_redirects=False, limits=CONNECTIONS, timeout=DEADLINE
        )
    return _clients[loop]


def _headers(job: Job, body: str, settings: Mapping[str, Any]) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "jobtable",
        **(settings.get("headers") or {}),
        "Idempotency-Key": str(job.id),
        "Job-Id": str(job.id),
        "Job-Type": in_header(job.type),
        "Job-Attempt": str(job.attempt),
        "Job-Fence": in_header(job.fence if isinstance(job.fence, str) else json.dumps(job.fence)),
    }
    if job.trace_parent:
        headers["traceparent"] = job.trace_parent
    if settings.get("secret"):
        headers.update(signature(f"job_{job.id}", body, (settings["secret"],)))
    return headers


def signature(message_id: str, body: str, secrets: Iterable[str]) -> dict[str, str]:
    """Give the headers by which a receiver that has one of the secrets knows who sent a body, and when."""
    now = datetime.now(UTC)
    return {
        "webhook-id": message_id,  # the same for every attempt: receivers drop what they have seen by it
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, now, body) for secret in secrets),
    }


async def _read(response: httpx.Response) -> tuple[str, bool]:
    """Read the answer up to the cap; says whether that is all of it."""
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > BODY_BYTES:
            return body[:BODY_BYTES].decode(response.encoding or "utf-8", "replace"), False
    return body.decode(response.encoding or "utf-8", "replace"), True


def _judged(response: httpx.Response, text: str, whole: bool, url: str) -> Any:
    status = response.status_code
    if 200 <= status < 300:
        return _result(status, text, whole)
    said = f"{place(url)} answered {status} {response.reason_phrase}: {text[:QUOTED].strip() or '(nothing)'}"
    if status in (429, 503):
        raise Retry(retry_after(response.headers.get("retry-after")), said)
    if status >= 500:
        raise ServerError(said)
    if status < 400:
        raise Fail(f"{said}; redirects are not followed, write the final address into the configuration")
    raise Fail(said)


def _result(status: int, text: str, whole: bool) -> Any:
    if whole:
        try:
            return json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            pass  # an answer may be any text
    cut = {} if whole else {"cut": True}
    return {"status": status, "body": text, **cut}


def retry_after(value: str | None) -> float | None:
    """Read seconds or an HTTP date; None where there is neither."""
    if value is None:
        return None
    seconds = float(value) if value.isdecimal() else _seconds_until(value)
    return None if seconds is None else min(max(seconds, 0.0), MOST_PATIENT)


def _seconds_until(date: str) -> float | None:
    """The one place where this host's wall clock counts: the date is the server's, and so are its errors."""
    try:
        instant = email.utils.parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return (instant - datetime.now(UTC)).total_seconds()


def place(url: str) -> str:
    """Name the server without what may be secret in its address: user, password, path, query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"


def in_header(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode().replace("\r", "\\r").replace("\n", "\\n")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
