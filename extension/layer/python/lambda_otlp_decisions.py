"""Lets AWS's plugin for durable functions follow the invocation's span: its spans are recorded if that one is, and only then.

The plugin follows `Sampled` in X-Ray's header. Without active tracing Lambda writes `Sampled=0`, and the plugin would drop its
spans and, as their parent, those of the function's calls. docs/executions.md has the rule for all languages.
"""

import copy
import functools
import sys

from lambda_otlp_load import layer_module
from opentelemetry import trace

PLUGIN = layer_module("lambda_otlp_executions").PLUGIN
# By the trace ids of executions with a running invocation: `True` if their spans are to be recorded.
decided = {}


def decide(trace_id, is_recorded):
    """Sets the decision about an execution's trace until `forget`."""
    decided[trace_id] = is_recorded
    tracers = sys.modules.get("opentelemetry.sdk.trace")
    if tracers is not None and not hasattr(tracers.Tracer.start_span, "lambda_otlp"):
        from opentelemetry.sdk.trace import sampling

        samplers = {True: sampling.ALWAYS_ON, False: sampling.ALWAYS_OFF}
        tracers.Tracer.start_span = following(tracers.Tracer.start_span, samplers)


def forget(trace_id):
    decided.pop(trace_id, None)


def following(start_span, samplers):
    """Returns the method of a tracer that starts a span, with another sampler where there is a decision."""

    @functools.wraps(start_span)
    def start(self, name, context=None, *arguments, **named):
        is_recorded = decision(self, context) if decided else None
        if is_recorded is not None:
            self = copy.copy(self)
            self.sampler = samplers[is_recorded]
        return start_span(self, name, context, *arguments, **named)

    start.lambda_otlp = True
    return start


def decision(tracer, context):
    """Returns the decision that replaces the sampler's, or `None`.

    It counts for spans of the plugin, and for those that follow them: below a span that is recorded, the function's own sampler
    decides.
    """
    parent = trace.get_current_span(context).get_span_context()
    if type(tracer.sampler).__module__.partition(".")[0] == PLUGIN:
        return decided.get(parent.trace_id, next(reversed(decided.values()), None))
    is_recorded = decided.get(parent.trace_id)
    return None if is_recorded and parent.trace_flags.sampled else is_recorded
