"""Receivers that other projects wrote take what the forwarder and direct mode send, and wrong settings name their remedy."""

import os
import subprocess
import sys

import pytest
from dev import EXTENSION, dev
from items import counted, made
from local_lambda import PROGRAMS, REPOSITORY
from receivers import OtelTap, Rotel, VictoriaMetrics

PEERS = REPOSITORY / "tests/interop"
COMMAND_LINE = PROGRAMS / "lambda-otlp"
RECEIVERS = [Rotel, OtelTap]
INVOCATIONS = 4


@pytest.fixture
def start(tmp_path):
    """Starts a receiver, which ends with the test."""
    running = []

    def start(kind):
        folder = tmp_path / "receiver"
        folder.mkdir()
        running.append(kind(folder))
        return running[-1]

    yield start
    for receiver in running:
        receiver.stop()


def without_origin(item):
    return {key: value for key, value in item.items() if key not in ("scope", "service")}


@pytest.mark.parametrize("mode", ["stdout", "direct"])
@pytest.mark.parametrize("kind", RECEIVERS)
def test_each_item_of_a_functions_sdk_arrives_once(start, tmp_path, monkeypatch, kind, mode):
    receiver = start(kind)
    env = {"INTEROP_MADE": tmp_path / "made", "PYTHONDONTWRITEBYTECODE": 1}
    to_backend = {"LAMBDA_OTLP_BACKEND": "otlp", **receiver.variables}
    words = ["--handler", "function.handler", "--timeout", "60s", *EXTENSION]
    if mode == "direct":
        env |= {**to_backend, "LAMBDA_OTLP_OUTPUT": "otlp", "LAMBDA_OTLP_ENDPOINT": receiver.url}
    else:
        words += ["--endpoint", receiver.url]
        for name, value in to_backend.items():
            monkeypatch.setenv(name, value)
    events = [{"number": number} for number in range(1, INVOCATIONS + 1)]
    command = [sys.executable, "-m", "awslambdaric", "function.handler"]
    _, results = dev(PEERS / "python", events, *words, "--", *command, env=env)
    assert not [result for result in results if "failed" in result or "ended" in result], results
    expected = counted(map(without_origin, made(tmp_path / "made")))
    found = counted(map(without_origin, receiver.found()))
    # The extension and the forwarder have items of their own.
    assert {item: found[item] for item in expected} == dict(expected)
    assert {kind for item in expected for kind in ("span", "log", "point") if f'"signal": "{kind}"' in item} == {
        "span",
        "log",
        "point",
    }


def said(*words, **variables):
    """Returns what the command line prints with these variables."""
    ran = subprocess.run(
        [COMMAND_LINE, *words],
        env={"PATH": os.environ["PATH"], "LAMBDA_OTLP_BACKEND": "otlp", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout + ran.stderr


@pytest.fixture
def lines(tmp_path):
    """A file with a line and Lambda's report: two log records, and ten data points of which one is no delta."""
    file = tmp_path / "lines"
    report = (
        "\tDuration: 12.34 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\tMax Memory Used: 40 MB\tInit Duration: 100.00 ms\t"
    )
    file.write_text(f"hello\nREPORT RequestId: 8c2f1a3e-1111-4222-8333-944455556666{report}\n")
    return file


def forward(lines, endpoint, **variables):
    return said("forward", str(lines), "--log-group", "/aws/lambda/shop", "--endpoint", endpoint, **variables)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda url, _: f"{url}/v1/traces", "ends in /v1/traces, which is appended; give the URL without it"),
        (lambda url, _: f"{url}/otlp", "is it the base URL, and does the backend take"),
        (lambda url, _: url.replace("http:", "https:"), "the port does not seem to speak TLS, try http://"),
        (lambda _, port: f"http://127.0.0.1:{port}", "is it the one for gRPC (4317)? OTLP/HTTP's is 4318"),
    ],
)
def test_a_wrong_url_of_rotel_is_named_with_its_remedy(start, lines, change, expected):
    rotel = start(Rotel)
    endpoint = change(rotel.url, rotel.grpc_port)
    assert expected in said("doctor", "--endpoint", endpoint)
    assert expected in forward(lines, endpoint)


def test_a_key_without_its_scheme_is_named(start):
    printed = said("doctor", "--endpoint", start(Rotel).url, "--header", "authorization=KEY")
    assert "authorization has no scheme; nearly all backends want `Basic …` or `Bearer …`" in printed


def test_a_receiver_without_gzip_is_named(start):
    """oteltap reads no gzip, and answers 400."""
    printed = said("doctor", "--canary", "--endpoint", start(OtelTap).url)
    assert "OTEL_EXPORTER_OTLP_COMPRESSION=none" in printed


def test_a_database_that_takes_neither_deltas_nor_other_signals(start, lines):
    database = start(VictoriaMetrics)
    printed = said("doctor", "--endpoint", database.base)
    for part in [
        "VictoriaMetrics refuses delta metrics",
        "the backend takes metrics, but no traces",
        "the backend takes metrics, but no logs",
    ]:
        assert part in printed
    # It answers 200, and drops deltas.
    only_metrics = {"LAMBDA_OTLP_SIGNALS": "metrics"}
    assert "accepted                      10" in forward(lines, database.base, **only_metrics)
    assert database.names() == ["aws.lambda.memory_limit"]
    printed = forward(lines, database.base, LAMBDA_OTLP_SIGNALS="cumulative_metrics")
    assert "accepted                       1\ndropped                       11" in printed
    assert "11 items: no destination takes their signal" in printed
    assert "traces, delta metrics, logs: not sent" in said(
        "doctor", "--endpoint", database.base, LAMBDA_OTLP_SIGNALS="cumulative_metrics"
    )
