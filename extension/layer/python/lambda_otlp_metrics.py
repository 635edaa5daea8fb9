"""OpenTelemetry's metrics API without OpenTelemetry's SDK. The meter provider sends metrics to the extension with an invocation's
spans.

It supports gauges, sums, and histograms with the SDK's default buckets, delta or cumulative, with exemplars of sampled spans.

Source: OpenTelemetry specification 1.60, "Metrics SDK"; opentelemetry-proto 1.9, `metrics.proto`.
"""

import math
import struct
import threading
from bisect import bisect_left
from collections.abc import Generator, Mapping

from lambda_otlp_load import layer_module, time
from opentelemetry import context as contexts
from opentelemetry import metrics, trace
from opentelemetry.attributes import BoundedAttributes

DEFAULT_BOUNDS = (0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0)
# The specification's limit of attribute sets for each metric, and the attribute of the point for further ones.
MAX_POINTS = 2000
OVERFLOW = {"otel.metric.overflow": True}
# The numbers of `AggregationTemporality` in OTLP.
DELTA = 1
CUMULATIVE = 2
# Types of attribute values that need no check.
SIMPLE = (str, bool, int, float)


class Exemplar:
    """A measured value with its span."""

    __slots__ = ("time", "value", "span_context")

    def __init__(self, time, value, span_context):
        self.time = time
        self.value = value
        self.span_context = span_context


class Point:
    """The state of one attribute set."""

    __slots__ = ("attributes", "begun", "bounds", "counts", "exemplars", "is_set", "least", "most", "value")

    def __init__(self, attributes, bounds, begun):
        self.attributes = attributes
        self.begun = begun
        # Of a histogram: the bounds of its buckets, and the number of values in each.
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1) if bounds is not None else None
        # The latest exemplar of each bucket. Other points have one at 0.
        self.exemplars = {}
        self.is_set = False
        self.least = None
        self.most = None
        # The latest value, or the sum of values.
        self.value = 0


class Instrument:
    """The base of all instruments. It keeps their points and aggregates values."""

    has_bounds = False
    is_sum = False
    is_monotonic = False
    is_observed = False

    def __init__(self, meter, name, unit, description, bounds=None, callbacks=None):
        checked = self._check_name_unit_description(name, unit, description)
        if checked["name"] is None or checked["unit"] is None:
            raise ValueError(f"a metric's name or unit is not valid: {name!r}, {unit!r}")
        self.meter = meter
        self.name = checked["name"].lower()
        self.unit = checked["unit"]
        self.description = checked["description"]
        self.bounds = bounds_of(bounds, name) if self.has_bounds else None
        self.temporality = meter.provider.temporality(self)
        self.callbacks = []
        self.add_callbacks(callbacks)
        # The values of observed points at the latest collection.
        self.collected_values = {}
        self.begin_interval(is_new_process=True)

    def begin_interval(self, is_new_process):
        """Begins a new interval. A new process has no values yet. A restored environment keeps values that are no totals."""
        # Another thread of the parent process may have held the lock.
        self.lock = threading.Lock()
        self.begun = time.time_ns()
        if is_new_process or self.has_bounds or self.is_monotonic:
            self.points = {}
        for point in self.points.values():
            point.begun = self.begun

    def add_callbacks(self, callbacks):
        for callback in callbacks or ():
            if isinstance(callback, Generator):
                # The generator runs to its first `yield`, which receives the options.
                next(callback)
                callback = callback.send
            self.callbacks.append(callback)

    def measure(self, value, attributes, context):
        if not self.check_finite(value):
            return
        if value < 0 and (self.is_monotonic or self.has_bounds):
            warn("a negative value of %s is ignored", self.name)
            return
        span_context = trace.get_current_span(context or None).get_span_context()
        exemplar = Exemplar(time.time_ns(), value, span_context) if span_context.trace_flags.sampled else None
        with self.lock:
            point = self.point(attributes)
            bucket = 0
            if self.has_bounds:
                bucket = bisect_left(point.bounds, value)
                point.counts[bucket] += 1
                point.least = value if point.least is None else min(point.least, value)
                point.most = value if point.most is None else max(point.most, value)
            point.value = point.value + value if self.is_sum or self.has_bounds else value
            point.is_set = True
            if exemplar is not None:
                point.exemplars[bucket] = exemplar

    def check_finite(self, value):
        """Returns `True` if the value is finite, and otherwise warns."""
        is_finite = math.isfinite(value)
        if not is_finite:
            warn("a value of %s is ignored, because it is not finite: %s", self.name, value)
        return is_finite

    def point(self, attributes):
        """Returns the point of this attribute set, or the one of overflowing sets."""
        attributes = clean(attributes)
        key = key_of(attributes)
        if key not in self.points and len(self.points) >= MAX_POINTS:
            attributes = OVERFLOW
            key = key_of(OVERFLOW)
        if key not in self.points:
            self.points[key] = Point(dict(attributes or {}), self.bounds, self.begun)
        return self.points[key]

    def observe(self):
        """Replaces the previous observations with new ones from the function's callbacks."""
        self.points = {}
        for callback in self.callbacks:
            try:
                for each in callback(metrics.CallbackOptions()):
                    if self.check_finite(each.value):
                        point = self.point(each.attributes)
                        point.value = point.value + each.value if self.is_sum else each.value
                        point.is_set = True
            except StopIteration:
                pass
            except Exception as error:
                warn("a callback of %s failed: %r", self.name, error)

    def collect(self, now):
        """Returns the encoded points. With delta temporality, starts the next interval."""
        with self.lock:
            points = [point for point in self.points.values() if point.is_set]
            if self.is_observed and self.temporality == DELTA:
                values = {key: point.value for key, point in self.points.items()}
                for key, point in self.points.items():
                    point.value -= self.collected_values.get(key, 0)
                self.collected_values = values
            encoded = [self.encode_point(point, now) for point in points]
            for point in points:
                point.exemplars = {}
            if self.temporality == DELTA:
                self.points = {}
                self.begun = now
            return encoded

    def encode_point(self, point, now):
        wire = self.meter.provider.wire
        times = b"\x19" + wire.pack_fixed64(now)
        if self.is_sum or self.has_bounds:
            times = b"\x11" + wire.pack_fixed64(point.begun) + times
        exemplars = [encode_exemplar(wire, point.exemplars[bucket]) for bucket in sorted(point.exemplars)]
        if not self.has_bounds:
            parts = [wire.attributes_of(0x3A, point.attributes), times, encode_value(wire, point.value, 0x21, 0x31)]
            return b"".join(parts + [wire.message(0x2A, exemplar) for exemplar in exemplars])
        counts = point.counts
        bounds = point.bounds
        parts = [
            wire.attributes_of(0x4A, point.attributes),
            times,
            b"\x21" + wire.pack_fixed64(sum(counts)),
            b"\x29" + wire.pack_double(point.value),
            wire.message(0x32, struct.pack(f"<{len(counts)}Q", *counts)),
            wire.message(0x3A, struct.pack(f"<{len(bounds)}d", *bounds)),
            b"\x59" + wire.pack_double(point.least),
            b"\x61" + wire.pack_double(point.most),
        ]
        return b"".join(parts + [wire.message(0x42, exemplar) for exemplar in exemplars])

    def encode(self, now):
        """Encodes a metric, which is empty if there are no points."""
        points = self.collect(now)
        if not points:
            return b""
        wire = self.meter.provider.wire
        data = b"".join([wire.message(0x0A, point) for point in points])
        if self.has_bounds:
            data = wire.message(0x4A, data + wire.number(0x10, self.temporality))
        elif self.is_sum:
            data = wire.message(0x3A, data + wire.number(0x10, self.temporality) + wire.number(0x18, int(self.is_monotonic)))
        else:
            data = wire.message(0x2A, data)
        return wire.text(0x0A, self.name) + wire.text(0x12, self.description) + wire.text(0x1A, self.unit) + data


