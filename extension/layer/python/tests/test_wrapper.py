"""The layer's wrapper of a function's runtime, for all languages, as Lambda runs it."""

import os
import pathlib
import subprocess

import pytest
from local_lambda import LAYER

WRAPPER = LAYER.parent / "lambda-otlp-handler"
OF_LAMBDA = {
    "PATH": "/usr/bin:/bin",
    "AWS_REGION": "eu-west-1",
    "AWS_LAMBDA_FUNCTION_NAME": "shop",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
}
EXTENSION = "http://127.0.0.1:4318"
BACKEND = "https://o2.example.com/api/default"
ATTRIBUTES = "cloud.provider=aws,cloud.region=eu-west-1,faas.name=shop,faas.version=$LATEST"
DEFAULTS = {
    "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:4318",
    "OTEL_EXPORTER_OTLP_ENDPOINT": EXTENSION,
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_RESOURCE_ATTRIBUTES": ATTRIBUTES,
    "OTEL_SERVICE_NAME": "shop",
}


def run(variables, *program, wrapper=WRAPPER):
    return subprocess.run([wrapper, *program], env={**OF_LAMBDA, **variables}, capture_output=True, text=True, check=False)


def seen(**variables):
    """Returns the variables of the SDK."""
    done = run(variables, "env")
    assert (done.returncode, done.stderr) == (0, "")
    pairs = (line.partition("=")[::2] for line in done.stdout.splitlines())
    return {name: value for name, value in pairs if name.startswith(("OTEL_", "AWS_XRAY_"))}


def test_the_wrapper_sets_endpoint_and_resource_for_the_sdk():
    assert seen() == DEFAULTS


OWN = {
    "AWS_XRAY_DAEMON_ADDRESS": "tcp:169.254.79.129:2000 udp:169.254.79.129:2000",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4319",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "cumulative",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_SERVICE_NAME": "checkout",
}


def test_variables_of_the_function_take_precedence():
    assert seen(**OWN) == {**DEFAULTS, **OWN}


@pytest.mark.parametrize("attributes", ["team=blue,service.name=checkout", "team=blue, service.name=checkout"])
def test_a_service_name_among_the_attributes_takes_precedence(attributes):
    found = seen(OTEL_RESOURCE_ATTRIBUTES=attributes)
    assert found["OTEL_RESOURCE_ATTRIBUTES"] == f"{ATTRIBUTES},{attributes}"
    # The variable would take precedence over the attribute.
    assert "OTEL_SERVICE_NAME" not in found


# A port of the extension, and the port that the SDK exports to.
PORTS = {"4320": 4320, "70000": 4318, "0": 4318, "00000000000000000004320": 4318, "-1": 4318, "4318x": 4318}


@pytest.mark.parametrize("port", PORTS)
def test_the_sdk_exports_to_the_port_of_the_extension(port):
    found = seen(OTEL_LAMBDA_RECEIVER_PORT=port, AWS_XRAY_DAEMON_ADDRESS="169.254.79.129:2000")
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://127.0.0.1:{PORTS[port]}"
    assert found["AWS_XRAY_DAEMON_ADDRESS"] == f"127.0.0.1:{PORTS[port]}"


# An endpoint, and the port that X-Ray's SDK exports to.
XRAY = {
    "http://localhost:5000": 5000,
    "http://127.0.0.1:5000/v1/traces": 5000,
    "http://localhost": 4318,
    "http://localhost:x": 4318,
    "https://o2.example.com:5080/api/default": 4318,
}


@pytest.mark.parametrize("endpoint", XRAY)
def test_the_sdk_of_xray_exports_to_the_extension(endpoint):
    assert seen(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)["AWS_XRAY_DAEMON_ADDRESS"] == f"127.0.0.1:{XRAY[endpoint]}"


