"""Calls of processes that the function forks are recorded, in the trace of the invocation that runs."""

import pytest
from local_lambda import run

# The code of an invocation that runs `call(path)` in another process.
PROCESSES = {
    "Process": "p = fork.Process(target=call, args=(path,)); p.start(); p.join(); code = p.exitcode",
    "Process, exit": "p = fork.Process(target=leave, args=(path,)); p.start(); p.join(); code = p.exitcode",
    "Pool": "with fork.Pool(1) as pool: code = pool.apply(call, (path,))",
    "kept Pool": "code = kept('pool', lambda: fork.Pool(1)).apply(call, (path,))",
    "ProcessPoolExecutor": "code = kept('executor', lambda: concurrent.futures.ProcessPoolExecutor(1, mp_context=fork)).submit(call, path).result()",
    "os.fork": "pid = os.fork()\n    if pid == 0: call(path); time.sleep(0.3); os._exit(0)\n    code = os.waitpid(pid, 0)[1]",
}
APP = """
import concurrent.futures, multiprocessing, os, time, urllib.request
fork = multiprocessing.get_context("fork")
made = {}
def kept(name, make):
    if name not in made: made[name] = make()
    return made[name]
def call(path):
    with urllib.request.urlopen(os.environ["TARGET"] + path) as response:
        response.read()
    return 0
def leave(path):
    call(path)
    raise SystemExit(0)
def handler(event, context):
    path = f"/{event['n']}"
    code = None
    CODE
    time.sleep(0.2)  # A pool's process has exported its spans.
    return [context.aws_request_id, code]
"""


@pytest.mark.parametrize("kind", PROCESSES)
def test_calls_of_forked_processes_are_recorded(tmp_path, target, kind):
    ran = run(tmp_path, [{"n": 1}, {"n": 2}], files={"app.py": APP.replace("CODE", PROCESSES[kind])}, env={"TARGET": target.url})
    assert [code for _, code in ran.results] == [0, 0], ran.text
    traces = {span["attributes"]["faas.invocation_id"]: span["traceId"] for span in ran.kind("SERVER")}
    (first, second) = [traces[request] for request, _ in ran.results]
    seen = target.traces()
    calls = {span["attributes"]["url.full"].rpartition("/")[2]: span for span in ran.kind("CLIENT")}
    assert sorted(calls) == ["1", "2"], ran.text
    assert seen == {f"/{n}": [span["traceId"]] for n, span in calls.items()}
    assert calls["1"]["traceId"] == first
    if "kept" in PROCESSES[kind]:
        # The process does not know the second invocation.
        assert calls["2"]["traceId"] not in (first, second) and calls["2"]["links"][0]["traceId"] == first
    else:
        assert calls["2"]["traceId"] == second


def test_processes_export_with_the_sdk_too(tmp_path, target):
    app = APP.replace("CODE", PROCESSES["Process"])
    ran = run(tmp_path, [{"n": 1}], files={"app.py": app}, env={"TARGET": target.url, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "99"})
    assert len(ran.kind("CLIENT")) == 1, ran.text
