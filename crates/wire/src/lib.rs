//! The OTLP line: OTLP requests as single JSON lines on stdout, written and read.
