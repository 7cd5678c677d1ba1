from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import Database
from tests.processors.running import Site


@pytest.fixture
def site(db: Database, tmp_path: Path) -> Iterator[Site]:
    """A place to run processors, with a migrated database of each kind."""
    site = Site(db, tmp_path)
    yield site
    site.close()
