//! Compares our bytes with what opentelemetry-proto's own `transform` makes of the same data.
