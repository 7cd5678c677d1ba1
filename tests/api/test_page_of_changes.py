"""A page of what all jobs tell: it holds nobody else, and loses nothing where the server ends."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace

from processor.api.routes import changes
from processor.queue.news import Choice
from tests.api.conftest import Api
from tests.api.test_changes import work


class Noting(tuple[str, ...]):
    """Patterns that note which threads look at them."""

    seen: set[int]

    def __iter__(self) -> Iterator[str]:
        self.seen.add(threading.get_ident())
        return super().__iter__()


def test_secrets_of_a_page_are_looked_for_beside_the_loop(api: Api) -> None:
    work(api.queue)
    mask = Noting(("password",))
    mask.seen = set()
    service = replace(api.app.state.service, mask=mask)
    page = asyncio.run(changes._page(service, Choice(), 0))
    assert [item["text"] for item in page["items"] if item["kind"] == "log"] == ["password=***"]
    assert mask.seen
    assert threading.get_ident() not in mask.seen


def test_a_page_that_the_end_of_the_server_cuts_off_says_to_ask_for_the_same_again(api: Api) -> None:
    work(api.queue)
    service = api.app.state.service

    def end_where_something_is_given() -> None:
        if any("job_id" in row for one in service.changes._listeners for row in one.given):
            service.end_streams()
        else:
            asyncio.get_running_loop().call_soon(end_where_something_is_given)

    async def cut_off() -> object:
        asyncio.get_running_loop().call_soon(end_where_something_is_given)
        return await changes._page(service, Choice(), 0)

    assert asyncio.run(cut_off()) == {"items": [], "next": 0}
