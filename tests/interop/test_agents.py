"""Frameworks of agents: their requests have the results that they have without the layer, and each invocation is one tree of
spans. Some of their packages contain OpenTelemetry's SDK, but none registers a tracer provider by its import.
"""

import json

import models
import pytest
from local_lambda import packages, run
from node_packages import node_modules
from stand_in import StandIn, serve

CHUNK = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
CHUNKS = [
    {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hello"}, "finish_reason": None}]},
    {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
]
MESSAGE = {"role": "assistant", "content": "hello"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
COMPLETION = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    "usage": USAGE,
}
CONTENT = {"candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP"}]}


class Models(StandIn):
    """Stands in for the services that the frameworks call."""

    def do_GET(self):
        asked = json.loads(self.read() or "{}")
        kind = "application/json"
        body = {"nanosecond heartbeat": 7, "status": "OK", "version": "3"}
        if "generateContent" in self.path:
            body = CONTENT
        elif "chat/completions" in self.path:
            body = COMPLETION
        if asked.get("stream"):
            kind = "text/event-stream"
            text = "".join(f"data: {json.dumps(each)}\n\n" for each in CHUNKS) + "data: [DONE]\n\n"
        else:
            text = json.dumps(body)
        self.answer(text.encode(), headers={"content-type": kind})

    do_POST = do_GET


@pytest.fixture(scope="module")
def services_of_frameworks():
    server = serve(Models)
    yield server.url
    server.shutdown()


# The packages of a framework, and the body of a handler that makes a request through it.
FRAMEWORKS = {
    "strands-agents": (
        ("strands-agents", "openai"),
        "from strands import Agent\nfrom strands.models.openai import OpenAIModel",
        "model = OpenAIModel(client_args={'api_key': 'k', 'base_url': URL}, model_id='m')\n"
        "    return str(Agent(model=model, callback_handler=None)('hi')).strip()",
    ),
    "langfuse": (
        ("langfuse",),
        "from langfuse.api import LangfuseAPI",
        "return LangfuseAPI(base_url=URL, username='u', password='p').health.health().status",
    ),
    "chromadb": (
        ("chromadb",),
        "import chromadb",
        "import httpx\n    return [httpx.get(URL + '/api/v2/heartbeat').json(), chromadb.__version__ != '']",
    ),
    "crewai": (
        ("crewai",),
        "from crewai import LLM",
        "return LLM(model='openai/m', base_url=URL, api_key='k').call('hi')",
    ),
    "google-adk": (
        ("google-adk",),
        "import google.adk.agents\nfrom google import genai",
        "client = genai.Client(api_key='k', http_options={'base_url': URL})\n    return client.models.generate_content(model='m', contents='hi').text",
    ),
}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_framework_is_traced_and_its_results_stay(tmp_path, services_of_frameworks, framework):
    own, imports, body = FRAMEWORKS[framework]
    app = f"import os\nURL = os.environ['MODELS']\n{imports}\ndef handler(event, context):\n    {body}\n"
    env = {"MODELS": services_of_frameworks, "PYTHONPATH": packages(*own), "HOME": tmp_path}
    options = {"files": {"app.py": app}, "timeout": "120s", "env": env}
    without = run(tmp_path, [{}, {}], wrapper=False, **options)
    ran = run(tmp_path, [{}, {}], **options)
    assert ran.results == without.results, ran.text
    assert not any(str(result).startswith("failed") for result in ran.results), ran.text
    servers = ran.kind("SERVER")
    assert [span["scope"] for span in servers] == ["lambda-otlp/handler"] * 2, ran.text
    assert {span["traceId"] for span in ran.kind("CLIENT")} == {span["traceId"] for span in servers}, ran.text


