"""Values in URLs that grant access are in no span."""

import pytest
from local_lambda import run

SECRETS = (
    "X-Amz-Signature",
    "X-Amz-Security-Token",
    "X-Amz-Credential",
    "X-Goog-Signature",
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "x-amz-signature",
    "access_token",
)
APP = """
import os, urllib.request
def handler(event, context):
    with urllib.request.urlopen(os.environ["TARGET"] + event["path"]) as response: response.read()
    if event.get("sleep"):
        from opentelemetry import trace
        trace.get_tracer("own").start_span("open", attributes={"url.full": "https://a/?sig=s3cret&kept=1"})
        __import__("time").sleep(5)
"""


@pytest.mark.parametrize("env", [{}, {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "99"}], ids=["fast", "sdk"])
def test_credentials_in_urls_are_masked(tmp_path, target, env):
    path = "/a?kept=1&" + "&".join(f"{name}=s3cret%2F" for name in SECRETS) + "&last=2"
    ran = run(
        tmp_path,
        [{"path": path}, {"path": path, "sleep": True}],
        files={"app.py": APP},
        env={"TARGET": target.url, **env},
        timeout="2s",
    )
    assert {seen for seen, _ in target.seen} == {path}
    calls = ran.kind("CLIENT")
    assert len(calls) == 2, ran.text
    assert all("kept=1" in str(span["attributes"]) and "last=2" in str(span["attributes"]) for span in calls)
    assert ran.named("open")[0]["attributes"]["url.full"] == "https://a/?sig=REDACTED&kept=1"
    assert "s3cret" not in str(ran.spans)
