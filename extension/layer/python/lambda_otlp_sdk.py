"""Starts OpenTelemetry's SDK and the instrumentations of the function's package, for functions without the fast start."""

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
import warnings

from lambda_otlp_load import attempt, layer_module, library, say
from lambda_otlp_variables import EXPORT_TIMEOUT, UnchangedVariables, disabled_instrumentations, replacements, variables

packages = layer_module("lambda_otlp_packages")
threads = layer_module("lambda_otlp_threads")

# Maximum number of spans that wait for the SDK's export thread. The SDK's default is for programs that do not flush at the end of
# each request.
QUEUE_SIZE = "16384"

# Modules required to export spans. They are imported before anything is patched: if the function has another version of one
# package, the others may be incompatible.
NEEDED = (
    "opentelemetry.instrumentation",
    "opentelemetry.distro",
    "opentelemetry.sdk._configuration",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
)

# Packages to check for version conflicts if an import fails.
PACKAGES = ("opentelemetry-sdk", "opentelemetry-instrumentation", "opentelemetry-exporter-otlp-proto-http")

# The SDK's generator of ids, and the one in `opentelemetry-sdk-extension-aws`. Both call functions of the module `random`.
ID_GENERATORS = ("opentelemetry.sdk.trace.id_generator", "opentelemetry.sdk.extension.aws.trace.aws_xray_id_generator")

# Exporters of spans and of metrics, by the names of their modules. Their result shows if the extension accepted an export.
OTLP = "opentelemetry.exporter.otlp.proto"
SPAN_EXPORTERS = {
    f"{OTLP}.http.trace_exporter": "OTLPSpanExporter",
    f"{OTLP}.grpc.trace_exporter": "OTLPSpanExporter",
}
METRIC_EXPORTERS = {
    f"{OTLP}.http.metric_exporter": "OTLPMetricExporter",
    f"{OTLP}.grpc.metric_exporter": "OTLPMetricExporter",
}


@contextlib.contextmanager
def quiet():
    """Keeps the function's filters of warnings, to which packages add theirs, and prints no warning of these packages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def has_instrumentation():
    names = ("opentelemetry.instrumentation", "opentelemetry.distro", "opentelemetry.sdk")
    try:
        return all(importlib.util.find_spec(name) for name in names)
    except ModuleNotFoundError:
        return False


@quiet()
def import_needed():
    """Imports the modules in `NEEDED`. If an import fails, says so, unloads the imported ones and returns `False`."""
    before = set(sys.modules)
    try:
        if packages.folder:
            packages.serve_entry_points()
        for name in NEEDED:
            library(name)
    except Exception as error:
        say(f"not instrumented: {version_conflict() or repr(error)}")
        unload(name for name in set(sys.modules) - before if is_ours(name))
        return False
    replace_dead_references()
    return True


# Libraries that patch Python's modules for their greenlets.
GREENLET_LIBRARIES = ("eventlet", "gevent")


class DeletedMessage:
    """Stands in for a deleted protobuf message."""

    _Modified = _UpdateOneofState = staticmethod(lambda *_: None)


def replace_dead_references():
    """Replaces protobuf's weak references to deleted messages.

    The patches of `GREENLET_LIBRARIES` inspect all objects and fail on these.
    """
    listener = getattr(loaded("google.protobuf.internal.python_message"), "_Listener", None)
    if listener is None or not any(map(importlib.util.find_spec, GREENLET_LIBRARIES)):
        return
    import gc

    for each in gc.get_objects():
        if issubclass(type(each), listener):
            try:
                each._parent_message_weakref.__class__  # noqa: B018
            except ReferenceError:
                each._parent_message_weakref = DeletedMessage


def is_ours(name):
    return name.split(".")[0] in ("opentelemetry", "lambda_otlp_packages")


def unload(names):
    for name in list(names):
        module = sys.modules.pop(name)
        parent_name, _, attribute = name.rpartition(".")
        parent = sys.modules.get(parent_name)
        if getattr(parent, "__dict__", {}).get(attribute) is module:
            delattr(parent, attribute)


def version_conflict():
    """Describes the first version conflict between packages. Returns `None` if there is none."""
    try:
        distribution = packages.distribution
        # The layer's packages fit each other.
        Requirement = importlib.import_module("packaging.requirements").Requirement
        for package in map(distribution, PACKAGES):
            for requirement in map(Requirement, package.requires or ()):
                if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                    continue
                found = distribution(requirement.name).version
                if not requirement.specifier.contains(found, prereleases=True):
                    return (
                        f"{requirement.name} {found} is incompatible with {package.name} {package.version}, "
                        f"which requires {requirement}: update the function's OpenTelemetry packages, "
                        "or set LAMBDA_OTLP_INSTRUMENT=off"
                    )
    except Exception:
        # The caller logs the import error instead.
        pass
    return None


@quiet()
def instrument_libraries(load):
    """Registers each instrumentation to load after its library is imported. One of an unknown library loads at once.

    Returns the names of all instrumentations, and of disabled ones.
    """
    disabled = disabled_instrumentations()
    fast = layer_module("lambda_otlp_fast")
    import_of = {each.name: each.on_import for each in fast.INSTRUMENTATIONS}
    found = list(packages.entry_points(packages.INSTRUMENTOR))
    for entry in found:
        if entry.name == "aws-lambda" or disabled & {entry.name, "*"}:
            continue
        if entry.name == "threading" and entry.value.startswith(f"{packages.NAME}."):
            attempt(fast.carry_context_into_threads, when_imported)
        elif entry.name in import_of:
            when_imported(import_of[entry.name], functools.partial(load, entry))
        else:
            load(entry)
    return disabled | {entry.name for entry in found}


def when_imported(name, action):
    library("wrapt").register_post_import_hook(lambda _: attempt(action), name)


@quiet()
def configure():
    """Starts the SDK. The distribution sets defaults of OpenTelemetry's variables, and its configurator reads them."""
    with UnchangedVariables():
        start()
    for provider in providers():
        for name in ("get_tracer", "get_meter"):
            if get := getattr(provider, name, None):
                setattr(provider, name, with_public_name(get))
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        use_system_random()


