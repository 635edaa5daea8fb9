"""Instruments a function without OpenTelemetry code. The handler becomes a SERVER span, and its calls become child spans.

When the runtime imports the handler's module, each OpenTelemetry instrumentation is registered to load with its library, so that
unused libraries cost nothing. After the module has loaded, the SDK starts with its own variables, unless the module has set up an
SDK itself. OpenTelemetry's Lambda instrumentation then wraps the handler, and flushes before the response. In most functions,
lambda_otlp_fast.py replaces the SDK and the Lambda instrumentation.

Errors here are logged to stderr, and the function runs without instrumentation.
"""

import functools
import importlib
import importlib.util
import os
import sys
from contextlib import nullcontext

# Export timeout of the SDK, in seconds, the unit of Python's SDK. An export takes milliseconds if the extension is running.
EXPORT_TIMEOUT = "1"
# Upper limit of a timeout, in seconds. No invocation lasts this long, and Python's sockets accept no infinite timeout.
MOST_SECONDS = 86400

# Longest wait of an invocation for its flush, as a share of the export timeout. The wait ends before an export times out.
LONGEST_FLUSH = 0.9
# Wait after a failed flush, in seconds. It is long enough to notice that the extension accepts exports again.
SHORTEST_FLUSH = 0.01
# Time reserved for the response before an invocation's deadline, in seconds.
RESPONSE = 0.05

# Maximum number of spans that wait for the SDK's export thread. The SDK's default is for programs that do not flush at the end of
# each request.
QUEUE_SIZE = "16384"

# Modules required to export spans. They are imported before anything is patched: if the function has another version of one package,
# the others may be incompatible.
NEEDED = (
    "opentelemetry.instrumentation.aws_lambda",
    "opentelemetry.distro",
    "opentelemetry.sdk._configuration",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
)
# Packages that only the setup of an SDK imports.
SDK = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.distro")
# Packages to check for version conflicts if an import fails.
PACKAGES = ("opentelemetry-sdk", "opentelemetry-instrumentation", "opentelemetry-exporter-otlp-proto-http")

# The import that shows that a function uses a library, by name of the instrumentation. An instrumentation not listed loads at once.
LIBRARIES = {
    "aiobotocore": "aiobotocore.client",
    "aiohttp-client": "aiohttp",
    "asyncpg": "asyncpg",
    "botocore": "botocore.client",
    "httpx": "httpx",
    "httpx2": "httpx2",
    "psycopg": "psycopg",
    "psycopg2": "psycopg2",
    "pymongo": "pymongo",
    "pymysql": "pymysql",
    "redis": "redis",
    "requests": "requests",
    "sqlalchemy": "sqlalchemy",
    "urllib": "urllib.request",
    "urllib3": "urllib3",
}

# Modules of web frameworks that call `propagate.extract` to start a request's span: FastAPI's own, and Starlette's middleware.
FRAMEWORKS = ("fastapi.telemetry._asgi", "starlette.middleware.opentelemetry")

# A module that imports these sets up an SDK or instrumentations itself.
OWN_SETUP = ("opentelemetry.sdk", "opentelemetry.instrumentation")

# Other export protocols of Python's SDK, with the entry points of their exporters.
PROTOCOLS = {"grpc": "otlp_proto_grpc"}

# Exporters of spans and of metrics. Their result shows if the extension accepted an export.
OTLP = "opentelemetry.exporter.otlp.proto"
EXPORTERS = (
    ((f"{OTLP}.http.trace_exporter", "OTLPSpanExporter"), (f"{OTLP}.grpc.trace_exporter", "OTLPSpanExporter")),
    ((f"{OTLP}.http.metric_exporter", "OTLPMetricExporter"), (f"{OTLP}.grpc.metric_exporter", "OTLPMetricExporter")),
)


def wait_for_the_handler(folder):
    """Instruments the function when the handler's module is imported. `folder` is the layer's folder."""
    # In a custom image, the runtime client takes the handler as its argument.
    handler = os.environ.get("_HANDLER") or sys.argv[-1]
    module, _, function = handler.rpartition(".")
    if module:
        sys.meta_path.insert(0, HandlerFinder(folder, module.replace("/", "."), function))


