//! What AWS Lambda says about itself, and its conversion to OTLP.
