"""Executions: a durable function's invocations belong to one trace, and so do the functions that a state machine calls.

The places in events are data, which the Rust library and the Node layer read too: `durable` and `state_machine` in
exporter/events.json. docs/executions.md says what users see.

Source: aws-durable-execution-sdk-python-otel 2.0.0, `deterministic_id_generator.py`; Datadog's extension,
`step_function_event.rs`.
"""

import json
import os
import sys
import threading

from lambda_otlp_load import layer_module
from opentelemetry import trace

events = layer_module("lambda_otlp_events")
DURABLE = events.DESCRIPTION["durable"]
NAMES = DURABLE["attributes"]
STATE_MACHINE = events.DESCRIPTION["state_machine"]
# AWS's plugin, which writes spans of executions and their operations itself. The SDK loads it for this variable.
PLUGIN = "aws_durable_execution_sdk_python_otel"
PLUGINS = "DURABLE_EXECUTION_PLUGINS"
# X-Ray's header of the invocation.
HEADER = "_X_AMZN_TRACE_ID"
# The address of a local runner, whose ids of executions are no ARNs.
RUNNER = "AWS_ENDPOINT_URL_LAMBDA"
# The seconds of a trace id have eight hexadecimal digits.
MAX_START_MS = (1 << 32) * 1000


def has_plugin():
    return PLUGIN in sys.modules or "otel" in os.environ.get(PLUGINS, "")


def digest(text):
    """Returns the hexadecimal digits of the hash from which AWS's plugin makes ids, which differs between languages."""
    import hashlib

    return (hashlib.blake2b if has_plugin() else hashlib.sha256)(text.encode()).hexdigest()


def durable(event, lambda_context):
    """Returns the `Durable` execution to which the invocation belongs, or `None`. `input` is the event that started it.

    The envelope must name an execution of this function: anybody who may send the function an event can write one.
    """
    if not events.holds_for(event, DURABLE["when"]):
        return None
    arn = events.at(event, DURABLE["arn"])
    if not is_of_function(arn, lambda_context.invoked_function_arn):
        return None
    return Durable(
        arn,
        started_ms=events.first(DURABLE["started"], lambda pointer: events.milliseconds(events.at(event, pointer))),
        is_first=events.at(event, DURABLE["recorded"]) is None,
        payload=events.text(event, [DURABLE["input"]]),
        name=DURABLE["span_name"].format(function=lambda_context.function_name),
    )


def is_of_function(arn, invoked_arn):
    function, within, _ = arn.partition(DURABLE["within_function"])
    if not within:
        return not arn.startswith("arn:") and RUNNER in os.environ
    # arn:{partition}:lambda:{region}:{account}:function:{name}
    own = invoked_arn.split(":")[:7] if isinstance(invoked_arn, str) else []
    return len(own) == 7 and function.split(":")[:7] == own


