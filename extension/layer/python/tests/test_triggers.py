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
    executions = {span["results_before"]: span for span in ran.spans if span["name"] == "shop execution"}
    found = {
        name: spans_of(server, consumers.get(server["spanId"]), executions.get(server["results_before"]))
        for name, server in zip(CASES, servers, strict=True)
    }
    expected = {name: expected_of(case) for name, case in CASES.items()}
    different = {name: (found[name], expected[name]) for name in CASES if found[name] != expected[name]}
    assert not different, json.dumps(different, indent=1)


INPUTS = {name: case["event"] for name, case in CASES.items() if "durable" not in name}


def test_an_event_that_starts_an_execution_gives_the_same_spans_as_alone(tmp_path):
    app = "def handler(event, context): return None"
    alone, durable = (
        run(tmp_path / folder, list(events), files={"app.py": app})
        for folder, events in (("alone", INPUTS.values()), ("durable", map(envelope, INPUTS.values())))
    )
    servers = [sorted(ran.kind("SERVER"), key=lambda span: span["results_before"]) for ran in (alone, durable)]
    consumers = [{span["results_before"]: span for span in ran.kind("CONSUMER")} for ran in (alone, durable)]
    for number, name in enumerate(INPUTS):
        one, other = (spans_of(of_run[number], of_messages.get(number), None) for of_run, of_messages in zip(servers, consumers))
        assert without_execution(other["server"], one["server"]) == one["server"], name
        assert other["consumer"] == one["consumer"], name


def envelope(event):
    first = {"StartTimestamp": 1790000000123, "ExecutionDetails": {"InputPayload": json.dumps(event)}}
    return {
        "DurableExecutionArn": f"{ARN}:1/durable-execution/a/b",
        "CheckpointToken": "t",
        "InitialExecutionState": {"Operations": [first]},
    }


def without_execution(server, alone):
    """Returns the span without what its execution adds."""
    attributes = {name: value for name, value in server["attributes"].items() if "durable_execution" not in name}
    assert len(server["attributes"]) - len(attributes) == 2, server
    if alone["parent"] is None:
        assert server["parent"]["traceId"] == "6ab13b808d43016f1a6ad23646d69a6d"
        return {**server, "attributes": attributes, "parent": None}
    (link,) = server["links"]
    assert link["traceId"] == alone["parent"]["traceId"]
    return {**server, "attributes": attributes, "links": []}


def expected_of(case):
    spans = {"execution": None, **case, **case.get("differs", {}).get("python", {})}
    spans["server"] = {**spans["server"], "attributes": {**OF_FUNCTION, **spans["server"]["attributes"]}}
    return {name: spans[name] for name in ("server", "consumer", "execution")}


def spans_of(server, consumer, execution):
    attributes = {name: value for name, value in server["attributes"].items() if name not in OF_INVOCATION}
    described = {**described_of(server), "attributes": attributes, "parent": parent_of(server)}
    if execution is not None:
        execution = {
            **described_of(execution),
            "parent": parent_of(execution),
            "ids": {name: execution[name] for name in ("traceId", "spanId")},
            "start_ms": int(execution["startTimeUnixNano"]) // 1_000_000,
        }
    return {"server": described, "consumer": consumer and described_of(consumer), "execution": execution}


def parent_of(span):
    return {"traceId": span["traceId"], "spanId": span["parentSpanId"]} if span.get("parentSpanId") else None


def described_of(span):
    status = span.get("status", {})
    return {
        "name": "<function>" if span["name"] == "shop" else span["name"],
        "kind": span["kind"],
        "status": {"code": "ERROR" if status.get("code") == 2 else "UNSET", "message": status.get("message", "")},
        "attributes": span["attributes"],
        "links": [{name: link[name] for name in ("traceId", "spanId", "attributes")} for link in span["links"]],
    }