def start():
    """Configures the distribution and the SDK."""
    distro = chosen_entry_point("opentelemetry_distro", "OTEL_PYTHON_DISTRO", "distro")
    distro.load()().configure()
    configurator = chosen_entry_point("opentelemetry_configurator", "OTEL_PYTHON_CONFIGURATOR", "configurator")
    defaults = {"OTEL_EXPORTER_OTLP_TIMEOUT": EXPORT_TIMEOUT, "OTEL_BSP_MAX_QUEUE_SIZE": QUEUE_SIZE}
    values = {name: os.environ.get(name, default) for name, default in defaults.items()}
    with variables(**{**values, **replacements()}), UnlistedThreads():
        configurator.load()().configure(auto_instrumentation_version=library("opentelemetry.instrumentation.version").__version__)


# Modules of the SDK that start threads: the name that they use, and its value with our threads.
THREADS = (
    ("opentelemetry.sdk._shared_internal", "threading"),
    ("opentelemetry.sdk.trace.export", "threading"),
    ("opentelemetry.sdk.metrics._internal.export", "Thread"),
)


class Unlisted:
    """A `Background` thread with the interface of `threading.Thread`, for OpenTelemetry's SDK."""

    def __init__(self, group=None, target=None, name=None, args=(), kwargs=None, *, daemon=None):
        self.name = name
        self.daemon = daemon
        self.target = functools.partial(target, *args, **kwargs or {})
        self.background = None

    def start(self):
        self.background = threads.Background(self.target)

    def is_alive(self):
        return self.background is not None and self.background.is_alive()

    def join(self, timeout=None):
        if self.background is not None:
            self.background.join(timeout)


class UnlistedThreads:
    """Lets the SDK start threads that `threading` does not list. A function may join all listed threads."""

    def __enter__(self):
        self.restore = []
        for name, attribute in THREADS:
            module = loaded(name)
            if original := getattr(module, attribute, None):
                self.restore.append(functools.partial(setattr, module, attribute, original))
                setattr(module, attribute, Unlisted if attribute == "Thread" else unlisted_threads(original))

    def __exit__(self, *_):
        if packages.folder:
            # A forked process starts the threads again.
            return
        for restore in self.restore:
            restore()


