"""Changes modules of the layer's packages where the function would see them: in its requests and messages, in the results of its
calls, and by its clock. A copy of these packages in the function's package stays as it is.

Each private name of OpenTelemetry's packages that is changed here has its reason beside it: no public name leads there.
"""

import functools
import sys
from types import CoroutineType, SimpleNamespace

from lambda_otlp_load import attempt, layer_module, time
from lambda_otlp_variables import recorded_prompts

boundary = layer_module("lambda_otlp_boundary")

OF_OPENTELEMETRY = "opentelemetry.instrumentation."
# The instrumentations that lambda_otlp_drivers.py changes. That module loads only with them.
OF_DRIVERS = ("asyncpg", "dbapi", "psycopg", "psycopg2", "pymongo", "sqlalchemy", "sqlalchemy.engine")


def mend(module, name):
    """Changes a module that has been executed. `name` is its public name."""
    use_own_clock(module)
    instrumentation = name.removeprefix(OF_OPENTELEMETRY)
    if name in MENDS:
        MENDS[name](module)
    elif instrumentation in OF_DRIVERS:
        layer_module("lambda_otlp_drivers").MENDS[instrumentation](module)


def use_own_clock(module):
    """Gives a module the clock of before the function's code: a test library may replace the functions of the module `time`, also
    in other modules.
    """
    names = vars(module)
    if names.get("time") is sys.modules.get("time"):
        module.time = time
    for function in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter"):
        if function in names and names[function] is getattr(sys.modules["time"], function):
            names[function] = functools.partial(getattr(time, function))


@functools.cache
def quiet_logging():
    """Returns the module `logging` for the layer's packages. Their loggers are in no list of the function, which may set the
    level of all loggers or of the root logger, and write only warnings and errors. Those of instrumentations appear at the level
    DEBUG: the boundary has a line about a failure.
    """
    import logging

    class Quiet(logging.Logger):
        def isEnabledFor(self, level):
            return level >= logging.WARNING and logging.root.isEnabledFor(level)

    class OfInstrumentation(Quiet):
        def isEnabledFor(self, level):
            return level >= logging.WARNING and logging.root.isEnabledFor(logging.DEBUG)

        def _log(self, level, *arguments, **named):
            super()._log(logging.DEBUG, *arguments, **named)

    loggers = {}

    def get_logger(name=None):
        if not name or name == logging.root.name:
            return logging.root
        if name not in loggers:
            loggers[name] = (OfInstrumentation if OF_OPENTELEMETRY in name else Quiet)(name)
            loggers[name].parent = logging.root
        return loggers[name]

    class Module(type(logging)):
        getLogger = staticmethod(get_logger)

        def __getattr__(self, name):
            return getattr(logging, name)

        def __setattr__(self, name, value):
            # The SDK replaces functions of the module, if the function asks for it.
            setattr(logging, name, value)

    return Module(logging.__name__)


def inject_unless_own(inject):
    """Wraps `inject` so that a trace context that the function sets itself stays the only one."""

    @functools.wraps(inject)
    def injected(carrier, *arguments, **named):
        if not any(isinstance(name, str) and name.lower() == "traceparent" for name in carrier):
            inject(carrier, *arguments, **named)

    return injected


class RestoredHeaders:
    """Removes the trace context from a request's headers when the call ends. The function may use the request again."""

    def __init__(self, headers):
        self.headers = headers
        self.before = set(headers) if headers is not None else set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        from opentelemetry import propagate

        if self.headers is None:
            return
        for name in propagate.get_global_textmap().fields:
            if name in self.headers and name not in self.before:
                del self.headers[name]


def replaces(instrumentor, holder, method, name, around):
    """Guards an instrumentation that replaces a method."""
    instrument = instrumentor.instrument

    def instrument_guarded(self, **options):
        boundary.guard_replacement(holder, method, lambda: instrument(self, **options), name=name, around=around)

    instrumentor.instrument = instrument_guarded


