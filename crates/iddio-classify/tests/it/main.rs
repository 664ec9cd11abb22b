//! Command lines and catalogs, from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod aws;
mod benign;
mod catalogs;
mod corpus;
mod explained;
mod holes;
mod invariants;
mod kit;
mod kube;
mod kube_requests;
mod lang_find;
mod lang_text;
mod lines;
mod manifests;
mod plans;
mod properties;
mod red_lines;
mod shell_properties;
mod shell_walk;
mod sql;
mod tools_format;
mod wrappers;
