"""The function cannot see the layer: in its threads, its objects, its errors and the results of its calls."""

import base64
import json
import re

import pytest
from local_lambda import attributes_of, packages, run

# Handlers by what they do, each with the result that it has without the layer.
HANDLERS = {
    "joins all threads": """
    for _ in range(3): threading.Thread(target=time.sleep, args=(0.05,)).start()
    for thread in threading.enumerate():
        if thread is not threading.current_thread(): thread.join()
    return "done"
""",
    "waits until one thread is left": """
    threading.Thread(target=time.sleep, args=(0.05,)).start()
    while threading.active_count() > 1: time.sleep(0.01)
    return [thread.name for thread in threading.enumerate()]
""",
    "replaces the class of threads": """
    names, own = [], threading.Thread
    class Noted(own):
        def __init__(self, *arguments, **named):
            names.append(str(named.get("name")))
            super().__init__(*arguments, **named)
    threading.Thread = Noted
    try:
        with trace_span(): pass
        thread = threading.Thread(target=time.sleep, args=(0,), name="mine")
        thread.start(); thread.join()
    finally: threading.Thread = own
    return names
""",
    "names arguments like the layer": """
    with concurrent.futures.ThreadPoolExecutor() as pool:
        futures = [pool.submit(lambda **named: sorted(named), **{name: 1}) for name in ("function", "carried", "arguments", "named", "fn", "start", "run")]
        return [future.result() for future in futures]
""",
    "has strict threads": """
    class Strict(threading.Thread):
        def __setattr__(self, name, value):
            if name == "_otel_context": raise AttributeError(name)
            super().__setattr__(name, value)
        def __getattr__(self, name): raise RuntimeError(name)
        def run(self):
            super().run()
            done.append(1)
    done = []
    threads = [Strict(target=done.append, args=(0,)) for _ in range(2)]
    for thread in threads: thread.start(); thread.join()
    return done
""",
    "reads global registries": """
    import gc, signal, socket, sys, warnings
    handlers = [str(signal.getsignal(each)) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)]
    hooks = [sys.excepthook is sys.__excepthook__, threading.excepthook is threading.__excepthook__, len(gc.callbacks), len(sys.path_hooks)]
    return [handlers, hooks, len(warnings.filters), sys.getswitchinterval(), socket.getdefaulttimeout()]
""",
    "sees the errors of its threads": """
    import os, traceback
    def frames(error): return [os.path.basename(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    seen = []
    threading.excepthook = lambda arguments: seen.append(frames(arguments.exc_value))
    thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()
    threading.excepthook = threading.__excepthook__
    with concurrent.futures.ThreadPoolExecutor() as pool: seen.append(frames(pool.submit(lambda: 1 / 0).exception()))
    return seen
""",
    "looks at the methods of threads and pools": """
    import inspect, pickle
    pools = concurrent.futures.ThreadPoolExecutor
    methods = [threading.Thread.start, threading.Thread.run, threading.Timer.run, pools.submit]
    errors = []
    with pools() as pool:
        for named in ({}, {"fn": len}):
            try: pool.submit(**named)
            except TypeError as error: errors.append(str(error))
    same = [pickle.loads(pickle.dumps(method)) is method for method in methods]
    return [errors, same, [[method.__qualname__, method.__module__, str(inspect.signature(method))] for method in methods]]
""",
    "returns what cannot be serialized": """
    import gc, weakref
    gc.disable()
    class Result: pass
    if results: return [each() is None for each in results]
    result = Result()
    results.append(weakref.ref(result))
    return result
""",
    "raises an error with its own methods": """
    class Strict(Exception):
        def with_traceback(self, frames): raise TypeError("no")
    raise Strict("a")
""",
}
APP = """
import concurrent.futures, contextlib, threading, time
results = []
def trace_span():
    try:
        from opentelemetry import trace
        return trace.get_tracer("a").start_as_current_span("own")
    except ImportError: return contextlib.nullcontext()
def handler(event, context):BODY
"""


STARTS = {"fast": {}, "sdk": {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "64"}}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", HANDLERS)
def test_results_are_those_without_the_layer(tmp_path, kind, start):
    options = {"files": {"app.py": APP.replace("BODY", HANDLERS[kind])}, "timeout": "20s", "env": STARTS[start]}
    without = run(tmp_path, [{}, {}], wrapper=False, **options)
    ran = run(tmp_path, [{}, {}], **options)
    assert ran.results == without.results, ran.text
    assert len(ran.kind("SERVER")) == 2, ran.text