def encode_value(wire, value, double_tag, integer_tag):
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return bytes([integer_tag]) + wire.pack_fixed64(value & (1 << 64) - 1)
    return bytes([double_tag]) + wire.pack_double(value)


def encode_exemplar(wire, exemplar):
    return (
        b"\x11"
        + wire.pack_fixed64(exemplar.time)
        + encode_value(wire, exemplar.value, 0x19, 0x31)
        + wire.id_of(0x22, exemplar.span_context.span_id, 8)
        + wire.id_of(0x2A, exemplar.span_context.trace_id, 16)
    )


def bounds_of(advised, name):
    """Returns the function's own bounds if they are valid, otherwise the default ones."""
    if advised is None:
        return DEFAULT_BOUNDS
    try:
        bounds = tuple(map(float, advised))
    except (TypeError, ValueError):
        bounds = (math.nan,)
    if all(low < high for low, high in zip(bounds, (*bounds[1:], math.inf))):
        return bounds
    warn("the bounds of %s are ignored, because they are not increasing numbers: %r", name, advised)
    return DEFAULT_BOUNDS


def clean(attributes):
    """Returns the attributes that the SDK would keep, with hashable values."""
    if not attributes:
        return {}
    if isinstance(attributes, Mapping):
        is_simple = all([name.__class__ is str and name and value.__class__ in SIMPLE for name, value in attributes.items()])
        return attributes if is_simple else BoundedAttributes(attributes=attributes)
    warn("attributes are ignored, because they are not a mapping: %r", attributes)
    return {}


def key_of(attributes):
    """Returns the identity of attributes. `1`, `1.0` and `True` are different values."""
    if not attributes:
        return frozenset()
    try:
        return frozenset([(name, value.__class__, value) for name, value in attributes.items()])
    except TypeError:
        # A value is not hashable, such as a mapping.
        return repr(sorted(attributes.items()))


def warn(text, *values):
    import logging

    logging.getLogger("opentelemetry.sdk.metrics").warning(text, *values)


class Counter(Instrument, metrics.Counter):
    is_sum = True
    is_monotonic = True

    def add(self, amount, attributes=None, context=None):
        self.measure(amount, attributes, context)