class HandlerFinder:
    """Hooks into the first import of the handler's module. Python's own finders locate the module."""

    def __init__(self, folder, module, function):
        self.folder = folder
        self.module = module
        self.function = function

    def find_spec(self, name, path=None, target=None):
        if name != self.module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            attempt(self.prepare, spec)
        return spec

    def prepare(self, spec):
        if own := own_import(spec):
            leave_alone(f"{self.module} imports {own}")
            return
        # The layer's packages come last on the path, so that they never replace a library of the function or its runtime.
        packages = os.path.join(self.folder, "python-packages")
        if os.path.isdir(packages):
            sys.path.append(packages)
        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            # The function may use the API in the layer's packages.
            return
        if fast := fast_start(packages):
            fast.instrument_libraries(instrument_library)
            for name in FRAMEWORKS:
                fast.imports.when_imported(name, lambda name=name: join_invocation(sys.modules[name]))
            self.hook(spec.loader, None, fast)
            return
        if importlib.util.find_spec("opentelemetry") is None or not has_instrumentation():
            say(
                "not instrumented: opentelemetry-distro or opentelemetry-instrumentation-aws-lambda is missing from the "
                "function's package and its layers: add lambda-otlp's Python layer, or set LAMBDA_OTLP_INSTRUMENT=off"
            )
            return
        hidden = importable(packages)
        if hidden is None:
            return
        for_libraries()
        self.hook(spec.loader, hidden)

    def hook(self, loader, hidden, fast=None):
        execute = loader.exec_module

        def exec_module(module):
            loader.exec_module = execute
            execute(module)
            attempt(start, module, self.function, hidden, fast)

        # The loader keeps its type, because programs check it.
        loader.exec_module = exec_module


def fast_start(packages):
    """Returns the start without OpenTelemetry's SDK, or `None` if the function needs the SDK."""
    module = beside("lambda_otlp_fast")
    try:
        return module.Fast(packages, beside, Bound, attempt, say)
    except module.NotFast as reason:
        if os.path.isdir(packages):
            say(f"info: the function starts with OpenTelemetry's SDK, because {reason}")
    except Exception as error:
        say(f"info: the function starts with OpenTelemetry's SDK, because the fast start failed: {error!r}")
    return None


def own_import(spec):
    """Returns the import with which the handler's module sets up telemetry, or `None`."""
    try:
        source = spec.loader.get_data(spec.origin)
    except (AttributeError, OSError, TypeError):
        return None
    # Few modules contain these names, so most need not be compiled here.
    if not any(name.encode() in source for name in OWN_SETUP):
        return None
    try:
        return next(filter(sets_up, imported(spec.loader.get_code(spec.name))), None)
    except (AttributeError, SyntaxError, ValueError):
        # The module is machine code, or does not compile. The runtime reports the latter.
        return None


def sets_up(name):
    return name in OWN_SETUP or name.startswith(tuple(f"{each}." for each in OWN_SETUP))


def imported(code):
    """Yields the modules that this code and its functions import by a dotted name. No other name in `co_names` has a dot."""
    yield from (name for name in code.co_names if "." in name)
    for constant in code.co_consts:
        if hasattr(constant, "co_names"):
            yield from imported(constant)


def leave_alone(reason):
    say(
        f"the function is not instrumented, because it sets up OpenTelemetry itself: {reason}; to instrument it, remove that setup, "
        "or set LAMBDA_OTLP_INSTRUMENT=off to keep it"
    )


def has_instrumentation():
    names = ("opentelemetry.instrumentation.aws_lambda", "opentelemetry.distro", "opentelemetry.sdk")
    try:
        return all(importlib.util.find_spec(name) for name in names)
    except ModuleNotFoundError:
        return False


def importable(packages):
    """Imports the modules in `NEEDED` and returns the SDK's. If an import fails, unloads the imported ones and returns `None`.

    The SDK's modules stay out of `sys.modules` until the function's module has loaded. If the function imports them, it sets up an
    SDK itself.
    """
    before = set(sys.modules)
    try:
        for name in NEEDED:
            importlib.import_module(name)
    except Exception as error:
        say(f"not instrumented: {misfit() or repr(error)}")
        hide(name for name in set(sys.modules) - before if is_ours(name, packages))
        # A function without its own OpenTelemetry packages keeps the API of the layer.
        others = (os.path.join(entry, "opentelemetry") for entry in sys.path if entry != packages)
        if packages in sys.path and any(map(os.path.isdir, others)):
            sys.path.remove(packages)
        return None
    forget_the_dead()
    return hide(name for name in set(sys.modules) - before if ".".join(name.split(".")[:2]) in SDK)


