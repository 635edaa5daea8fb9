"""The fast start replaces OpenTelemetry's SDK if the function's variables and packages allow it."""

import importlib
import importlib.util
import sys
from types import SimpleNamespace

import pytest
from isolation import isolated  # noqa: F401
from local_lambda import run


@pytest.fixture(scope="module")
def fast(isolated):
    return importlib.import_module("lambda_otlp_fast")


def test_libraries_are_instrumented_after_their_import(fast, monkeypatch, tmp_path):
    (tmp_path / "searched.py").touch()
    (tmp_path / "broken.py").write_text("raise ValueError")
    monkeypatch.syspath_prepend(tmp_path)
    imports = fast.Imports(lambda action: action())
    imported = []
    monkeypatch.setattr(sys, "meta_path", [imports, *sys.meta_path])
    # Whether the function finds the library before it imports it, and the failure of the import.
    for name, is_found, failure in (
        ("searched", True, None),
        ("missing", False, ModuleNotFoundError),
        ("broken", True, ValueError),
    ):
        imports.when_imported(name, lambda name=name: imported.append(name))
        for _ in range(2):
            assert (importlib.util.find_spec(name) is not None) == is_found
        for _ in range(2):
            if failure is None:
                importlib.import_module(name)
            else:
                with pytest.raises(failure):
                    importlib.import_module(name)
    assert imported == ["searched"]
    del sys.modules["searched"]


EXTENSION = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_LOGS_EXPORTER": "none",
}
# The variables of the function, and differences from the default settings or the reason for the SDK.
VARIABLES = {
    "nothing else": ({}, {}),
    "delta": ({"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}, {"temporality_preference": "delta"}),
    "of instrumentations": (
        {"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST": "a", "OTEL_PYTHON_URLLIB_EXCLUDED_URLS": "b"},
        {},
    ),
    "a delay": ({"OTEL_BSP_SCHEDULE_DELAY": "100"}, {"flush_interval": 0.1}),
    "an endless delay": ({"OTEL_BSP_SCHEDULE_DELAY": "9" * 400}, {"flush_interval": 86400}),
    "propagators": ({"OTEL_PROPAGATORS": " tracecontext,baggage , xray"}, {}),
    "an empty one": ({"OTEL_PYTHON_CONFIGURATOR": ""}, {}),
    "another protocol": ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is set"),
    "another backend": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://o2.example.com"},
        "OTEL_EXPORTER_OTLP_ENDPOINT is not the extension",
    ),
    "another backend for traces": (
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4319/v1/traces"},
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set",
    ),
    "a console": ({"OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER is set"),
    "logs": ({"OTEL_LOGS_EXPORTER": "otlp"}, "OTEL_LOGS_EXPORTER is set"),
    "limits": ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "5"}, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT is set"),
    "no delay": ({"OTEL_BSP_SCHEDULE_DELAY": "soon"}, "OTEL_BSP_SCHEDULE_DELAY is soon"),
    "a propagator of the function": ({"OTEL_PROPAGATORS": "tracecontext,b3"}, "OTEL_PROPAGATORS names b3"),
}


@pytest.mark.parametrize("case", VARIABLES)
def test_the_fast_start_requires_default_settings(fast, case):
    variables, expected = VARIABLES[case]
    try:
        found = fast.read_settings({**EXTENSION, **variables})
    except fast.NotFast as reason:
        assert str(reason) == expected
    else:
        settings = {"address": ("127.0.0.1", 4318), "flush_interval": 5, "temporality_preference": "cumulative", **expected}
        assert {name: getattr(found, name) for name in settings} == settings


API = {
    "opentelemetry_api-1.dist-info/entry_points.txt": "[opentelemetry_context]\na = b:C",
    "opentelemetry/trace/__init__.py": "",
}


def api(version):
    return {**API, "opentelemetry/version/__init__.py": f'__version__ = "{version}"'}


# The files of the function, and the reason for the SDK.
PACKAGES = {
    "none": ({}, None),
    "a library": ({"boto3/__init__.py": "", "boto3-1.dist-info/entry_points.txt": "[console_scripts]\na = b:c"}, None),
    "an API": (api("1.45.2"), None),
    "an SDK": (
        {
            **api("1.40.0"),
            "opentelemetry/sdk/__init__.py": "",
            "opentelemetry_sdk-1.dist-info/entry_points.txt": "[opentelemetry_id_generator]\nrandom = a:B\n[opentelemetry_traces_sampler]\nc = d:E",
        },
        None,
    ),
    "a distribution": ({**api("1.40.0"), "opentelemetry/distro/__init__.py": ""}, "/task has a distribution of OpenTelemetry"),
    "a distribution of another": (
        {"aws_opentelemetry_distro-1.dist-info/entry_points.txt": "[opentelemetry_distro]\na = b:C"},
        "/task has aws_opentelemetry_distro-1 for OpenTelemetry",
    ),
    "an instrumentation of threads": (
        {"threads-1.dist-info/entry_points.txt": "[opentelemetry_instrumentor]\nthreading = b:C\n"},
        None,
    ),
    "an old API": (api("1.29.0"), "/task has opentelemetry-api 1.29.0"),
    "a later API": (api("2.0.0"), "/task has opentelemetry-api 2.0.0"),
    "an API without a version": (API, "/task has opentelemetry-api "),
    "an instrumentation": (
        {"openinference-1.dist-info/entry_points.txt": "[opentelemetry_instrumentor]\na = b:C"},
        "/task has openinference-1 for OpenTelemetry",
    ),
    "an archive": ({"": ""}, "/task on the path is an archive"),
}


@pytest.mark.parametrize("case", PACKAGES)
def test_the_fast_start_requires_the_layers_packages(fast, monkeypatch, tmp_path, case):
    files, expected = PACKAGES[case]
    (tmp_path / "layer/opentelemetry/sdk").mkdir(parents=True)
    for name, text in files.items():
        place = tmp_path / "task" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "task"), str(tmp_path / "missing")])
    try:
        fast.require_only_the_layers_packages(str(tmp_path / "layer"))
    except fast.NotFast as reason:
        assert str(reason).replace(str(tmp_path), "") == expected
    else:
        assert expected is None


