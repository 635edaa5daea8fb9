"""Wraps the handler. The wrapper starts the spans of an invocation and its messages, records the result, watches the deadline,
and flushes before the runtime gets the result.
"""

import functools
import os
import sys
import threading

from lambda_otlp_load import attempt, layer_module, library, say, time
from opentelemetry import context as contexts
from opentelemetry import trace

# Environments of these types are initialized before the first invocation, so that it is no cold start.
INITIALIZED = ("provisioned-concurrency", "lambda-managed-instances")
# OpenObserve rejects spans older than five hours.
LONGEST_WAIT_NS = 4 * 60 * 60 * 1_000_000_000


def wrap_handler(module, name, watch, setup):
    """Wraps the handler in spans. If they cannot be created, the handler still runs.

    `watch` is notified when an invocation begins and when its handler has ended. `setup` is the `Setup` of lambda_otlp_fast.py or
    of lambda_otlp_sdk.py.
    """
    handler = getattr(module, name)
    try:
        setattr(module, name, handler)
    except (AttributeError, TypeError) as error:
        say(
            f"not instrumented: {module.__name__}.{name} cannot be replaced: {error}: "
            "define it as a function, or set LAMBDA_OTLP_INSTRUMENT=off"
        )
        return
    hand_over(module, name, wrapped_by(Wrapper(watch, setup), handler))


def wrapped_by(wrapper, handler):
    """Returns the function that the runtime calls instead of the handler.

    It is the layer's only frame in a stack that the handler reads. So it calls the handler itself, and the wrapper's methods have
    ended by then.
    """

    @functools.wraps(handler, updated=())
    def wrapped(*arguments, **named):
        if wrapper.current.is_running():
            # The handler calls itself within an invocation.
            return handler(*arguments, **named)
        spans = None
        try:
            spans = wrapper.begin(*arguments)
            with wrapper.surroundings(spans):
                result = handler(*arguments, **named)
                wrapper.describe(spans, result)
            wrapper.succeed(spans)
            return result
        except BaseException as error:
            wrapper.fail(spans, error)
            raise error
        finally:
            wrapper.forget()

    # The runtime client omits the first frames of a stack trace while their path contains `/bootstrap.py`, so this frame too.
    wrapped.__code__ = wrapped.__code__.replace(co_filename=os.path.join(os.path.dirname(__file__), "bootstrap.py"))
    return wrapped


class CurrentInvocation(threading.local):
    """The invocation that this thread serves. Its attributes have these values outside of invocations."""

    # The state of the handler: "begun", "returned" or "raised".
    state = None
    # Lambda's context.
    context = None
    # The invocation as the watch of deadlines knows it.
    watched = None
    # The time at which the first flush at the invocation's end began (lambda_otlp_flush.py).
    flushes_begun = None

    def is_running(self):
        return self.state is not None

    def is_ending(self):
        """Returns `True` between the end of the handler and the return to the runtime."""
        return self.state in ("returned", "raised")

    def forget(self):
        """Removes the invocation. The frames of an error must not stay in memory until the next one."""
        self.__dict__.clear()


class Wrapper:
    """Begins and ends the invocations of one handler.

    `spans` are those of the invocation, or `None` if they could not be created.
    """

    def __init__(self, watch, setup):
        self.watch = watch
        self.setup = setup
        self.marshalling = Marshalling()
        self.contexts = layer_module("lambda_otlp_contexts")
        self.contexts.follow(trace.get_tracer_provider())
        self.starter = Starter(setup)
        self.current = CurrentInvocation()
        setup.limit_flushes(self.current)

    def begin(self, event=None, lambda_context=None, *_others):
        """Starts the spans of an invocation, and the watch of its deadline."""
        current = self.current
        current.state = "begun"
        current.context = lambda_context
        try:
            current.watched = self.watch and self.watch.begin(lambda_context)
        except Exception as error:
            say(f"cannot watch the deadline: if this invocation times out, its open spans are lost: {error!r}")
        try:
            spans = self.starter.start(event, lambda_context)
        except Exception as error:
            say(f"cannot create the invocation's span: {error!r}")
            return None
        if current.watched:
            attempt(self.watch.note_root, current.watched, spans.server.get_span_context())
        return spans

    def surroundings(self, spans):
        """Returns the context manager in which the handler runs."""
        if spans is None:
            # The handler's calls would become spans without an invocation, exported with the spans of the next one.
            return library("opentelemetry.instrumentation.utils").suppress_instrumentation()
        return self.contexts.Invocation()

    def describe(self, spans, result):
        """Records what the result of the handler says about the invocation."""
        if spans is not None:
            attempt(spans.describe_result, result)
            attempt(spans.describe_marshalling, self.marshalling, result)

    def succeed(self, spans):
        """Ends an invocation whose handler has returned."""
        if spans is not None:
            self.current.state = "returned"
            self.end(spans)

    def fail(self, spans, error):
        """Ends an invocation with the error of its handler, and removes the layer's frames from the error."""
        if spans is not None and self.current.state == "begun":
            self.current.state = "raised"
            attempt(spans.describe_error, error)
            self.end(spans, error)
        attempt(layer_module("lambda_otlp_frames").cut, error)

    def end(self, spans, error=None):
        """Ends the spans and exports them."""
        if self.end_watch():
            # Lambda has answered with a timeout, whatever the handler returned.
            attempt(spans.mark_failed, "timeout", "the invocation timed out")
        attempt(spans.end)
        if self.watch and error is not None and not isinstance(error, Exception):
            # The process exits. The SDK would export only after the function's threads have ended.
            attempt(self.watch.export_at_exit)
        for flush in self.setup.flushes():
            attempt(flush)

    def end_watch(self):
        """Returns `True` if the invocation has timed out."""
        watched = self.current.watched
        self.current.watched = None
        return bool(watched) and self.watch.end(watched) is True

    def forget(self):
        self.end_watch()
        self.current.forget()