# Programs of reports about other instrumentations of models: their packages, and the body of a handler.
PROGRAMS = {
    # Strands, "OpenTelemetry traces not using parent span context".
    "strands-agents, Bedrock": (
        ("strands-agents",),
        "from strands import Agent, tool\nfrom strands.models import BedrockModel",
        "model = BedrockModel(model_id='anthropic.claude-x', endpoint_url=URL, region_name='eu-west-1')\n"
        "    return str(Agent(model=model, callback_handler=None)('hi')).strip()",
    ),
    # dd-trace-py, "Asynchronous context manager crash with langchain-openai".
    "langchain-openai, a stream": (
        ("langchain-openai",),
        "import asyncio\nfrom langchain_openai import ChatOpenAI\nloop = asyncio.new_event_loop()",
        "async def ask():\n        return [part.text async for part in ChatOpenAI(model='m', base_url=URL + '/v1', api_key='k').astream('hi')]\n"
        "    return loop.run_until_complete(ask())",
    ),
    "langchain-aws": (
        ("langchain-aws",),
        "from langchain_aws import ChatBedrockConverse",
        "return ChatBedrockConverse(model='anthropic.claude-x', endpoint_url=URL, region_name='eu-west-1').invoke('hi').text",
    ),
    "langgraph": (
        ("langgraph", "langchain-openai"),
        "from langgraph.graph import END, START, MessagesState, StateGraph\nfrom langchain_openai import ChatOpenAI\n"
        "model = ChatOpenAI(model='m', base_url=URL + '/v1', api_key='k')\n"
        "graph = StateGraph(MessagesState)\n"
        "graph.add_node('ask', lambda state: {'messages': [model.invoke(state['messages'])]})\n"
        "graph.add_edge(START, 'ask')\ngraph.add_edge('ask', END)\napp = graph.compile()",
        "return app.invoke({'messages': [('user', 'hi')]})['messages'][-1].text",
    ),
    # openllmetry, "OpenAI Agents instrumentation": a raw response of the Responses API.
    "openai-agents": (
        ("openai-agents",),
        "from agents import Agent, Runner, set_default_openai_client, set_tracing_disabled\nfrom openai import AsyncOpenAI\n"
        "set_default_openai_client(AsyncOpenAI(base_url=URL + '/v1', api_key='k'), use_for_tracing=False)\nset_tracing_disabled(True)",
        "return Runner.run_sync(Agent(name='a', model='m'), 'hi').final_output",
    ),
}


def assert_one_tree_each(ran, without):
    """Each invocation is one tree below its SERVER span, with a span of a model."""
    assert ran.results == without.results, ran.text
    assert "answer" in str(ran.results[0]) and not str(ran.results[0]).startswith("failed"), ran.text
    for server in ran.kind("SERVER"):
        tree = [span for span in ran.spans if span["traceId"] == server["traceId"]]
        ids = {span["spanId"] for span in tree}
        assert [span for span in tree if span.get("parentSpanId", "") not in ids] == [server], ran.text
        (call,) = [span for span in tree if span["kind"] == "CLIENT" and "gen_ai.operation.name" in span["attributes"]]
        assert call["attributes"]["gen_ai.response.finish_reasons"], call
    assert len({span["traceId"] for span in ran.spans}) == len(ran.kind("SERVER")) == 2, ran.text


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_invocation_of_a_program_is_one_tree(tmp_path, program):
    own, imports, body = PROGRAMS[program]
    app = f"import os\nURL = os.environ['MODELS']\n{imports}\ndef handler(event, context):\n    {body}\n"
    env = {"MODELS": models.serve_models(), "PYTHONPATH": packages(*own), "HOME": tmp_path}
    options = {"files": {"app.py": app}, "timeout": "120s", "env": env}
    without = run(tmp_path, [{}, {}], wrapper=False, **options)
    assert_one_tree_each(run(tmp_path, [{}, {}], **options), without)


# The packages of a program in Node, and its text.
NODE_PROGRAMS = {
    "langchain.mjs": (
        {"@langchain/core": "1.4.0", "@langchain/openai": "1.6.0"},
        """import { ChatOpenAI } from "@langchain/openai";
const model = new ChatOpenAI({ model: "m", apiKey: "k", configuration: { baseURL: process.env.MODELS + "/v1" } });
export const handler = async () => (await model.invoke("hi")).content;
""",
    ),
    "strands.mjs": (
        {"@strands-agents/sdk": "1.19.0", "openai": "6.45.0"},
        """import { Agent } from "@strands-agents/sdk";
import { OpenAIModel } from "@strands-agents/sdk/models/openai";
const model = new OpenAIModel({ api: "chat", modelId: "m", apiKey: "k", clientConfig: { baseURL: process.env.MODELS + "/v1" } });
export const handler = async () => String(await new Agent({ model, printer: false }).invoke("hi"));
""",
    ),
}


@pytest.mark.parametrize("program", NODE_PROGRAMS)
def test_an_invocation_of_a_program_in_node_is_one_tree(tmp_path, program):
    dependencies, text = NODE_PROGRAMS[program]
    description = tmp_path / "package.json"
    description.write_text(json.dumps({"private": True, "dependencies": dependencies}))
    (tmp_path / "node_modules").symlink_to(node_modules(description))
    options = {
        "runtime": "node",
        "handler": program.replace("mjs", "handler"),
        "files": {program: text},
        "timeout": "60s",
        "env": {"MODELS": models.serve_models()},
    }
    without = run(tmp_path, [{}, {}], wrapper=False, **options)
    assert_one_tree_each(run(tmp_path, [{}, {}], **options), without)
