"""A stand-in for Amazon Bedrock.

Source: Amazon Bedrock API Reference, `Converse`, `ConverseStream` and `InvokeModel`; Anthropic API Reference, "Messages"; Amazon
Transcribe Developer Guide, "Event stream encoding".
"""

import binascii
import json
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = "geheim-answer"


def frame(name, content):
    """Returns an event of AWS's event stream."""
    headers = b""
    for key, value in ((":event-type", name), (":content-type", "application/json"), (":message-type", "event")):
        headers += bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    body = json.dumps(content).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + body
    return message + struct.pack(">I", binascii.crc32(message))


USAGE = {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18}
CONVERSE = {"output": {"message": {"role": "assistant", "content": [{"text": ANSWER}]}}, "stopReason": "end_turn", "usage": USAGE, "metrics": {"latencyMs": 5}}
CONVERSE_STREAM = b"".join([
    frame("messageStart", {"role": "assistant"}),
    frame("contentBlockDelta", {"delta": {"text": ANSWER}, "contentBlockIndex": 0}),
    frame("contentBlockStop", {"contentBlockIndex": 0}),
    frame("messageStop", {"stopReason": "end_turn"}),
    frame("metadata", {"usage": USAGE, "metrics": {"latencyMs": 5}}),
])
ANTHROPIC_USAGE = {"input_tokens": 11, "output_tokens": 7}
ANTHROPIC = {"id": "m1", "type": "message", "role": "assistant", "model": "claude-x", "content": [{"type": "text", "text": ANSWER}]}
ANTHROPIC |= {"stop_reason": "end_turn", "stop_sequence": None, "usage": ANTHROPIC_USAGE}


def answer(path):
    """Returns the type and the content of the answer to a request, or `None` for one that fails."""
    if "fail" in path:
        return None
    if path.endswith("/converse"):
        return "application/json", json.dumps(CONVERSE).encode()
    if path.endswith("/converse-stream"):
        return "application/vnd.amazon.eventstream", CONVERSE_STREAM
    return "application/json", json.dumps(ANTHROPIC).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        found = answer(self.path)
        kind, content = found or ("application/json", b'{"message": "no such model"}')
        self.send_response(200 if found else 400)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.send_header("x-amzn-errortype", "ValidationException")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def serve():
    """Starts the server. Returns its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