# Work after which Python warns, with `-W default`, of what is left.
WORK = """
import concurrent.futures, gc, multiprocessing, os, threading, time, urllib.request
def work(): os.close(os.dup(0))
def handler(event, context):
    urllib.request.urlopen(os.environ["TARGET"]).read()
    thread = threading.Thread(target=work); thread.start(); thread.join()
    with concurrent.futures.ThreadPoolExecutor() as pool: pool.submit(work).result()
    FORKS
    gc.collect()
    return "done"
"""
FORKS = """
    process = multiprocessing.get_context("fork").Process(target=work); process.start(); process.join()
    child = os.fork()
    if child == 0: gc.collect(); os._exit(0)
    os.waitpid(child, 0)"""


# The SDK does not end its threads before a fork.
@pytest.mark.parametrize(("start", "forks"), [("fast", FORKS), ("sdk", "")], ids=STARTS)
def test_python_warns_of_nothing(tmp_path, target, start, forks):
    env = {**STARTS[start], "TARGET": target.url, "PYTHONWARNINGS": "default"}
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        ran = run(folder, [{}, {}, {}], files={"app.py": WORK.replace("    FORKS", forks)}, env=env)
        assert ran.results == ["done"] * 3, ran.text
        assert len(ran.kind("SERVER")) == len(ran.kind("CLIENT")) == 3, ran.text
        # On a busy machine the layer's thread may end later than a fork waits for it, and Python then warns of it.
        if "Warning" not in ran.text:
            return
    pytest.fail(ran.text)


LOGS = """
import logging, os, urllib.request
logging.getLogger().setLevel("DEBUG")
def handler(event, context):
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger): logger.setLevel("DEBUG")
    logging.debug("mine")
    urllib.request.urlopen(os.environ["TARGET"]).read()
"""


@pytest.mark.parametrize("start", STARTS)
def test_a_function_that_logs_everything_has_no_lines_of_the_layers_packages(tmp_path, target, start):
    ran = run(tmp_path, [{}, {}], files={"app.py": LOGS}, env={**STARTS[start], "TARGET": target.url})
    assert [line.split("\t")[-1].strip() for line in ran.lines if "DEBUG" in line] == ["mine"] * 2, ran.text


# Looks at all objects, as eventlet's patch does.
INSPECTING = """
import eventlet, gc
def handler(event, context):
    failed = []
    for each in gc.get_objects():
        try: isinstance(each, dict)
        except ReferenceError: failed.append(1)
    return failed
"""


@pytest.mark.parametrize("start", STARTS)
def test_objects_of_the_layer_can_be_inspected(tmp_path, start):
    ran = run(tmp_path, [{}], files={"app.py": INSPECTING, "eventlet.py": ""}, env=STARTS[start])
    assert ran.results == [[]], ran.text


def test_an_error_without_a_text_is_recorded_and_stays_alone(tmp_path):
    app = "class Silent(Exception):\n    def __str__(self): raise TypeError('no')\ndef handler(event, context): raise Silent()"
    ran = run(tmp_path, [{}], files={"app.py": app})
    assert "record_exception" not in ran.text
    (span,) = ran.kind("SERVER")
    assert span["attributes"]["error.type"] == "Silent", ran.text
    assert attributes_of(span["events"][0])["exception.type"] == "app.Silent", span


