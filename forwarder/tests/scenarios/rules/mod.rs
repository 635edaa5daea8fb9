//! What rules do to telemetry: every example of docs/rules.md, the order of things, the account.

mod behaviour;
mod docs;
mod properties;
mod support;
