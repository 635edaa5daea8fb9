"""An event gives the spans of tests/fixtures/triggers, which the Rust library and the Node layer read too.

The variable `TRIGGER_FIXTURES` names another folder.
"""

import json
import os
import pathlib
import re

import pytest
from local_lambda import REPOSITORY, run

FOLDER = pathlib.Path(os.environ.get("TRIGGER_FIXTURES", REPOSITORY / "tests/fixtures/triggers"))
CASES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
APP = """
import json
with open("results.json") as file:
    results = json.load(file)
def handler(event, context):
    return results.pop(0)
"""
ARN = "arn:aws:lambda:us-east-1:123456789012:function:shop"
OF_FUNCTION = {"aws.lambda.invoked_arn": ARN, "cloud.resource_id": ARN, "cloud.account.id": "123456789012"}
# Attributes with values that differ between invocations.
OF_INVOCATION = ("faas.invocation_id", "faas.coldstart", "aws.xray.parent_id")


@pytest.mark.parametrize("env", [{}, {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "99"}], ids=["fast", "sdk"])
def test_events_give_the_spans_of_the_fixtures(tmp_path, env):
    files = {"app.py": APP, "results.json": json.dumps([case.get("result") for case in CASES.values()])}
    ran = run(tmp_path, [case["event"] for case in CASES.values()], files=files, env=env)
    servers = sorted(ran.kind("SERVER"), key=lambda span: int(span["startTimeUnixNano"]))
    assert [span["attributes"]["faas.coldstart"] for span in servers] == [number == 0 for number in range(len(CASES))], ran.text
    assert len({span["attributes"]["faas.invocation_id"] for span in servers}) == len(CASES)
    assert all(re.fullmatch("[0-9a-f]{16}", span["attributes"]["aws.xray.parent_id"]) for span in servers)
    consumers = {span["parentSpanId"]: span for span in ran.kind("CONSUMER")}
    found = {name: spans_of(server, consumers.get(server["spanId"])) for name, server in zip(CASES, servers, strict=True)}
    expected = {name: expected_of(case) for name, case in CASES.items()}
    different = {name: (found[name], expected[name]) for name in CASES if found[name] != expected[name]}
    assert not different, json.dumps(different, indent=1)


def expected_of(case):
    spans = {"server": case["server"], "consumer": case["consumer"], **case.get("differs", {}).get("python", {})}
    spans["server"] = {**spans["server"], "attributes": {**OF_FUNCTION, **spans["server"]["attributes"]}}
    return {name: spans[name] for name in ("server", "consumer")}


def spans_of(server, consumer):
    attributes = {name: value for name, value in server["attributes"].items() if name not in OF_INVOCATION}
    parent = {"traceId": server["traceId"], "spanId": server["parentSpanId"]} if server.get("parentSpanId") else None
    described = {**described_of(server), "attributes": attributes, "parent": parent}
    return {"server": described, "consumer": consumer and described_of(consumer)}


def described_of(span):
    status = span.get("status", {})
    return {
        "name": "<function>" if span["name"] == "shop" else span["name"],
        "kind": span["kind"],
        "status": {"code": "ERROR" if status.get("code") == 2 else "UNSET", "message": status.get("message", "")},
        "attributes": span["attributes"],
        "links": [{name: link[name] for name in ("traceId", "spanId", "attributes")} for link in span["links"]],
    }
