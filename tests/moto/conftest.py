import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aws import Aws, functions


@pytest.fixture(scope="session")
def moto():
    aws = Aws()
    yield aws
    functions.stop()
    aws.server.stop()


@pytest.fixture(scope="module")
def aws(moto):
    """moto without the resources of other modules."""
    moto.reset()
    return moto


@pytest.fixture
def now_ms():
    return time.time_ns() // 1_000_000


def start_backend():
    """Starts a backend that answers requests with `first` statuses, then with `status`, and with `headers`. It keeps the requests'
    headers, and in `asked` their paths too.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"] or 0))
            server.requests.append(self.headers)
            server.asked.append((self.path, self.headers))
            self.send_response(server.first.pop(0) if server.first else server.status)
            for name, value in {"content-length": "0", **server.headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.first = []
    server.status = 200
    server.headers = {}
    server.requests = []
    server.asked = []
    server.base = f"http://127.0.0.1:{server.server_port}/api/default"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def backends():
    """Starts backends, which end with the test."""
    servers = []

    def start():
        servers.append(start_backend())
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()


@pytest.fixture
def backend(backends):
    return backends()
