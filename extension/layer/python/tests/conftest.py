import pytest
from local_lambda import Target


@pytest.fixture
def target():
    target = Target()
    yield target
    target.server.shutdown()
