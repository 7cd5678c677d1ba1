"""Webhooks: make, list, change, pause, rotate, try, delete them. An owner has its own; those of all need `admin`.

What they tell is what one reads, errors and results: whoever has them told needs `read`, too.
"""

from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from processor.api import shapes
from processor.api.access import Caller
from processor.api.service import Guarded, Reader, ReaderAndWriter, Served, Service, say_where
from processor.errors import Forbidden, Refused
from processor.masking import MASK, masked_text
from processor.queue import deliveries
from processor.queue import webhooks as queue

router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=Guarded)
WebhookId = Annotated[str, Path(pattern="^[0-9a-f]{8}$", description="the webhook", examples=["0a1b2c3d"])]


@router.get("", response_model=shapes.Webhooks)
def listing(service: Served, caller: Reader) -> Any:
    """List webhooks, oldest first. What each was sent are jobs: `/jobs?type=jobtable.webhook&subject=webhook:ID`."""
    return {"items": [_shown(service, one) for one in queue.list_all(service.database, caller.owner)]}


@router.post("", status_code=HTTPStatus.CREATED, response_model=shapes.WebhookMade)
def make(given: shapes.NewWebhook, service: Served, caller: ReaderAndWriter) -> Any:
    """Make a webhook. The answer has the secret that signs what it sends, this once."""
    if caller.owner is not None and given.owner not in (None, caller.owner):
        raise Refused(
            f"The token belongs to {caller.owner!r}, so its webhooks do, too. None was made.", "Leave `owner` out."
        )
    owner = caller.owner or given.owner
    if owner is None and not caller.may("admin"):
        raise Forbidden("admin")
    _check_address(given.url)
    made, secret = queue.create(
        service.database,
        owner=owner,
        url=given.url,
        type_=given.type,
        outcome=given.outcome,
        name=given.name,
        with_result=given.with_result,
        allowed=service.networks,
    )
    return {**_shown(service, made), "secret": secret}


@router.get("/{webhook_id}", response_model=shapes.Webhook)
def one(webhook_id: WebhookId, service: Served, caller: Reader) -> Any:
    """Give one webhook, without its secret."""
    return _shown(service, queue.one(service.database, webhook_id, caller.owner))


@router.patch("/{webhook_id}", response_model=shapes.Webhook)
def change(webhook_id: WebhookId, given: shapes.WebhookChange, service: Served, caller: ReaderAndWriter) -> Any:
    """Change what is given of one webhook: what it tells, and where. Its secret stays, and what is not given."""
    before = _need(service, caller, webhook_id)
    told = given.model_dump(exclude_unset=True)
    if told.get("url") == _shown(service, before)["url"]:
        del told["url"]  # it may be masked, and came back from somebody who changed something else
    _check_address(told.get("url", ""))
    queue.change(service.database, webhook_id, told, service.networks)
    return _shown(service, queue.one(service.database, webhook_id))


@router.delete("/{webhook_id}", status_code=HTTPStatus.NO_CONTENT)
def delete(webhook_id: WebhookId, service: Served, caller: ReaderAndWriter) -> None:
    """Delete a webhook and cancel its deliveries that wait."""
    _need(service, caller, webhook_id)
    queue.remove(service.database, webhook_id)


@router.post("/{webhook_id}/pause", response_model=shapes.Webhook)
def pause(webhook_id: WebhookId, service: Served, caller: ReaderAndWriter) -> Any:
    """Let it tell nothing until it is resumed; deliveries that wait are kept."""
    _need(service, caller, webhook_id)
    queue.pause(service.database, webhook_id)
    return _shown(service, queue.one(service.database, webhook_id))


@router.post("/{webhook_id}/resume", response_model=shapes.Webhook)
def resume(webhook_id: WebhookId, service: Served, caller: ReaderAndWriter) -> Any:
    """Let it tell again, and first what was kept."""
    _need(service, caller, webhook_id)
    queue.resume(service.database, webhook_id)
    return _shown(service, queue.one(service.database, webhook_id))


@router.post("/{webhook_id}/rotate", response_model=shapes.WebhookMade)
def rotate(
    webhook_id: WebhookId, service: Served, caller: ReaderAndWriter, given: shapes.WebhookRotation | None = None
) -> Any:
    """Give it a new secret, which the answer has, this once; the former one signs, too, for a time."""
    _need(service, caller, webhook_id)
    keep = (given or shapes.WebhookRotation()).keep_seconds
    secret = queue.rotate(service.database, webhook_id, keep)
    return {**_shown(service, queue.one(service.database, webhook_id)), "secret": secret}


@router.post("/{webhook_id}/test", status_code=HTTPStatus.ACCEPTED, response_model=shapes.Made)
def test(webhook_id: WebhookId, request: Request, response: Response, service: Served, caller: ReaderAndWriter) -> Any:
    """Make a delivery that tells of no job; its job says what became of it."""
    _need(service, caller, webhook_id)
    job_id = deliveries.make_test(service.database, webhook_id)
    say_where(request, response, job_id)
    return {"id": job_id, "new": True}


def _need(service: Service, caller: Caller, webhook_id: str) -> queue.Webhook:
    """Give what is to be changed; refuse what does not exist for the caller, or is an operator's."""
    found = queue.one(service.database, webhook_id, caller.owner)
    if found.owner is None and not caller.may("admin"):
        raise Forbidden("admin")
    return found


def _check_address(url: str) -> None:
    """Refuse what was made of an address as it is shown: its secret would be lost. Raises `Refused`."""
    if MASK in url:
        message = f"The address has {MASK}, which is how a secret is shown. Nothing was changed."
        raise Refused(message, "Give the secret itself.")


def _shown(service: Service, webhook: queue.Webhook) -> dict[str, Any]:
    return {**asdict(webhook), "url": masked_text(webhook.url, service.mask)}
