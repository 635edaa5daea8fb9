//! Typed variables from one table: parse, mask, document.
