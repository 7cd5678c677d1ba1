"""Where a server listens, and whether it may: without the libraries that it answers with."""

import socket

from processor.db.database import Database
from processor.errors import StartRefused
from processor.queue import tokens
from processor.settings import Settings


def is_open(settings: Settings, database: Database) -> bool:
    """Tell whether everybody on this machine may do everything, because there is no token yet.

    Raises `StartRefused` where others than this machine could.
    """
    if settings.jwt.is_on or tokens.any_exist(database):
        return False
    if not settings.serve.is_loopback:
        raise StartRefused(
            f"There is no token yet, so {settings.serve.listen} would let everybody who reaches it do everything.",
            "Make one with `jobtable token create --all-owners --scope admin`, or listen on 127.0.0.1.",
        )
    return True


def listening(address: tuple[str, int], option: str = "--listen") -> socket.socket:
    """Listen on an address; connections inherit that small parts are sent at once: else each answer took 40 ms.

    `option` is by what another one is chosen. Raises `StartRefused`.
    """
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server(address, family=family, backlog=1024)
    except OSError as error:
        raise StartRefused(
            f"{host}:{port} cannot be listened on: {error.strerror or error}.", f"Choose another one with {option}."
        ) from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
