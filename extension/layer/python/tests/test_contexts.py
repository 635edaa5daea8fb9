"""Work that outlives an invocation is in no other invocation's trace."""

import subprocess

import pytest
from local_lambda import LAYER, function_python, packages, run

# Each kind of work: what the first invocation starts, and how each invocation hands it a path.
KINDS = {
    "thread": (
        "jobs, results = queue.Queue(), queue.Queue()\n"
        "    def work():\n        while True: results.put(get(jobs.get()))\n"
        "    threading.Thread(target=work, daemon=True).start()",
        "jobs.put(path); results.get(timeout=9)",
    ),
    "thread pool": ("pool = multiprocessing.pool.ThreadPool(1)", "pool.map(get, [path])"),
    "executor": ("executor = concurrent.futures.ThreadPoolExecutor(1)", "executor.submit(get, path).result(9)"),
    "executor, map": ("executor = concurrent.futures.ThreadPoolExecutor(1)", "list(executor.map(get, [path]))"),
    "event loop in a thread": (
        "loop = asyncio.new_event_loop(); threading.Thread(target=loop.run_forever, daemon=True).start()",
        "asyncio.run_coroutine_threadsafe(coroutine(path), loop).result(9)",
    ),
    "task of a loop": (
        "loop, jobs = asyncio.new_event_loop(), asyncio.Queue()\n"
        "    async def work():\n        while True:\n            path, done = await jobs.get(); get(path); done.set()\n"
        "    task = loop.create_task(work())",
        "done = asyncio.Event(); loop.run_until_complete(asyncio.wait_for(give(kept['jobs'], path, done), 9))",
    ),
    "timer": (
        "jobs = queue.Queue()\n"
        "    def tick():\n"
        "        if not jobs.empty(): path, done = jobs.get(); get(path); done.set()\n"
        "        timer = threading.Timer(0.01, tick); timer.daemon = True; timer.start()\n"
        "    tick()",
        "done = threading.Event(); jobs.put((path, done)); done.wait(9)",
    ),
    "generator": ("def calls():\n        while True: get((yield))\n    calls = calls(); next(calls)", "calls.send(path)"),
}

APP = """
import asyncio, concurrent.futures, multiprocessing.pool, os, queue, threading, time, urllib.request
kept = {}
def get(path):
    with urllib.request.urlopen(os.environ["TARGET"] + path) as response:
        return response.status
async def coroutine(path):
    return get(path)
async def give(jobs, path, done):
    await jobs.put((path, done))
    await done.wait()
def start():
    START
    kept.update(locals())
def handler(event, context):
    if not kept: start()
    path = f"/{event['n']}"
    globals().update(kept)
    CALL
    return context.aws_request_id
"""


@pytest.mark.parametrize("kind", KINDS)
def test_work_of_later_invocations_is_in_their_traces(tmp_path, target, kind):
    start, call = KINDS[kind]
    events = [{"n": n} for n in (1, 2, 3)]
    ran = run(tmp_path, events, files={"app.py": APP.replace("START", start).replace("CALL", call)}, env={"TARGET": target.url})
    roots = {span["attributes"]["faas.invocation_id"]: span for span in ran.kind("SERVER")}
    assert sorted(roots) == sorted(ran.results), ran.text
    expected = {f"/{n}": [roots[request]["traceId"]] for n, request in enumerate(ran.results, 1)}
    assert target.traces() == expected
    assert {span["traceId"] for span in ran.kind("CLIENT")} == {root["traceId"] for root in roots.values()}


OUTSIDE = """
import contextvars, json
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from lambda_otlp_load import layer_module
contexts = layer_module("lambda_otlp_contexts")
provider, exporter = TracerProvider(), InMemorySpanExporter()
provider.add_span_processor(SimpleSpanProcessor(exporter))
contexts.follow(provider)
tracer = provider.get_tracer("shop")
def invoke(start=tracer.start_as_current_span):
    with start("invocation") as span, contexts.Invocation():
        return span.get_span_context(), contextvars.copy_context()
def late():
    with tracer.start_as_current_span("late"):
        tracer.start_span("child").end()
    return trace.get_current_span().get_span_context().trace_id
first, kept = invoke()
assert kept.run(late) == 0
child, own = exporter.get_finished_spans()[-2:]
assert own.parent is None and own.context.trace_id != first.trace_id
assert [link.context.span_id for link in own.links] == [first.span_id]
assert child.parent.span_id == own.context.span_id and not child.links
# Two invocations run, so that the work belongs to neither.
with contexts.Invocation(), contexts.Invocation():
    kept.run(late)
assert exporter.get_finished_spans()[-1].parent is None
# The caller has decided against spans.
count = len(exporter.get_finished_spans())
_, kept = invoke(TracerProvider(ParentBased(ALWAYS_OFF)).get_tracer("off").start_as_current_span)
kept.run(late)
assert len(exporter.get_finished_spans()) == count
"""


def test_work_beside_no_invocation_starts_a_trace_with_a_link():
    path = f"{packages('opentelemetry-sdk==1.45.1')}:{LAYER}"
    subprocess.run([function_python() / "python3", "-c", OUTSIDE], env={"PYTHONPATH": path}, check=True)
