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

from lambda_otlp_load import attempt, layer_module, library, say, when_loaded
from lambda_otlp_variables import disabled_instrumentations

layer = layer_module("lambda_otlp_packages")
uuid4 = layer_module("lambda_otlp_standard").uuid4


class Instrumentation:
    """An instrumentation of the layer, with the interface of an entry point."""

    def __init__(self, name, *, on_import, module, kind):
        self.name = name
        # The function's import of this module loads the instrumentation.
        self.on_import = on_import
        # The module below `opentelemetry.instrumentation`, and its class.
        self.module = module
        self.kind = kind

    def load(self):
        return getattr(library(f"opentelemetry.instrumentation.{self.module}"), self.kind)


# The instrumentations of requirements.txt. lambda_otlp_sdk.py loads these, and the function's own ones of the same names, on the
# same imports.
INSTRUMENTATIONS = (
    Instrumentation("aiobotocore", on_import="aiobotocore.client", module="botocore", kind="AiobotocoreInstrumentor"),
    Instrumentation("aiohttp-client", on_import="aiohttp", module="aiohttp_client", kind="AioHttpClientInstrumentor"),
    Instrumentation("asyncpg", on_import="asyncpg", module="asyncpg", kind="AsyncPGInstrumentor"),
    Instrumentation("botocore", on_import="botocore.client", module="botocore", kind="BotocoreInstrumentor"),
    Instrumentation("httpx", on_import="httpx", module="httpx", kind="HTTPXClientInstrumentor"),
    Instrumentation("httpx2", on_import="httpx2", module="httpx", kind="HTTPX2ClientInstrumentor"),
    Instrumentation("psycopg", on_import="psycopg", module="psycopg", kind="PsycopgInstrumentor"),
    Instrumentation("psycopg2", on_import="psycopg2", module="psycopg2", kind="Psycopg2Instrumentor"),
    Instrumentation("pymongo", on_import="pymongo", module="pymongo", kind="PymongoInstrumentor"),
    Instrumentation("pymysql", on_import="pymysql", module="pymysql", kind="PyMySQLInstrumentor"),
    Instrumentation("redis", on_import="redis", module="redis", kind="RedisInstrumentor"),
    Instrumentation("requests", on_import="requests", module="requests", kind="RequestsInstrumentor"),
    Instrumentation("sqlalchemy", on_import="sqlalchemy", module="sqlalchemy", kind="SQLAlchemyInstrumentor"),
    Instrumentation("urllib", on_import="urllib.request", module="urllib", kind="URLLibInstrumentor"),
    Instrumentation("urllib3", on_import="urllib3", module="urllib3", kind="URLLib3Instrumentor"),
)

# Variables of the SDK, with the values that the fast start supports. `None` means any value.
SUPPORTED = {
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
GROUPS_OF_START = (
    "opentelemetry_configurator",
    "opentelemetry_distro",
    "opentelemetry_instrumentor",
    "opentelemetry_post_instrument",
    "opentelemetry_pre_instrument",
)
# Prefixes of variables that the extension or the instrumentations read.
PREFIXES_OF_OTHERS = ("OTEL_INSTRUMENTATION_", "OTEL_LAMBDA_", "OTEL_PYTHON_EXCLUDED_URLS")
# The oldest version of opentelemetry-api tested with the layer's packages.
OLDEST_API = [1, 30]
LOOPBACK = ("127.0.0.1", "localhost")
# The queue size of lambda_otlp_sdk.py.
QUEUE_SIZE = 16384
# The SDK's default interval of flushes.
FLUSH_INTERVAL_MS = 5000
# Upper limit of that interval. `Event.wait` raises an error for a much longer one.
MAX_FLUSH_INTERVAL_MS = 86_400_000


class Settings:
    """The function's settings of the fast start, from its variables."""

    def __init__(
        self,
        *,
        address,
        flush_interval,
        queue_size,
        has_metrics,
        temporality_preference,
        sampler,
        sampler_argument,
        disabled,
        has_propagators,
    ):
        # Host and port of the extension.
        self.address = address
        # In seconds.
        self.flush_interval = flush_interval
        # Maximum number of spans that wait for a flush.
        self.queue_size = queue_size
        self.has_metrics = has_metrics
        self.temporality_preference = temporality_preference
        self.sampler = sampler
        self.sampler_argument = sampler_argument
        # The names of disabled instrumentations.
        self.disabled = disabled
        # `True` if the function chooses its propagators.
        self.has_propagators = has_propagators


class Resource:
    """The resource of the function's telemetry. `encoded` is the message in protobuf, without its tag."""

    schema_url = ""

    def __init__(self, attributes, encoded):
        self.attributes = attributes
        self.encoded = encoded


class NotFast(Exception):
    """The reason why a function gets OpenTelemetry's SDK."""


def read_settings(environ):
    """Reads the settings from the variables. Raises `NotFast` if only the SDK supports them."""
    for name, value in environ.items():
        if name.startswith("OTEL_") and value.strip() and not is_supported(name, value.strip()):
            raise NotFast(f"{name} is set")
    for name in filter(None, map(str.strip, environ.get("OTEL_PROPAGATORS", "").split(","))):
        if name not in PROPAGATORS:
            raise NotFast(f"OTEL_PROPAGATORS names {name}")
    endpoint = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    host, _, port = endpoint.removeprefix("http://").rstrip("/").partition(":")
    if not endpoint.startswith("http://") or host not in LOOPBACK or not port.isdecimal():
        raise NotFast("OTEL_EXPORTER_OTLP_ENDPOINT is not the extension")
    interval_ms = positive_integer(environ, "OTEL_BSP_SCHEDULE_DELAY", FLUSH_INTERVAL_MS)
    temporality_preference = environ.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "").strip().lower()
    return Settings(
        address=(host, int(port)),
        flush_interval=min(interval_ms, MAX_FLUSH_INTERVAL_MS) / 1000,
        queue_size=positive_integer(environ, "OTEL_BSP_MAX_QUEUE_SIZE", QUEUE_SIZE),
        has_metrics=environ.get("OTEL_METRICS_EXPORTER", "").strip() != "none",
        temporality_preference=temporality_preference or "cumulative",
        sampler=environ.get("OTEL_TRACES_SAMPLER", "").strip(),
        sampler_argument=environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip(),
        disabled=disabled_instrumentations(environ),
        has_propagators=bool(environ.get("OTEL_PROPAGATORS", "").strip()),
    )