def mend_urllib(module):
    module.inject = inject_unless_own(module.inject)
    # These measure the request and the response, which may have no length, or an invalid one.
    module.len = functools.partial(result_or_zero, len)
    module.int = functools.partial(result_or_zero, int)

    # `urllib.request` has imported it.
    import socket

    def around(enter, call, opener, arguments, named):
        # The instrumentation would replace the default timeout by none.
        def open(fullurl, data=None, timeout=socket._GLOBAL_DEFAULT_TIMEOUT):
            with RestoredHeaders(None if isinstance(fullurl, str) else getattr(fullurl, "headers", None)):
                return enter(call, opener, (fullurl, data, timeout), {})

        return open(*arguments, **named)

    replaces(module.URLLibInstrumentor, module.OpenerDirector, "open", "urllib", around)


def result_or_zero(function, value):
    try:
        return function(value)
    except (TypeError, ValueError):
        return 0


def mend_requests(module):
    module.inject = inject_unless_own(module.inject)

    def around(enter, call, session, arguments, named):
        request = arguments[0] if arguments else named.get("request")
        with RestoredHeaders(getattr(request, "headers", None)):
            return enter(call, session, arguments, named)

    replaces(module.RequestsInstrumentor, module.Session, "send", "requests", around)


def mend_urllib3(module):
    module.inject = inject_unless_own(module.inject)


def import_loaded(name):
    if name in sys.modules:
        return sys.modules[name]
    raise ImportError(name)


# In place of `importlib` for the instrumentation of httpx and httpx2, which would import the one that the function does not use.
loaded_only = SimpleNamespace(import_module=import_loaded)


def mend_httpx(module):
    for instrumentor in (module.HTTPXClientInstrumentor, module.HTTPX2ClientInstrumentor):
        when_used(instrumentor)
    module.inject = inject_unless_own(module.inject)
    wrap = module.wrap_function_wrapper
    module.wrap_function_wrapper = lambda holder, name, wrapper: wrap(holder, name, keeping_headers(wrapper))


def when_used(instrumentor):
    """Gives an instrumentor its library, which may be imported later than the other one."""
    instrument = instrumentor.instrument

    def instrument_loaded(self, **options):
        # No public name has the library.
        instrumentor._module = sys.modules.get(instrumentor._module_name)
        instrument(self, **options)

    instrumentor.instrument = instrument_loaded


def keeping_headers(wrapper):
    """Wraps a wrapper of a request's method so that the request has its own headers afterwards."""

    def wrapped(call, transport, arguments, named):
        request = arguments[0] if arguments else named.get("request")
        headers = getattr(request, "headers", None)

        def restore():
            if headers is not None:
                request.headers = headers

        async def restored_later(result):
            try:
                return await result
            finally:
                restore()

        result = None
        try:
            result = wrapper(call, transport, arguments, named)
        finally:
            if type(result) is not CoroutineType:
                restore()
        return restored_later(result) if type(result) is CoroutineType else result

    return wrapped


def mend_aiohttp(module):
    module.inject = inject_unless_own(module.inject)
    create = module.create_trace_config

    def create_guarded(*arguments, **named):
        config = create(*arguments, **named)
        for signal in (config.on_request_start, config.on_request_end, config.on_request_exception):
            for place, listener in enumerate(signal):
                signal[place] = boundary.guard_listener(listener, "aiohttp_client")
        return config

    module.create_trace_config = create_guarded


def mend_botocore(module):
    """Describes the server of a request, which the client's own endpoint may not name."""
    wrap = module.wrap_function_wrapper

    def with_server(wrapper):
        def prepare_request(call, endpoint, arguments, named):
            layer_module("lambda_otlp_calls").note_server(arguments[0])
            return wrapper(call, endpoint, arguments, named)

        return prepare_request

    def wrap_function_wrapper(holder, name, wrapper):
        wrap(holder, name, with_server(wrapper) if name == "Endpoint.prepare_request" else wrapper)

    module.wrap_function_wrapper = wrap_function_wrapper


def mend_calls(module):
    """Describes calls by the layer's own description. The other extensions of services are not loaded."""

    class Registry(module.ExtensionRegistry):
        def __init__(self, package_name, extensions, *others):
            of_models = {name: load for name, load in extensions.items() if name == "bedrock-runtime"}
            super().__init__(package_name, of_models, *others)

        def get_extension(self, call_context):
            return layer_module("lambda_otlp_calls").describe(super().get_extension(call_context), call_context)

    module.ExtensionRegistry = Registry


