//! Functions that the demo and the end-to-end tests run.
