import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from supervision import Supervision


@pytest.fixture
def supervision(tmp_path):
    running = Supervision(tmp_path)
    yield running
    alive_before_the_end = running.process.poll() is None
    running.end()
    assert alive_before_the_end, "the supervisor did not live through the test"
    assert not list(running.root.glob("jobtable-*")), "the supervisor left folders behind"