# The endpoint and other variables, and the SDK's endpoint. The headers stay where the SDK may need them.
DIRECT = [
    *(
        (endpoint, {}, EXTENSION, False)
        for endpoint in (BACKEND, "o2.example.com:4317", "https://localhost@example.com?a@127.0.0.1")
    ),
    *((BACKEND, {"LAMBDA_OTLP_OUTPUT": output}, EXTENSION, False) for output in ("otlp", "json")),
    *((BACKEND, {"LAMBDA_OTLP_OUTPUT": output}, BACKEND, True) for output in ("stdout", " Stdout ")),
    (BACKEND, {"OTEL_LAMBDA_RECEIVER_PORT": "4320"}, "http://127.0.0.1:4320", False),
    (BACKEND, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, EXTENSION, False),
    # The function sends this signal to another vendor, maybe with the same headers.
    *(
        (BACKEND, {f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT": "https://b.example.com/v1/x"}, EXTENSION, True)
        for signal in ("TRACES", "METRICS", "LOGS")
    ),
    *(
        (f"{scheme}{host}:5000{path}", {}, f"{scheme}{host}:5000{path}", True)
        for scheme, host, path in (
            ("http://", "LOCALHOST", ""),
            ("", "localhost", ""),
            ("http://", "a:b@127.8.9.1", "/v1"),
            ("http://", "0.0.0.0", ""),
            ("http://", "[::1]", ""),
            ("http://", "[::ffff:127.0.0.1]", ""),
        )
    ),
]


@pytest.mark.parametrize(("endpoint", "others", "expected", "keeps_headers"), DIRECT)
def test_in_direct_mode_the_sdk_exports_to_the_extension(endpoint, others, expected, keeps_headers):
    headers = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20a"}
    found = seen(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **headers, **others)
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == expected
    assert ("OTEL_EXPORTER_OTLP_HEADERS" in found) == keeps_headers
    assert found.items() >= {name: value for name, value in others.items() if name.startswith("OTEL_EXPORTER")}.items()


# The text of the file, the function's variables, and the SDK's endpoint.
FALLBACKS = [
    ("43180\n", {}, "http://127.0.0.1:43180"),
    ("", {}, EXTENSION),
    ("evil.example.com\n", {}, EXTENSION),
    ("43180\n", {"OTEL_LAMBDA_RECEIVER_PORT": "4320"}, "http://127.0.0.1:4320"),
    ("43180\n", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4319"}, "http://127.0.0.1:4319"),
]


@pytest.mark.parametrize(("text", "variables", "expected"), FALLBACKS)
def test_the_sdk_exports_to_the_fallback_port_of_the_extension(text, variables, expected):
    # A unique address: the process's number is no port in use.
    file = pathlib.Path(f"/tmp/.lambda-otlp-receiver-127.9.9.9-{os.getpid()}")
    file.write_text(text)
    try:
        found = seen(AWS_LAMBDA_RUNTIME_API=f"127.9.9.9:{os.getpid()}", **variables)
    finally:
        file.unlink()
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == expected


def test_the_wrapper_warns_of_a_configuration_file():
    done = run({"OTEL_CONFIG_FILE": "/var/task/otel.yaml"}, "echo", "runtime")
    assert done.stdout == "runtime\n"
    assert "OTEL_CONFIG_FILE is set" in done.stderr and done.stderr.count("\n") == 1


def test_the_wrapper_passes_arguments_and_exit_code_through():
    done = run({}, "sh", "-c", "printf '%s|' \"$@\"; exit 7", "sh", "two words", "*", "")
    assert (done.stdout, done.returncode) == ("two words|*||", 7)


def test_the_next_wrapper_runs_and_an_unusable_one_is_skipped(tmp_path):
    following = tmp_path / "next"
    following.write_text('#!/bin/sh\necho "next for $OTEL_SERVICE_NAME"\nexec "$@"\n')
    variables = {"LAMBDA_OTLP_NEXT_WRAPPER": str(following)}
    done = run(variables, "echo", "runtime")
    assert (done.stdout, done.stderr.count("\n")) == ("runtime\n", 1)
    following.chmod(0o755)
    done = run(variables, "echo", "runtime")
    assert (done.stdout, done.stderr) == ("next for shop\nruntime\n", "")


def managed(name):
    return {"AWS_EXECUTION_ENV": f"AWS_Lambda_{name}"}


PYTHON = ("/opt/lambda-otlp/python", "unset")
NODE = ("unset", "--require=/opt/lambda-otlp/node/start.cjs")
NONE = ("unset", "unset")
OUTDATED = (
    "lambda-otlp-handler: not instrumented: AWS_Lambda_{} is too old: update the function's runtime to Python 3.10, Node 18 or later, "
    "or set LAMBDA_OTLP_INSTRUMENT=off"
)
# The variables, the program, `PYTHONPATH` and `NODE_OPTIONS`, and a part of the message.
LOADED = [
    (managed("python3.13"), "python3.13", PYTHON, None),
    (managed("python3.10"), "python3.10", PYTHON, None),
    ({}, "python3.13", PYTHON, None),
    ({"PYTHONPATH": "/var/runtime"}, "python3", (f"{PYTHON[0]}:/var/runtime", "unset"), None),
    (managed("nodejs22.x"), "node", NODE, None),
    (managed("nodejs18.x"), "node", NODE, None),
    ({}, "node", NODE, None),
    ({"NODE_OPTIONS": "--enable-source-maps"}, "node", ("unset", f"--enable-source-maps {NODE[1]}"), None),
    (managed("java21"), "java", NONE, None),
    (managed("java21"), "python3", NONE, None),
    ({}, "bootstrap", NONE, None),
    ({"LAMBDA_OTLP_INSTRUMENT": "auto"}, "python3", PYTHON, None),
    ({"LAMBDA_OTLP_INSTRUMENT": "off"}, "python3", NONE, None),
    ({"LAMBDA_OTLP_INSTRUMENT": "off"}, "node", NONE, None),
    ({"LAMBDA_OTLP_INSTRUMENT": "on"}, "python3", PYTHON, "must be auto or off, got on; auto applies"),
    ({"LAMBDA_OTLP_NEXT_WRAPPER": "/usr/bin/env"}, "python3", NONE, None),
    ({"LAMBDA_OTLP_NEXT_WRAPPER": "/opt/none"}, "python3", NONE, "LAMBDA_OTLP_NEXT_WRAPPER"),
    (managed("nodejs12.x"), "node", NONE, OUTDATED.format("nodejs12.x")),
    (managed("nodejs8.10"), "node", NONE, OUTDATED.format("nodejs8.10")),
    (managed("python3.9"), "python3.9", NONE, OUTDATED.format("python3.9")),
    (managed("python2.7"), "python2.7", NONE, OUTDATED.format("python2.7")),
]


@pytest.mark.parametrize(("variables", "program", "expected", "message"), LOADED)
def test_the_wrapper_loads_the_instrumentation_of_each_runtime(tmp_path, variables, program, expected, message):
    # The layer as Lambda mounts it.
    (tmp_path / "lambda-otlp-handler").symlink_to(WRAPPER)
    (tmp_path / "lambda-otlp").symlink_to(LAYER.parent)
    (tmp_path / program).symlink_to("/bin/sh")
    script = 'echo "${PYTHONPATH-unset}"; echo "${NODE_OPTIONS-unset}"'
    done = run(variables, tmp_path / program, "-c", script, wrapper=tmp_path / "lambda-otlp-handler")
    assert tuple(done.stdout.replace(str(tmp_path), "/opt").splitlines()) == expected
    assert done.stderr.count("\n") == (0 if message is None else 1)
    assert message is None or message in done.stderr