class Starter:
    """Starts the spans of each invocation."""

    def __init__(self, setup):
        self.tracer = trace.get_tracer_provider().get_tracer("lambda-otlp/handler")
        self.setup = setup
        self.is_cold_start = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") not in INITIALIZED
        self.is_inferred = os.environ.get("LAMBDA_OTLP_INFERRED_SPANS", "").strip().lower() in ("true", "1")

    def start(self, event, lambda_context):
        events = layer_module("lambda_otlp_events")
        execution = None
        if events.holds_for(event, events.DESCRIPTION["durable"]["when"]):
            execution = layer_module("lambda_otlp_executions").durable(event, lambda_context)
        described = events.describe(event if execution is None else execution.input)
        of_lambda = layer_module("lambda_otlp_invocation")
        caller = of_lambda.parent_of(described.carrier, lambda_context, self.setup.reads_environment)
        parent, links = (caller, ()) if execution is None else execution.begin(caller, self.setup.samples)
        attributes = {
            **of_lambda.attributes_of(lambda_context, of_lambda.span_context(caller)),
            "faas.trigger": described.trigger,
            "faas.coldstart": self.is_cold_start,
            **described.attributes,
            **(execution.attributes() if execution is not None else {}),
        }
        self.is_cold_start = False
        name = described.name or lambda_context.function_name
        server = self.tracer.start_span(name, parent, trace.SpanKind.SERVER, attributes, links)
        context = trace.set_span_in_context(server, parent)
        if self.is_inferred:
            attempt(record_wait, self.tracer, described, context)
        consumer = None
        if described.messages is not None:
            consumer = self.start_consumer(described.messages, context)
            context = trace.set_span_in_context(consumer, context)
        return Spans(server, consumer, context, execution, self.tracer)

    def start_consumer(self, messages, context):
        """Starts the span in which the handler of messages runs."""
        name = f"{messages.source} process".strip()
        return self.tracer.start_span(name, context, trace.SpanKind.CONSUMER, messages.attributes, messages.links)


def record_wait(tracer, described, context):
    """Creates a span for the time that a request or message waited at API Gateway, SQS or EventBridge.

    It is a child of the invocation's span, although it begins earlier. As the parent, it would hide the caller from service maps.
    """
    began = (described.received_ms or 0) * 1_000_000
    now = time.time_ns()
    if not 0 <= now - began <= LONGEST_WAIT_NS:
        return
    source = described.messages.source if described.messages else "HTTP"
    tracer.start_span(f"{source} wait".strip(), context, attributes={"lambda_otlp.inferred": True}, start_time=began).end(now)