class Gone:
    """Stands in for a deleted protobuf message."""

    _Modified = _UpdateOneofState = staticmethod(lambda *_: None)


def forget_the_dead():
    """Replaces protobuf's weak references to deleted messages. gevent's monkey patch inspects all objects and fails on these."""
    listener = getattr(sys.modules.get("google.protobuf.internal.python_message"), "_Listener", None)
    if listener is None or importlib.util.find_spec("gevent") is None:
        return
    import gc

    for each in gc.get_objects():
        if issubclass(type(each), listener):
            try:
                each._parent_message_weakref.__class__  # noqa: B018
            except ReferenceError:
                each._parent_message_weakref = Gone


def is_ours(name, packages):
    origin = getattr(getattr(sys.modules[name], "__spec__", None), "origin", None) or ""
    return name.split(".")[0] == "opentelemetry" or origin.startswith(packages + os.sep)


def hide(names):
    hidden = {name: sys.modules.pop(name) for name in list(names)}
    for name in hidden:
        parent, _, last = name.rpartition(".")
        if parent in sys.modules:
            vars(sys.modules[parent]).pop(last, None)
    return hidden


def show(hidden):
    sys.modules.update(hidden)
    for name, module in hidden.items():
        parent, _, last = name.rpartition(".")
        setattr(sys.modules[parent], last, module)


def misfit():
    """Describes the first version conflict between packages. Returns `None` if there is none."""
    try:
        from importlib.metadata import requires, version

        from packaging.requirements import Requirement

        for package in PACKAGES:
            for requirement in map(Requirement, requires(package) or ()):
                if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                    continue
                found = version(requirement.name)
                if not requirement.specifier.contains(found, prereleases=True):
                    return f"{requirement.name} {found} is incompatible with {package} {version(package)}, which requires {requirement}"
    except Exception:
        # The caller logs the import error instead.
        pass
    return None


def entry_points(group):
    return all_entry_points().select(group=group)


@functools.cache
def all_entry_points():
    """Returns the entry points of all packages. Reading their files takes milliseconds."""
    # This import takes milliseconds, which a runtime without instrumentation saves.
    from importlib.metadata import entry_points

    return entry_points()


def for_libraries():
    """Registers each instrumentation to load after its library is imported."""
    import wrapt

    disabled = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")
    disabled = {name.strip() for name in disabled}
    for entry in entry_points("opentelemetry_instrumentor"):
        if entry.name == "aws-lambda" or disabled & {entry.name, "*"}:
            continue
        if library := LIBRARIES.get(entry.name):
            wrapt.register_post_import_hook(functools.partial(instrument_library, entry), library)
        else:
            instrument_library(entry)
    for name in FRAMEWORKS:
        wrapt.register_post_import_hook(functools.partial(attempt, join_invocation), name)


def join_invocation(framework):
    """Makes the span that a web framework starts for a request a child of the invocation's span.

    The framework searches for a parent in the headers only. It finds the invocation's parent there, or none.
    """
    from opentelemetry import context, propagate, trace

    def extract(*arguments, **named):
        found = propagate.extract(*arguments, **named)
        current, sender = trace.get_current_span(), trace.get_current_span(found).get_span_context()
        parent = getattr(current, "parent", None)
        # A request that the function sends to itself keeps its own parent.
        if not current.get_span_context().is_valid or sender.is_valid and (parent is None or parent.span_id != sender.span_id):
            return found
        return trace.set_span_in_context(current, context.Context({**context.get_current(), **found}))

    # Replaces `propagate` in this module only.
    framework.propagate = type(propagate)(propagate.__name__)
    vars(framework.propagate).update({**vars(propagate), "extract": extract})


# Instrumentations of imported libraries. The first one is being loaded.
waiting = []


def instrument_library(entry, _library=None):
    """Instruments one library after another.

    One module may contain two instrumentations. While Python loads it for the first, it may import the library of the second.
    """
    waiting.append(entry)
    if len(waiting) > 1:
        return
    while waiting:
        try:
            load_instrumentation(waiting[0])
        finally:
            del waiting[0]


