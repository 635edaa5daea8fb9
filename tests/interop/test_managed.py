"""Functions on a managed instance, with AWS's runtime clients and eight invocations at a time: below the layer's wrapper without
OpenTelemetry code, and in Rust with our library. Each invocation has one SERVER span, its log record, and is counted once.
"""

import pytest
from backend import Backend, sums
from dev import EXTENSION, dev, log_records, metrics, spans
from local_lambda import PROGRAMS, attributes_of, run

INVOCATIONS = 500
SERVER = 2
ERROR = 2
PYTHON = """
import logging
import time

def handler(event, context):
    logging.getLogger().warning("logged %s", context.aws_request_id)
    time.sleep(3 if event["ends"] == "late" else 0.005)
    return context.aws_request_id
"""
NODE = """
export const handler = async (event, context) => {
  console.log("logged " + context.awsRequestId);
  await new Promise((done) => setTimeout(done, event.ends === "late" ? 3000 : 5));
  return context.awsRequestId;
};
"""
ROWS = {
    "python": (["--wrapper", "--runtime", "python", "--handler", "app.handler"], {"app.py": PYTHON}, {}),
    "node": (
        ["--wrapper", "--runtime", "node", "--handler", "index.handler"],
        {"index.mjs": NODE},
        {"AWS_LAMBDA_NODEJS_WORKER_COUNT": "2"},
    ),
    "rust": (["--", PROGRAMS / "endings-function"], {}, {}),
}


@pytest.mark.parametrize("is_direct", (False, True))
@pytest.mark.parametrize("runtime", ROWS)
def test_concurrent_invocations(runtime, is_direct, tmp_path):
    words, files, env = ROWS[runtime]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    backend = Backend() if is_direct else None
    if backend:
        env = {**env, "LAMBDA_OTLP_OUTPUT": "otlp", "LAMBDA_OTLP_ENDPOINT": backend.url}
    # The last one gives the extension the time to send the others. At SHUTDOWN it writes lines of what it can't send at once.
    events = [{"ends": "ok"}] * (INVOCATIONS - 1) + [{"ends": "late"}]
    options = ["--name", "shop", "--timeout", "60s", "--concurrency", "8", *EXTENSION]
    printed, _ = dev(tmp_path, events, *options, *words, env=env)
    traced, records, counted = backend.decoded() if backend else (spans(printed), log_records(printed), metrics(printed))
    servers = [span for span in traced if span["kind"] == SERVER]
    requests = {attributes_of(span)["faas.invocation_id"] for span in servers}
    assert len(servers) == INVOCATIONS and len(requests) == INVOCATIONS
    assert len({span["traceId"] for span in servers}) == INVOCATIONS
    texts = [record["body"].get("stringValue", "") for record in records]
    logged = sorted(text.split()[-1] for text in texts if text.startswith(("logged ", "ending ")))
    assert logged == sorted(requests)
    counts = [sum(sums(counted, name).values()) for name in ("faas.invocations", "aws.lambda.invocations", "faas.errors")]
    assert counts == [INVOCATIONS, INVOCATIONS, 0]


# A worker goes on after Lambda has reported the timeout of its invocation, and its handler succeeds.
LATE_PYTHON = """
import time

def handler(event, context):
    time.sleep(event["seconds"])
    return context.aws_request_id
"""
LATE_NODE = """
export const handler = async (event, context) => {
  await new Promise((done) => setTimeout(done, 1000 * event.seconds));
  return context.awsRequestId;
};
"""
LATE_ROWS = {
    "python": ("app.handler", {"app.py": LATE_PYTHON}, {}),
    "node": ("index.handler", {"index.mjs": LATE_NODE}, {"AWS_LAMBDA_NODEJS_WORKER_COUNT": "2"}),
}


@pytest.mark.parametrize("runtime", LATE_ROWS)
def test_a_result_after_the_timeout_leaves_the_invocation_failed(runtime, tmp_path):
    handler, files, env = LATE_ROWS[runtime]
    events = [{"seconds": 3.5}] + [{"seconds": 1}] * 5
    ran = run(
        tmp_path, events, handler=handler, runtime=runtime, files=files, env=env, timeout="2s", options=["--concurrency", "2"]
    )
    servers = ran.kind("SERVER")
    late = [span for span in servers if span.get("status", {}).get("code") == ERROR]
    of_late = {span["attributes"]["faas.invocation_id"] for span in late}
    assert len(of_late) == 1, ran.text
    # The partial span, and the complete one of the same invocation.
    assert [span for span in servers if span["attributes"]["faas.invocation_id"] in of_late] == late
    assert len({span["attributes"]["faas.invocation_id"] for span in servers}) == len(events)
