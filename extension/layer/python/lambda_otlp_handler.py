"""Instruments a function without OpenTelemetry code. The handler becomes a SERVER span, and its calls become child spans.

When the runtime imports the handler's module, each OpenTelemetry instrumentation is registered to load with its library, so that
unused libraries cost nothing. After the module has loaded, the SDK starts with its own variables, unless the module has
registered a tracer provider itself. lambda_otlp_wrap.py then wraps the handler, and flushes before the response. In most
functions, lambda_otlp_fast.py replaces the SDK.

Errors here are logged to stderr, and the function runs without instrumentation.
"""

import importlib.util
import os
import sys

from lambda_otlp_load import attempt, layer_module, say, when_loaded
from lambda_otlp_variables import disabled_instrumentations, replacements, stability_opt_in, variables

# Modules of web frameworks that call `propagate.extract` to start a request's span: FastAPI's own, and Starlette's middleware.
FRAMEWORKS = ("fastapi.telemetry._asgi", "starlette.middleware.opentelemetry")


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
        if own := own_folder():
            leave_alone(f"{own} contains opentelemetry.sdk")
            return
        folder = os.path.join(self.folder, "python-packages")
        packages = layer_module("lambda_otlp_packages")
        if os.path.isdir(folder):
            packages.install(folder)
        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            # The function may use the API in the layer's packages.
            return
        fast = fast_start(folder)
        if fast is not None:
            fast.instrument_libraries(instrument_library)
            when_imported = fast.imports.when_imported
            not_the_layers = fast.settings.disabled
        elif import_the_sdk(packages):
            sdk = layer_module("lambda_otlp_sdk")
            when_imported = sdk.when_imported
            not_the_layers = sdk.instrument_libraries(instrument_library)
        else:
            return
        instrument_clients(when_imported, not_the_layers)
        join_frameworks(when_imported)
        self.start_when_loaded(spec, fast)

    def start_when_loaded(self, spec, fast):
        if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            attempt(follow_snapshots)

        def loaded(module):
            if module is not None:
                # The module may have put another object in its place.
                attempt(start, module, self.function, fast)
            elif error := sys.exc_info()[1]:
                attempt(layer_module("lambda_otlp_frames").cut, error)

        when_loaded(spec, loaded)


def fast_start(packages):
    """Returns the start without OpenTelemetry's SDK, or `None` if the function needs the SDK."""
    module = layer_module("lambda_otlp_fast")
    try:
        return module.Fast(packages)
    except module.NotFast as reason:
        if os.path.isdir(packages):
            say(f"info: the function starts with OpenTelemetry's SDK, because {reason}")
    except Exception as error:
        say(f"info: the function starts with OpenTelemetry's SDK, because the fast start failed: {error!r}")
    return None


def import_the_sdk(packages):
    """Imports OpenTelemetry's SDK: the function's if it has instrumentation, or else the layer's.

    Returns `False`, and says why, if there is no SDK that works.
    """
    sdk = layer_module("lambda_otlp_sdk")
    if importlib.util.find_spec("opentelemetry") is not None and sdk.has_instrumentation():
        packages.uninstall()
    elif not packages.folder:
        say(
            "not instrumented: opentelemetry-distro is missing from the "
            "function's package and its layers: add lambda-otlp's Python layer, or set LAMBDA_OTLP_INSTRUMENT=off"
        )
        return False
    elif not packages.fits_the_sdk():
        say(
            f"not instrumented: the function's opentelemetry-api {packages.api_version()} does not fit OpenTelemetry's SDK "
            f"{packages.version_of('opentelemetry/sdk')} of the layer: update opentelemetry-api, "
            "remove what needs the SDK, or set LAMBDA_OTLP_INSTRUMENT=off"
        )
        return False
    return sdk.import_needed()


def own_folder():
    """Returns a folder in the function's package with an SDK, which the function will add to the path, or `None`.

    The layer's API would already be loaded then, and an older SDK fails with it.
    """
    try:
        with os.scandir(os.environ.get("LAMBDA_TASK_ROOT") or ".") as entries:
            folders = [entry.path for entry in entries if entry.is_dir() and entry.path not in sys.path]
    except OSError:
        return None
    return next((folder for folder in folders if os.path.isdir(os.path.join(folder, "opentelemetry", "sdk"))), None)


def leave_alone(reason):
    """Logs why the function is not instrumented, and removes the instrumentations that have loaded with its libraries."""
    global is_left_alone
    is_left_alone = True
    for instrumentor in instrumented:
        attempt(instrumentor.uninstrument)
    say(
        f"the function is not instrumented, because it sets up OpenTelemetry itself: {reason}; to instrument it, "
        "remove that setup, or set LAMBDA_OTLP_INSTRUMENT=off to keep it"
    )