def is_supported(name, value):
    if name.startswith(PREFIXES_OF_OTHERS) or name.startswith("OTEL_PYTHON_") and name.endswith("_EXCLUDED_URLS"):
        return True
    return name in SUPPORTED and (SUPPORTED[name] is None or value.lower() in SUPPORTED[name])


def positive_integer(environ, name, usual):
    """Returns the value of a variable. Raises `NotFast` if it is not a whole number above 0."""
    value = environ.get(name, "").strip() or str(usual)
    if not value.isdecimal() or int(value) == 0:
        raise NotFast(f"{name} is {value}")
    return int(value)


def resource_attributes(environ, instance_id, say):
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


def require_only_the_layers_packages(packages):
    """Raises `NotFast` if the folder `packages` is not the layer's, or the path has instrumentations or a distribution of
    OpenTelemetry.
    """
    if not os.path.isdir(os.path.join(packages, "opentelemetry", "sdk")):
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
            require_supported_api(entry)
        for name in names:
            if not name.endswith((".dist-info", ".egg-info")) or name.startswith("opentelemetry_api-"):
                continue
            if starts_instrumentation(os.path.join(entry, name, "entry_points.txt")):
                raise NotFast(f"{entry} has {name.rpartition('.')[0]} for OpenTelemetry")


def require_supported_api(entry):
    """Raises `NotFast` if the folder has a distribution of OpenTelemetry, or an unsupported API. FastAPI and others depend on the
    API.
    """
    if os.path.isdir(os.path.join(entry or ".", "opentelemetry", "distro")):
        raise NotFast(f"{entry} has a distribution of OpenTelemetry")
    version = layer.version_of("opentelemetry", entry)
    if not OLDEST_API <= (version_numbers(version) or []) < [2]:
        raise NotFast(f"{entry} has opentelemetry-api {version}")


def starts_instrumentation(file):
    """Returns `True` if a package with these entry points starts instrumentation, except that of threads, which the fast start
    has too.

    OpenTelemetry starts a package's other classes only by variables that the fast start does not support.
    """
    try:
        with open(file, encoding="utf-8") as opened:
            text = opened.read()
    except (OSError, ValueError):
        return False
    if "[opentelemetry_" not in text:
        return False
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            group = line[1:-1]
        elif group in GROUPS_OF_START and "=" in line:
            name = line.partition("=")[0].strip()
            if group != "opentelemetry_instrumentor" or name != "threading":
                return True
    return False


def version_numbers(version):
    parts = version.split(".") if isinstance(version, str) else []
    return [int(part) for part in parts] if parts and all(part.isdecimal() for part in parts) else None


class Imports:
    """Runs actions after modules are imported, once for each module. A failed action does not fail the import."""

    def __init__(self, attempt):
        self.attempt = attempt
        # The actions by the names of their modules.
        self.actions = {}
        # The modules for which `find_spec` asks the other finders.
        self.being_searched = set()

    def when_imported(self, name, action):
        if name in sys.modules:
            self.attempt(action)
        else:
            self.actions.setdefault(name, []).append(action)

    def find_spec(self, name, path=None, target=None):
        if name not in self.actions or name in self.being_searched:
            return None
        self.being_searched.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.being_searched.discard(name)
        if spec is not None and spec.loader is not None:
            when_loaded(spec, functools.partial(self.run, name))
        return spec

    def run(self, name, module):
        if module is None:
            # The import failed.
            return
        for action in self.actions.pop(name, ()):
            self.attempt(action)


