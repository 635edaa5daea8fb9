"""Functions that call models without OpenTelemetry code: one span for each call, with model, tokens and finish reason, and
without prompts and answers.
"""

import json
import os
import pathlib
import subprocess
import sys

import models
import pytest
from local_lambda import REPOSITORY, packages, run
from node_packages import node_modules
from test_databases import as_module

SOURCES = REPOSITORY / "tests/interop/unchanged/models"
PINS = (REPOSITORY / "tests/interop/unchanged/python/requirements.txt").read_text().splitlines()
REQUIREMENTS = (SOURCES / "requirements.txt").read_text().split()
SECRET = "geheim"
INPUT = {"gen_ai.usage.input_tokens": 11}
OUTPUT = {"gen_ai.usage.output_tokens": 7}
ENDED = {"gen_ai.response.finish_reasons": ["end_turn"]}
STOPPED = {"gen_ai.response.finish_reasons": ["stop"]}
BEDROCK = {**INPUT, **OUTPUT, **ENDED}
CHAT = {**INPUT, **OUTPUT, **STOPPED, "gen_ai.response.model": "gpt-x-2026"}
MESSAGE = {**BEDROCK, "gen_ai.response.model": "claude-x-2026"}
EMBEDDINGS = {**INPUT, "gen_ai.response.model": "embed-x-2026"}
FOUND = (*MESSAGE, "error.type")
# The attributes of the span of each action. The function leaves some streams after their first event, when only some have said
# something.
BEDROCK_PYTHON = {
    "bedrock_converse": BEDROCK,
    "bedrock_stream": BEDROCK,
    "bedrock_stream_left": {},
    "bedrock_invoke": BEDROCK,
    "bedrock_invoke_stream": BEDROCK,
    "bedrock_failed": {"error.type": "ValidationException"},
}
CHAT_LEFT = {"gen_ai.response.model": "gpt-x-2026"}
CLIENTS_PYTHON = {
    "chat": CHAT,
    "chat_raw": CHAT,
    "chat_stream": CHAT,
    "chat_stream_left": CHAT_LEFT,
    "chat_failed": {"error.type": "openai.BadRequestError"},
    "chat_odd": {},
    "chat_odd_stream": {},
    "chat_async": CHAT,
    "chat_async_stream": CHAT,
    "azure_chat": CHAT,
    "responses": CHAT,
    "responses_stream": CHAT,
    "responses_raw_stream": CHAT,
    "chat_streamed_response": CHAT,
    "embeddings": EMBEDDINGS,
    "message": MESSAGE,
    "message_events": MESSAGE,
    "message_stream": MESSAGE,
    "message_stream_left": {**INPUT, "gen_ai.usage.output_tokens": 1, "gen_ai.response.model": "claude-x-2026"},
    "message_failed": {"error.type": "anthropic.BadRequestError"},
    "message_odd": {},
    "message_odd_events": {},
    "message_async": MESSAGE,
    "message_async_stream": MESSAGE,
    "message_beta_stream": MESSAGE,
}
NODE = {
    "bedrock_converse": BEDROCK,
    "bedrock_stream": BEDROCK,
    "bedrock_stream_left": {},
    "bedrock_stream_unread": {},
    "bedrock_invoke": BEDROCK,
    "bedrock_invoke_bytes": BEDROCK,
    "bedrock_invoke_stream": BEDROCK,
    "bedrock_failed": {"error.type": "ValidationException"},
    "bedrock_stream_failed": {"error.type": "ValidationException"},
    "chat": CHAT,
    "chat_response": {},
    "chat_with_response": CHAT,
    "chat_parsed": CHAT,
    "chat_stream": CHAT,
    "chat_stream_left": CHAT_LEFT,
    "chat_stream_unread": {},
    "chat_stream_halves": CHAT,
    "chat_helper": CHAT,
    "azure_chat": CHAT,
    "chat_failed": {"error.type": "BadRequestError"},
    "chat_odd": {},
    "chat_odd_stream": {},
    "responses": CHAT,
    "responses_parsed": CHAT,
    "responses_with_response": CHAT,
    "responses_stream": CHAT,
    "embeddings": EMBEDDINGS,
    "message": MESSAGE,
    "message_events": MESSAGE,
    "message_stream": MESSAGE,
    "message_events_left": {**INPUT, "gen_ai.usage.output_tokens": 1, "gen_ai.response.model": "claude-x-2026"},
    "message_failed": {"error.type": "BadRequestError"},
    "message_odd": {},
    "message_odd_events": {},
}
# Some actions are those of reports about other instrumentations: chat_raw (logfire, "OpenAI SDK traces will fail when
# .with_raw_response is used"), message_beta_stream (openllmetry, "Beta AsyncMessages.stream incorrectly in WRAPPED_AMETHODS"),
# responses_raw_stream (agent-framework, "crashes agent-framework-openai streaming"), chat_parsed (opentelemetry-js-contrib,
# "breaks OpenAI parse and LangChain withStructuredOutput") and responses_with_response (weave,
# "client.responses.create(...).withResponse is not a function").
PROVIDERS = {"azure": "azure.ai.openai", "bedrock": "aws.bedrock", "message": "anthropic"}