def load_instrumentation(entry):
    try:
        entry.load()().instrument(raise_exception_on_conflict=True)
    except ModuleNotFoundError:
        # The function does not have the library.
        pass
    except Exception as error:
        is_missing = hasattr(error, "conflict") and not getattr(error.conflict, "found", None)
        if not is_missing:
            say(f"cannot instrument {entry.name}, so its calls have no spans: {error!r}")


def start(module, function, hidden, fast=None):
    """Starts the SDK and wraps the handler, unless the function has set up its own SDK."""
    if not hasattr(module, function):
        # The runtime reports the missing handler.
        return
    if reason := own_sdk():
        leave_alone(reason)
        return
    if fast is None:
        show(hidden)
        configure_sdk()
        setup, watching = Sdk, ()
    else:
        # Logs variables with unusable values.
        replaced()
        setup = fast.start()
        watching = (setup,)
    join_xray()
    disabled = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "")
    if {"aws-lambda", "*"} & {name.strip() for name in disabled.split(",")}:
        return
    wrap_handler(module, function, watch_deadlines(setup, *watching), setup)


def join_xray():
    """Uses X-Ray's trace id for the first root span of an invocation that X-Ray samples.

    The subsegments of X-Ray's SDK are then in the same trace.
    """
    generator = getattr(providers()[0], "id_generator", None)
    if generator is None:
        return
    generate, joined = generator.generate_trace_id, None

    def generate_trace_id():
        nonlocal joined
        header = os.environ.get("_X_AMZN_TRACE_ID", "")
        before, joined = joined, header
        return header != before and xray_trace_id(header) or generate()

    generator.generate_trace_id = generate_trace_id


def xray_trace_id(header):
    """Returns the trace id in Lambda's X-Ray header, or `None` if the invocation is not sampled."""
    fields = dict(field.strip().partition("=")[::2] for field in header.split(";"))
    parts = fields.get("Root", "").split("-")
    if fields.get("Sampled") != "1" or [len(part) for part in parts] != [1, 8, 24]:
        return None
    try:
        return int(parts[1] + parts[2], 16)
    except ValueError:
        return None


class Sdk:
    """The setup steps for OpenTelemetry's SDK. The fast start has its own."""

    @staticmethod
    def instrument(module, name):
        """Wraps the handler with OpenTelemetry's Lambda instrumentation."""
        from opentelemetry.instrumentation.aws_lambda import AwsLambdaInstrumentor

        # The instrumentation wraps the handler that this variable names. It reads the variable only in this call.
        with variables(ORIG_HANDLER=f"{module.__name__}.{name}"):
            AwsLambdaInstrumentor().instrument(skip_dep_check=True)

    @staticmethod
    def flushes():
        return [provider.force_flush for provider in providers() if hasattr(provider, "force_flush")]

    @staticmethod
    def bound_flushes(calls):
        """Applies one deadline to all flushes at the end of an invocation. SDKs have at most one for each batch."""
        for provider, exporter_names in zip(providers(), EXPORTERS):
            if flush := getattr(provider, "force_flush", None):
                bound = Bound(calls)
                provider.force_flush = functools.partial(bound.flush, flush)
                for module, name in exporter_names:
                    if exporter := getattr(sys.modules.get(module), name, None):
                        exporter.export = noted(exporter.export, bound)


def providers():
    """Returns the tracer provider, and the meter provider if the metrics API has been imported."""
    from opentelemetry import trace

    metrics = sys.modules.get("opentelemetry.metrics")
    return [trace.get_tracer_provider(), *([metrics.get_meter_provider()] if metrics else [])]


def own_sdk():
    """Returns evidence that the function set up an SDK while it loaded, or `None`."""
    from opentelemetry import trace

    if "opentelemetry.sdk.trace" in sys.modules:
        return f"{user_of_the_sdk() or 'one of its modules'} imports opentelemetry.sdk"
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        return None
    return f"its tracer provider is {type(provider).__module__}.{type(provider).__qualname__}"


def user_of_the_sdk():
    """Returns the first module outside OpenTelemetry that contains a class or module of the SDK, or `None`."""
    kinds = (type, type(sys))
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "opentelemetry" or not isinstance(module, type(sys)):
            continue
        # Only classes and modules are inspected, because inspecting other objects can run a library's code.
        values = [value for value in list(vars(module).values()) if issubclass(type(value), kinds)]
        origins = [vars(value).get("__module__" if isinstance(value, type) else "__name__") for value in values]
        if any(sets_up(str(origin)) for origin in origins):
            return name
    return None


