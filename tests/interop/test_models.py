"""Functions that call models of Amazon Bedrock without OpenTelemetry code: one span for each call, with model, tokens and finish reason, and
without prompts and answers.
"""

import json

import models
import pytest
from local_lambda import REPOSITORY, packages, run

SOURCES = REPOSITORY / "tests/interop/unchanged/models"
PINS = (REPOSITORY / "tests/interop/unchanged/python/requirements.txt").read_text().splitlines()
SECRET = "geheim"
COMPLETE = {"gen_ai.usage.input_tokens": 11, "gen_ai.usage.output_tokens": 7, "gen_ai.response.finish_reasons": ["end_turn"]}
# The attributes of the span of each action. The function leaves one stream after its first event.
PYTHON = {
    "bedrock_converse": COMPLETE,
    "bedrock_stream": COMPLETE,
    "bedrock_stream_left": {},
    "bedrock_invoke": COMPLETE,
    "bedrock_failed": {"error.type": "ValidationException"},
}


@pytest.mark.parametrize("env", [{}, {"OTEL_BSP_EXPORT_TIMEOUT": "30000"}], ids=["fast", "the SDK"])
def test_bedrock_in_python(env):
    boto3 = packages(*(line for line in PINS if line.startswith("boto3==")))
    own = {"MODELS": models.serve(), "PYTHONPATH": str(boto3)}
    events = [{"action": action} for action in PYTHON]
    without = run(SOURCES, events, handler="calls.handler", wrapper=False, env=own)
    ran = run(SOURCES, events, handler="calls.handler", env={**own, **env})
    assert ran.results == without.results, ran.text
    for (action, expected), server in zip(PYTHON.items(), ran.kind("SERVER"), strict=True):
        (span,) = [span for span in ran.kind("CLIENT") if span["traceId"] == server["traceId"]]
        attributes = span["attributes"]
        found = {name: attributes[name] for name in (*COMPLETE, "error.type") if name in attributes}
        assert found == expected, (action, span)
        assert attributes["gen_ai.operation.name"] == "chat", span
        assert attributes["gen_ai.request.model"] in ("anthropic.claude-x", "fail"), span
        assert SECRET not in json.dumps(span), span