def unlisted_threads(threading):
    """Returns a copy of the module `threading` with the layer's threads."""
    copy = type(threading)(threading.__name__)
    vars(copy).update({**vars(threading), "Thread": Unlisted})
    return copy


def loaded(name):
    """Returns a loaded module of OpenTelemetry's packages, or `None`."""
    return sys.modules.get(packages.private(name))


def with_public_name(get):
    """Wraps a method that creates a tracer or meter. Instrumentations pass their module's name as the name of the scope."""

    @functools.wraps(get)
    def get_named(name, *arguments, **named):
        return get(packages.public(name), *arguments, **named)

    return get_named


def use_system_random():
    """Lets the SDK's id generators draw from the system.

    Environments restored from one snapshot have the same state of Python's random numbers, and would create the same ids.
    """
    from random import SystemRandom

    for name in ID_GENERATORS:
        if generator := loaded(name):
            generator.random = SystemRandom()


def chosen_entry_point(group, variable, usual):
    """Returns the entry point that the variable names, or else the one from `opentelemetry-distro`.

    Other packages of the function may have entry points in the same group: `aws-opentelemetry-distro` exports to X-Ray's daemon.
    """
    found = {entry.name: entry for entry in packages.entry_points(group)}
    asked = os.environ.get(variable, usual)
    if asked not in found:
        say(f"{variable} names {asked}, which is not installed; using {usual}")
    return found.get(asked, found[usual])


def with_noted_result(export, bounded):
    """Wraps `export` to note its result, because the SDK's flush does not return it."""

    @functools.wraps(export)
    def export_and_note(*arguments, **named):
        result = export(*arguments, **named)
        bounded.note(getattr(result, "name", None) == "SUCCESS")
        threads.unlist()
        return result

    return export_and_note


def providers():
    """Returns the tracer provider, and the meter provider if the metrics API has been imported."""
    from opentelemetry import trace

    metrics = sys.modules.get("opentelemetry.metrics")
    return [trace.get_tracer_provider(), *([metrics.get_meter_provider()] if metrics else [])]


class Setup:
    """The providers of a function with OpenTelemetry's SDK. The `Setup` of lambda_otlp_fast.py has the same methods.

    lambda_otlp_cut_off.py makes and encodes partial spans with it.
    """

    # A propagator of the SDK may find the parent of an invocation in the environment.
    reads_environment = True

    @property
    def receiver_address(self):
        return local_receiver(os.environ)

    @staticmethod
    def flushes():
        return [provider.force_flush for provider in providers() if hasattr(provider, "force_flush")]

    @staticmethod
    def limit_flushes(current):
        """Applies one deadline to all flushes at the end of an invocation. SDKs have at most one for each batch."""
        for provider, exporters in zip(providers(), (SPAN_EXPORTERS, METRIC_EXPORTERS)):
            if flush := getattr(provider, "force_flush", None):
                bounded = layer_module("lambda_otlp_flush").BoundedFlush(current)
                provider.force_flush = functools.partial(bounded.flush, flush)
                for module, name in exporters.items():
                    if exporter := getattr(loaded(module), name, None):
                        exporter.export = with_noted_result(exporter.export, bounded)

    @staticmethod
    def samples(trace_id, name):
        """Returns `True` if the sampler samples a root span with this trace id."""
        sampler = getattr(providers()[0], "sampler", None)
        return sampler is None or sampler.should_sample(None, trace_id, name).decision.is_sampled()

    def before_snapshot(self):
        for flush in self.flushes():
            flush()

    def after_restore(self):
        """Does nothing: the SDK's resource, with the id of the instance, cannot change."""

    @staticmethod
    def partial_span(**fields):
        return library("opentelemetry.sdk.trace").ReadableSpan(**fields)

    @staticmethod
    def encode(spans):
        return library("opentelemetry.exporter.otlp.proto.common.trace_encoder").encode_spans(spans).SerializeToString()


def local_receiver(environ):
    """Returns the extension's host and port if spans are exported there. Other receivers cannot identify partial spans."""
    exporters = environ.get("OTEL_TRACES_EXPORTER", "otlp").split(",")
    if not any(name.strip().startswith("otlp") for name in exporters):
        return None
    endpoint = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        return None
    return parts.hostname, port or 80
