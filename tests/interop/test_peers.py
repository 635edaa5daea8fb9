"""Other projects' packages: their exporters write lines that we read, dev7a's forwarder reads our lines, and OpenTelemetry's SDKs
send to the extension. Each item is compared with what the SDK made.
"""

import json
import os
import subprocess
import sys

import pytest
from dev import EXTENSION, dev, log_records, metrics, spans
from items import decoded, log_item, made, point_items, same, span_item
from local_lambda import PROGRAMS, REPOSITORY
from node_packages import node_modules

PEERS = REPOSITORY / "tests/interop"
INVOCATIONS = 4


@pytest.fixture(scope="session")
def rust():
    """The program with the peers' crates."""
    target = PROGRAMS.parent / "interop"
    subprocess.run(["cargo", "build", "--quiet", "--target-dir", target], cwd=PEERS / "rust", check=True)
    return target / "debug/lambda-otlp-interop"


@pytest.fixture(scope="session")
def node_path():
    return node_modules(PEERS / "node/package.json")


def printed_by(command, **env):
    """Returns what a program prints."""
    return subprocess.run(command, env={**os.environ, **env}, check=True, capture_output=True, text=True).stdout


def compare_printed(tmp_path, command, **env):
    """The program prints lines and notes its items: `decode` must find the same items."""
    lines = printed_by(command, INTEROP_MADE=str(tmp_path / "made"), PYTHONDONTWRITEBYTECODE="1", **env)
    (tmp_path / "lines").write_text(lines)
    same(made(tmp_path / "made"), decoded(printed_by([PROGRAMS / "lambda-otlp", "decode", tmp_path / "lines"])))


# PyPI's otlp-stdout-span-exporter and lambda-otel-lite.
@pytest.mark.parametrize("script", ["span_exporter.py", "otel_lite.py"])
def test_decode_reads_the_lines_of_python(tmp_path, script):
    compare_printed(tmp_path, [sys.executable, PEERS / "python" / script])


def test_decode_reads_the_lines_of_node(tmp_path, node_path):
    compare_printed(tmp_path, ["node", PEERS / "node/span_exporter.js"], NODE_PATH=str(node_path))


@pytest.mark.parametrize("peer", ["span-exporter", "lite"])
def test_decode_reads_the_lines_of_rust(tmp_path, rust, peer):
    # Without a level of the log, lambda-otel-lite makes no spans.
    compare_printed(tmp_path, [rust, peer], RUST_LOG="info")


@pytest.mark.parametrize("compression", [{}, {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}])
@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_decode_reads_the_lines_of_the_older_client(tmp_path, rust, protocol, compression):
    compare_printed(tmp_path, [rust, "old-client"], OTEL_EXPORTER_OTLP_PROTOCOL=protocol, **compression)


def test_dev7as_forwarder_reads_our_lines(tmp_path, rust):
    lines = printed_by([rust, "ours"], INTEROP_MADE=str(tmp_path / "made"))
    read = subprocess.run([rust, "core"], input=lines, check=True, capture_output=True, text=True).stdout
    same(made(tmp_path / "made"), decoded(read))


def compare_function(tmp_path, command, folder=PEERS, layer=EXTENSION, **env):
    """Invokes a function: each item of its SDK must be in the log group once. Returns these items."""
    env |= {"INTEROP_MADE": tmp_path / "made", "PYTHONDONTWRITEBYTECODE": 1}
    events = [{"number": number} for number in range(1, INVOCATIONS + 1)]
    words = ("--handler", "function.handler", "--timeout", "60s", *layer, "--", *command)
    printed, results = dev(folder, events, *words, env=env)
    assert not [result for result in results if "failed" in result or "ended" in result], results
    expected = made(tmp_path / "made")
    # The extension and Lambda have items of their own. `dev` prints no scope of log records and metrics.
    found = [{**span_item(span), "scope": span["scope"], "service": span["service"]} for span in spans(printed)]
    found = [item for item in found if not item["scope"].startswith("lambda-otlp/")]
    found += [{**log_item(record), "scope": None, "service": record["service"]} for record in log_records(printed)]
    for metric in metrics(printed):
        found += [{**item, "scope": None, "service": metric["service"]} for item in point_items(metric)]
    found = [item for item in found if item["service"] != "function"]
    same([item if item["signal"] == "span" else {**item, "scope": None} for item in expected], found)
    return expected


PYTHON = [sys.executable, "-m", "awslambdaric", "function.handler"]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_the_extension_receives_from_pythons_sdk(tmp_path, protocol):
    compare_function(tmp_path, PYTHON, PEERS / "python", OTEL_EXPORTER_OTLP_PROTOCOL=protocol)


@pytest.mark.parametrize("encoding", ["http", "proto", "grpc"])
def test_the_extension_receives_from_nodes_sdk(tmp_path, node_path, encoding):
    node = printed_by(["node", "-p", "process.execPath"]).strip()
    compare_function(tmp_path, [node, PEERS / "node/function.js"], NODE_PATH=node_path, INTEROP_ENCODING=encoding)


def test_lines_of_otlp_json_are_joined_without_the_layer(tmp_path):
    """OpenTelemetry's exporter to a file prints requests of half a megabyte, which Lambda cuts."""
    made = compare_function(tmp_path, PYTHON, PEERS / "python", layer=["--no-extension"], INTEROP_PRINTS=1)
    # Each event has at most 256 KiB.
    assert sum(len(json.dumps(item)) for item in made if item.get("name", "").startswith("page-")) > 262_144