def assert_calls(ran, without, actions):
    """Each action has one span of a model, in the trace of its invocation, with these attributes and nothing of prompts and
    answers.
    """
    assert ran.results == without.results, ran.text
    for (action, expected), server in zip(actions.items(), ran.kind("SERVER"), strict=True):
        calls = [span for span in ran.kind("CLIENT") if span["traceId"] == server["traceId"]]
        found = [span for span in calls if "gen_ai.operation.name" in span["attributes"]]
        assert len(found) == 1, (action, calls, ran.text)
        (span,) = found
        attributes = span["attributes"]
        assert {name: attributes[name] for name in FOUND if name in attributes} == expected, (action, span)
        assert span["name"] == f"{attributes['gen_ai.operation.name']} {attributes['gen_ai.request.model']}", span
        assert attributes["gen_ai.operation.name"] == ("embeddings" if action == "embeddings" else "chat"), span
        assert attributes["gen_ai.provider.name"] == PROVIDERS.get(action.partition("_")[0], "openai"), span
        assert (span.get("status", {}).get("code") == 2) == ("error.type" in expected), span
        assert "rpc.system" in attributes or attributes["server.address"] == "127.0.0.1", span
        for call in calls:
            assert SECRET not in json.dumps(call), call
            assert call is span or call["parentSpanId"] == span["spanId"], (action, call)


FAST_AND_SDK = pytest.mark.parametrize("env", [{}, {"OTEL_BSP_EXPORT_TIMEOUT": "30000"}], ids=["fast", "the SDK"])


@FAST_AND_SDK
def test_bedrock_in_python(env):
    boto3 = packages(*(line for line in PINS if line.startswith("boto3==")))
    own = {"MODELS": models.serve_models(), "PYTHONPATH": str(boto3)}
    events = [{"action": action} for action in BEDROCK_PYTHON]
    without = run(SOURCES, events, handler="calls.handler", wrapper=False, env=own)
    ran = run(SOURCES, events, handler="calls.handler", env={**own, **env})
    assert_calls(ran, without, BEDROCK_PYTHON)


@FAST_AND_SDK
def test_clients_in_python(env):
    own = {"MODELS": models.serve_models(), "PYTHONPATH": str(packages(*REQUIREMENTS))}
    events = [{"action": action} for action in CLIENTS_PYTHON]
    without = run(SOURCES, events, handler="clients.handler", wrapper=False, timeout="60s", env=own)
    ran = run(SOURCES, events, handler="clients.handler", timeout="60s", env={**own, **env})
    assert_calls(ran, without, CLIENTS_PYTHON)


@pytest.mark.parametrize("form", ["CommonJS", "ES module", "bundle"])
def test_node(tmp_path, form):
    text = (SOURCES / "calls.cjs").read_text()
    modules = node_modules(SOURCES / "package.json")
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / ("calls.cjs" if form == "CommonJS" else "calls.mjs")).write_text(text if form == "CommonJS" else as_module(text))
    if form == "bundle":
        esbuild = [
            modules / ".bin/esbuild",
            "calls.mjs",
            "--bundle",
            "--platform=node",
            "--packages=external",
            "--outfile=bundle.js",
            "--minify",
        ]
        subprocess.run(esbuild, cwd=tmp_path, check=True, capture_output=True)
    own = {"MODELS": models.serve_models()}
    handler = "bundle.handler" if form == "bundle" else "calls.handler"
    events = [{"action": action} for action in NODE]
    without = run(tmp_path, events, runtime="node", handler=handler, wrapper=False, env=own)
    ran = run(tmp_path, events, runtime="node", handler=handler, env=own)
    assert_calls(ran, without, NODE)


