//! End-to-end tests with real processes, and the shared fixtures.