class Durable:
    """A durable execution, as the event of one of its invocations describes it."""

    def __init__(self, arn, *, started_ms, is_first, payload, name):
        self.arn = arn
        self.started_ms = started_ms if started_ms is not None and started_ms < MAX_START_MS else None
        self.is_first = is_first
        self.name = name
        try:
            self.input = json.loads(payload) if payload else None
        except (ValueError, RecursionError):
            self.input = None
        # The context with the parent of the execution's span, and the context of that span, once the invocation has begun.
        self.caller = None
        self.span_context = None

    def attributes(self):
        return {NAMES["arn"]: self.arn, NAMES["is_first"]: self.is_first}

    def begin(self, caller, samples):
        """Returns the parent of the invocation's span, and its links.

        The invocation's span hangs below that of its caller, as for any event, with a link to the execution's span; without a
        caller, below the execution's span. `samples` decides like the sampler about a root span with a trace id and a name.
        """
        if self.started_ms is None:
            return caller, ()
        called_by = trace.get_current_span(caller).get_span_context()
        self.caller = caller
        plugin = has_plugin()
        trace_id = called_by.trace_id if called_by.is_valid and not plugin else self.trace_id(plugin)
        is_sampled = called_by.trace_flags.sampled if called_by.is_valid else samples(trace_id, self.name)
        span_id = int(digest(DURABLE["span_seed"] + self.arn)[:16], 16) or 1
        self.span_context = trace.SpanContext(trace_id, span_id, True, trace.TraceFlags(is_sampled))
        if plugin and bool(is_sampled) == (events.xray(os.environ.get(HEADER, "")).is_sampled is False):
            layer_module("lambda_otlp_decisions").decide(trace_id, bool(is_sampled))
        if called_by.is_valid:
            return caller, (trace.Link(self.span_context),)
        return trace.set_span_in_context(trace.NonRecordingSpan(self.span_context), caller), ()

    def trace_id(self, plugin):
        """Returns X-Ray's trace id if X-Ray samples the execution, or else that of ARN and start.

        AWS's plugin takes X-Ray's in any case.
        """
        header = events.xray(os.environ.get(HEADER, ""))
        if header.trace_id is not None and (header.is_sampled or plugin):
            return header.trace_id
        return int(f"{self.started_ms // 1000:08x}{digest(self.arn)[:24]}", 16)

    def leave(self):
        """Forgets what was decided for the invocation."""
        if self.span_context is not None and has_plugin():
            layer_module("lambda_otlp_decisions").forget(self.span_context.trace_id)

    def write(self, tracer, generator, status, failure):
        """Writes the execution's span. AWS's plugin writes one of its own. `failure` is the type and message of a failed one."""
        if self.span_context is None or has_plugin():
            return
        attributes = {NAMES["arn"]: self.arn, NAMES["status"]: status}
        with Ids.used(generator, self.span_context):
            span = tracer.start_span(self.name, self.caller, attributes=attributes, start_time=self.started_ms * 1_000_000)
        if failure is not None:
            span.set_attribute("error.type", failure[0])
            span.set_status(trace.Status(trace.StatusCode.ERROR, failure[1]))
        span.end()


class Ids(threading.local):
    """The ids of the next span that this thread starts."""

    next = None

    @classmethod
    def used(cls, generator, span_context):
        """Returns a context manager in which the generator gives a span these ids."""
        ids = vars(generator).get("lambda_otlp_ids")
        if ids is None:
            ids = generator.lambda_otlp_ids = cls()
            for name, attribute in (("generate_trace_id", "trace_id"), ("generate_span_id", "span_id")):
                setattr(generator, name, ids.instead_of(getattr(generator, name), attribute))
        ids.next = span_context
        return ids

    def instead_of(self, generate, attribute):
        return lambda: getattr(self.next, attribute, None) or generate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.next = None


def state(context):
    """Returns headers with the span of the state that called the function: the ids that Datadog derives from Step Functions'
    context object."""
    import hashlib

    def number(digest):
        return f"{int.from_bytes(digest[:8], 'big') & (1 << 63) - 1 or 1:016x}"

    root = hashlib.sha256(events.text(context, STATE_MACHINE["execution"]).encode()).digest()
    trace_id = traced_by_datadog(context) or number(root) + number(root[8:])
    parts = "#".join(events.at(context, pointer) for pointer in STATE_MACHINE["state"])
    counts = [events.integer(events.at(context, pointer)) or 0 for pointer in STATE_MACHINE["counts"]]
    if any(counts):
        parts += "".join(f"#{count}" for count in counts)
    return {"traceparent": f"00-{trace_id}-{number(hashlib.sha256(parts.encode()).digest())}-01"}


def traced_by_datadog(context):
    """Returns the trace id of the function that started the state machine, if Datadog's tracer wrote one."""
    low = events.text(context, [STATE_MACHINE["trace_id"]]) or ""
    tags = events.text(context, [STATE_MACHINE["tags"]]) or ""
    high = dict(tag.partition("=")[::2] for tag in tags.split(",")).get("_dd.p.tid", "")
    if not (low.isascii() and low.isdigit() and len(low) <= 20 and 0 < int(low) < 1 << 64):
        return None
    return f"{events.id_of(high, 16) or 0:016x}{int(low):016x}"
