"""Who waits is told what came, also in the very moment in which it stops to wait."""

import asyncio

from processor.api.reader import Listener, told


def test_what_comes_when_the_wait_is_over_is_told_first() -> None:
    async def first() -> object:
        listener = Listener()

        def give() -> None:
            listener.given.append({"id": 1})
            listener.news.set()

        asyncio.get_running_loop().call_soon(give)
        return await anext(told(listener, 0))

    assert asyncio.run(first()) == {"id": 1}