RECORDED = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"}


def assert_prompts(ran, actions):
    """Each call has the messages of its request, and those of its answer if the function has read it."""
    for (action, expected), server in zip(actions.items(), ran.kind("SERVER"), strict=True):
        spans = [span for span in ran.kind("CLIENT") if span["traceId"] == server["traceId"]]
        (attributes,) = [span["attributes"] for span in spans if "gen_ai.operation.name" in span["attributes"]]
        found = {name: json.loads(attributes.get(name, "[]")) for name in ("gen_ai.input.messages", "gen_ai.output.messages")}
        asked, answered = found.values()
        assert (SECRET in json.dumps(asked)) == (action != "embeddings"), (action, attributes)
        if "gen_ai.response.finish_reasons" in expected:
            (part,) = answered[0]["parts"]
            assert part == {"type": "text", "content": models.ANSWER}, (action, attributes)
            assert answered[0]["finish_reason"] == expected["gen_ai.response.finish_reasons"][0], (action, attributes)
        elif answered:
            assert answered[0]["parts"], (action, attributes)


@FAST_AND_SDK
@pytest.mark.parametrize("actions", [BEDROCK_PYTHON, CLIENTS_PYTHON], ids=["Bedrock", "clients"])
def test_prompts_in_python(env, actions):
    handler = "calls.handler" if actions is BEDROCK_PYTHON else "clients.handler"
    boto3 = [line for line in PINS if line.startswith("boto3==")]
    own = {"MODELS": models.serve_models(), "PYTHONPATH": str(packages(*(boto3 if actions is BEDROCK_PYTHON else REQUIREMENTS)))}
    events = [{"action": action} for action in actions]
    without = run(SOURCES, events, handler=handler, wrapper=False, timeout="60s", env=own)
    ran = run(SOURCES, events, handler=handler, timeout="60s", env={**own, **env, **RECORDED})
    assert ran.results == without.results, ran.text
    assert_prompts(ran, actions)


def test_prompts_in_node(tmp_path):
    (tmp_path / "node_modules").symlink_to(node_modules(SOURCES / "package.json"))
    (tmp_path / "calls.cjs").write_text((SOURCES / "calls.cjs").read_text())
    options = {"runtime": "node", "handler": "calls.handler"}
    own = {"MODELS": models.serve_models()}
    events = [{"action": action} for action in NODE]
    without = run(tmp_path, events, wrapper=False, env=own, **options)
    ran = run(tmp_path, events, env={**own, **RECORDED}, **options)
    assert ran.results == without.results, ran.text
    assert_prompts(ran, NODE)


# Versions of Anthropic's clients that make their spans themselves. Theirs win.
OWN_SPANS = {"message": MESSAGE, "message_events": MESSAGE, "message_failed": None}


@pytest.mark.parametrize("language", ["python", "node"])
def test_a_clients_own_spans_are_the_only_ones(tmp_path, language):
    own = {"MODELS": models.serve_models()}
    events = [{"action": action} for action in OWN_SPANS]
    if language == "python":
        folder = SOURCES
        options = {
            "handler": "clients.handler",
            "env": {**own, "PYTHONPATH": str(packages("anthropic==2.14.0", REQUIREMENTS[1]))},
        }
    else:
        folder = tmp_path
        options = {"handler": "calls.handler", "runtime": "node", "env": own}
        (tmp_path / "calls.cjs").write_text((SOURCES / "calls.cjs").read_text())
        (tmp_path / "node_modules").symlink_to(node_modules(SOURCES / "package.json", "@anthropic-ai/sdk@1.14.0"))
    without = run(folder, events, wrapper=False, timeout="60s", **options)
    ran = run(folder, events, timeout="60s", **options)
    assert ran.results == without.results, ran.text
    for (action, expected), server in zip(OWN_SPANS.items(), ran.kind("SERVER"), strict=True):
        (span,) = [
            span for span in ran.spans if span["traceId"] == server["traceId"] and "gen_ai.operation.name" in span["attributes"]
        ]
        assert span["scope"].startswith("com.anthropic.sdk"), span
        attributes = span["attributes"]
        assert expected is None or {name: attributes.get(name) for name in expected} == expected, (action, span)
        assert (expected is None) == ("error.type" in attributes), (action, span)
        assert SECRET not in json.dumps(span), span


