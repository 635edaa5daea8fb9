"""Frameworks of agents whose packages contain OpenTelemetry's SDK: their requests have the results that they have without the layer, and
are traced, because none of them registers a tracer provider by its import."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from local_lambda import packages, run

CHUNK = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
CHUNKS = [
    {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hello"}, "finish_reason": None}]},
    {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
]
MESSAGE = {"role": "assistant", "content": "hello"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
COMPLETION = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}], "usage": USAGE}
CONTENT = {"candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP"}]}


class Models(BaseHTTPRequestHandler):
    """Stands in for the services that the frameworks call."""

    def do_GET(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or "{}")
        kind, body = "application/json", {"nanosecond heartbeat": 7, "status": "OK", "version": "3"}
        if "generateContent" in self.path:
            body = CONTENT
        elif "chat/completions" in self.path:
            body = COMPLETION
        if asked.get("stream"):
            kind, text = "text/event-stream", "".join(f"data: {json.dumps(each)}\n\n" for each in CHUNKS) + "data: [DONE]\n\n"
        else:
            text = json.dumps(body)
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def models():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Models)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
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
def test_a_framework_is_traced_and_its_results_stay(tmp_path, models, framework):
    own, imports, body = FRAMEWORKS[framework]
    app = f"import os\nURL = os.environ['MODELS']\n{imports}\ndef handler(event, context):\n    {body}\n"
    env = {"MODELS": models, "PYTHONPATH": packages(*own), "HOME": tmp_path}
    options = {"files": {"app.py": app}, "timeout": "120s", "env": env}
    without = run(tmp_path, [{}, {}], wrapper=False, **options)
    ran = run(tmp_path, [{}, {}], **options)
    assert ran.results == without.results, ran.text
    assert not any(str(result).startswith("failed") for result in ran.results), ran.text
    servers = ran.kind("SERVER")
    assert [span["scope"] for span in servers] == ["lambda-otlp/handler"] * 2, ran.text
    assert {span["traceId"] for span in ran.kind("CLIENT")} == {span["traceId"] for span in servers}, ran.text
