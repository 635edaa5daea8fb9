"""Calls handlers of each form through the layer's lambda_otlp_wrap.py, with a fake Lambda instrumentation that records the calls.
The first argument is the layer's folder. Prints a line for each form."""

import contextlib
import gc
import importlib.util
import os
import sys
import tempfile
import time
import traceback
import types
import weakref

sys.path.append(sys.argv[1])
beside = importlib.import_module("lambda_otlp_load").beside
flush, sdk, wrap_handler = beside("lambda_otlp_flush"), beside("lambda_otlp_sdk"), beside("lambda_otlp_wrap").wrap_handler
noted = []


class Provider:
    takes = 0

    def force_flush(self, timeout=None):
        time.sleep(self.takes)
        noted.append("flushed")
        return True


provider, meters = Provider(), Provider()


class AwsLambdaInstrumentor:
    """Like OpenTelemetry's: reads the event first, and raises the handler's exception again after the flush."""

    def instrument(self, skip_dep_check):
        module, name = os.environ["ORIG_HANDLER"].rsplit(".", 1)
        wrapped = getattr(sys.modules[module], name)

        def call(event, context):
            event["is"]
            noted.append("begun")
            failure = result = None
            try:
                result = wrapped(event, context)
            except Exception as error:
                failure = error
            provider.force_flush(30000)
            meters.force_flush(30000)
            if failure is not None:
                raise failure.with_traceback(failure.__traceback__)
            if event["is"] == "broken":
                raise RuntimeError("no attribute")
            return result

        setattr(sys.modules[module], name, call)


class Suppressed:
    def __enter__(self):
        noted.append("suppressed")

    def __exit__(self, *_):
        pass


def module(name, **contents):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(contents)
    return sys.modules[name]


class Span:
    def __init__(self, name):
        self.name = name

    def get_span_context(self):
        return None

    def set_attribute(self, name, value):
        noted.append(f"{self.name} {name}={value}")

    def record_exception(self, error):
        pass

    def set_status(self, status):
        noted.append(f"{self.name} {status}")


current, root = Span("current"), Span("root")
trace = module(
    "opentelemetry.trace",
    get_tracer_provider=lambda: provider,
    get_current_span=lambda: current,
    Status=lambda code, message: f"{code}: {message}",
    StatusCode=types.SimpleNamespace(ERROR="error"),
)
metrics = module("opentelemetry.metrics", get_meter_provider=lambda: meters)
module("opentelemetry", trace=trace, metrics=metrics)


class Contexts:
    """Stands in for lambda_otlp_contexts.py."""

    Invocation = contextlib.nullcontext

    def follow(self, provider):
        pass


wrap_handler.__globals__["beside"] = lambda name, beside=beside: Contexts() if name == "lambda_otlp_contexts" else beside(name)
module("opentelemetry.instrumentation")
module("opentelemetry.instrumentation.aws_lambda", AwsLambdaInstrumentor=AwsLambdaInstrumentor)
module("opentelemetry.instrumentation.utils", suppress_instrumentation=Suppressed)


class Context:
    left = 5000

    def get_remaining_time_in_millis(self):
        return self.left


class Watch:
    def begin(self, context):
        noted.append("watched")
        return context.left and self

    def end(self, invocation):
        noted.append("let go")

    def note(self, invocation, root):
        pass

    def root_of(self, invocation):
        return root

    def leave(self):
        noted.append("left")


class BrokenWatch:
    def begin(self, context):
        raise RuntimeError("no thread")


class Tracers:
    def force_flush(self, timeout=30000):
        noted.append(f"flushed within {timeout / 1000:.0f} s")

    def flush(self, until):
        noted.append(f"flushed within {until - time.monotonic():.0f} s")


class FastStart(importlib.import_module("lambda_otlp_fast").Fast):
    def __init__(self):
        self.tracers = Tracers()

    def instrument(self, module, name):
        pass


def check(form, handler, event={"is": "usual"}, times=1, watch=None, setup=sdk):
    global shop
    shop = module("shop", handler=handler)
    for each in (provider, meters):
        vars(each).clear()
    wrap_handler(shop, "handler", watch, setup)
    # The runtime gets the handler once.
    given = shop.handler
    for _ in range(times):
        noted.clear()
        begun = time.monotonic()
        try:
            noted.append(given(event, Context()))
        except BaseException as error:
            frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)][2:]
            noted.append(f"{type(error).__name__} {error} in {frames}")
        took = time.monotonic() - begun
    # A slow flush ends at an arbitrary time.
    told = [str(each) for each in noted if not (Provider.takes and each == "flushed")]
    print(f"{form}: {', '.join(told)}")
    return took


def charge(*_):
    noted.append("charged")
    raise ValueError("declined")


def leave(*_):
    noted.append("charged")
    sys.exit(3)


def countdown(event, context):
    return event["n"] and shop.handler({"is": "usual", "n": event["n"] - 1}, context)


class Result(str):
    pass


kept = []