# Uses of a request or a message that the function keeps, by library. Each returns what the function can see of it afterwards.
REQUESTS = {
    "urllib": """
    import urllib.request
    request = urllib.request.Request(URL, headers={"x-a": "1"}, data=io.BytesIO(b"ab"), method="POST")
    request.add_header("Content-length", "2")
    for _ in range(2):
        request.data.seek(0)
        urllib.request.urlopen(request)
    return sorted(request.headers)
""",
    "requests": """
    import requests
    request = requests.Request("GET", URL, headers={"x-a": "1"}).prepare()
    with requests.Session() as session: seen = [sorted(session.send(request).request.headers) for _ in range(2)]
    return [seen, sorted(request.headers)]
""",
    "httpx": """
    import asyncio, httpx
    request = httpx.Request("GET", URL, headers={"x-a": "1"})
    with httpx.Client() as client: seen = [sorted(client.send(request).request.headers) for _ in range(2)]
    async def send():
        async with httpx.AsyncClient() as client: await client.send(request)
    asyncio.run(send())
    return [seen, sorted(request.headers)]
""",
    "urllib3": """
    import urllib3
    headers = {"x-a": "1"}
    urllib3.PoolManager().request("GET", URL, headers=headers)
    return headers
""",
    "sns": """
    import boto3
    sns = boto3.client("sns", endpoint_url=URL)
    attributes = {"k": {"DataType": "String", "StringValue": "v"}}
    entries = [{"Id": "1", "Message": "a", "MessageAttributes": attributes}, {"Id": "2", "Message": "b"}]
    with contextlib.suppress(Exception): sns.publish(TopicArn="arn:aws:sns:eu-west-1:1:t", Message="b", MessageAttributes=attributes)
    with contextlib.suppress(Exception): sns.publish_batch(TopicArn="arn:aws:sns:eu-west-1:1:t", PublishBatchRequestEntries=entries)
    return [attributes, entries]
""",
    "sqs": """
    import boto3
    sqs = boto3.client("sqs", endpoint_url=URL)
    attributes = {"k": {"DataType": "String", "StringValue": "v"}}
    entries = [{"Id": "1", "MessageBody": "a", "MessageAttributes": attributes}, {"Id": "2", "MessageBody": "b"}]
    with contextlib.suppress(Exception): sqs.send_message(QueueUrl=URL, MessageBody="b", MessageAttributes=attributes)
    with contextlib.suppress(Exception): sqs.send_message_batch(QueueUrl=URL, Entries=entries)
    return [attributes, entries]
""",
    "a default timeout": """
    import socket, urllib.request
    seen = []
    class Noting(urllib.request.BaseHandler):
        def http_open(self, request): seen.append(request.timeout is socket._GLOBAL_DEFAULT_TIMEOUT)
    with contextlib.suppress(Exception): urllib.request.build_opener(Noting).open(URL)
    return seen
""",
}
CLIENTS = ("boto3", "httpx", "requests")


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("library", REQUESTS)
def test_requests_and_messages_stay_as_they_were(tmp_path, target, library, start):
    app = f"import contextlib, io, os\nURL = os.environ['TARGET']\ndef handler(event, context):{REQUESTS[library]}"
    options = {"files": {"app.py": app}, "env": {**start, "TARGET": target.url, "PYTHONPATH": packages(*CLIENTS)}}
    without = run(tmp_path, [{}], wrapper=False, **options)
    target.seen.clear()
    ran = run(tmp_path, [{}], **options)
    assert ran.results == without.results, ran.text
    if library not in ("sns", "sqs", "a default timeout"):
        assert target.seen
        assert all("traceparent" in headers for _, headers in target.seen)


OWN_CONTEXT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FORWARDING = """
import httpx, os, requests, urllib.request, urllib3
URL, HEADERS = os.environ["TARGET"], {"Traceparent": OWN}
def handler(event, context):
    urllib.request.urlopen(urllib.request.Request(URL + "/urllib", headers=HEADERS))
    requests.get(URL + "/requests", headers=HEADERS)
    httpx.get(URL + "/httpx", headers=HEADERS)
    urllib3.PoolManager().request("GET", URL + "/urllib3", headers=HEADERS)
"""


def test_a_trace_context_that_the_function_sets_is_the_only_one(tmp_path, target):
    app = FORWARDING.replace("OWN", repr(OWN_CONTEXT))
    ran = run(tmp_path, [{}], files={"app.py": app}, env={"TARGET": target.url, "PYTHONPATH": packages(*CLIENTS)})
    assert ran.results == [None], ran.text
    assert {path: headers["traceparent"] for path, headers in target.seen} == dict.fromkeys(
        ["/urllib", "/requests", "/httpx", "/urllib3"], OWN_CONTEXT
    )
    assert len(ran.kind("CLIENT")) == 4, ran.text


