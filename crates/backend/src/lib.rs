//! The only way out for telemetry: an OTLP client that knows OpenObserve.