def configure_sdk():
    """Starts the SDK. The distribution sets defaults of OpenTelemetry's variables, and its configurator reads them."""
    from opentelemetry.instrumentation.version import __version__

    chosen("opentelemetry_distro", "OTEL_PYTHON_DISTRO", "distro").load()().configure()
    configurator = chosen("opentelemetry_configurator", "OTEL_PYTHON_CONFIGURATOR", "configurator")
    defaults = {"OTEL_EXPORTER_OTLP_TIMEOUT": EXPORT_TIMEOUT, "OTEL_BSP_MAX_QUEUE_SIZE": QUEUE_SIZE}
    defaults = {name: os.environ.get(name, value) for name, value in defaults.items()}
    with variables(**{**defaults, **replaced()}):
        configurator.load()().configure(auto_instrumentation_version=__version__)


def chosen(group, variable, usual):
    """Returns the entry point that the variable names, or else the one from `opentelemetry-distro`.

    Other packages of the function may have entry points in the same group: `aws-opentelemetry-distro` exports to X-Ray's daemon.
    """
    found = {entry.name: entry for entry in entry_points(group)}
    asked = os.environ.get(variable, usual)
    if asked not in found:
        say(f"{variable} names {asked}, which is not installed; using {usual}")
    return found.get(asked, found[usual])


def replaced():
    """Returns new values for variables that would stop the SDK from starting: a package is missing, or a timeout is invalid."""
    replaced = {}
    if os.environ.get("OTEL_CONFIG_FILE") and importlib.util.find_spec("opentelemetry.configuration") is None:
        say("OTEL_CONFIG_FILE is ignored, because opentelemetry-configuration is not installed; the other OTEL_… variables apply")
        replaced["OTEL_CONFIG_FILE"] = ""
    for signal in ("", "TRACES_", "METRICS_", "LOGS_"):
        name = f"OTEL_EXPORTER_OTLP_{signal}PROTOCOL"
        asked = os.environ.get(name, "").strip()
        if asked in ("", "http/protobuf"):
            continue
        if PROTOCOLS.get(asked) not in {entry.name for entry in entry_points("opentelemetry_traces_exporter")}:
            say(f"{name} is {asked}, but the function has no exporter for it; using http/protobuf: install the exporter, or remove the variable")
            replaced[name] = "http/protobuf"
    for signal in ("", "TRACES_", "METRICS_"):
        name = f"OTEL_EXPORTER_OTLP_{signal}TIMEOUT"
        asked = os.environ.get(name, "").strip()
        if asked and seconds(asked) is None:
            say(f"{name} must be a number of seconds above 0, got {asked}; using {EXPORT_TIMEOUT}")
            replaced[name] = EXPORT_TIMEOUT
    return replaced


def seconds(text):
    """Parses a timeout in seconds. Returns `None` if no export can succeed within it."""
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < MOST_SECONDS else None


def watch_deadlines(setup, *kind):
    """Exports telemetry before an invocation times out. Returns `None` if this cannot be set up."""
    flushes = setup.flushes()

    def flush():
        for each in flushes:
            each()

    try:
        return beside("lambda_otlp_cut_off").watch(providers()[0], flush, say, *kind)
    except Exception as error:
        say(f"cannot watch deadlines, so a timeout loses the invocation's spans: {error!r}")
        return None


