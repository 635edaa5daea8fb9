"""Calls in greenlets are in the trace of the invocation that spawns them."""

import pytest
from local_lambda import packages, run

SPAWNS = {
    "spawn": "gevent.joinall([gevent.spawn(get, path)])",
    "spawn_later": "gevent.spawn_later(0.01, get, path).join()",
    "pool": "kept('pool', lambda: gevent.pool.Pool(2)).map(get, [path])",
    "worker": "kept('worker', start).put(path); done.get()",
    "thread": "t = threading.Thread(target=get, args=(path,)); t.start(); t.join()",
}
APP = """
import gevent.monkey
gevent.monkey.patch_all()
import gevent, gevent.pool, gevent.queue, os, threading, urllib.request
made, done = {}, gevent.queue.Queue()
def kept(name, make):
    if name not in made: made[name] = make()
    return made[name]
def start():
    jobs = gevent.queue.Queue()
    def work():
        while True: done.put(get(jobs.get()))
    gevent.spawn(work)
    return jobs
def get(path):
    with urllib.request.urlopen(os.environ["TARGET"] + path) as response: return response.status
def handler(event, context):
    path = f"/{event['n']}"
    SPAWN
    return context.aws_request_id
"""


@pytest.mark.parametrize("kind", SPAWNS)
def test_calls_of_greenlets_are_in_their_traces(tmp_path, target, kind):
    env = {"TARGET": target.url, "PYTHONPATH": str(packages("gevent"))}
    ran = run(tmp_path, [{"n": 1}, {"n": 2}], files={"app.py": APP.replace("SPAWN", SPAWNS[kind])}, env=env)
    roots = {span["attributes"]["faas.invocation_id"]: span["traceId"] for span in ran.kind("SERVER")}
    assert target.traces() == {f"/{n}": [roots[request]] for n, request in enumerate(ran.results, 1)}, ran.text
