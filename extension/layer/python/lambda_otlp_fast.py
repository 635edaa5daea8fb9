"""Starts instrumentation in a fifth of the time that OpenTelemetry's SDK and its distribution need.

The layer knows its instrumentations and the extension's address, so this module searches for neither. It imports only modules
that the function uses, and replaces slow imports: the SDK by lambda_otlp_spans.py and lambda_otlp_metrics.py, the exporter by
lambda_otlp_wire.py. lambda_otlp_packages.py names further files in place of slow packages.

A function gets OpenTelemetry's SDK if it has instrumentations or a distribution of its own, if it imports the layer's SDK, or if
it sets variables that this module does not support.
"""

import functools
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import threading
import types

from lambda_otlp_load import attempt, layer_module, library, say, when_loaded

layer = layer_module("lambda_otlp_packages")

# The instrumentations of requirements.txt by name: the library import that triggers one, its module and its class.
INSTRUMENTATIONS = {
    "aiobotocore": ("aiobotocore.client", "botocore", "AiobotocoreInstrumentor"),
    "aiohttp-client": ("aiohttp", "aiohttp_client", "AioHttpClientInstrumentor"),
    "asyncpg": ("asyncpg", "asyncpg", "AsyncPGInstrumentor"),
    "botocore": ("botocore.client", "botocore", "BotocoreInstrumentor"),
    "httpx": ("httpx", "httpx", "HTTPXClientInstrumentor"),
    "httpx2": ("httpx2", "httpx", "HTTPX2ClientInstrumentor"),
    "psycopg": ("psycopg", "psycopg", "PsycopgInstrumentor"),
    "psycopg2": ("psycopg2", "psycopg2", "Psycopg2Instrumentor"),
    "pymongo": ("pymongo", "pymongo", "PymongoInstrumentor"),
    "pymysql": ("pymysql", "pymysql", "PyMySQLInstrumentor"),
    "redis": ("redis", "redis", "RedisInstrumentor"),
    "requests": ("requests", "requests", "RequestsInstrumentor"),
    "sqlalchemy": ("sqlalchemy", "sqlalchemy", "SQLAlchemyInstrumentor"),
    "urllib": ("urllib.request", "urllib", "URLLibInstrumentor"),
    "urllib3": ("urllib3", "urllib3", "URLLib3Instrumentor"),
}

# Variables of the SDK, with the values that the fast start supports. `None` means any value.
KNOWN = {
    "OTEL_BSP_MAX_QUEUE_SIZE": None,
    "OTEL_BSP_SCHEDULE_DELAY": None,
    "OTEL_EXPORTER_OTLP_ENDPOINT": None,
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": ("http/protobuf",),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": ("delta", "cumulative", "lowmemory"),
    "OTEL_EXPORTER_OTLP_PROTOCOL": ("http/protobuf",),
    "OTEL_EXPORTER_OTLP_TIMEOUT": None,
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": ("http/protobuf",),
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": None,
    "OTEL_LOGS_EXPORTER": ("none",),
    "OTEL_METRICS_EXPORTER": ("otlp", "none"),
    "OTEL_PROPAGATORS": None,
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": None,
    "OTEL_RESOURCE_ATTRIBUTES": None,
    "OTEL_SDK_DISABLED": None,
    "OTEL_SEMCONV_STABILITY_OPT_IN": None,
    "OTEL_SERVICE_NAME": None,
    "OTEL_TRACES_EXPORTER": ("otlp",),
    "OTEL_TRACES_SAMPLER": None,
    "OTEL_TRACES_SAMPLER_ARG": None,
}
# Propagators in the layer's packages.
PROPAGATORS = ("baggage", "none", "tracecontext", "xray", "xray-lambda")
# Groups of entry points that OpenTelemetry's automatic instrumentation calls.
STARTING = (
    "opentelemetry_configurator",
    "opentelemetry_distro",
    "opentelemetry_instrumentor",
    "opentelemetry_post_instrument",
    "opentelemetry_pre_instrument",
)
# Prefixes of variables that the extension or the instrumentations read.
OF_OTHERS = ("OTEL_INSTRUMENTATION_", "OTEL_LAMBDA_", "OTEL_PYTHON_EXCLUDED_URLS")
# The oldest version of opentelemetry-api tested with the layer's packages.
OLDEST_API = [1, 30]
LOOPBACK = ("127.0.0.1", "localhost")
# The queue size of lambda_otlp_sdk.py, and the SDK's default delay in milliseconds.
QUEUE_SIZE = 16384
DELAY_MS = 5000
# Upper limit of that delay. `Event.wait` raises an error for a much longer one.
MOST_DELAY_MS = 86_400_000


