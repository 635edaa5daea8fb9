"""Checks the layer's decisions at the start of a function, with fake packages that are empty. The first argument is the layer's
folder. Prints a line for each case."""

import importlib.util
import os
import random
import sys
import tempfile
import types

sys.path.append(sys.argv[1])
noted = []
load = importlib.import_module("lambda_otlp_load")
load.say = noted.append
layer, settings = (importlib.import_module(f"lambda_otlp_{name}") for name in ("handler", "variables"))
sdk = load.beside("lambda_otlp_sdk")


def check(form, told):
    print(f"{form}: {', '.join([str(told), *noted])}")
    noted.clear()


class Instrumentation:
    """Imports another library while its module is loaded, like the instrumentation of httpx and httpx2."""

    def __init__(self, name, imports=None):
        self.name = name
        self.imports = imports

    def load(self):
        noted.append(f"{self.name} begins")
        if self.imports:
            layer.instrument_library(self.imports)
        noted.append(f"{self.name} is loaded")
        return lambda: self

    def instrument(self, raise_exception_on_conflict):
        if self.name == "broken":
            raise RuntimeError("no such function")


check("one library after another", layer.instrument_library(Instrumentation("httpx2", Instrumentation("httpx"))))
check("after a broken one", layer.instrument_library(Instrumentation("broken", Instrumentation("httpx"))))


def entries(*names):
    settings.entry_points = sdk.entry_points = lambda group: [types.SimpleNamespace(name=name) for name in names]


def distribution(asked=None):
    with settings.variables(**({} if asked is None else {"OTEL_PYTHON_DISTRO": asked})):
        return sdk.chosen("opentelemetry_distro", "OTEL_PYTHON_DISTRO", "distro").name


entries("aws_distro", "distro")
check("beside another distribution", distribution())
check("asked for another distribution", distribution("aws_distro"))
check("asked for one that is missing", distribution("other_distro"))


def replaced(**values):
    with settings.variables(**values):
        return settings.replaced()


sys.modules["opentelemetry"] = types.ModuleType("opentelemetry")
sys.modules["opentelemetry"].__path__ = []
entries("console", "otlp_proto_http")
check("says nothing", replaced())
check("http/protobuf", replaced(OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf", OTEL_EXPORTER_OTLP_LOGS_PROTOCOL=""))
check("grpc", replaced(OTEL_EXPORTER_OTLP_PROTOCOL="grpc"))
check("http/json for traces", replaced(OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=" http/json"))
check("times", replaced(OTEL_EXPORTER_OTLP_TIMEOUT="0.5", OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=" 30", OTEL_EXPORTER_OTLP_METRICS_TIMEOUT=""))
for text in ("0", "-1", "nan", "inf", "soon"):
    check(f"a time of {text}", replaced(OTEL_EXPORTER_OTLP_TIMEOUT=text))
check("a file", replaced(OTEL_CONFIG_FILE="/var/task/otel.yaml"))
entries("otlp_proto_http", "otlp_proto_grpc")
check("grpc with its exporter", replaced(OTEL_EXPORTER_OTLP_PROTOCOL="grpc"))


def new_ids():
    """The ids of two environments that were restored from one snapshot."""
    generator = types.ModuleType(sdk.ID_GENERATORS[0])
    generator.random, state = random, random.getstate()
    sys.modules[generator.__name__] = generator
    sdk.use_system_random()
    found = []
    for _ in range(2):
        random.setstate(state)
        found.append(generator.random.getrandbits(128))
    del sys.modules[generator.__name__]
    return found


check("restored environments have different ids", len(set(new_ids())) == 2)

with tempfile.TemporaryDirectory() as folder:

    def own_import(source):
        place = os.path.join(folder, "shop.py")
        with open(place, "w") as file:
            file.write(source)
        return layer.own_import(importlib.util.spec_from_file_location("shop", place))

    check("a comment", own_import('"""opentelemetry.sdk"""\n# import opentelemetry.sdk\nname = "opentelemetry.instrumentation"'))
    check("the API", own_import("from opentelemetry import trace  # no opentelemetry.sdk"))
    check("another package", own_import("import opentelemetry.sdks"))
    check("the SDK", own_import("import opentelemetry.sdk.trace"))
    check("in a method", own_import("class A:\n  def a(self):\n    from opentelemetry.instrumentation.redis import RedisInstrumentor"))
    check("no Python", own_import("import opentelemetry.sdk\n)"))


class ProxyTracerProvider:
    pass


class OfAnother:
    pass


OfAnother.__module__ = "ddtrace.opentelemetry"
trace = types.ModuleType("opentelemetry.trace")
trace.ProxyTracerProvider, trace.get_tracer_provider = ProxyTracerProvider, ProxyTracerProvider
sys.modules["opentelemetry.trace"] = sys.modules["opentelemetry"].trace = trace
check("no SDK", layer.own_sdk())
trace.get_tracer_provider = OfAnother
check("another provider", layer.own_sdk())
sys.modules["opentelemetry.sdk.trace"] = types.ModuleType("opentelemetry.sdk.trace")
check("an SDK that somebody has loaded", layer.own_sdk())
sys.modules["sentry_sdk"] = types.ModuleType("sentry_sdk")
sys.modules["sentry_sdk"].SpanProcessor = type("SpanProcessor", (), {"__module__": "opentelemetry.sdk.trace"})
check("an SDK that a library has loaded", layer.own_sdk())
layer.start(types.SimpleNamespace(handler=None), "handler", {})
check("left alone", None)
