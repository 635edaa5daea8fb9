//! Effects of rules on telemetry: examples of docs/rules.md, order, and accounting.

mod behaviour;
mod chain;
mod docs;
mod effects;
mod mistakes;
mod properties;
mod sampled_day;
mod support;
mod whole_traces;
