from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment.prometheus import EMPTY, Prometheus
from tests.processors.conftest import site

__all__ = ["empty_prometheus", "site"]


@pytest.fixture(scope="module")
def empty_prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that knows nothing."""
    config: Path = tmp_path_factory.mktemp("prometheus") / "prometheus.yml"
    config.write_text(EMPTY)
    server = Prometheus(config)
    yield server
    server.close()
