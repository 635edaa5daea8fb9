"""Calls by AWS's SDK have the same spans in Python, Node and Rust: each row of tests/fixtures/aws-calls.jsonl is a call, its answer
and its span.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from local_lambda import REPOSITORY, packages, run

ROWS = [json.loads(line) for line in (REPOSITORY / "tests/fixtures/aws-calls.jsonl").read_text().splitlines()]
APP = """
import boto3, os
from botocore import xform_name
from botocore.config import Config
OPTIONS = {"endpoint_url": os.environ["TARGET"], "region_name": "eu-west-1", "aws_access_key_id": "a", "aws_secret_access_key": "b",
    "config": Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})}
def handler(row, context):
    client = boto3.client(row["client"], **OPTIONS)
    try: getattr(client, xform_name(row["operation"]))(**row["input"])
    except client.exceptions.ClientError as error: return error.response["Error"]["Code"]
"""


@pytest.fixture
def aws():
    """A server that gives the answers of the rows in their order."""
    answers = [row["answer"] for row in ROWS]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            answer = answers.pop(0)
            body = answer["body"].encode()
            self.send_response(answer["status"])
            for name, value in {**answer["headers"], "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


@pytest.mark.parametrize("env", [{}, {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "64"}], ids=["fast", "sdk"])
def test_calls_are_described_as_in_node_and_rust(tmp_path, aws, env):
    own = {**env, "TARGET": f"http://127.0.0.1:{aws}", "PYTHONPATH": packages("boto3")}
    ran = run(tmp_path, ROWS, files={"app.py": APP}, env=own, timeout="60s")
    assert ran.results == [row["answered"].get("error.type") for row in ROWS], ran.text
    found = [(span["name"], span["kind"], span["attributes"]) for span in ran.spans if "rpc.system" in span["attributes"]]
    server = {"cloud.region": "eu-west-1", "server.address": "127.0.0.1", "server.port": aws}
    for row, span in zip(ROWS, found, strict=True):
        call = {"rpc.system": "aws-api", "rpc.service": row["service"], "rpc.method": row["operation"]}
        attributes = {**call, **server, **row["attributes"], **row["answered"], **row.get("layer", {})}
        assert span == (row["name"], row["kind"], attributes)
    assert not re.search("lambda_otlp_|geheim", json.dumps([span for span in ran.spans if span["kind"] != "SERVER"]))
