"""An instrumentation that fails changes neither the calls of the function nor their results."""

import asyncio
import contextlib
import gc
import importlib
import types
import weakref

import pytest
from isolation import isolated  # noqa: F401
from local_lambda import packages, run

# What an instrumentation does around the call, as lines of a wrapper. A row has the outcome of a call that returns.
WRAPPERS = {
    "passes": "return AWAIT call(*arguments, **named)",
    "fails before": "raise KeyError('ours')",
    "fails after": "AWAIT call(*arguments, **named); raise KeyError('ours')",
    "fails after it has changed the arguments": "named['added'] = 1; raise KeyError('ours')",
    "fails in finally": "try: return AWAIT call(*arguments, **named)\n    finally: raise KeyError('ours')",
    "hides an error": "try: return AWAIT call(*arguments, **named)\n    except ValueError: return None",
    "raises another error": "try: return AWAIT call(*arguments, **named)\n    except ValueError: raise KeyError('ours')",
    "calls twice": "AWAIT call(*arguments, **named); return AWAIT call(*arguments, **named)",
    "never calls": "return None",
}


def wrapper_of(kind, is_async):
    text = WRAPPERS[kind].replace("AWAIT ", "await " if is_async else "")
    names = {}
    exec(f"{'async ' if is_async else ''}def wrapper(call, instance, arguments, named):\n    {text}\n", names)
    return names["wrapper"]


class Original:
    """The function's own method."""

    def __init__(self, error=None):
        self.error = error
        self.seen = []

    def call(self, *arguments, **named):
        self.seen.append((arguments, named))
        if self.error is not None:
            raise self.error
        return "result"

    async def call_later(self, *arguments, **named):
        await asyncio.sleep(0)
        return self.call(*arguments, **named)


@pytest.fixture
def boundary(capsys):
    module = importlib.import_module("lambda_otlp_boundary")
    module.failed.clear()
    yield module
    assert len(capsys.readouterr().err.splitlines()) <= 1


