//! The sink answers as OpenObserve was measured to answer: a table of request and answer for every quirk.
#![expect(clippy::unwrap_used, reason = "tests")]

mod checks;
mod oddities;
mod rules;
mod support;
