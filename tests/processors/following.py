"""Clients of streams that are cut off all the time, at any byte, and come again at any server: as a browser does it."""

import json
import random
import threading
from collections.abc import Callable, Sequence
from typing import Any

import httpx

LIVE = {"Accept": "text/event-stream"}
SHORTEST, LONGEST = 2.5, 5.0
"""Powers of ten: after how many bytes a client is cut off."""
IMPATIENCE = 1.0
"""Seconds without a byte after which a client asks elsewhere."""
Frame = dict[str, str]


class Follower(threading.Thread):
    """Follows one stream over several servers. `seen` are the events it was told, in the order in which it was.

    `place` is what it comes again with. It ends when `is_over` says so of its place, or with an `event: end`.
    """

    def __init__(self, addresses: Sequence[str], path: str, seed: int, is_over: Callable[[int], bool]) -> None:
        super().__init__(name=path, daemon=True)
        self.seen: list[dict[str, Any]] = []
        self.places: list[int] = []
        self.heard_at: dict[str, int] = dict.fromkeys(addresses, 0)
        self.cuts_within_a_frame = self.refused = self.broken = 0
        self.problem: BaseException | None = None
        self._addresses = addresses
        self._path = path
        self._chance = random.Random(seed)
        self._is_over = is_over
        self._place = 0
        self._has_ended = False

    def run(self) -> None:
        try:
            with httpx.Client(timeout=httpx.Timeout(20, read=IMPATIENCE)) as client:
                while not self._has_ended and not self._is_over(self._place):
                    self._ask(client, self._chance.choice(self._addresses))
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.problem = error

    def _ask(self, client: httpx.Client, address: str) -> None:
        try:
            headers = {**LIVE, "Last-Event-ID": str(self._place)}
            with client.stream("GET", f"{address}{self._path}", headers=headers) as answer:
                assert answer.status_code in (200, 204), answer.read()
                self._has_ended = answer.status_code == 204
                self._hear(answer, address)
        except httpx.ConnectError:
            self.refused += 1
        except (httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout):
            self.broken += 1

    def _hear(self, answer: httpx.Response, address: str) -> None:
        """Take whole frames; what was cut off in the middle was not heard."""
        kept, left = b"", int(10 ** self._chance.uniform(SHORTEST, LONGEST))
        for piece in answer.iter_raw():
            *whole, kept = (kept + piece[:left]).split(b"\n\n")
            left -= len(piece)
            for text in whole:
                self._take(_frame(text.decode()), address)
            if left <= 0 or self._has_ended or self._is_over(self._place):
                self.cuts_within_a_frame += bool(kept)
                return

    def _take(self, frame: Frame, address: str) -> None:
        if "id" in frame:
            self._place = int(frame["id"])
        self._has_ended = frame.get("event") == "end"
        if frame.get("event") not in (None, "ready", "end", "dropped"):
            self.places.append(self._place)
            self.seen.append(json.loads(frame["data"]))
            self.heard_at[address] += 1


def _frame(text: str) -> Frame:
    """Read a frame; of a comment nothing but an id that may come with it."""
    return dict(line.split(": ", 1) for line in text.split("\n") if not line.startswith(":"))  # type: ignore[misc]