OWN_INSTRUMENTATIONS = (
    "opentelemetry-api==1.45.1",
    "opentelemetry-instrumentation-genai-openai==1.3b0",
    "opentelemetry-instrumentation-sqlalchemy==0.66b1",
)
OWN = """import os, openai, sqlalchemy
client = openai.OpenAI(base_url=os.environ["MODELS"] + "/v1", api_key="k", max_retries=0)
engine = sqlalchemy.create_engine("sqlite://")
def handler(event, context):
    with engine.connect() as connection:
        number = connection.execute(sqlalchemy.text("SELECT 7")).scalar()
    return [number, client.chat.completions.create(model="gpt-x", messages=[{"role": "user", "content": "geheim"}]).model]
"""


def test_instrumentations_of_the_function_win_silently(tmp_path):
    path = packages(*OWN_INSTRUMENTATIONS, REQUIREMENTS[1], "sqlalchemy==2.0.44")
    options = {"files": {"app.py": OWN}, "timeout": "60s", "env": {"MODELS": models.serve_models(), "PYTHONPATH": str(path)}}
    without = run(tmp_path, [{}, {}], wrapper=False, **options)
    ran = run(tmp_path, [{}, {}], **options)
    assert ran.results == without.results == [[7, "gpt-x-2026"]] * 2, ran.text
    for server in ran.kind("SERVER"):
        calls = [span for span in ran.kind("CLIENT") if span["traceId"] == server["traceId"] and span["name"] != "POST"]
        scopes = [span["scope"] for span in calls]
        # The layer's instrumentation makes no span of a connection.
        own = ["opentelemetry.instrumentation.sqlalchemy"] * 2 + ["opentelemetry.instrumentation.genai.openai"]
        assert scopes == own, (scopes, ran.text)
        assert SECRET not in json.dumps(calls), calls
    lines = [line for line in ran.lines if "lambda-otlp-handler" in line]
    assert lines and all("starts with OpenTelemetry's SDK" in line for line in lines), lines


@pytest.fixture
def postgresql():
    requirements = [line for line in (SOURCES.parent / "databases/requirements.txt").read_text().splitlines() if "==" in line]
    sys.path.append(str(packages(*requirements)))
    from servers import Servers

    servers = Servers()
    try:
        yield str(servers.postgresql())
    finally:
        servers.stop()


def test_calls_of_all_kinds_are_one_trace(services, postgresql):
    """docs/picture.py draws the spans, which `PICTURE` names a file for."""
    boto3 = [line for line in PINS if line.startswith("boto3==")]
    own = {
        "MODELS": models.serve_models(),
        "SERVICES": services,
        "POSTGRESQL": postgresql,
        "PYTHONPATH": str(packages(*boto3, "psycopg[binary]")),
    }
    without = run(SOURCES, [{"item": 7}] * 2, handler="shop.handler", wrapper=False, env=own)
    ran = run(SOURCES, [{"item": 7}] * 2, handler="shop.handler", env=own)
    assert ran.results == without.results == [{"price": 950}] * 2, ran.text
    for server in ran.kind("SERVER"):
        calls = [span for span in ran.spans if span["traceId"] == server["traceId"] and span["kind"] in ("CLIENT", "PRODUCER")]
        assert [span["name"] for span in calls] == ["GET", "INSERT orders", "chat amazon.nova-lite-v1:0", "SQS.SendMessage"], (
            ran.text
        )
        assert {span["parentSpanId"] for span in calls} == {server["spanId"]}, ran.text
    if file := os.environ.get("PICTURE"):
        pathlib.Path(file).write_text(json.dumps([span for span in ran.spans if span["traceId"] == server["traceId"]]))