@pytest.mark.parametrize("error", [None, ValueError("own")], ids=["returns", "raises"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("kind", WRAPPERS)
@pytest.mark.parametrize("is_nested", [False, True], ids=["one boundary", "within another"])
def test_a_call_runs_once_and_has_its_own_outcome(boundary, kind, is_async, error, is_nested):
    original = Original(error)
    guarded = inner = boundary.guard(wrapper_of(kind, is_async), "test")
    if is_nested:
        guarded = boundary.guard(lambda call, instance, arguments, named: inner(call, instance, arguments, named), "outer")
    call = original.call_later if is_async else original.call

    def outcome():
        made = guarded(call, None, (1,), {"a": 2})
        return asyncio.run(later(made)) if is_async else made

    async def later(made):
        return await made

    for _ in range(2):
        original.seen.clear()
        if error is None:
            assert outcome() == "result"
        else:
            with pytest.raises(ValueError, match="own") as raised:
                outcome()
            assert raised.value is error
            assert error.__context__ is None
        assert original.seen == [((1,), {"a": 2})]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("kind", ["passes", "fails before", "fails after", "raises another error"])
def test_a_call_leaves_no_cycle(boundary, kind, is_async):
    original = Original(ValueError("own"))
    guarded = boundary.guard(wrapper_of(kind, is_async), "test")

    async def later(made):
        return await made

    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(ValueError):
            made = guarded(original.call_later if is_async else original.call, None, (1,), {})
            asyncio.run(later(made))
        made = None
        original.error.__traceback__ = None
        known = weakref.ref(original)
        del original
        assert known() is None
    finally:
        gc.enable()


def test_an_interrupt_passes(boundary):
    def wrapper(call, *_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        boundary.guard(wrapper, "test")(Original().call, None, (), {})


@pytest.mark.parametrize("failing", [None, 0, 1, 2], ids=str)
@pytest.mark.parametrize("error", [None, ValueError("own")], ids=["ends", "raises"])
def test_an_iterator_has_its_own_items(boundary, failing, error):
    def items():
        yield from (0, 1, 2)
        if error is not None:
            raise error

    def read(source):
        for place, item in enumerate(source):
            if place == failing:
                raise KeyError("ours")
            yield item

    seen = []
    try:
        for item in boundary.guard_iterator(items(), read, "test"):
            seen.append(item)
        assert error is None
    except ValueError as raised:
        assert raised is error
    assert seen == [0, 1, 2]


def test_a_replaced_method_calls_itself(boundary):
    """`requests` sends a redirected request by the method that is instrumented."""

    class Session:
        def send(self, number):
            return [number, *(self.send(number - 1) if number else ())]

    def instrument():
        original = Session.send

        def send(self, number):
            if number == 1:
                raise KeyError("ours")
            return original(self, number)

        Session.send = send

    around = lambda enter, *values: enter(*values)  # noqa: E731
    boundary.guard_replacement(Session, "send", instrument, name="test", around=around)
    assert Session().send(3) == [3, 2, 1, 0]


def test_a_listener_has_the_result_of_one_that_fails(boundary):
    def listener(*_):
        raise KeyError("ours")

    assert boundary.guard_listener(listener, "test", lambda *arguments: arguments[1:])(1, 2, 3) == (2, 3)
    assert isinstance(listener, types.FunctionType)


# Calls by library. The instrumentations fail at the start of a span or at its end.
APP = """
import asyncio, boto3, contextlib, httpx, aiohttp, json, os, redis, requests, socket, sqlalchemy, threading, urllib.request, urllib3
URL = os.environ["TARGET"]

def answer(connection):
    with connection:
        while command := connection.recv(65536):
            connection.sendall(b"+OK\\r\\n" * command.count(b"*"))

server = socket.create_server(("127.0.0.1", 0))
def accept():
    while True: threading.Thread(target=answer, args=server.accept()[:1], daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
PORT = server.getsockname()[1]
engine = sqlalchemy.create_engine("sqlite://")
sns = boto3.client("sns", endpoint_url=URL, region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")

def select():
    with engine.connect() as connection: return connection.execute(sqlalchemy.text("select 7")).scalar()
async def by_aiohttp():
    async with aiohttp.ClientSession() as session, session.get(URL) as response: return response.status
async def by_httpx():
    async with httpx.AsyncClient() as client: return (await client.get(URL)).status_code
async def by_redis():
    client = redis.asyncio.Redis(port=PORT, protocol=2, lib_name=None, lib_version=None)
    try: return [await client.set("a", 1), await client.pipeline(transaction=False).set("a", 1).execute()]
    finally: await client.aclose()
def sync_redis(): return redis.Redis(port=PORT, protocol=2, lib_name=None, lib_version=None)
CALLS = {
    "aiohttp": lambda: asyncio.run(by_aiohttp()),
    "botocore": lambda: sns.publish(TopicArn="arn:aws:sns:eu-west-1:1:t", Message="b")["ResponseMetadata"]["HTTPStatusCode"],
    "httpx": lambda: httpx.get(URL).status_code,
    "httpx, async": lambda: asyncio.run(by_httpx()),
    "redis": lambda: [sync_redis().set("a", 1), sync_redis().pipeline(transaction=False).set("a", 1).execute()],
    "redis, async": lambda: asyncio.run(by_redis()),
    "redis, bytes": lambda: [str(sync_redis().execute_command(b"SET", "a", 1)), sync_redis().pipeline(transaction=False).execute_command(b"SET", "a", 1).execute()],
    "requests": lambda: requests.get(URL).status_code,
    "requests, refused": lambda: requests.get("http://127.0.0.1:1"),
    "sqlalchemy": select,
    "urllib": lambda: urllib.request.urlopen(URL).status,
    "urllib, refused": lambda: urllib.request.urlopen("http://127.0.0.1:1"),
    "urllib3": lambda: urllib3.PoolManager().request("GET", URL).status,
}

def fail(*_, **__): raise RuntimeError("a fault of the layer")

@contextlib.contextmanager
def faults(event):
    with contextlib.suppress(ImportError): from opentelemetry import trace
    if "trace" not in locals() or event is None:
        yield
        return
    span = type(trace.get_current_span())
    tracer = type(trace.get_tracer_provider().get_tracer("a"))
    holder, name = {"start": (tracer, "start_span"), "attribute": (span, "set_attribute"), "end": (span, "end")}[event]
    original = getattr(holder, name)
    setattr(holder, name, fail)
    try: yield
    finally: setattr(holder, name, original)

def outcome(call):
    try: return call()
    except Exception as error: return type(error).__name__

def handler(event, context):
    with faults(event): return {name: outcome(call) for name, call in CALLS.items()}
"""
CLIENTS = ("aiohttp", "boto3", "httpx", "redis", "requests", "sqlalchemy<2.1")
FAULTS = [None, "start", "attribute", "end", None]


@pytest.mark.parametrize("env", [{}, {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "64"}], ids=["fast", "sdk"])
def test_calls_have_their_results_if_their_instrumentations_fail(tmp_path, target, env):
    options = {"files": {"app.py": APP}, "env": {**env, "TARGET": target.url, "PYTHONPATH": packages(*CLIENTS)}}
    without = run(tmp_path, FAULTS[:1], wrapper=False, **options)
    ran = run(tmp_path, FAULTS, **options)
    assert ran.results == without.results * len(FAULTS), ran.text
    reported = [line for line in ran.lines if "failed in a call" in line]
    names = [line.split("instrumentation ")[1].split(" ")[0] for line in reported]
    assert sorted(set(names)) == sorted(names), ran.text
    assert "a fault of the layer" in ran.text
    assert "Traceback" not in ran.text, ran.text
    assert len(ran.spans) > 2 * len(CLIENTS), ran.text