class Fast:
    """The fast start of one function: instruments its libraries, and then starts the providers."""

    def __init__(self, packages, environ=os.environ):
        self.settings = read_settings(environ)
        require_only_the_layers_packages(packages)
        self.environ = environ
        if self.settings.has_propagators:
            layer.serve_entry_points()
        self.spans = layer_module("lambda_otlp_spans")
        if missing := missing_methods(self.spans):
            raise NotFast(f"the function's opentelemetry-api has {' and '.join(missing)}, which came after this layer")
        sampler = self.settings.sampler
        argument = self.settings.sampler_argument
        self.sampler = self.spans.sampler_of(sampler, argument)
        if self.sampler is None:
            raise NotFast(f"OTEL_TRACES_SAMPLER is {sampler} with argument {argument}")
        self.imports = Imports(attempt)
        sys.meta_path.insert(0, self.imports)

    def instrument_libraries(self, instrument):
        """Registers each instrumentation to load after its library is imported."""
        disabled = self.settings.disabled
        if "*" in disabled:
            return
        for each in INSTRUMENTATIONS:
            if each.name not in disabled:
                self.imports.when_imported(each.on_import, functools.partial(instrument, each))
        if "threading" not in disabled:
            attempt(carry_context_into_threads, self.imports.when_imported)

    def start(self):
        """Registers the tracer provider, and the meter provider once the metrics API is imported. Returns both."""
        from opentelemetry import trace

        setup = Setup(self.settings, self.environ, self.spans, self.sampler)
        trace.set_tracer_provider(setup.tracers)
        self.imports.when_imported("opentelemetry.sdk.trace", self.spans.join_the_sdk)
        if self.settings.has_metrics:
            self.imports.when_imported("opentelemetry.metrics", setup.start_metrics)
        return setup


def missing_methods(spans):
    """Returns the names of the API's abstract methods that lambda_otlp_spans.py does not have."""
    kinds = (spans.Span, spans.Tracer, spans.TracerProvider)
    return sorted({name for kind in kinds for name in kind.__abstractmethods__})


class Setup:
    """The providers of a function with the fast start. The `Setup` of lambda_otlp_sdk.py has the same methods.

    lambda_otlp_cut_off.py makes and encodes partial spans with it.
    """

    def __init__(self, settings, environ, spans, sampler):
        self.settings = settings
        self.spans = spans
        self.partial_span = spans.PartialSpan
        self.wire = layer_module("lambda_otlp_wire")
        self.receiver_address = settings.address
        # `True` if a propagator may find the parent of an invocation in the environment.
        self.reads_environment = settings.has_propagators
        self.instance_id = uuid4()
        attributes = resource_attributes(environ, self.instance_id, say)
        self.resource = Resource(attributes, self.wire.resource_of(attributes))
        self.tracers = spans.TracerProvider(
            receiver=self.wire.Receiver(settings.address, say),
            encode=self.encode,
            resource=self.resource,
            sampler=sampler,
            flush_interval=settings.flush_interval,
            queue_size=settings.queue_size,
        )
        self.meters = None
        os.register_at_fork(after_in_child=lambda: self.renew(is_new_process=True))

    def encode(self, spans):
        return self.wire.encode_spans(self.resource.encoded, spans, say)

    def flushes(self):
        return [self.tracers.flush_invocation]

    def limit_flushes(self, current):
        """Applies one deadline to all telemetry flushed at the end of an invocation."""
        self.tracers.flush_invocation = layer_module("lambda_otlp_flush").BoundedFlush(current).deliver_to(self.tracers)

    def samples(self, trace_id, _name):
        """Returns `True` if the sampler samples a root span with this trace id."""
        return self.tracers.sampler(None, trace_id)

    def before_snapshot(self):
        self.tracers.force_flush(1000)

    def after_restore(self):
        self.renew(is_new_process=False)

    def renew(self, is_new_process):
        """Gives a forked process or a restored environment an id and metrics of its own."""
        attributes = self.resource.attributes
        # The function may have set the id.
        if attributes["service.instance.id"] == self.instance_id:
            self.instance_id = uuid4()
            attributes["service.instance.id"] = self.instance_id
            self.resource.encoded = self.wire.resource_of(attributes)
        if self.meters is not None:
            self.meters.begin_interval(is_new_process)

    def start_metrics(self):
        from opentelemetry import metrics

        self.meters = layer_module("lambda_otlp_metrics").MeterProvider(
            self.tracers, self.wire, self.spans.Scope, self.settings.temporality_preference
        )
        metrics.set_meter_provider(self.meters)
        self.tracers.collect_metrics = self.meters.collect


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