class NotFast(Exception):
    """The reason why a function gets OpenTelemetry's SDK."""


def settings(environ):
    """Reads the settings from the variables. Raises `NotFast` if only the SDK supports them."""
    for name, value in environ.items():
        if name.startswith("OTEL_") and value.strip() and not is_known(name, value.strip()):
            raise NotFast(f"{name} is set")
    for name in filter(None, map(str.strip, environ.get("OTEL_PROPAGATORS", "").split(","))):
        if name not in PROPAGATORS:
            raise NotFast(f"OTEL_PROPAGATORS names {name}")
    endpoint = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    host, _, port = endpoint.removeprefix("http://").rstrip("/").partition(":")
    if not endpoint.startswith("http://") or host not in LOOPBACK or not port.isdecimal():
        raise NotFast("OTEL_EXPORTER_OTLP_ENDPOINT is not the extension")
    return types.SimpleNamespace(
        address=(host, int(port)),
        delay=min(whole(environ, "OTEL_BSP_SCHEDULE_DELAY", DELAY_MS), MOST_DELAY_MS) / 1000,
        most=whole(environ, "OTEL_BSP_MAX_QUEUE_SIZE", QUEUE_SIZE),
        has_metrics=environ.get("OTEL_METRICS_EXPORTER", "").strip() != "none",
        preference=environ.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "").strip().lower() or "cumulative",
        sampler=(environ.get("OTEL_TRACES_SAMPLER", "").strip(), environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()),
        disabled={name.strip() for name in environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")},
        has_propagators=bool(environ.get("OTEL_PROPAGATORS", "").strip()),
    )


def is_known(name, value):
    if name.startswith(OF_OTHERS) or name.startswith("OTEL_PYTHON_") and name.endswith("_EXCLUDED_URLS"):
        return True
    return name in KNOWN and (KNOWN[name] is None or value.lower() in KNOWN[name])


def whole(environ, name, usual):
    value = environ.get(name, "").strip() or str(usual)
    if not value.isdecimal() or int(value) == 0:
        raise NotFast(f"{name} is {value}")
    return int(value)


def new_instance_id():
    from uuid import uuid4

    return str(uuid4())


def resource(environ, instance_id, say):
    """Returns the attributes of the SDK's resource."""
    found = {
        "service.instance.id": instance_id,
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": layer.version_of("opentelemetry/sdk"),
    }
    for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            found[name.strip()] = unquoted(value.strip())
        elif pair.strip():
            say(f"OTEL_RESOURCE_ATTRIBUTES: {pair.strip()!r} is ignored, because it is not of the form name=value")
    if name := environ.get("OTEL_SERVICE_NAME", "").strip():
        found["service.name"] = name
    found.setdefault("service.name", "unknown_service")
    found["telemetry.auto.version"] = layer.version_of("opentelemetry/instrumentation")
    return found


def unquoted(value):
    if "%" not in value:
        return value
    from urllib.parse import unquote

    return unquote(value)


def only_the_layers(folder):
    """Raises `NotFast` if the path has instrumentations or a distribution of OpenTelemetry."""
    if not os.path.isdir(os.path.join(folder, "opentelemetry", "sdk")):
        raise NotFast("the packages are not the layer's")
    if any(name == "opentelemetry" or name.startswith("opentelemetry.") for name in sys.modules):
        raise NotFast("OpenTelemetry is loaded already")
    for entry in dict.fromkeys(sys.path):
        try:
            names = os.listdir(entry or ".")
        except NotADirectoryError:
            raise NotFast(f"{entry} on the path is an archive") from None
        except OSError:
            continue
        if "opentelemetry" in names:
            supported_api(entry)
        for name in names:
            if not name.endswith((".dist-info", ".egg-info")) or name.startswith("opentelemetry_api-"):
                continue
            if is_for_opentelemetry(os.path.join(entry, name, "entry_points.txt")):
                raise NotFast(f"{entry} has {name.rpartition('.')[0]} for OpenTelemetry")


