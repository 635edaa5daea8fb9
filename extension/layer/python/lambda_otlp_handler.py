"""Instruments a function that knows nothing of it: its handler is a SERVER span, and what it calls are children.

When the runtime imports the handler's module, OpenTelemetry's instrumentations are made ready, each for the moment when its
library is imported, so that what the function does not use costs nothing. When the module has been loaded and has not set an
SDK up by itself, the SDK is started by its own variables, and the handler wrapped by OpenTelemetry's instrumentation of Lambda,
which also flushes before the response.

Whatever goes wrong here is a line on stderr, and the function runs without.
"""

import functools
import importlib
import importlib.util
import os
import sys

# How long the SDK may try to hand an export to the extension, which takes milliseconds where it is there at all. Python's SDK
# counts it in seconds.
EXPORT_TIMEOUT = "1"

# Which import shows that a function uses a library, by the name of its instrumentation. An instrumentation that is not among
# these is loaded at once.
LIBRARIES = {
    "aiobotocore": "aiobotocore.client",
    "aiohttp-client": "aiohttp",
    "asyncpg": "asyncpg",
    "botocore": "botocore.client",
    "httpx": "httpx",
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

# What a module names that sets an SDK or its instrumentations up by itself.
OWN_SETUP = (b"opentelemetry.sdk", b"opentelemetry.instrumentation")


def wait_for_the_handler(folder):
    """Acts when the handler's module is imported. `folder` is the layer's own."""
    # A runtime client in an image of one's own takes the handler as its argument.
    handler = os.environ.get("_HANDLER") or sys.argv[-1]
    module, _, function = handler.rpartition(".")
    if module and os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true":
        sys.meta_path.insert(0, HandlerFinder(folder, module.replace("/", "."), function))


class HandlerFinder:
    """Finds the handler's module, once, as Python would."""

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
        if sets_itself_up(spec):
            return
        # Behind all others: a library that the function or its runtime has is never replaced by one of ours.
        packages = os.path.join(self.folder, "python-packages")
        if os.path.isdir(packages):
            sys.path.append(packages)
        if importlib.util.find_spec("opentelemetry") is None or not has_instrumentation():
            say(
                "without instrumentation: opentelemetry-distro or opentelemetry-instrumentation-aws-lambda is neither among the "
                "function's packages nor in a layer: add lambda-otlp's Python layer, or set LAMBDA_OTLP_INSTRUMENT=off"
            )
            return
        for_libraries()
        loader = spec.loader
        execute = loader.exec_module

        def exec_module(module):
            loader.exec_module = execute
            execute(module)
            attempt(start, module, self.function)

        # The loader stays the one that Python chose: programs look at its type.
        loader.exec_module = exec_module


def sets_itself_up(spec):
    """Whether the source of the handler's module names what sets telemetry up."""
    try:
        source = spec.loader.get_data(spec.origin)
    except (AttributeError, OSError, TypeError):
        return False
    return any(name in source for name in OWN_SETUP)


def has_instrumentation():
    names = ("opentelemetry.instrumentation.aws_lambda", "opentelemetry.distro", "opentelemetry.sdk")
    try:
        return all(importlib.util.find_spec(name) for name in names)
    except ModuleNotFoundError:
        return False


def entry_points(group):
    # Milliseconds to import, for a runtime that starts without instrumentation too.
    from importlib.metadata import entry_points

    return entry_points(group=group)


def for_libraries():
    """Has each instrumentation wait for its library."""
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


def instrument_library(entry, _library=None):
    try:
        entry.load()().instrument(raise_exception_on_conflict=True)
    except ModuleNotFoundError:
        # The function does not have the library.
        pass
    except Exception as error:
        is_missing = hasattr(error, "conflict") and not getattr(error.conflict, "found", None)
        if not is_missing:
            say(f"calls of {entry.name} have no spans: {error!r}")


def start(module, function):
    """Starts the SDK and wraps the handler, unless the function has an SDK of its own by now."""
    from opentelemetry import trace

    has_provider = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    if has_provider or "opentelemetry.sdk.trace" in sys.modules or not hasattr(module, function):
        return
    configure_sdk()
    disabled = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "")
    if {"aws-lambda", "*"} & {name.strip() for name in disabled.split(",")}:
        return
    wrap_handler(module, function)


def configure_sdk():
    """The distribution sets the defaults of OpenTelemetry's variables, and its configurator reads them."""
    from opentelemetry.instrumentation.version import __version__

    if distro := chosen("opentelemetry_distro", "OTEL_PYTHON_DISTRO"):
        distro.load()().configure()
    configurator = chosen("opentelemetry_configurator", "OTEL_PYTHON_CONFIGURATOR")
    with variables(OTEL_EXPORTER_OTLP_TIMEOUT=os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT", EXPORT_TIMEOUT)):
        configurator.load()().configure(auto_instrumentation_version=__version__)


def chosen(group, variable):
    """The entry point that a variable names, else the first."""
    asked = os.environ.get(variable)
    return next((entry for entry in entry_points(group) if asked in (None, entry.name)), None)


def wrap_handler(module, name):
    """An event that OpenTelemetry's instrumentation cannot read fails no invocation: the handler is called all the same."""
    from opentelemetry.instrumentation.aws_lambda import AwsLambdaInstrumentor
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    handler = getattr(module, name)
    # One for each thread that serves invocations.
    calls = importlib.import_module("threading").local()

    @functools.wraps(handler, updated=())
    def entered(*arguments, **named):
        calls.state = "entered"
        try:
            calls.result = handler(*arguments, **named)
        except BaseException as error:
            # What the function's log shows of a failure begins with the function's own frames.
            calls.traceback = error.__traceback__.tb_next
            raise
        calls.state = "returned"
        return calls.result

    setattr(module, name, entered)
    try:
        # It wraps what this variable names, and reads it now.
        with variables(ORIG_HANDLER=f"{module.__name__}.{name}"):
            AwsLambdaInstrumentor().instrument(skip_dep_check=True)
    except Exception:
        setattr(module, name, handler)
        raise
    instrumented = getattr(module, name)

    @functools.wraps(handler, updated=())
    def guarded(*arguments, **named):
        calls.__dict__.clear()
        try:
            return instrumented(*arguments, **named)
        except BaseException as error:
            if (traceback := calls.__dict__.get("traceback")) is not None:
                raise error.with_traceback(traceback)
            say(f"an invocation has no span: {error!r}")
        if calls.__dict__.get("state") == "returned":
            return calls.result
        # Its calls would be spans of no invocation, written with the next one's.
        with suppress_instrumentation():
            return handler(*arguments, **named)

    setattr(module, name, guarded)


class variables:
    """Variables of the environment, as long as somebody reads them; the function sees its own."""

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
        say(f"instrumentation failed, the function goes on: {error!r}")


def say(text):
    print(f"lambda-otlp-handler: {text}", file=sys.stderr, flush=True)