class UpDownCounter(Instrument, metrics.UpDownCounter):
    is_sum = True

    def add(self, amount, attributes=None, context=None):
        self.measure(amount, attributes, context)


class Histogram(Instrument, metrics.Histogram):
    has_bounds = True

    def record(self, amount, attributes=None, context=None):
        self.measure(amount, attributes, context)


class Gauge(Instrument, metrics._Gauge):
    def set(self, amount, attributes=None, context=None):
        self.measure(amount, attributes, context)


class ObservableCounter(Instrument, metrics.ObservableCounter):
    is_sum = True
    is_monotonic = True
    is_observed = True


class ObservableUpDownCounter(Instrument, metrics.ObservableUpDownCounter):
    is_sum = True
    is_observed = True


class ObservableGauge(Instrument, metrics.ObservableGauge):
    is_observed = True


class Meter(metrics.Meter):
    def __init__(self, provider, scope):
        super().__init__(scope.name, scope.version, scope.schema_url)
        self.provider = provider
        self.scope = scope
        self.instruments = {}

    def make(self, kind, name, unit, description, **others):
        # Requests with the same identity share one instrument.
        key = (kind, name.lower(), unit, description)
        if key not in self.instruments:
            self.instruments[key] = kind(self, name, unit, description, **others)
        elif callbacks := others.get("callbacks"):
            self.instruments[key].add_callbacks(callbacks)
        return self.instruments[key]

    def observe(self):
        for instrument in list(self.instruments.values()):
            if instrument.is_observed:
                instrument.observe()

    def create_counter(self, name, unit="", description=""):
        return self.make(Counter, name, unit, description)

    def create_up_down_counter(self, name, unit="", description=""):
        return self.make(UpDownCounter, name, unit, description)

    def create_histogram(self, name, unit="", description="", *, explicit_bucket_boundaries_advisory=None):
        return self.make(Histogram, name, unit, description, bounds=explicit_bucket_boundaries_advisory)

    def create_gauge(self, name, unit="", description=""):
        return self.make(Gauge, name, unit, description)

    def create_observable_counter(self, name, callbacks=None, unit="", description=""):
        return self.make(ObservableCounter, name, unit, description, callbacks=callbacks)

    def create_observable_up_down_counter(self, name, callbacks=None, unit="", description=""):
        return self.make(ObservableUpDownCounter, name, unit, description, callbacks=callbacks)

    def create_observable_gauge(self, name, callbacks=None, unit="", description=""):
        return self.make(ObservableGauge, name, unit, description, callbacks=callbacks)


class MeterProvider(metrics.MeterProvider):
    def __init__(self, tracers, wire, scope_type, temporality_preference):
        self.tracers = tracers
        self.wire = wire
        self.scope_type = scope_type
        self.temporality_preference = temporality_preference
        self.meters = {}
        self.is_collecting = False

    def temporality(self, instrument):
        """Returns the temporality by OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE."""
        can_be_delta = instrument.has_bounds or instrument.is_sum and instrument.is_monotonic
        if self.temporality_preference == "delta":
            return DELTA if can_be_delta else CUMULATIVE
        if self.temporality_preference == "lowmemory":
            return DELTA if can_be_delta and not instrument.is_observed else CUMULATIVE
        return CUMULATIVE

    def get_meter(self, name, version=None, schema_url=None, attributes=None):
        name = layer_module("lambda_otlp_packages").public(name or "")
        key = (name, version, schema_url, key_of(attributes))
        if key not in self.meters:
            self.meters[key] = Meter(self, self.scope_type(name, version, schema_url, attributes))
        return self.meters[key]

    def collect(self):
        """Encodes a request of all metrics with points. It is empty if there are none, or if a callback flushes."""
        if self.is_collecting:
            return b""
        self.is_collecting = True
        # Calls from the function's callbacks must not create spans.
        token = contexts.attach(contexts.set_value(contexts._SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            meters = list(self.meters.values())
            # Callbacks run first, because they may add to other metrics.
            for meter in meters:
                meter.observe()
            now = time.time_ns()
            scopes = {}
            for meter in meters:
                encoded = [self.encode(instrument, now) for instrument in list(meter.instruments.values())]
                if any(encoded):
                    scopes[meter.scope] = [metric for metric in encoded if metric]
            return self.wire.request_of(self.tracers.resource.encoded, scopes) if scopes else b""
        finally:
            self.is_collecting = False
            contexts.detach(token)

    def begin_interval(self, is_new_process):
        self.is_collecting = False
        for meter in list(self.meters.values()):
            for instrument in list(meter.instruments.values()):
                instrument.begin_interval(is_new_process)

    def encode(self, instrument, now):
        """Encodes a metric. A metric that cannot be encoded is dropped, and affects no other metric and no span."""
        try:
            return instrument.encode(now)
        except Exception as error:
            instrument.points = {}
            self.tracers.receiver.say(f"the metric {instrument.name!r} is dropped, because it cannot be encoded: {error!r}")
            return b""

    def force_flush(self, timeout_millis=10000):
        return self.tracers.force_flush(timeout_millis)

    def shutdown(self, timeout_millis=30000):
        self.force_flush(timeout_millis)
