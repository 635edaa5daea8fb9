"""An event gives the spans of tests/fixtures/triggers, which the Rust library and the Node layer read too."""

import json

import pytest
from local_lambda import REPOSITORY, run

CASES = {path.stem: json.loads(path.read_text()) for path in sorted((REPOSITORY / "tests/fixtures/triggers").glob("*.json"))}
APP = """
import json
with open("results.json") as file:
    results = json.load(file)
def handler(event, context):
    return results.pop(0)
"""


@pytest.mark.parametrize("env", [{}, {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "99"}], ids=["fast", "sdk"])
def test_events_give_the_spans_of_the_fixtures(tmp_path, env):
    files = {"app.py": APP, "results.json": json.dumps([case["result"] for case in CASES.values()])}
    ran = run(tmp_path, [case["event"] for case in CASES.values()], files=files, env=env)
    roots = sorted(ran.kind("SERVER"), key=lambda span: int(span["startTimeUnixNano"]))
    consumers = {span["parentSpanId"]: span for span in ran.kind("CONSUMER")}
    found = {name: spans_of(case, root, consumers.get(root["spanId"])) for (name, case), root in zip(CASES.items(), roots, strict=True)}
    expected = {name: {"root": case["root"], "consumer": case["consumer"]} for name, case in CASES.items()}
    different = {name: (found[name], expected[name]) for name in CASES if found[name] != expected[name]}
    assert not different, json.dumps(different, indent=1)


# Attributes of the invocation's span that all languages have.
SHARED = ("faas.trigger", "http.response.status_code", "error.type", "aws.lambda.batch_item_failures")


def spans_of(case, root, consumer):
    parent = {"traceId": root["traceId"], "spanId": root["parentSpanId"]} if root.get("parentSpanId") else None
    status = "ERROR" if root.get("status", {}).get("code") == 2 else "UNSET"
    attributes = {name: value for name, value in root["attributes"].items() if name in SHARED}
    return {"root": {"kind": root["kind"], "parent": parent, "status": status, "attributes": attributes}, "consumer": consumer and consumer_of(consumer)}


def consumer_of(span):
    attributes = {name: value for name, value in span["attributes"].items() if name.startswith("messaging.")}
    links = [{name: link[name] for name in ("traceId", "spanId", "attributes")} for link in span["links"]]
    return {"name": span["name"], "kind": "CONSUMER", "attributes": attributes, "links": links}