def join_frameworks(when_imported):
    for name in FRAMEWORKS:
        when_imported(name, lambda name=name: join_invocation(sys.modules[name]))


def join_invocation(framework):
    """Makes the span that a web framework starts for a request a child of the invocation's span.

    The framework searches for a parent in the headers only. It finds the invocation's parent there, or none.
    """
    from opentelemetry import context, propagate, trace

    def extract(*arguments, **named):
        found = propagate.extract(*arguments, **named)
        current = trace.get_current_span()
        sender = trace.get_current_span(found).get_span_context()
        parent = getattr(current, "parent", None)
        is_sent_by_parent = parent is not None and parent.span_id == sender.span_id
        # A request that the function sends to itself keeps its own parent.
        if not current.get_span_context().is_valid or sender.is_valid and not is_sent_by_parent:
            return found
        return trace.set_span_in_context(current, context.Context({**context.get_current(), **found}))

    # Replaces `propagate` in this module only.
    framework.propagate = type(propagate)(propagate.__name__)
    vars(framework.propagate).update({**vars(propagate), "extract": extract})


# The `Setup` of the function, once it has started: that of lambda_otlp_fast.py, or of lambda_otlp_sdk.py.
started = []


def follow_snapshots():
    """Flushes before Lambda takes a snapshot, because each restored environment would export the same telemetry.

    This function must run before the function's module. Lambda calls the last registered hook first, so that our hook also
    flushes the telemetry of the function's own hooks.
    """
    try:
        import snapshot_restore_py as hooks
    except ImportError:
        # Only AWS's runtime client calls hooks.
        return
    # An error in a hook would stop the environment.
    hooks.register_before_snapshot(lambda: [attempt(setup.before_snapshot) for setup in started])
    hooks.register_after_restore(lambda: [attempt(setup.after_restore) for setup in started])


# Instrumentations of imported libraries that have not loaded. The first one is being loaded.
loading = []

# The layer's instrumentations that have loaded.
instrumented = []
is_left_alone = False


def instrument_library(entry):
    """Instruments one library after another.

    One module may contain two instrumentations. While Python loads it for the first, it may import the library of the second.
    """
    if is_left_alone:
        return
    loading.append(entry)
    if len(loading) > 1:
        return
    while loading:
        try:
            load_instrumentation(loading[0])
        finally:
            del loading[0]


# Clients of models by the names of their instrumentations, with the modules of their classes (lambda_otlp_models.py).
CLIENTS = {"anthropic": "anthropic._base_client", "openai": "openai._base_client"}


def instrument_clients(when_imported, not_the_layers):
    """Instruments the clients of models, except for the names in `not_the_layers`: disabled ones and the function's own."""
    for name, module in CLIENTS.items():
        if not not_the_layers & {name, "*"}:
            when_imported(module, lambda name=name, module=module: instrument_client(name, module))


def instrument_client(name, module):
    if f"{name}._tracing" in sys.modules:
        # Newer versions of Anthropic's client make their spans themselves.
        return
    layer_module("lambda_otlp_models").instrument(name, sys.modules[module], Tracers, lambda: not is_left_alone)


class Tracers:
    """Gives the layer's instrumentations tracers. Those that load before the provider starts get tracers that wait for it."""

    provider = None
    # The tracers that wait.
    waiting = []

    @classmethod
    def get_tracer(cls, *arguments, **named):
        from opentelemetry import trace

        tracer = (cls.provider or trace.get_tracer_provider()).get_tracer(*arguments, **named)
        if cls.provider is None:
            cls.waiting.append(tracer)
        return tracer


def load_instrumentation(entry):
    try:
        with variables(OTEL_SEMCONV_STABILITY_OPT_IN=stability_opt_in()):
            instrumentor = entry.load()()
            is_of_layer = type(instrumentor).__module__.startswith("lambda_otlp_packages.")
            options = {"raise_exception_on_conflict": True}
            if is_of_layer:
                options["tracer_provider"] = Tracers
                options["skip_dep_check"] = layer_module("lambda_otlp_packaging").are_fulfilled(
                    instrumentor.instrumentation_dependencies()
                )
            instrumentor.instrument(**options)
        if is_of_layer:
            # The function may use an instrumentation of its own package.
            instrumented.append(instrumentor)
    except ModuleNotFoundError:
        # The function does not have the library.
        pass
    except Exception as error:
        # OpenTelemetry's error for a library of another version, or for a missing one.
        conflict = getattr(error, "conflict", None)
        is_missing = hasattr(error, "conflict") and not getattr(conflict, "found", None)
        if not is_missing:
            say(f"cannot instrument {entry.name}, so its calls have no spans: {conflict or repr(error)}")


