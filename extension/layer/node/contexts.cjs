// Ends the context of an invocation with the invocation. Timers, pools and emitters that an invocation starts keep its context
// for the life of the environment. Work in the context of an ended invocation belongs to the running invocation if exactly one
// runs. Otherwise it starts a trace of its own, with a link.

"use strict";

class Contexts {
  constructor(api, ids) {
    this.api = api;
    this.ids = ids;
    /// Key of the invocation in the contexts of its work.
    this.invocationKey = api.createContextKey("lambda-otlp: the invocation");
    /// Key of the span of an ended invocation, in the contexts of work that outlives it.
    this.endedKey = api.createContextKey("lambda-otlp: an ended invocation");
    this.running = new Set();
  }

  /// Returns the context of a new invocation, and a function that ends it.
  begin(context) {
    const invocation = { traceId: this.api.trace.getSpanContext(context)?.traceId, context: undefined };
    invocation.context = context.setValue(this.invocationKey, invocation);
    this.running.add(invocation);
    const end = () => {
      this.running.delete(invocation);
      // Other contexts may refer to this object for the life of the environment.
      invocation.context = undefined;
    };
    return { context: invocation.context, end };
  }

  /// Replaces the contexts that a context manager returns.
  follow(manager) {
    const active = manager.active.bind(manager);
    manager.active = () => {
      const context = active();
      const invocation = context.getValue(this.invocationKey);
      return invocation === undefined || this.running.has(invocation) ? context : this.contextAfter(invocation, context);
    };
    return manager;
  }

  /// Returns the context of work that an ended invocation has left in this context.
  contextAfter(invocation, context) {
    const { ROOT_CONTEXT, TraceFlags, trace } = this.api;
    const span = trace.getSpanContext(context);
    const ended = context.getValue(this.endedKey);
    const isPlaceholder = ended !== undefined && span?.spanId === ended.placeholder.spanId;
    // The work has started a trace of its own.
    if (span !== undefined && span.traceId !== invocation.traceId && !isPlaceholder) return context;
    if (this.running.size === 1) return [...this.running][0].context;
    // Work that belongs to no sampled trace stays so.
    if (ended !== undefined || !(span?.traceFlags & TraceFlags.SAMPLED)) return context;
    // Some instrumentations create no span without a valid parent.
    const placeholder = {
      traceId: this.ids.generateTraceId(),
      spanId: this.ids.generateSpanId(),
      traceFlags: TraceFlags.SAMPLED,
    };
    const root = ROOT_CONTEXT.setValue(this.invocationKey, invocation).setValue(this.endedKey, { placeholder, span });
    return trace.setSpanContext(root, placeholder);
  }

  /// Starts traces with links for the tracers of a provider.
  link(provider) {
    const { context: contexts, trace } = this.api;
    const getTracer = provider.getTracer.bind(provider);
    provider.getTracer = (...values) => {
      const tracer = getTracer(...values);
      if (Object.hasOwn(tracer, "startSpan")) return tracer;
      const startSpan = tracer.startSpan.bind(tracer);
      tracer.startSpan = (name, options, context = contexts.active()) => {
        const ended = context.getValue(this.endedKey);
        if (ended === undefined || trace.getSpanContext(context) !== ended.placeholder) return startSpan(name, options, context);
        const links = [...(options?.links ?? []), { context: ended.span }];
        return startSpan(name, { ...options, links }, trace.deleteSpan(context));
      };
      return tracer;
    };
  }
}

module.exports = { Contexts };
