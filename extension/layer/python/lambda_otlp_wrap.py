"""Wraps the handler. The wrapper starts the spans of an invocation and its messages, records the result, and watches the deadline."""

import functools
import importlib
import os
import sys
from contextlib import nullcontext
from types import SimpleNamespace

from lambda_otlp_load import attempt, beside, library, say

# Keys of events with messages.
KEYS = {"Records", "records", "messages", "rmqMessagesByQueue", "detail-type"}


def wrap_handler(module, name, watch, setup):
    """Wraps the handler with the instrumentation. If the instrumentation cannot read an event, the handler still runs.

    `watch` is notified when an invocation begins and when its handler has ended. `setup` is the SDK's (lambda_otlp_sdk.py) or the fast
    start's.
    """
    from opentelemetry import trace

    marshalling = Marshalling()
    contexts = beside("lambda_otlp_contexts")
    contexts.follow(trace.get_tracer_provider())
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
        span = trace.get_current_span()
        # The instrumentation describes HTTP requests, and the messages of a queue in a span of their own.
        if getattr(span, "kind", None) == trace.SpanKind.SERVER and not (isinstance(event, dict) and event.get("requestContext")):
            span.set_attribute("faas.trigger", "http" if is_of_app_sync(event) else "other")
        if not may_have_messages(event):
            return
        messages = beside("lambda_otlp_messages")
        calls.consumer = messages.consumer(event)
        messages.link(event, calls.consumer or span)

    def note_sampling():
        if invocation := calls.__dict__.get("invocation"):
            watch.note(invocation, trace.get_current_span().get_span_context())

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
        if calls.is_durable and result.get("Status") == "FAILED":
            describe_durable_failure(result.get("Error"))
            return
        status, messages = result.get("statusCode"), result.get("batchItemFailures")
        if isinstance(status, str) and status.isascii() and status.isdigit():
            status = int(status)
        if isinstance(status, int) and 100 <= status <= 999:
            spans_to_mark()[-1].set_attribute("http.response.status_code", status)
        else:
            status = None
        if isinstance(messages, list) and messages:
            message = f"{len(messages)} of the batch's messages failed; Lambda delivers them again"
            attributes = {"error.type": "batch_item_failures", "aws.lambda.batch_item_failures": len(messages)}
        elif status is not None and status >= 500:
            message, attributes = None, {"error.type": str(status)}
        else:
            return
        for span in spans_to_mark():
            for name, value in attributes.items():
                span.set_attribute(name, value)
            span.set_status(trace.Status(trace.StatusCode.ERROR, message))

    def describe_durable_failure(error):
        """Marks the spans as failed. A durable function reports its failure as a result (Lambda API Reference, "ErrorObject")."""
        error = error if isinstance(error, dict) else {}
        kind = str(error.get("ErrorType") or "Error")
        message = str(error.get("ErrorMessage") or "the durable execution failed")
        described = {"exception.type": kind, "exception.message": message}
        if isinstance(frames := error.get("StackTrace"), list):
            described["exception.stacktrace"] = "\n".join(map(str, frames))
        for span in spans_to_mark():
            span.set_attribute("error.type", kind)
            span.set_status(trace.Status(trace.StatusCode.ERROR, message))
        spans_to_mark()[-1].add_event("exception", described)

    def describe_marshalling(result):
        """Marks the spans as failed if the runtime cannot serialize the result."""
        if (error := marshalling.error_of(result)) is not None:
            for span in spans_to_mark():
                span.set_attribute("error.type", getattr(error, "exception_type", type(error).__name__))
                span.set_status(trace.Status(trace.StatusCode.ERROR, str(getattr(error, "msg", error))))

    def flush_at_exit():
        """Exports all spans when the process exits. The SDK would only do so after the function's threads have ended."""
        if watch:
            watch.leave()
        for flush in setup.flushes():
            flush()

    @functools.wraps(handler, updated=())
    def entered(*arguments, **named):
        calls.state = "entered"
        attempt(note_sampling)
        if arguments and is_inferred:
            attempt(wait, arguments[0])
        if arguments:
            attempt(consume, arguments[0])
        consumer = calls.__dict__.get("consumer")
        span = trace.use_span(consumer, end_on_exit=True) if consumer else nullcontext()
        try:
            with span, contexts.Invocation():
                calls.result = handler(*arguments, **named)
                attempt(describe_result, calls.result)
                attempt(describe_marshalling, calls.result)
        except BaseException as error:
            calls.state = "raised"
            calls.error = error
            attempt(describe_error, error)
            raise
        finally:
            unwatched()
        calls.state = "returned"
        return calls.result

    try:
        setattr(module, name, entered)
    except (AttributeError, TypeError) as error:
        say(f"not instrumented: {module.__name__}.{name} cannot be replaced: {error}: define it as a function, or set LAMBDA_OTLP_INSTRUMENT=off")
        return
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
        event = arguments[0] if arguments else None
        calls.is_durable = isinstance(event, dict) and isinstance(event.get("DurableExecutionArn"), str)
        watched()
        try:
            return instrumented(*arguments, **named)
        except BaseException as error:
            if not isinstance(error, Exception):
                attempt(flush_at_exit)
            if calls.state == "raised":
                # Above the frame of this function are those of the instrumentation, which may be in the function's package.
                BaseException.with_traceback(calls.error, frames_below(entered, calls.error))
                attempt(beside("lambda_otlp_frames").cut, calls.error)
                raise calls.error
            if calls.state == "entered":
                raise
            say(f"cannot create the invocation's span: {error!r}")
            if calls.state == "returned":
                return calls.result
            # The handler's calls would become spans without an invocation, exported with the spans of the next one.
            with library("opentelemetry.instrumentation.utils").suppress_instrumentation():
                return handler(*arguments, **named)
        finally:
            unwatched()
            # The result and the frames of an error must not stay in memory until the next invocation.
            calls.__dict__.clear()

    # The runtime client omits the first frames of a stack trace while their path contains `/bootstrap.py`, so this frame too.
    guarded.__code__ = guarded.__code__.replace(co_filename=os.path.join(os.path.dirname(__file__), "bootstrap.py"))
    setattr(module, name, handler)
    hand_over(module, name, guarded)