@functools.cache
def beside(name):
    """Loads a module from the layer's folder, which is not on the path."""
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wrap_handler(module, name, watch=None, setup=Sdk):
    """Wraps the handler with the instrumentation. If the instrumentation cannot read an event, the handler still runs.

    `watch` is notified when an invocation begins and when its handler has ended.
    """
    from opentelemetry import trace

    handler = getattr(module, name)
    # The state of the current invocation, for each thread that serves invocations.
    calls = importlib.import_module("threading").local()

    def watched():
        try:
            calls.invocation = watch and watch.begin(calls.context)
        except Exception as error:
            say(f"cannot watch the deadline: if this invocation times out, its open spans are lost: {error!r}")

    is_inferred = os.environ.get("LAMBDA_OTLP_INFERRED_SPANS", "").strip().lower() in ("true", "1")

    def wait(event):
        beside("lambda_otlp_messages").wait(event)

    def consume(event):
        """Starts a span for the event's messages, unless the instrumentation has started one, and adds links to the senders."""
        if not isinstance(event, dict) or not {"Records", "records", "detail-type"} & event.keys():
            return
        messages = beside("lambda_otlp_messages")
        calls.consumer = messages.consumer(event)
        if isinstance(event.get("Records"), list):
            messages.link(event["Records"], calls.consumer or trace.get_current_span())

    def unwatched():
        if invocation := calls.__dict__.pop("invocation", None):
            watch.end(invocation)

    def spans_to_mark():
        spans = [trace.get_current_span()]
        if invocation := calls.__dict__.get("invocation"):
            # The current span may be the messages' span, a child of the root.
            root = watch.root_of(invocation)
            spans += [root] if root is not None and root is not spans[0] else []
        return spans

    def describe_error(error):
        """Marks the spans as failed. OpenTelemetry's instrumentation records an `Exception`, but not the `SystemExit` of `sys.exit`."""
        for span in spans_to_mark():
            span.set_attribute("error.type", type(error).__name__)
            if not isinstance(error, Exception):
                span.record_exception(error)
                span.set_status(trace.Status(trace.StatusCode.ERROR, f"{type(error).__name__}: {error}"))

    def describe_result(result):
        """Marks the spans as failed if the result reports a failure. OpenTelemetry's instrumentation takes it for a success."""
        if not isinstance(result, dict):
            return
        status, messages = result.get("statusCode"), result.get("batchItemFailures")
        if isinstance(status, str) and status.isascii() and status.isdigit():
            status = int(status)
        if isinstance(messages, list) and messages:
            message = f"{len(messages)} of the batch's messages failed; Lambda delivers them again"
            attributes = {"error.type": "batch_item_failures", "aws.lambda.batch_item_failures": len(messages)}
        elif isinstance(status, int) and status >= 500:
            message, attributes = None, {"error.type": str(status)}
        else:
            return
        for span in spans_to_mark():
            for name, value in attributes.items():
                span.set_attribute(name, value)
            span.set_status(trace.Status(trace.StatusCode.ERROR, message))

    def flush_at_exit():
        """Exports all spans when the process exits. The SDK would only do so after the function's threads have ended."""
        if watch:
            watch.leave()
        for flush in setup.flushes():
            flush()

    @functools.wraps(handler, updated=())
    def entered(*arguments, **named):
        calls.state = "entered"
        if arguments and is_inferred:
            attempt(wait, arguments[0])
        if arguments:
            attempt(consume, arguments[0])
        consumer = calls.__dict__.get("consumer")
        span = trace.use_span(consumer, end_on_exit=True) if consumer else nullcontext()
        try:
            with span:
                calls.result = handler(*arguments, **named)
                attempt(describe_result, calls.result)
        except BaseException as error:
            calls.state = "raised"
            calls.error = error
            attempt(describe_error, error)
            raise
        finally:
            unwatched()
        calls.state = "returned"
        return calls.result

    setattr(module, name, entered)
    try:
        setup.instrument(module, name)
    except Exception:
        setattr(module, name, handler)
        raise
    instrumented = getattr(module, name)
    setup.bound_flushes(calls)

    @functools.wraps(handler, updated=())
    def guarded(*arguments, **named):
        if calls.__dict__:
            # The handler calls itself within an invocation.
            return handler(*arguments, **named)
        calls.state = "begun"
        calls.context = arguments[1] if len(arguments) > 1 else None
        watched()
        try:
            return instrumented(*arguments, **named)
        except BaseException as error:
            if not isinstance(error, Exception):
                attempt(flush_at_exit)
            if calls.state == "raised":
                # Below the frame of this function, the traceback in the log has only the frames of the user's code.
                raise calls.error.with_traceback(frames_below(entered, calls.error))
            if calls.state == "entered":
                raise
            say(f"cannot create the invocation's span: {error!r}")
            if calls.state == "returned":
                return calls.result
            from opentelemetry.instrumentation.utils import suppress_instrumentation

            # The handler's calls would become spans without an invocation, exported with the spans of the next one.
            with suppress_instrumentation():
                return handler(*arguments, **named)
        finally:
            unwatched()
            # The result and the frames of an error must not stay in memory until the next invocation.
            calls.__dict__.clear()

    setattr(module, name, handler)
    hand_over(module, name, guarded)