def supported_api(entry):
    """Raises `NotFast` if the folder has a distribution of OpenTelemetry, or an unsupported API. FastAPI and others depend on the
    API.
    """
    if os.path.isdir(os.path.join(entry or ".", "opentelemetry", "distro")):
        raise NotFast(f"{entry} has a distribution of OpenTelemetry")
    version = layer.version_of("opentelemetry", entry)
    if not OLDEST_API <= (numbers(version) or []) < [2]:
        raise NotFast(f"{entry} has opentelemetry-api {version}")


def is_for_opentelemetry(file):
    """Returns `True` if a package starts instrumentation, except that of threads, which the fast start has too.

    Its other classes start only by variables that the fast start does not support.
    """
    try:
        with open(file, encoding="utf-8") as opened:
            text = opened.read()
    except (OSError, ValueError):
        return False
    group = ""
    for line in map(str.strip, text.splitlines() if "[opentelemetry_" in text else ()):
        if line.startswith("["):
            group = line[1:-1]
        elif (
            group in STARTING
            and "=" in line
            and (group, line.partition("=")[0].strip()) != ("opentelemetry_instrumentor", "threading")
        ):
            return True
    return False


def numbers(version):
    parts = version.split(".") if isinstance(version, str) else []
    return [int(part) for part in parts] if parts and all(part.isdecimal() for part in parts) else None


class Imports:
    """Runs actions after modules are imported, once for each module. A failed action does not fail the import."""

    def __init__(self, attempt):
        self.attempt = attempt
        self.actions = {}
        self.searched = set()

    def when_imported(self, name, action):
        if name in sys.modules:
            self.attempt(action)
        else:
            self.actions.setdefault(name, []).append(action)

    def find_spec(self, name, path=None, target=None):
        if name not in self.actions or name in self.searched:
            return None
        self.searched.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.searched.discard(name)
        if spec is not None and spec.loader is not None:
            when_loaded(spec, functools.partial(self.run, name))
        return spec

    def run(self, name, module):
        # A program may search for a module without importing it.
        for action in self.actions.pop(name, ()) if module is not None else ():
            self.attempt(action)


class Instrumentation:
    """An instrumentation of the layer, with the interface of an entry point."""

    def __init__(self, name, module, kind):
        self.name = name
        self.module = module
        self.kind = kind

    def load(self):
        return getattr(library(f"opentelemetry.instrumentation.{self.module}"), self.kind)