def may_have_messages(event):
    """Returns `True` if lambda_otlp_messages.py should read the event. Other functions do not load that file."""
    return isinstance(event, list) or isinstance(event, dict) and not KEYS.isdisjoint(event)


def is_of_app_sync(event):
    first = event[0] if isinstance(event, list) and event else event
    info = first.get("info") if isinstance(first, dict) else None
    return isinstance(info, dict) and isinstance(info.get("fieldName"), str) and isinstance(info.get("parentTypeName"), str)


def parent_of(event, extract):
    """Returns the context of an invocation's parent. `extract` reads it from headers, if the event has no other place for it."""
    if may_have_messages(event) or isinstance(event, dict) and "request" in event and "headers" not in event:
        if headers := beside("lambda_otlp_messages").parent_headers(event):
            return importlib.import_module("opentelemetry.propagate").extract(headers)
    return extract(event)


class Marshalling:
    """Serializes results as AWS's runtime client does, before their spans end. The client gets the text that it would make itself."""

    def __init__(self):
        self.ready = importlib.import_module("threading").local()
        kind = getattr(sys.modules.get("awslambdaric.lambda_runtime_marshaller"), "LambdaMarshaller", None)
        self.marshal = getattr(kind, "marshal_response", None)
        if self.marshal is not None:
            self.marshaller = kind()
            kind.marshal_response = self.marshal_response

    def marshal_response(self, response):
        result, made = self.ready.__dict__.pop("response", (None, None))
        return made if made is not None and result is response else self.marshal(self.marshaller, response)

    def error_of(self, result):
        if self.marshal is None:
            return None
        try:
            self.ready.response = result, self.marshal(self.marshaller, result)
        except Exception as error:
            # Not the error itself: its frames refer to the result, which must not stay in memory.
            kind = getattr(error, "exception_type", type(error).__name__)
            return SimpleNamespace(exception_type=kind, msg=str(getattr(error, "msg", error)))
        return None


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


def frames_below(function, error):
    traceback = BaseException.__traceback__.__get__(error)
    while traceback is not None and traceback.tb_frame.f_code is not function.__code__:
        traceback = traceback.tb_next
    return traceback and traceback.tb_next
