"""Servers in containers, through testcontainers."""

import gc
import threading
import warnings
from functools import cache
from typing import Any

from tests.databases.server import Process, Unavailable


@cache
def answers() -> bool:
    """Return whether a Docker engine answers at once."""
    import docker
    from docker.errors import DockerException

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the client leaves its socket open when nobody answers
        try:
            engine = docker.from_env(timeout=3)
            engine.ping()
            engine.close()
        except (DockerException, OSError):
            return False
        finally:
            gc.collect()
    return True


def ping() -> None:
    """Raise `Unavailable` unless a Docker engine answers."""
    if not answers():
        raise Unavailable("no Docker engine answers")


class Contained(Process):
    """A server in a container, at a port that stays the same when it is started again.

    Raises `Unavailable` when the container cannot be made: no image, no room, no port.
    """

    def __init__(self, container: Any, inner_port: int, port: int) -> None:
        from docker.errors import DockerException

        self._container = container.with_bind_ports(inner_port, port)
        try:
            container.start()
        except (DockerException, RuntimeError, OSError) as error:  # testcontainers' own are RuntimeErrors
            container.stop()
            raise Unavailable(f"the container did not start: {error}") from error
        self.host: str = container.get_container_host_ip()

    def start(self) -> None:
        self._container.get_wrapped_container().start()

    def stop(self, mode: str) -> None:
        container = self._container.get_wrapped_container()
        if mode == "kill":
            container.kill()
            container.wait()
        else:
            container.stop(timeout=20)

    def close(self) -> None:
        self._container.stop()

    def ended_within(self, seconds: float) -> bool:
        threading.Event().wait(seconds)
        container = self._container.get_wrapped_container()
        container.reload()
        return bool(container.status in ("exited", "dead"))

    def log_tail(self) -> str:
        return str(self._container.get_wrapped_container().logs(tail=20).decode(errors="replace"))