# Requirements, and whether the imported module `library` of version 1.44.5 is known to fulfil them.
REQUIREMENTS = {
    "library": True,
    "library~=1.0": True,
    "library[extra] >= 1": True,
    "library ~= 1.44.0": True,
    "library ~= 1.44.6": False,
    "library ~= 1.43.0": False,
    "library >= 1.0.0, < 3.0.0": True,
    "library>=1.44.5,<=1.44.5.0": True,
    "library != 1.44.5": False,
    "library == 1.44.5": True,
    "library > 1.44": True,
    "library~=2.0": False,
    "library < 1.44": False,
    "library ~= 1.0; python_version < '3'": False,
    "library == soon": False,
    "library @ https://example.com": False,
    "< 2": False,
    "other >= 1": False,
    "unversioned >= 1": False,
}


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_a_library_of_a_required_version_needs_no_check_of_its_metadata(isolated, monkeypatch, requirement):  # noqa: F811
    packaging = importlib.import_module("lambda_otlp_packaging")
    monkeypatch.setitem(sys.modules, "library", SimpleNamespace(__version__="1.44.5"))
    monkeypatch.setitem(sys.modules, "unversioned", SimpleNamespace())
    assert packaging.are_fulfilled([requirement]) == REQUIREMENTS[requirement]


# Each version is the lowest of those after it.
VERSIONS = ["0.9", "1", "1.0.0rc1", "1.0.post1", "1.0.1", "1.2", "1.10.dev0", "2.0", "2026.10.19.post1"]


def test_versions_are_compared_by_their_numbers(isolated):  # noqa: F811
    Version = importlib.import_module("lambda_otlp_packaging").Version
    assert min(VERSIONS, key=Version) == "0.9"
    assert [Version(low) <= Version(high) for low, high in zip(VERSIONS, VERSIONS[1:])] == [True] * (len(VERSIONS) - 1)
    assert Version("1") == Version("1.0.0") and Version("1.10") > Version("1.9.9")
    with pytest.raises(ValueError, match="a version begins with a number, got 'soon'"):
        Version("soon")


# Modules of Python's library that take long to import, and that the API of the layer's packages would import.
SLOW = ("ast", "dis", "inspect", "ipaddress", "platform", "socket", "urllib.parse", "uuid")
LOADED = f"""
import sys
def handler(event, context):
    return [name for name in {SLOW} if name in sys.modules]
"""


def test_a_function_with_a_parent_loads_no_slow_module_for_the_layer(tmp_path):
    event = {"headers": {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}}
    with_layer, without = (run(tmp_path, [event], files={"app.py": LOADED}, wrapper=wrapper) for wrapper in (True, False))
    assert with_layer.results == without.results
    assert "ab" * 16 in [span["traceId"] for span in with_layer.kind("SERVER")]


LATE = """
import contextlib, copy, sys
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.util.re import parse_env_headers

@trace.get_tracer("own").start_as_current_span("decorated")
async def decorated():
    return trace.get_current_span().name

def handler(event, _):
    import asyncio
    found = propagate.extract({"baggage": "name=a%20b,other=c"})
    carrier = {}
    propagate.inject(carrier, found)
    state = trace.TraceState.from_header(["a=b,c=d"])
    return [
        asyncio.run(decorated()),
        dict(baggage.get_all(found)),
        carrier["baggage"],
        dict(parse_env_headers("name=a%20b")),
        state.to_header(),
        dict(copy.deepcopy(BoundedAttributes(attributes={"a": 1}))),
        context.create_key("key") != context.create_key("key"),
    ]
"""


def test_what_the_api_imports_later_works(tmp_path):
    ran = run(tmp_path, [{}], files={"app.py": LATE})
    values = ["decorated", {"name": "a b", "other": "c"}, "name=a+b,other=c", {"name": "a b"}, "a=b,c=d", {"a": 1}, True]
    assert ran.results == [values], ran.text
    assert len(ran.named("decorated")) == 1
