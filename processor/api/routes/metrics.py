"""The numbers of this server, for Prometheus."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from processor.api.numbers import Numbers
from processor.api.service import Guarded, Scraper

router = APIRouter(include_in_schema=False, route_class=Guarded)


@router.get("/metrics")
def metrics(request: Request, caller: Scraper) -> Response:  # in a thread: it may count rows
    """Give them to who has the scope `metrics`."""
    numbers: Numbers = request.app.state.numbers
    content_type, body = numbers.page(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": content_type})
