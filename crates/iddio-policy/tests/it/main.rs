//! Tests of policy files: what loads, what is refused and where, and what is decided.

mod decisions;
mod examples;
mod files;
mod hostile;
mod properties;
mod support;
mod tools;
