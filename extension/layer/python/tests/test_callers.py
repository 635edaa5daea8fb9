"""The caller of an invocation is found in the event, or else in the client context."""

import json

import pytest
from local_lambda import run


def parent(span_id, trace_id="0af7651916cd43dd8448eb211c80319c"):
    return {"traceparent": f"00-{trace_id}-{span_id}-01"}


OF_EVENT = "a" * 16
OF_CUSTOM = "b" * 16
OF_W3C = "c" * 16
# The client context, and the caller of an event without a parent.
CONTEXTS = {
    "custom": ({"custom": parent(OF_CUSTOM), "w3c": parent(OF_W3C)}, OF_CUSTOM),
    "w3c": ({"custom": {}, "w3c": parent(OF_W3C)}, OF_W3C),
    "odd": ({"custom": "x", "w3c": [5]}, None),
}


@pytest.mark.parametrize("env", [{}, {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "99"}], ids=["fast", "sdk"])
@pytest.mark.parametrize("context", CONTEXTS)
def test_the_events_parent_precedes_the_client_contexts(tmp_path, context, env):
    content, expected = CONTEXTS[context]
    (tmp_path / "context.json").write_text(json.dumps(content))
    events = [{"headers": parent(OF_EVENT)}, {}, {"headers": parent("0" * 16)}]
    files = {"app.py": "def handler(event, context): pass"}
    ran = run(tmp_path, events, files=files, env=env, options=["--client-context", tmp_path / "context.json"])
    servers = sorted(ran.kind("SERVER"), key=lambda span: int(span["startTimeUnixNano"]))
    assert [span.get("parentSpanId") or None for span in servers] == [OF_EVENT, expected, expected], ran.text