class Fast:
    """The fast start of one function."""

    def __init__(self, folder, environ=os.environ):
        self.settings = settings(environ)
        only_the_layers(folder)
        self.environ = environ
        if self.settings.has_propagators:
            layer.serve_entry_points()
        self.spans = layer_module("lambda_otlp_spans")
        if missing := {
            name for kind in (self.spans.Span, self.spans.Tracer, self.spans.TracerProvider) for name in kind.__abstractmethods__
        }:
            raise NotFast(f"the function's opentelemetry-api has {' and '.join(sorted(missing))}, which came after this layer")
        self.sampler = self.spans.sampler_of(*self.settings.sampler)
        if self.sampler is None:
            raise NotFast(f"OTEL_TRACES_SAMPLER is {' with argument '.join(self.settings.sampler)}")
        self.imports = Imports(attempt)
        sys.meta_path.insert(0, self.imports)

    def instrument_libraries(self, instrument):
        """Registers each instrumentation to load after its library is imported."""
        disabled = self.settings.disabled
        if "*" in disabled:
            return
        for name, (imported, module, kind) in INSTRUMENTATIONS.items():
            if name not in disabled:
                entry = Instrumentation(name, module, kind)
                self.imports.when_imported(imported, lambda entry=entry: instrument(entry))
        if "threading" not in disabled:
            attempt(carry_context_into_threads, self.imports.when_imported)

    def start(self):
        """Registers the tracer provider, and the meter provider once the metrics API is imported."""
        from opentelemetry import trace

        wire = layer_module("lambda_otlp_wire")
        self.instance_id = new_instance_id()
        attributes = resource(self.environ, self.instance_id, say)
        receiver = wire.Receiver(self.settings.address, say)
        tracers = self.spans.TracerProvider(
            receiver,
            lambda spans: wire.encode_spans(tracers.resource.encoded, spans, say),
            attributes,
            self.sampler,
            self.settings.delay,
            self.settings.most,
        )
        tracers.resource.encoded = wire.resource_of(attributes)
        self.tracers = tracers
        self.meters = None
        os.register_at_fork(after_in_child=lambda: self.renew(is_new_process=True))
        trace.set_tracer_provider(tracers)
        self.imports.when_imported("opentelemetry.sdk.trace", self.spans.join_the_sdk)
        if self.settings.has_metrics:
            self.imports.when_imported("opentelemetry.metrics", lambda: self.start_metrics(tracers, wire))
        # lambda_otlp_cut_off.py uses these.
        self.receiver_address = self.settings.address
        self.encode = tracers.encode
        self.snapshot = self.spans.snapshot
        return self

    @property
    def reads_environment(self):
        """`True` if a propagator may find the parent of an invocation in the environment."""
        return self.settings.has_propagators

    def flushes(self):
        return [self.tracers.flush_invocation]

    def bound_flushes(self, calls):
        """Applies one deadline to all telemetry flushed at the end of an invocation."""
        self.tracers.flush_invocation = layer_module("lambda_otlp_flush").Bound(calls).deliver_to(self.tracers)

    def before_snapshot(self):
        self.tracers.force_flush(1000)

    def after_restore(self):
        self.renew(is_new_process=False)

    def renew(self, is_new_process):
        """Gives a forked process or a restored environment an id and metrics of its own."""
        resource = self.tracers.resource
        # The function may have set the id.
        if resource.attributes["service.instance.id"] == self.instance_id:
            self.instance_id = resource.attributes["service.instance.id"] = new_instance_id()
            resource.encoded = layer_module("lambda_otlp_wire").resource_of(resource.attributes)
        if self.meters is not None:
            self.meters.renew(is_new_process)

    def start_metrics(self, tracers, wire):
        from opentelemetry import metrics

        self.meters = layer_module("lambda_otlp_metrics").MeterProvider(
            tracers, wire, self.spans.ScopeKey, self.settings.preference
        )
        metrics.set_meter_provider(self.meters)
        tracers.collect = self.meters.collect


def carry_context_into_threads(when_imported):
    """Carries the context into threads and pools, like OpenTelemetry's threading instrumentation.

    It wraps methods that Python calls between the start of a thread or task and the function's code. Errors of that code have no
    frame of the layer, and `submit` stays the original one.
    """
    from opentelemetry import context

    def attributes_of(item):
        # A class of the function may refuse attributes that it does not know.
        return object.__getattribute__(item, "__dict__")

    def beginning(begin):
        def begin_with_context(self, /, *arguments, **named):
            attributes_of(self)["_otel_context"] = context.get_current()
            return begin(self, *arguments, **named)

        return begin_with_context

    def running(run):
        def run_in_context(self, /, *arguments, **named):
            carried = attributes_of(self).pop("_otel_context", None)
            if carried is None:
                return run(self, *arguments, **named)
            token = context.attach(carried)
            try:
                return run(self, *arguments, **named)
            finally:
                context.detach(token)

        return run_in_context

    def patch(holder, begins, runs):
        for name, wrapper in ((begins, beginning), (runs, running)):
            original = getattr(holder, name)
            patched = wrapper(original)
            for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
                setattr(patched, attribute, getattr(original, attribute, None))
            patched.__wrapped__ = original
            setattr(holder, name, patched)

    def patch_pools():
        item = sys.modules["concurrent.futures.thread"]._WorkItem
        # The instances of a class with slots have no room for a context.
        if item.__dictoffset__:
            patch(item, "__init__", "run")

    patch(threading.Thread, "start", "_bootstrap")
    when_imported("concurrent.futures.thread", patch_pools)
