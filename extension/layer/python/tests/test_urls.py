"""Credentials are in no span: those of URLs, of headers, and of errors."""

import importlib

import pytest
from isolation import isolated  # noqa: F401
from local_lambda import REPOSITORY, packages, run

ROWS = [row.split(" => ") for row in (REPOSITORY / "tests/fixtures/secrets.txt").read_text().splitlines() if " => " in row[1:]]


@pytest.mark.parametrize(("text", "masked"), ROWS[1:], ids=range(len(ROWS) - 1))
def test_a_text_is_masked(text, masked):
    assert importlib.import_module("lambda_otlp_secrets").mask(text) == masked


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


# Errors that carry a credential, as the cause of another one too.
FAILING = """
import requests, urllib.request, httpx, urllib3, sqlalchemy
from opentelemetry import trace
URL = "http://shop:s3cret@127.0.0.1:1/k?X-Amz-Signature=s3cret&key=s3cret"
def tried(call):
    try: call()
    except Exception: pass
def handler(event, context):
    tried(lambda: requests.get(URL, headers={"Authorization": "Bearer s3cret"}))
    tried(lambda: httpx.get(URL))
    tried(lambda: urllib3.PoolManager(retries=False).request("GET", URL))
    tried(lambda: urllib.request.urlopen("http://127.0.0.1:1/k?X-Amz-Signature=s3cret&key=s3cret"))
    with trace.get_tracer("own").start_as_current_span("own") as span:
        span.set_attribute("note", "password=s3cret")
        span.set_attribute("list", ["https://shop:s3cret@a/", "kept"])
        span.set_status(trace.StatusCode.ERROR, "at " + URL)
    try:
        try: raise ValueError("Authorization: Basic s3cret")
        except ValueError as error: raise KeyError(URL) from error
    except KeyError as error: raise RuntimeError({"x-api-key": "s3cret"}) from error
"""


@pytest.mark.parametrize("env", [{}, {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "99"}], ids=["fast", "sdk"])
def test_credentials_in_errors_are_masked(tmp_path, env):
    env = {**env, "PYTHONPATH": packages("requests", "httpx", "sqlalchemy<2.1")}
    ran = run(tmp_path, [{}], files={"app.py": FAILING}, env=env)
    assert len(ran.kind("CLIENT")) == 4, ran.text
    assert "REDACTED" in str(ran.kind("SERVER"))
    assert "s3cret" not in str(ran.spans)
