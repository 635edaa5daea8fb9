import sys
from pathlib import Path

import pytest
from stand_in import StandIn, serve

sys.path.insert(0, str(Path(__file__).parents[2] / "extension/layer/python/tests"))


class Answers(StandIn):
    """Answers each request with an empty JSON object, except those of /never."""

    def do_GET(self):
        if self.path == "/never":
            # Until the client closes the connection.
            self.rfile.read()
            return
        self.read()
        self.answer(b"{}", headers={"content-type": "application/x-amz-json-1.0"})

    do_POST = do_GET


@pytest.fixture(scope="session")
def services():
    """The URL of a server in place of the shop's price list and of AWS."""
    server = serve(Answers)
    yield server.url
    server.shutdown()
