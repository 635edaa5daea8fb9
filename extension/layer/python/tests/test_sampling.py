"""A caller's decision against spans holds for all spans of the invocation, also the extension's."""

import pytest
from local_lambda import run

TRACE = "0af7651916cd43dd8448eb211c80319c"
APP = """
import os, urllib.request
def handler(event, context):
    with urllib.request.urlopen(os.environ["TARGET"] + "/") as response:
        return response.status
"""


def request(flags):
    return {
        "headers": {"traceparent": f"00-{TRACE}-b7ad6b7169203331-{flags}"},
        "httpMethod": "GET",
        "path": "/x",
        "requestContext": {"stage": "p"},
    }


@pytest.mark.parametrize("env", [{}, {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "99"}], ids=["fast", "sdk"])
def test_an_unsampled_invocation_has_no_span(tmp_path, target, env):
    ran = run(tmp_path, [request("01"), request("00"), {}], files={"app.py": APP}, env={"TARGET": target.url, **env})
    assert ran.results == [200, 200, 200]
    assert [span["traceId"] for span in ran.spans].count(TRACE) == 3, ran.text
    assert sorted(span["kind"] for span in ran.spans) == ["CLIENT", "CLIENT", "INTERNAL", "INTERNAL", "SERVER", "SERVER"]
    assert [int(headers["traceparent"][-1]) & 1 for _, headers in target.seen] == [1, 0, 1]
