"""Functions without OpenTelemetry code on a managed instance, below the layer's wrapper, with AWS's runtime clients: eight
invocations at a time. Each has one SERVER span, and its log record is written.
"""

import pytest
from local_lambda import run

INVOCATIONS = 500
PYTHON = """
import logging
import time

def handler(event, context):
    logging.getLogger().warning("logged %s", context.aws_request_id)
    time.sleep(0.005)
    return context.aws_request_id
"""
NODE = """
export const handler = async (event, context) => {
  console.log("logged " + context.awsRequestId);
  await new Promise((done) => setTimeout(done, 5));
  return context.awsRequestId;
};
"""
ROWS = {
    "python": ("app.handler", {"app.py": PYTHON}, {}),
    "node": ("index.handler", {"index.mjs": NODE}, {"AWS_LAMBDA_NODEJS_WORKER_COUNT": "2"}),
}


@pytest.mark.parametrize("runtime", ROWS)
def test_concurrent_invocations(runtime, tmp_path):
    handler, files, env = ROWS[runtime]
    events = [{"number": number} for number in range(INVOCATIONS)]
    ran = run(
        tmp_path, events, handler=handler, runtime=runtime, files=files, env=env, timeout="60s", options=["--concurrency", "8"]
    )
    servers = ran.kind("SERVER")
    requests = {span["attributes"]["faas.invocation_id"] for span in servers}
    assert len(servers) == INVOCATIONS and requests == set(ran.results), ran.text
    assert len({span["traceId"] for span in servers}) == INVOCATIONS
    assert sorted(line for line in ran.lines if line.startswith("logged ")) == sorted(f"logged {request}" for request in requests)
