"""Real databases for the tests: private servers, started when first asked for, ended with the run.

Each kind is had from the first of its sources that works: an address in the environment, Docker, the machine's own
server binaries, and for PostgreSQL a Python wheel that brings them. What could not be had is said, never hidden.
"""

from tests.databases.choice import KINDS, Choice, choices
from tests.databases.server import Database, Server, Unavailable

__all__ = ["KINDS", "Choice", "Database", "Server", "Unavailable", "choices"]