def start(module, function, fast=None):
    """Starts the providers and wraps the handler, unless the function has registered a tracer provider.

    `fast` is the fast start, or `None` if the function starts with OpenTelemetry's SDK.
    """
    if not hasattr(module, function):
        # The runtime reports the missing handler.
        return
    if reason := own_provider():
        leave_alone(reason)
        return
    if fast is not None and layer_module("lambda_otlp_packages").shares_the_sdk():
        # The function uses the layer's SDK, and expects its classes.
        if not layer_module("lambda_otlp_sdk").import_needed():
            return
        fast = None
    if fast is None:
        sdk = layer_module("lambda_otlp_sdk")
        sdk.configure()
        setup = sdk.Setup()
        when_imported = sdk.when_imported
    else:
        # Logs variables with unusable values.
        replacements()
        setup = fast.start()
        when_imported = fast.imports.when_imported
    started.append(setup)
    let_the_function_register()
    when_imported("multiprocessing.util", lambda: flush_children(setup))
    when_imported("gevent.greenlet", carry_context_into_greenlets)
    join_xray()
    if {"aws-lambda", "*"} & disabled_instrumentations():
        return
    layer_module("lambda_otlp_wrap").wrap_handler(module, function, watch_deadlines(setup), setup)


# Where the API notes that a provider is registered.
REGISTERED = (
    ("opentelemetry.trace", "_TRACER_PROVIDER_SET_ONCE"),
    ("opentelemetry.metrics._internal", "_METER_PROVIDER_SET_ONCE"),
    ("opentelemetry._logs._internal", "_LOGGER_PROVIDER_SET_ONCE"),
)


def let_the_function_register():
    """Lets the function register its own providers in an invocation, as without the layer. The API accepts only the first
    ones."""
    from opentelemetry import trace

    Tracers.provider = trace.get_tracer_provider()
    for tracer in Tracers.waiting:
        # The tracer takes the provider that is registered. The API would do that later, when the tracer starts its first span.
        getattr(tracer, "_tracer", None)
    Tracers.waiting.clear()
    for name, attribute in REGISTERED:
        if once := getattr(sys.modules.get(name), attribute, None):
            setattr(sys.modules[name], attribute, type(once)())


def flush_children(setup):
    """Flushes in processes of `multiprocessing`, which end without calling the functions of `atexit`."""
    util = sys.modules["multiprocessing.util"]

    def flush_at_exit(setup):
        for flush in setup.flushes():
            util.Finalize(None, flush, exitpriority=0)

    util.register_after_fork(setup, flush_at_exit)


def carry_context_into_greenlets():
    """Gives gevent's greenlets the context in which they are spawned. They have an empty one."""
    from contextvars import copy_context

    def spawned(greenlet):
        if getattr(greenlet, "gr_context", None) is None:
            greenlet.gr_context = copy_context()

    sys.modules["gevent.greenlet"].Greenlet.add_spawn_callback(spawned)


def join_xray():
    """Uses X-Ray's trace id for the first root span of an invocation that X-Ray samples.

    The subsegments of X-Ray's SDK are then in the same trace.
    """
    from opentelemetry import trace

    generator = getattr(trace.get_tracer_provider(), "id_generator", None)
    if generator is None:
        return
    generate_random_id = generator.generate_trace_id
    # The header of the latest invocation with a root span.
    latest = None

    def generate_trace_id():
        nonlocal latest
        header = os.environ.get("_X_AMZN_TRACE_ID", "")
        is_first = header != latest
        latest = header
        return is_first and xray_trace_id(header) or generate_random_id()

    generator.generate_trace_id = generate_trace_id


def xray_trace_id(header):
    """Returns the trace id in Lambda's X-Ray header, or `None` if the invocation is not sampled."""
    found = layer_module("lambda_otlp_events").xray(header)
    return found.trace_id if found.is_sampled else None


def own_provider():
    """Returns evidence that the function registered a tracer provider while it loaded, or `None`. A mere import is no
    evidence."""
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        return None
    return f"its tracer provider is {type(provider).__module__}.{type(provider).__qualname__}"


def watch_deadlines(setup):
    """Exports telemetry before an invocation times out. Returns `None` if this cannot be set up."""
    from opentelemetry import trace

    flushes = setup.flushes()

    def flush():
        for each in flushes:
            each()

    try:
        return layer_module("lambda_otlp_cut_off").watch(trace.get_tracer_provider(), flush, say, setup)
    except Exception as error:
        say(f"cannot watch deadlines, so a timeout loses the invocation's spans: {error!r}")
        return None
