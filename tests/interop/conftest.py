import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "extension/layer/python/tests"))


class Answers(BaseHTTPRequestHandler):
    """Answers each request with an empty JSON object, except those of /never."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/never":
            # Until the client closes the connection.
            self.rfile.read()
            return
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b"{}"
        self.send_response(200)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def services():
    """The URL of a server in place of the shop's price list and of AWS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