SENDING = """
import boto3, contextlib, os
def handler(event, context):
    sns, sqs = (boto3.client(name, endpoint_url=os.environ["TARGET"]) for name in ("sns", "sqs"))
    with contextlib.suppress(Exception):
        if event["to"] == "topic": sns.publish(TopicArn="arn:aws:sns:eu-west-1:1:t", Message="x" * event["size"], MessageAttributes=event["own"])
        if event["to"] == "queue": sqs.send_message(QueueUrl="http://q/1/q", MessageBody="x" * event["size"], MessageAttributes=event["own"])
        if event["to"] == "batch": sqs.send_message_batch(QueueUrl="http://q/1/q", Entries=[{"Id": str(n), "MessageBody": "x" * event["size"]} for n in range(3)])
"""
OWN_ATTRIBUTE = {"traceparent": {"DataType": "String", "StringValue": "own"}}
KIB = 1024
# The target, the size and the attributes of a message, and how many trace contexts the request has. A batch has three messages.
MESSAGES = [
    ("topic", 256 * KIB, {}, 0),
    ("topic", 256 * KIB - 300, {}, 1),
    ("topic", 5, OWN_ATTRIBUTE, 0),
    ("queue", 1024 * KIB, {}, 0),
    ("queue", 1024 * KIB - 300, {}, 1),
    ("queue", 5, OWN_ATTRIBUTE, 0),
    ("batch", 5, {}, 3),
    ("batch", 1024 * KIB // 3 - 30, {}, 1),
]


def test_a_message_gets_the_trace_context_unless_it_has_one_or_aws_would_refuse_it(tmp_path, target):
    events = [{"to": to, "size": size, "own": own} for to, size, own, _ in MESSAGES]
    ran = run(tmp_path, events, files={"app.py": SENDING}, env={"TARGET": target.url, "PYTHONPATH": packages(*CLIENTS)})
    assert [len(re.findall("00-[0-9a-f]{32}-[0-9a-f]{16}-0", body)) for body in target.bodies] == [
        count for *_, count in MESSAGES
    ], ran.text


INVOKING = """
import base64, boto3, json, os
def handler(event, context):
    client = boto3.client("lambda", endpoint_url=os.environ["TARGET"], region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    own = {} if event is None else {"ClientContext": base64.b64encode(json.dumps(event).encode()).decode()}
    client.invoke(FunctionName="f", Payload=b'{"a": 1}', **own)
"""
OWN_PARENT = {"custom": {"Traceparent": "own"}}
# The function's client context, and the one that is sent, with and without the trace context.
CLIENT_CONTEXTS = [
    (None, {"custom": {}}),
    ({"env": {"a": 1}, "custom": {"b": 2}}, {"env": {"a": 1}, "custom": {"b": 2}}),
    (OWN_PARENT, None),
    ([1], None),
    ({"a": "x" * 2600}, None),
]


def test_a_synchronous_call_of_a_function_carries_the_trace_context_beside_its_own(tmp_path, target):
    env = {"TARGET": target.url, "PYTHONPATH": packages(*CLIENTS)}
    ran = run(tmp_path, [own for own, _ in CLIENT_CONTEXTS], files={"app.py": INVOKING}, env=env)
    sent = [json.loads(base64.b64decode(headers["x-amz-client-context"])) for _, headers in target.seen]
    assert target.bodies == ['{"a": 1}'] * len(CLIENT_CONTEXTS), ran.text
    for (own, expected), found in zip(CLIENT_CONTEXTS, sent, strict=True):
        if expected is not None:
            traceparent = found["custom"].pop("traceparent")
            assert traceparent.split("-")[1] in {span["traceId"] for span in ran.kind("CLIENT")}
        assert found == (own if expected is None else expected)


# Payloads that another JSON text could stand for, and others that are no JSON object.
PAYLOADS = [
    '{"price": 12345678901234567890.10, "a": 1, "a": 2, "\\u00e9": "é"}',
    "[1]",
    "null",
    '"a"',
    '{"headers": null}',
    "no JSON",
]
INVOKING_LATER = """
import boto3, json, os
def handler(event, context):
    client = boto3.client("lambda", endpoint_url=os.environ["TARGET"], region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    return client.invoke(FunctionName="f", InvocationType="Event", Payload=event)["StatusCode"]
"""


def test_the_payload_of_an_asynchronous_call_stays_as_it_is(tmp_path, target):
    env = {"TARGET": target.url, "PYTHONPATH": packages(*CLIENTS)}
    ran = run(tmp_path, PAYLOADS, files={"app.py": INVOKING_LATER}, env=env)
    assert target.bodies == PAYLOADS, ran.text
    assert not any("x-amz-client-context" in headers for _, headers in target.seen)
    assert "Traceback" not in ran.text
    assert len(ran.kind("CLIENT")) == len(PAYLOADS), ran.text


# Errors that leave the handler, or its module, and the place where they are raised.
ERRORS = {
    "in the handler": "def handler(event, context): raise ValueError('a')",
    "of a call": "import os, urllib.request\ndef handler(event, context): urllib.request.urlopen('http://127.0.0.1:1/')",
    "of a library": "import requests\ndef handler(event, context): requests.get('http://127.0.0.1:1/')",
    "of AWS's SDK": "import boto3\ndef handler(event, context): boto3.client('sns', endpoint_url='http://127.0.0.1:1', region_name='x').list_topics(NextToken=1)",
    "in a pool": (
        "from concurrent.futures import ThreadPoolExecutor\ndef fail(): raise ValueError('a')\n"
        "def handler(event, context):\n    with ThreadPoolExecutor() as pool: pool.submit(fail).result()"
    ),
    "with a cause": (
        "import urllib.request\ndef handler(event, context):\n    try: urllib.request.urlopen('http://127.0.0.1:1/')\n"
        "    except OSError as error: raise ValueError('a') from error"
    ),
    "in the module": "import other\ndef handler(event, context): pass",
    "of a call in the module": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:1/')\ndef handler(event, context): pass",
}
# Prints each error that AWS's runtime client reports.
PRINTING = """
import json, sys, traceback
import awslambdaric.bootstrap as bootstrap
extract = bootstrap.extract_traceback
def printed(frames):
    error = sys.exc_info()[1]
    text = "".join(traceback.format_exception(error))
    for line in text.splitlines():
        if line.startswith("  File ") and "awslambdaric" not in line: print("FRAME " + line.strip())
    return extract(frames)
bootstrap.extract_traceback = printed
"""


def frames_of(ran):
    return [
        line.rstrip()
        for text in ran.lines
        for line in text.splitlines()
        if line.startswith("FRAME ") and "bootstrap.py" not in line
    ]


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("kind", ERRORS)
def test_errors_have_no_frames_of_the_layer(tmp_path, kind, start):
    app = "import printing\n" + ERRORS[kind]
    files = {"app.py": app, "printing.py": PRINTING, "other.py": "raise KeyError('b')"}
    options = {"files": files, "env": {**start, "PYTHONPATH": packages(*CLIENTS)}}
    without = run(tmp_path, [{}], wrapper=False, **options)
    ran = run(tmp_path, [{}], **options)
    assert ran.results == without.results, ran.text
    assert frames_of(ran) == frames_of(without) != [], ran.text
    for span in ran.spans:
        for event in span.get("events", []):
            stack = next(
                (each["value"]["stringValue"] for each in event["attributes"] if each["key"] == "exception.stacktrace"), ""
            )
            assert "lambda-otlp/python" not in stack, stack


FROZEN = """
import freezegun, os, urllib.request
from opentelemetry import trace
def handler(event, context):
    with freezegun.freeze_time("2020-01-01"):
        with trace.get_tracer("own").start_as_current_span("own"): return urllib.request.urlopen(os.environ["TARGET"]).status
"""


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("place", ["in the handler", "in the module"])
def test_spans_have_the_time_of_a_clock_that_the_function_replaces(tmp_path, target, place, start):
    app = (
        FROZEN
        if place == "in the handler"
        else FROZEN.replace("def handler", "freezegun.freeze_time('2020-01-01').start()\ndef handler", 1)
    )
    ran = run(tmp_path, [{}], files={"app.py": app}, env={**start, "TARGET": target.url, "PYTHONPATH": packages("freezegun")})
    assert ran.results == [200], ran.text
    times = [int(span[each]) for span in ran.spans for each in ("startTimeUnixNano", "endTimeUnixNano")]
    assert len(ran.named("own") + ran.kind("SERVER") + ran.kind("CLIENT")) == 3, ran.text
    assert min(times) > 1_700_000_000_000_000_000, ran.spans


def test_a_module_with_a_read_only_handler_runs_and_is_named_in_one_line(tmp_path):
    app = "import sys, types\nclass Module(types.ModuleType):\n    handler = property(lambda self: lambda event, context: 7)\n"
    ran = run(tmp_path, [{}], files={"app.py": app + "sys.modules[__name__].__class__ = Module\n"})
    assert ran.results == [7]
    (line,) = [line for line in ran.lines if line.startswith("lambda-otlp-handler: ")]
    assert line.startswith("lambda-otlp-handler: not instrumented: app.handler cannot be replaced: ")