def remembered(*_):
    result = Result("3")
    kept.append(weakref.ref(result))
    return result


check("value", lambda event, context: 3)
check("failure", charge)
check("failure in C", ",".join)
check("status", lambda event, context: {"statusCode": 502})
check("status of the client", lambda event, context: {"statusCode": 404, "batchItemFailures": []})
check("status as text", lambda event, context: {"statusCode": "503"})
check("no status", lambda event, context: {"statusCode": "5xx"})
check("failed messages", lambda event, context: {"batchItemFailures": [{"itemIdentifier": "1"}]})
check("one parameter", lambda event: 3)
check("exit", leave)
check("calls itself", countdown, {"is": "usual", "n": 3})
check("odd event", lambda event, context: 3, {})
check("broken instrumentation", lambda event, context: noted.append("charged") or 3, {"is": "broken"})
check("watched", lambda event, context: 3, watch=Watch())
check("watched failure", charge, watch=Watch())
check("watched status", lambda event, context: {"statusCode": 502}, watch=Watch())
check("watched exit", leave, watch=Watch())
check("exit, fast start", leave, watch=Watch(), setup=FastStart())
check("watched odd event", lambda event, context: 3, {}, watch=Watch())
check("watched calls itself", countdown, {"is": "usual", "n": 3}, watch=Watch())
check("broken watch", lambda event, context: 3, watch=BrokenWatch())
check("result", remembered)
noted.clear()
gc.collect()
print(f"nothing is kept: {kept[0]() is None}")

# The application of a framework such as Chalice: its routes read the application by its global name.
routes = """
class Application:
    def __call__(self, event, context):
        self.request = event
        return route()

application = original = Application()

def route():
    return application.request["is"], application is original
"""
api = module("api")
exec(routes, vars(api))
wrap_handler(api, "application", None, sdk)
given = api.application
results = [given({"is": each}, Context()) for each in ("first", "second")]
print(f"application with state: {results}, {given is not api.original}, {api.application is api.original}, {type(api) is types.ModuleType}")

class Configurator:
    load = staticmethod(lambda: Configurator)

    def configure(self, **_):
        noted.append(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE"))


noted.clear()
module("opentelemetry.instrumentation.version", __version__="1")
sdk.chosen = lambda *_: Configurator
sdk.configure()
print(f"queue: {noted[-1]}, of the function's own: {os.environ.get('OTEL_BSP_MAX_QUEUE_SIZE')}")

with tempfile.TemporaryDirectory() as packages:
    for name, source in (("good", ""), ("bad", "import opentelemetry.good.of_another_version")):
        with open(os.path.join(packages, f"{name}.py"), "w") as file:
            file.write(source)
    sys.modules["opentelemetry"].__path__ = [packages]
    sdk.NEEDED, sdk.SDK = (("opentelemetry.good",), ("opentelemetry.good",))
    hidden = sdk.importable()
    print(f"hidden until the function is loaded: {list(hidden)}, {'opentelemetry.good' in sys.modules}")
    sdk.NEEDED = ("opentelemetry.good", "opentelemetry.bad")
    print(f"too old: {sdk.importable()}, {'opentelemetry.good' in sys.modules}")


class Exporter:
    result = "SUCCESS"

    def export(self):
        return types.SimpleNamespace(name=self.result)


class Failing(Exporter):
    def export(self):
        raise RuntimeError("no collector")


def waits(form, *flushes):
    """Prints the time limit of the next flush in seconds."""
    bound = flush.Bound(types.SimpleNamespace(state="returned", context=Context()))
    Exporter.export = sdk.noted(export, bound)
    for exporter, result in flushes:
        exporter.result = result
        bound.flush(exporter.export if result else lambda: None)
    bound.calls = types.SimpleNamespace()
    print(f"{form}: {bound.limits(0)[1]}")


export, unwatched = Exporter.export, Failing()
exporter = Exporter()
waits("before the first flush")
waits("after an export", (exporter, "SUCCESS"))
waits("after one that failed at once", (exporter, "SUCCESS"), (exporter, "FAILURE"))
waits("after one that had nothing to export", (exporter, "FAILURE"), (exporter, None))
waits("after one that is accepted again", (exporter, "FAILURE"), (exporter, "SUCCESS"))
waits("after an exception", (unwatched, "SUCCESS"))
waits("after an exporter that reports nothing", (exporter, None))

for stated in ("2", "10000"):
    os.environ["OTEL_EXPORTER_OTLP_TIMEOUT"] = stated
    waits(f"with a timeout of {stated}")
del os.environ["OTEL_EXPORTER_OTLP_TIMEOUT"]

flush.LONGEST_FLUSH = 0.2
Provider.takes = 0.5
took = check("slow flush", lambda event, context: 3)
print(f"in time: {0.2 <= took < 0.45}")
took = check("slow flush again", lambda event, context: 3, times=2)
print(f"in some milliseconds: {took < 0.1}")
Context.left = 0
took = check("no time left", lambda event, context: 3)
print(f"at once: {took < 0.1}")
