"""The layer adapts to the function's packages when the function starts."""

import ast
import importlib
import random
import subprocess
import sys
import types

import pytest
from isolation import isolated, module  # noqa: F401
from local_lambda import LAYER, function_python


@pytest.fixture(scope="module")
def layer(isolated):
    load = importlib.import_module("lambda_otlp_load")
    said = []
    # The other modules import this name.
    load.say = said.append
    handler, variables = (importlib.import_module(f"lambda_otlp_{name}") for name in ("handler", "variables"))
    opentelemetry = module("opentelemetry", __path__=[])
    return types.SimpleNamespace(
        said=said,
        handler=handler,
        variables=variables,
        packages=load.layer_module("lambda_otlp_packages"),
        sdk=load.layer_module("lambda_otlp_sdk"),
        opentelemetry=opentelemetry,
    )


@pytest.fixture
def said(layer):
    layer.said.clear()
    return layer.said


class Instrumentation:
    """Imports another library while its module is loaded, like the instrumentation of httpx and httpx2."""

    def __init__(self, name, layer, said, imports=None):
        self.name = name
        self.layer = layer
        self.said = said
        self.imports = imports

    def load(self):
        self.said.append(f"{self.name} begins")
        if self.imports:
            self.layer.handler.instrument_library(self.imports)
        self.said.append(f"{self.name} is loaded")
        return lambda: self

    def instrument(self, raise_exception_on_conflict):
        if self.name == "broken":
            raise RuntimeError("no such function")


BROKEN = "cannot instrument broken, so its calls have no spans: RuntimeError('no such function')"


@pytest.mark.parametrize(("name", "expected"), [("httpx2", []), ("broken", [BROKEN])])
def test_libraries_are_instrumented_one_after_another(layer, said, name, expected):
    layer.handler.instrument_library(Instrumentation(name, layer, said, Instrumentation("httpx", layer, said)))
    assert said == [f"{name} begins", f"{name} is loaded", *expected, "httpx begins", "httpx is loaded"]


def install(layer, monkeypatch, *names):
    entries = [types.SimpleNamespace(name=name) for name in names]
    monkeypatch.setattr(layer.packages, "entry_points", lambda group: entries)


MISSING = "OTEL_PYTHON_DISTRO names other_distro, which is not installed; using distro"


@pytest.mark.parametrize(
    ("asked", "chosen", "message"),
    [(None, "distro", []), ("aws_distro", "aws_distro", []), ("other_distro", "distro", [MISSING])],
)
def test_the_function_selects_its_distribution(layer, said, monkeypatch, asked, chosen, message):
    install(layer, monkeypatch, "aws_distro", "distro")
    if asked is not None:
        monkeypatch.setenv("OTEL_PYTHON_DISTRO", asked)
    assert layer.sdk.chosen_entry_point("opentelemetry_distro", "OTEL_PYTHON_DISTRO", "distro").name == chosen
    assert said == message


def no_exporter(name, protocol):
    message = f"{name} is {protocol}, but the function has no exporter for it; using http/protobuf: install the exporter, or remove the variable"
    return {name: "http/protobuf"}, [message]


def no_time(text):
    name = "OTEL_EXPORTER_OTLP_TIMEOUT"
    return {name: text}, ({name: "1"}, [f"{name} must be a number of seconds above 0, got {text}; using 1"])


