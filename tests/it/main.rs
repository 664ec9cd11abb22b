//! Whole-gateway tests: the binary, real tools, real attacks.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

mod attacks;
mod bad_input;
mod booted;
mod broker;
mod broker_credentials;
mod broker_keepers;
mod broker_outputs;
mod catalogs;
mod certificates;
mod escapes_broker;
mod escapes_keepers;
mod escapes_run;
mod faults;
mod first_minutes;
mod freeze;
mod guide;
mod hand;
mod hosts;
mod installing;
mod keepers;
mod kit;
mod kube;
mod kube_front;
mod kube_streams;
mod kube_threats;
mod one_truth;
mod operations;
mod recordings;
mod red_team;
mod runs;
mod secrets;
mod shells;
mod streams;
mod terminals;
mod tools;
mod unit_filters;