def mend_bedrock(module):
    """Guards the streams of answers, and ends the span of one that the function leaves before its end."""
    for kind in (module.ConverseStreamWrapper, module.InvokeModelWithResponseStreamWrapper):
        guard_stream(kind)


class Reading:
    """A stream of an answer that reads from `source`."""

    def __init__(self, stream, source):
        self.stream = stream
        self.__wrapped__ = source

    def __getattr__(self, name):
        return getattr(self.stream, name)


def guard_stream(kind):
    read = kind.__iter__
    close = kind.close

    def __iter__(self):
        return boundary.guard_iterator(iter(self.__wrapped__), lambda source: read(Reading(self, source)), "botocore")

    def close_guarded(self):
        def wrapper(call, *_):
            return close(Reading(self, SimpleNamespace(close=call)))

        return boundary.run("botocore", wrapper, self.__wrapped__.close, self, (), {})

    def __del__(self):
        # The class has no public name for its state.
        if not getattr(self, "_ended", True):
            attempt(self._complete_stream, self._response)

    kind.__iter__ = __iter__
    kind.close = close_guarded
    kind.__del__ = __del__


def mend_bedrock_prompts(module):
    if recorded := recorded_prompts():
        # The extensions of a service have no public names.
        record_prompts(module._BedrockRuntimeExtension, recorded)


def record_prompts(extension, recorded):
    """Records prompts and answers on the spans. OpenTelemetry's instrumentation makes events of them, which need its SDK."""
    import io
    import json

    before_service_call = extension.before_service_call
    converse_on_success = extension._converse_on_success
    invoke_model_on_success = extension._invoke_model_on_success

    def note_request(span, params):
        body = params.get("body")
        span.set_attributes(recorded.of_request(json.loads(body) if isinstance(body, (str, bytes, bytearray)) else params))

    def note_answer(span, response):
        answer = recorded.Answer()
        answer.add(response)
        span.set_attributes(answer.attributes())

    def note_body(span, body):
        # The instrumentation has read the response, and leaves its bytes to the function.
        if isinstance(content := getattr(body, "_raw_stream", None), io.BytesIO):
            note_answer(span, json.loads(content.getvalue()))

    def before_call_of_model(self, span, *others):
        before_service_call(self, span, *others)
        if self._call_context.operation in self._HANDLED_OPERATIONS and span.is_recording():
            attempt(note_request, span, self._call_context.params)

    def converse_with_answer(self, span, result, *others):
        if span.is_recording():
            attempt(note_answer, span, result)
        return converse_on_success(self, span, result, *others)

    def invoke_with_answer(self, span, result, *others):
        invoke_model_on_success(self, span, result, *others)
        if span.is_recording():
            attempt(note_body, span, result.get("body"))

    extension.before_service_call = before_call_of_model
    # No public method gets the answer of a call.
    extension._converse_on_success = converse_with_answer
    extension._invoke_model_on_success = invoke_with_answer


def mend_sdk(module):
    """Records errors without the layer's frames, and leaves the function's filters of warnings as they are: the SDK adds one."""
    module.traceback = type(sys)("traceback")
    module.traceback.format_exception = lambda error, *_, **__: [layer_module("lambda_otlp_frames").text_of(error)]
    module.filterwarnings = lambda *_, **__: None


MENDS = {
    "opentelemetry.instrumentation.aiohttp_client": mend_aiohttp,
    "opentelemetry.instrumentation.botocore": mend_botocore,
    "opentelemetry.instrumentation.botocore.extensions.bedrock": mend_bedrock_prompts,
    "opentelemetry.instrumentation.botocore.extensions.bedrock_utils": mend_bedrock,
    "opentelemetry.instrumentation.botocore.extensions.registry": mend_calls,
    "opentelemetry.instrumentation.httpx": mend_httpx,
    "opentelemetry.instrumentation.requests": mend_requests,
    "opentelemetry.instrumentation.urllib": mend_urllib,
    "opentelemetry.instrumentation.urllib3": mend_urllib3,
    "opentelemetry.sdk.trace": mend_sdk,
}
