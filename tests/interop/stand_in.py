"""Servers in place of others."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class StandIn(BaseHTTPRequestHandler):
    """Answers requests. A subclass says how."""

    protocol_version = "HTTP/1.1"

    def read(self):
        """Returns the body of the request."""
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def answer(self, body=b"", status=200, headers=None):
        self.send_response(status)
        for name, value in {**(headers or {}), "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(handler):
    """Starts a server, which has its URL in `url`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
