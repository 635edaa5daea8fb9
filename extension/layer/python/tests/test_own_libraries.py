"""The function's imports have the same results with the layer as without it."""

import zipfile

import pytest
from local_lambda import packages, run

OLD = ("requests==2.28.2", "urllib3==1.26.18", "protobuf==4.25.3", "wrapt==1.16.0", "typing-extensions==4.8.0", "packaging==21.3")

VERSIONS = """
import google.protobuf, packaging, requests, urllib3, wrapt, typing_extensions
def versions():
    urllib3.util.ssl_.DEFAULT_CIPHERS  # only in urllib3 1.x
    assert not hasattr(typing_extensions, "TypeIs")  # came with 4.10
    return [requests.__version__, urllib3.__version__, google.protobuf.__version__, wrapt.__version__, packaging.__version__]
"""
OWN = ["2.28.2", "1.26.18", "4.25.3", "1.16.0", "21.3"]
APPENDED = "import sys; sys.path.append({folder!r})\n"
ADDED = "import site; site.addsitedir({folder!r})\n"
# Each way in which functions add the folder of their libraries: the start of the module, and the line of the handler.
WAYS = {
    "appended in the module": (APPENDED + VERSIONS, ""),
    "appended in an invocation": ("", APPENDED),
    "by site.addsitedir": (ADDED + VERSIONS, ""),
    "by site.addsitedir in an invocation": ("", ADDED),
    "by a .pth file": ("import site; site.addsitedir('pth')\n" + VERSIONS, ""),
    "after a call of the standard library": ("import urllib.request, json, logging, asyncio\n", APPENDED),
    "by a finder": (
        "import sys, importlib.machinery as m\nclass Finder:\n    find_spec = lambda name, path=None, target=None: m.PathFinder.find_spec(name, path or [{folder!r}])\n"
        "sys.meta_path.append(Finder)\n" + VERSIONS,
        "",
    ),
}


@pytest.mark.parametrize(
    ("way", "start"), [*((way, "fast") for way in WAYS), ("appended in the module", "sdk"), ("appended in an invocation", "sdk")]
)
def test_a_function_keeps_its_own_libraries_however_it_adds_them(tmp_path, way, start):
    folder = str(packages(*OLD))
    module, line = (text.format(folder=folder) for text in WAYS[way])
    body = line.replace("\n", "\n    ") + "\n    from versions import versions" if line else ""
    files = {"app.py": f"{module}\ndef handler(event, context):\n    {body}\n    return versions()\n", "versions.py": VERSIONS}
    files["pth/own.pth"] = folder + "\n"
    env = {} if start == "fast" else {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "5"}
    ran = run(tmp_path, [{}, {}], files=files, env=env)
    assert ran.results == [OWN, OWN], ran.text
    assert len(ran.kind("SERVER")) == 2, ran.text


# Top-level modules of the layer's packages, and parts of them that a function may look for, except the SDK.
OF_LAYER = (
    "requests urllib3 certifi idna charset_normalizer google google.protobuf packaging wrapt typing_extensions "
    "opentelemetry.instrumentation opentelemetry.instrumentation.requests opentelemetry.semconv opentelemetry.distro "
    "opentelemetry.exporter opentelemetry.util.http opentelemetry.propagators.aws opentelemetry.proto"
).split()

FAILING = """
import importlib, importlib.metadata, importlib.util, json, sys
def found(name):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None
def spec(name):
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
def all():
    names = {names!r}
    return [name for name in names if spec(name) or found(name)] + [name for name in ("requests", "opentelemetry-sdk", "wrapt") if version(name)]
first = all()
import urllib.request
def handler(event, context):
    try:
        urllib.request.urlopen("http://127.0.0.1:1")
    except OSError:
        pass
    return [first, all(), [each for each in sys.path if "python-packages" in each]]
"""


@pytest.mark.parametrize("start", ["fast", "sdk"])
def test_an_import_that_fails_without_the_layer_fails_with_it(tmp_path, start):
    env = {} if start == "fast" else {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "5"}
    files = {"app.py": FAILING.format(names=OF_LAYER)}
    without = run(tmp_path, [{}], files=files, wrapper=False, env=env)
    ran = run(tmp_path, [{}, {}], files=files, env=env)
    assert without.results == [[[], [], []]]
    assert ran.results == [[[], [], []]] * 2, ran.text
    assert len(ran.kind("SERVER")) == len(ran.kind("CLIENT")) == 2, ran.text


def test_a_library_in_a_zip_file_is_imported_only_by_the_function(tmp_path):
    with zipfile.ZipFile(tmp_path / "lib.zip", "w") as lib:
        lib.writestr("requests/__init__.py", "")
        lib.writestr("prices.py", "PRICE = 7")
    text = (
        "import importlib.util, sys\nsys.path.insert(0, 'lib.zip')\nassert importlib.util.find_spec('requests')\nimport prices\n"
    )
    text += "def handler(event, context):\n    return [prices.PRICE, 'requests' in sys.modules]\n"
    ran = run(tmp_path, [{}], files={"app.py": text})
    assert ran.results == [[7, False]], ran.text


