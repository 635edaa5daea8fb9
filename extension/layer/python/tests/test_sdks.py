"""The tracer provider that a function registers decides if it is instrumented. An import, or a package that contains an SDK, does
not.
"""

import pytest
from local_lambda import packages, run

CALLS = """
import urllib.request
def handler(event, context):
    return urllib.request.urlopen(os.environ["TARGET"]).status
"""
# Uses of an SDK that register nothing.
USES = {
    "none": "",
    "imported": "import opentelemetry.sdk.trace.export, opentelemetry.sdk.metrics",
    "for type checkers": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from opentelemetry.sdk.trace import ReadableSpan",
    "in try": "try:\n    from opentelemetry.sdk.trace import TracerProvider\nexcept ImportError:\n    pass",
    "in a function never called": "def set_up():\n    from opentelemetry.instrumentation.requests import RequestsInstrumentor",
    "a provider of its own": "from opentelemetry.sdk.trace import TracerProvider\nspan = TracerProvider().get_tracer('own').start_span('own')\nspan.end()",
}
VERSIONS = ("1.30.0", "1.40.0", "1.45.1")
# A variable that only the SDK supports.
SDK = {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "64"}


@pytest.mark.parametrize(
    ("use", "version"), [*((use, "1.42.1") for use in USES), *(("imported", version) for version in VERSIONS)]
)
def test_an_sdk_that_registers_no_provider_changes_nothing(tmp_path, target, use, version):
    instrumented(tmp_path, target, use, version, {})


@pytest.mark.parametrize("use", USES)
def test_an_sdk_beside_the_layers_changes_nothing(tmp_path, target, use):
    instrumented(tmp_path, target, use, "1.45.1", SDK)


def instrumented(tmp_path, target, use, version, env):
    env = {**env, "TARGET": target.url, "PYTHONPATH": packages(f"opentelemetry-sdk=={version}")}
    ran = run(tmp_path, [{}, {}], files={"app.py": f"import os\n{USES[use]}\n{CALLS}"}, env=env)
    assert ran.results == [200, 200], ran.text
    servers = ran.kind("SERVER")
    assert [span["scope"] for span in servers] == ["lambda-otlp/handler"] * 2, ran.text
    assert {span["parentSpanId"] for span in ran.kind("CLIENT")} == {span["spanId"] for span in servers}, ran.text


@pytest.mark.parametrize(("version", "env"), [("1.20.0", {}), ("1.42.1", SDK)])
def test_a_version_that_does_not_fit_is_named_in_one_line(tmp_path, target, version, env):
    env = {**env, "TARGET": target.url, "PYTHONPATH": packages(f"opentelemetry-sdk=={version}", "setuptools<80")}
    ran = run(tmp_path, [{}], files={"app.py": f"import os\n{CALLS}"}, env=env)
    assert ran.results == [200]
    (line,) = [line for line in ran.lines if line.startswith("lambda-otlp-handler: ") and "info: " not in line]
    assert line == (
        f"lambda-otlp-handler: not instrumented: the function's opentelemetry-api {version} does not fit OpenTelemetry's SDK 1.45.1 of the "
        "layer: update opentelemetry-api, remove what needs the SDK, or set LAMBDA_OTLP_INSTRUMENT=off"
    )


# The function registers a provider, and returns the names of its spans.
OWN = """
import os, urllib.request
def set_up():
    global exporter
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
IN_MODULE
def handler(event, context):
    from opentelemetry import trace
    IN_HANDLER
    with trace.get_tracer("own").start_as_current_span("own"):
        urllib.request.urlopen(os.environ["TARGET"])
    return [span.name for span in exporter.get_finished_spans()]
"""


@pytest.mark.parametrize("place", ["module", "handler"])
def test_a_provider_of_the_function_gets_the_spans_that_it_has_without_the_layer(tmp_path, target, place):
    app = OWN.replace("IN_MODULE", "set_up()" if place == "module" else "").replace(
        "IN_HANDLER", "set_up()" if place == "handler" else "pass"
    )
    options = {"files": {"app.py": app}, "env": {"TARGET": target.url, "PYTHONPATH": packages("opentelemetry-sdk==1.42.1")}}
    without = run(tmp_path, [{}], wrapper=False, **options)
    ran = run(tmp_path, [{}], **options)
    assert ran.results == without.results == [["own"]], ran.text
    said = [line for line in ran.lines if "the function is not instrumented" in line]
    assert len(said) == (place == "module"), ran.text
    assert len(ran.kind("CLIENT")) == (place == "handler"), ran.text