def hand_over(module, name, wrapped):
    """Gives the wrapped handler to the next reader of the module's attribute, the runtime.

    All other code keeps the original handler, which may be an object with attributes of its own.
    """
    kind = type(module)

    def take(module):
        module.__class__ = kind
        return wrapped

    def replace(module, value):
        module.__class__ = kind
        setattr(module, name, value)

    try:
        module.__class__ = type(kind.__name__, (kind,), {name: property(take, replace)})
    except TypeError:
        # Only the class of a module can change. The function may have put another object in its place.
        setattr(module, name, wrapped)


def noted(export, bound):
    """Wraps `export` to note its result, because the SDK's flush does not return it."""

    @functools.wraps(export)
    def noting(*arguments, **named):
        result = export(*arguments, **named)
        bound.note(getattr(result, "name", None) == "SUCCESS")
        return result

    return noting


def frames_below(function, error):
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code is not function.__code__:
        traceback = traceback.tb_next
    return traceback and traceback.tb_next


class Bound:
    """Flushes one provider in a thread, and stops waiting for it at the deadline."""

    def __init__(self, calls):
        self.calls = calls
        said = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT") or os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT")
        self.longest = (seconds(said) or 1) * LONGEST_FLUSH
        self.is_in_time = True
        self.running = None
        self.accepted = self.refused = 0

    def note(self, is_accepted):
        if is_accepted:
            self.accepted += 1
        else:
            self.refused += 1

    def flush(self, flush, *arguments, **named):
        if self.calls.__dict__.get("state") not in ("returned", "raised"):
            # The function itself flushes, with its own timeout.
            return flush(*arguments, **named)
        import threading
        import time

        last, wait_until = self.limits(time.monotonic())
        # An earlier flush must end first. At most one runs at a time.
        if self.running is not None:
            self.running.join(max(0, wait_until - time.monotonic()))
        if time.monotonic() >= last or self.running is not None and self.running.is_alive():
            # The next invocation flushes the rest.
            self.is_in_time = False
            return False
        self.running = threading.Thread(target=self.run, args=(flush, arguments, named), name="lambda-otlp-flush", daemon=True)
        self.running.start()
        self.running.join(max(0, wait_until - time.monotonic()))
        if self.running.is_alive():
            self.is_in_time = False
            return False
        return True

    def deliver_to(self, provider):
        """Returns a flush for a provider that stops by itself at the deadline."""
        import time

        def flush():
            self.is_in_time = provider.flush(self.limits(time.monotonic())[1])

        return flush

    def run(self, flush, arguments, named):
        import time

        begun, accepted, refused = time.monotonic(), self.accepted, self.refused
        try:
            flush(*arguments, **named)
        except Exception as error:
            self.refused += 1
            say(f"cannot export the invocation's telemetry: {error!r}")
        if self.refused > refused:
            # This includes an immediate failure, because the next attempt may use its whole timeout.
            self.is_in_time = False
        elif self.accepted > accepted or self.accepted + self.refused == 0:
            # A custom exporter reports no result. Only the duration of the flush is known.
            self.is_in_time = time.monotonic() - begun < self.longest

    def limits(self, now):
        """Returns the latest start of a flush, and the end of the wait for it."""
        begun = self.calls.__dict__.setdefault("flushes_begun", now)
        last = begun + self.longest
        try:
            last = min(last, now + self.calls.context.get_remaining_time_in_millis() / 1000 - RESPONSE)
        except Exception:
            # A context without a remaining time has no deadline.
            pass
        return last, last if self.is_in_time else min(last, begun + SHORTEST_FLUSH)


class variables:
    """Sets environment variables for the duration of a `with` block. The function sees its own values."""

    def __init__(self, **values):
        self.values = values

    def __enter__(self):
        self.before = {name: os.environ.get(name) for name in self.values}
        os.environ.update(self.values)

    def __exit__(self, *_):
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def attempt(action, *arguments):
    try:
        action(*arguments)
    except Exception as error:
        say(f"instrumentation failed, the function continues without it: {error!r}")


def say(text):
    print(f"lambda-otlp-handler: {text}", file=sys.stderr, flush=True)