# A module of the function adds a folder of its package with an SDK, or with the API alone, and uses it.
TELEMETRY = """
import sys
sys.path.insert(0, {folder!r})
from opentelemetry import baggage, context, metrics, propagate, trace
def spans():
    from opentelemetry.sdk.trace import TracerProvider
    with TracerProvider().get_tracer("shop").start_as_current_span("price") as span:
        return trace.get_current_span() is span
def files():
    own = [baggage, context, metrics, propagate, trace]
    return len({{module.__file__.partition("/opentelemetry/")[0] for module in own}})
"""
OLD_SDK = ("opentelemetry-sdk==1.20.0", "setuptools<80")


@pytest.mark.parametrize("line", ["from telemetry import files, spans", ""], ids=["in a module", "in an invocation"])
@pytest.mark.parametrize("own", [OLD_SDK, ("opentelemetry-api==1.20.0", "setuptools<80")], ids=["SDK", "API"])
def test_a_function_may_add_opentelemetry_of_its_own(tmp_path, line, own):
    use = "[files(), spans()]" if own is OLD_SDK else "[files()]"
    app = f"{line}\ndef handler(event, context):\n    from telemetry import files, spans\n    return {use}\n"
    files = {"app.py": app, "telemetry.py": TELEMETRY.format(folder=str(tmp_path / "vendored"))}
    (tmp_path / "vendored").symlink_to(packages(*own))
    without = run(tmp_path, [{}, {}], files=files, wrapper=False)
    ran = run(tmp_path, [{}, {}], files=files)
    assert ran.results == without.results == [[1, True] if own is OLD_SDK else [1]] * 2, ran.text


def test_a_module_that_puts_an_object_in_its_place_is_instrumented(tmp_path):
    text = "import sys\nclass App:\n    @staticmethod\n    def handler(event, context):\n        return 7\nsys.modules[__name__] = App()\n"
    ran = run(tmp_path, [{}], files={"app.py": text})
    assert ran.results == [7]
    assert [span["scope"] for span in ran.kind("SERVER")] == ["lambda-otlp/handler"], ran.text


API = """
from opentelemetry import baggage, context, metrics, propagate, trace
import opentelemetry.trace.propagation.tracecontext, opentelemetry.propagators.textmap, opentelemetry.attributes
def handler(event, context):
    with trace.get_tracer("shop").start_as_current_span("price"):
        return sorted(propagate.get_global_textmap().fields)
"""


# Environment variables, and packages of the function.
USES = {
    "fast": ({}, ()),
    "propagators": ({"OTEL_PROPAGATORS": "xray,tracecontext"}, ()),
    "sdk": ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "5"}, ()),
    "own API": ({}, ("opentelemetry-api==1.38.0",)),
    "own API, propagators": ({"OTEL_PROPAGATORS": "xray,tracecontext"}, ("opentelemetry-api==1.38.0",)),
    "own API, sdk": ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "5"}, ("opentelemetry-api==1.45.1",)),
    "own packages": ({}, ("opentelemetry-distro[otlp]==0.59b0",)),
}


@pytest.mark.parametrize("use", USES)
def test_a_function_may_use_opentelemetrys_api(tmp_path, use):
    env, own = USES[use]
    path = {"PYTHONPATH": str(packages(*own))} if own else {}
    ran = run(tmp_path, [{}], files={"app.py": API}, env={**env, **path})
    fields = (
        ["baggage", "traceparent", "tracestate"]
        if "OTEL_PROPAGATORS" not in env
        else ["X-Amzn-Trace-Id", "traceparent", "tracestate"]
    )
    assert ran.results == [fields], ran.text
    (span,) = ran.named("price")
    (root,) = ran.kind("SERVER")
    assert span["parentSpanId"] == root["spanId"]


# httpx2 is another package, which the same instrumentation knows.
CLIENTS = """
import os, sys, httpx
def handler(event, context):
    used = ["httpx2" in sys.modules]
    for name in ("httpx", "httpx2"):
        used.append(__import__(name).get(os.environ["TARGET"]).status_code)
    return used
"""


@pytest.mark.parametrize("env", [{}, {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "64"}], ids=["fast", "sdk"])
def test_a_library_that_the_function_does_not_import_stays_unloaded(tmp_path, target, env):
    own = {**env, "TARGET": target.url, "PYTHONPATH": packages("httpx", "httpx2")}
    ran = run(tmp_path, [{}], files={"app.py": CLIENTS}, env=own)
    assert ran.results == [[False, 200, 200]], ran.text
    assert len(ran.kind("CLIENT")) == 2, ran.text