# A function that leaves the SDK to a layer.
LEFT = """
from opentelemetry import trace
IN_MODULE
def handler(event, context):
    from opentelemetry.sdk.trace import Tracer, TracerProvider, sampling
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.semconv.resource import ResourceAttributes
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    with trace.get_tracer("own").start_as_current_span("own"):
        return [isinstance(trace.get_tracer_provider(), TracerProvider), sampling.Sampler.__name__]
"""


@pytest.mark.parametrize("place", ["module", "handler"])
@pytest.mark.parametrize("own", [(), ("opentelemetry-api==1.45.1",)], ids=["no API", "own API"])
def test_a_function_without_an_sdk_imports_the_layers(tmp_path, place, own):
    app = LEFT.replace("IN_MODULE", "from opentelemetry.sdk.trace import Tracer" if place == "module" else "")
    ran = run(tmp_path, [{}, {}], files={"app.py": app}, env={"PYTHONPATH": packages(*own)} if own else {})
    assert ran.results == [[True, "Sampler"]] * 2, ran.text
    servers = ran.kind("SERVER")
    assert len(servers) == 2, ran.text
    assert {span["parentSpanId"] for span in ran.named("own")} == {span["spanId"] for span in servers}, ran.text


# A durable function with AWS's plugin. The client answers checkpoints as AWS does.
DURABLE = """
from aws_durable_execution_sdk_python import durable_execution, DurableContext, durable_step
from aws_durable_execution_sdk_python_otel import PLUGIN
class Client:
    def checkpoint_durable_execution(self, **named):
        operations = [{**each, "Status": {"START": "STARTED", "SUCCEED": "SUCCEEDED"}[each["Action"]]} for each in named["Updates"]]
        return {"CheckpointToken": "t", "NewExecutionState": {"Operations": operations}}
    def get_durable_execution_state(self, **named): return {"Operations": []}
@durable_step
def price(step): return 7
@durable_execution(boto3_client=Client(), plugins=[PLUGIN()])
def handler(event, context: DurableContext): return context.step(price(), name="price")
"""
EXECUTION = {
    "Id": "b",
    "Type": "EXECUTION",
    "Status": "STARTED",
    "StartTimestamp": 1790000000000,
    "ExecutionDetails": {"InputPayload": "{}"},
}
STARTED = {
    "DurableExecutionArn": "arn:aws:lambda:eu-west-1:123456789012:function:shop:1/durable-execution/a/b",
    "CheckpointToken": "t",
    "InitialExecutionState": {"Operations": [EXECUTION]},
}


# The versions of the plugin, each with its class and the durable SDK that it needs.
PLUGINS = {
    "1.0.0": ("InvocationOtelPlugin", "aws-durable-execution-sdk-python==2.1.0"),
    "2.0.0": ("InvocationOtelPluginFactory", "aws-durable-execution-sdk-python"),
}


@pytest.mark.parametrize("version", PLUGINS)
def test_spans_of_the_plugin_of_durable_functions_arrive(tmp_path, version):
    plugin, durable = PLUGINS[version]
    own = packages(f"aws-durable-execution-sdk-python-otel=={version}", durable)
    # The plugin follows X-Ray's decision.
    ran = run(
        tmp_path,
        [STARTED],
        files={"app.py": DURABLE.replace("PLUGIN", plugin)},
        env={"PYTHONPATH": own},
        options=["--active-tracing"],
    )
    assert ran.results == [{"Status": "SUCCEEDED", "Result": "7"}], ran.text
    (server,) = ran.kind("SERVER")
    of_plugin = [span for span in ran.spans if span["scope"] == "aws-durable-execution-sdk-python"]
    assert "price" in " ".join(span["name"] for span in of_plugin), (ran.spans, ran.text)
    assert server["scope"] == "lambda-otlp/handler"


# Packages that start an SDK if they find one.
LOOKING = """
import sys
import mysql.connector
def handler(event, context):
    return sorted(name for name in sys.modules if name.startswith("opentelemetry.sdk"))
"""


def test_a_package_that_looks_for_an_sdk_finds_none(tmp_path):
    ran = run(tmp_path, [{}], files={"app.py": LOOKING}, env={"PYTHONPATH": packages("mysql-connector-python")})
    assert ran.results == [[]], ran.text
