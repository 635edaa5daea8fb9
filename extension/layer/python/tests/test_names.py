"""Calls have the names of OpenTelemetry's stable conventions, unless the function asks for others."""

import pytest
from local_lambda import packages, run

APP = """
import boto3, httpx, os, requests, urllib.request, urllib3
URL = os.environ["TARGET"]
def handler(event, context):
    urllib.request.urlopen(URL)
    requests.get(URL)
    httpx.get(URL)
    urllib3.PoolManager().request("GET", URL)
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    boto3.client("s3", endpoint_url=URL, region_name="eu-west-1", **keys).get_object(Bucket="b", Key="k")
"""
OLD = {"http.method", "http.url", "http.status_code"}
STABLE = {"http.request.method", "url.full", "http.response.status_code"}
# The variable, and the names in the spans of HTTP clients and of AWS's SDK.
NAMES = {
    None: (STABLE, {"http.response.status_code"}),
    "http/dup": (OLD | STABLE, {"http.response.status_code", "http.status_code"}),
    "database": (OLD, {"http.status_code"}),
}


@pytest.mark.parametrize("start", [{}, {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "99"}], ids=["fast", "sdk"])
@pytest.mark.parametrize("asked", NAMES)
def test_calls_have_the_names_of_the_conventions(tmp_path, target, asked, start):
    of_http, of_aws = NAMES[asked]
    variable = {} if asked is None else {"OTEL_SEMCONV_STABILITY_OPT_IN": asked}
    env = {**start, **variable, "TARGET": target.url, "PYTHONPATH": packages("boto3", "httpx", "requests")}
    ran = run(tmp_path, [{}], files={"app.py": APP}, env=env, timeout="60s")
    found = [((OLD | STABLE) & span["attributes"].keys(), "rpc.system" in span["attributes"]) for span in ran.kind("CLIENT")]
    assert found == [(of_http, False)] * 4 + [(of_aws, True)], ran.text
    if asked is None:
        assert all(span["attributes"]["server.address"] == "127.0.0.1" for span in ran.kind("CLIENT"))