class Spans:
    """The SERVER span of an invocation and, if it has messages, the CONSUMER span below, in which the handler runs."""

    def __init__(self, server, consumer, context, execution, tracer):
        self.server = server
        self.consumer = consumer
        # The durable execution, or `None`.
        self.execution = execution
        self.tracer = tracer
        # Writes the span of the execution that this invocation ends.
        self.end_execution = None
        self.token = contexts.attach(context)

    def end(self):
        contexts.detach(self.token)
        if self.consumer is not None:
            self.consumer.end()
        self.server.end()
        if self.execution is not None:
            self.execution.leave()
        if self.end_execution is not None:
            self.end_execution()

    def mark_failed(self, error_type, message=None):
        # Lambda repeats a failed invocation, and the execution goes on.
        self.end_execution = None
        for span in filter(None, (self.consumer, self.server)):
            mark_failed(span, error_type, message)

    def describe_error(self, error):
        """Records the error of the handler, which may have no text."""
        error_type = type(error).__name__
        self.mark_failed(error_type)
        self.server.record_exception(error)
        self.mark_failed(error_type, str(error))

    def describe_marshalling(self, marshalling, result):
        """Marks the spans as failed if the runtime cannot serialize the result."""
        if (error := marshalling.error_of(result)) is not None:
            self.mark_failed(error.error_type, error.message)

    def describe_result(self, result):
        """Marks the spans as failed if the result reports a failure. The rules are data: `answers` in exporter/events.json."""
        if not isinstance(result, dict):
            return
        events = layer_module("lambda_otlp_events")
        rules = events.DESCRIPTION["answers"]
        if self.execution is not None:
            self.describe_durable(rules["durable"], result, events)
            return
        self.describe_status(rules["http_status"], result, events)
        self.describe_failed_messages(rules["failed_messages"], result, events)

    def describe_status(self, rule, result, events):
        """Records the status of an HTTP response."""
        status = events.at(result, rule["at"])
        if isinstance(status, str) and status.isascii() and status.isdigit():
            status = int(status)
        if type(status) is int and rule["least"] <= status <= rule["greatest"]:
            self.server.set_attribute(rule["attribute"], status)
            if status >= rule["least_failed"]:
                mark_failed(self.server, str(status))

    def describe_failed_messages(self, rule, result, events):
        """Records the messages that the handler reports as failed."""
        messages = events.at(result, rule["at"])
        if isinstance(messages, list) and messages:
            self.server.set_attribute(rule["attribute"], len(messages))
            self.mark_failed(rule["error_type"], rule["message"].format(count=len(messages)))

    def describe_durable(self, rule, result, events):
        """Records what a durable function answers about its execution."""
        status = events.at(result, rule["status"])
        if status in rule["statuses"]:
            self.server.set_attribute(events.DESCRIPTION["durable"]["attributes"]["status"], status)
        failure = None
        if events.holds_for(result, rule["failed"]):
            failure = self.describe_durable_failure(rule, result, events)
        if events.holds_for(result, rule["ended"]):
            generator = trace.get_tracer_provider().id_generator
            self.end_execution = lambda: attempt(self.execution.write, self.tracer, generator, status, failure)

    def describe_durable_failure(self, rule, result, events):
        """Records the failure that a durable function reports as its result. Returns its type and message."""
        error_type = events.value_of(rule["error_type"], result)
        message = events.value_of(rule["message"], result)
        described = {"exception.type": error_type, "exception.message": message}
        if isinstance(frames := events.at(result, rule["stack_trace"]), list):
            described["exception.stacktrace"] = "\n".join(map(str, frames))
        self.server.add_event("exception", described)
        self.mark_failed(error_type, message)
        return error_type, message


def mark_failed(span, error_type, message=None):
    span.set_attribute("error.type", error_type)
    span.set_status(trace.Status(trace.StatusCode.ERROR, message))


class LatestResult(threading.local):
    """The latest result of this thread's handler, and its text for the runtime client."""

    result = None
    text = None

    def forget(self):
        self.__dict__.clear()


class MarshallingError:
    """Type and message of an error of the runtime client.

    It does not keep the error itself: its frames refer to the result, which must not stay in memory.
    """

    def __init__(self, error):
        self.error_type = getattr(error, "exception_type", type(error).__name__)
        self.message = str(getattr(error, "msg", error))


class Marshalling:
    """Serializes results as AWS's runtime client does, before their spans end. The client then gets the same text."""

    def __init__(self):
        self.latest = LatestResult()
        kind = getattr(sys.modules.get("awslambdaric.lambda_runtime_marshaller"), "LambdaMarshaller", None)
        self.marshal = getattr(kind, "marshal_response", None)
        if self.marshal is not None:
            self.marshaller = kind()
            kind.marshal_response = self.marshal_response

    def marshal_response(self, response):
        """Replaces the client's method."""
        result = self.latest.result
        text = self.latest.text
        self.latest.forget()
        if text is not None and result is response:
            return text
        return self.marshal(self.marshaller, response)

    def error_of(self, result):
        """Serializes a result. Returns the error if the client cannot."""
        if self.marshal is None:
            return None
        try:
            text = self.marshal(self.marshaller, result)
            self.latest.result = result
            self.latest.text = text
        except Exception as error:
            return MarshallingError(error)
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