NO_FILE = "OTEL_CONFIG_FILE is ignored, because opentelemetry-configuration is not installed; the other OTEL_… variables apply"
# The variables of the function, their replacements, and the messages.
REPLACED = {
    "none": ({}, ({}, [])),
    "http/protobuf": ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": ""}, ({}, [])),
    "grpc": ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, no_exporter("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")),
    "grpc with its exporter": ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ({}, [])),
    "JSON for traces": (
        {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": " http/json"},
        no_exporter("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
    ),
    "times": (
        {
            "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5",
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": " 30",
            "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "",
        },
        ({}, []),
    ),
    "a file": ({"OTEL_CONFIG_FILE": "/var/task/otel.yaml"}, ({"OTEL_CONFIG_FILE": ""}, [NO_FILE])),
    **{f"a time of {text}": no_time(text) for text in ("0", "-1", "nan", "inf", "soon")},
}


@pytest.mark.parametrize("case", REPLACED)
def test_unusable_variables_are_replaced(layer, said, monkeypatch, case):
    own, (replaced, messages) = REPLACED[case]
    install(layer, monkeypatch, "otlp_proto_http", "otlp_proto_grpc" if case == "grpc with its exporter" else "console")
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    assert layer.variables.replacements() == replaced
    assert said == messages


def test_restored_environments_have_different_ids(layer, monkeypatch):
    generator = types.ModuleType(layer.sdk.ID_GENERATORS[0])
    state = random.getstate()
    generator.random = random
    monkeypatch.setitem(sys.modules, generator.__name__, generator)
    layer.sdk.use_system_random()
    found = []
    for _ in range(2):
        random.setstate(state)
        found.append(generator.random.getrandbits(128))
    assert len(set(found)) == 2


def test_a_provider_that_is_registered_during_the_import_is_left_alone(layer, said, monkeypatch):
    proxy = type("ProxyTracerProvider", (), {})
    other = type("OfAnother", (), {"__module__": "ddtrace.opentelemetry"})
    trace = types.ModuleType("opentelemetry.trace")
    trace.ProxyTracerProvider = trace.get_tracer_provider = proxy
    monkeypatch.setitem(sys.modules, trace.__name__, trace)
    monkeypatch.setattr(layer.opentelemetry, "trace", trace, raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", types.ModuleType("opentelemetry.sdk.trace"))
    assert layer.handler.own_provider() is None
    trace.get_tracer_provider = other
    layer.handler.start(types.SimpleNamespace(handler=None), "handler")
    assert said == [OWN_SETUP.format("its tracer provider is ddtrace.opentelemetry.OfAnother")]


OWN_SETUP = (
    "the function is not instrumented, because it sets up OpenTelemetry itself: {}; "
    "to instrument it, remove that setup, or set LAMBDA_OTLP_INSTRUMENT=off to keep it"
)
ADDS = "def handler(event, context):\n    return event + context\n"


def started(tmp_path, source, **variables):
    """Runs a function below the layer's wrapper, without packages. Returns its `PYTHONPATH`, its result, and the output."""
    (tmp_path / "shop.py").write_text(source)
    (tmp_path / "sitecustomize.py").write_text("print('sitecustomize of others')")
    (tmp_path / "lambda-otlp-handler").symlink_to(LAYER.parent / "lambda-otlp-handler")
    (tmp_path / "lambda-otlp").symlink_to(LAYER.parent)
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport os, shop; print(os.environ.get('PYTHONPATH'), shop.handler(1, 2))"
    env = {"PATH": "/usr/bin:/bin", "_HANDLER": "shop.handler", "PYTHONDONTWRITEBYTECODE": "1", **variables}
    command = [tmp_path / "lambda-otlp-handler", function_python() / "python3", "-c", program]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return done.stdout.splitlines(), done.stderr.splitlines()


def test_a_function_without_packages_runs_uninstrumented(tmp_path):
    printed, (said,) = started(tmp_path, ADDS)
    assert printed == ["None 3"]
    assert said.startswith("lambda-otlp-handler: not instrumented: ")


def test_children_of_the_function_are_not_instrumented(tmp_path):
    printed, _ = started(tmp_path, ADDS, PYTHONPATH=str(tmp_path))
    assert printed == ["sitecustomize of others", f"{tmp_path} 3"]


def test_an_outdated_python_can_parse_the_start_and_reports_its_version():
    start = LAYER / "sitecustomize.py"
    ast.parse(start.read_text(), feature_version=(3, 6))
    program = (
        "import runpy, sys; sys.version_info = (3, 9, 18, 'final', 0); runpy.run_path(sys.argv[1]); print(len(sys.meta_path))"
    )
    done = subprocess.run([function_python() / "python3", "-I", "-c", program, start], capture_output=True, text=True, check=True)
    assert done.stdout == subprocess.check_output(
        [function_python() / "python3", "-I", "-c", "import sys; print(len(sys.meta_path))"], text=True
    )
    assert done.stderr == (
        "lambda-otlp-handler: not instrumented: Python 3.9.18 is too old: update the function's image to Python 3.10 or later, "
        "or set LAMBDA_OTLP_INSTRUMENT=off\n"
    )
