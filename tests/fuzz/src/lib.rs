//! Every parser as a fuzz target, callable on stable Rust.
//!
//! A target is a total function: whatever the bytes, it returns, and what it asserts holds. The
//! test of this crate runs each over its corpus (`corpus/<target>/`) and over seeded mutations of
//! it; `fuzz/` holds wrappers that run the same functions under libFuzzer:
//!
//! ```text
//! cd tests/fuzz && cargo +nightly fuzz run policy_yaml corpus/policy_yaml
//! ```
//!
//! Whatever input once failed goes into the corpus.

mod approve;
mod broker;
mod classify;
mod core;
mod mutate;
mod policy;
mod record;
mod streams;

pub use mutate::mutate;

/// A total function of any bytes.
pub type Target = fn(&[u8]);

/// Returns every target, by the name of its corpus.
pub fn targets() -> &'static [(&'static str, Target)] {
    TARGETS
}

const TARGETS: &[(&str, Target)] = &[
    ("approver_key", approve::approver_key),
    ("audit_checkpoint", core::audit_checkpoint),
    ("audit_log", core::audit_log),
    ("awk", classify::awk),
    ("catalog", classify::catalog),
    ("command", classify::command),
    ("ed", classify::ed),
    ("exec_ask", broker::exec_ask),
    ("exec_ignore", broker::exec_ignore),
    ("exec_say", broker::exec_say),
    ("exec_tree", broker::exec_tree),
    ("find", classify::find),
    ("glob", policy::glob),
    ("json", core::json),
    ("kube_body", classify::kube_body),
    ("kube_answer", classify::kube_answer),
    ("kube_binary", classify::kube_binary),
    ("kube_change", classify::kube_change),
    ("kube_manifest", classify::kube_manifest),
    ("kube_request", classify::kube_request),
    ("kube_spdy", streams::spdy),
    ("kube_websocket", streams::websocket),
    ("log_call", core::log_call),
    ("log_reply", core::log_reply),
    ("names", core::names),
    ("policy_toml", policy::toml),
    ("policy_yaml", policy::yaml),
    ("recording", record::recording),
    ("recording_body", record::body),
    ("recording_shown", record::shown),
    ("redact_argv", core::redact_argv),
    ("redact_text", core::redact_text),
    ("sanitise", core::sanitise),
    ("sed", classify::sed),
    ("shell_read", classify::shell_read),
    ("signer_call", approve::signer_call),
    ("signer_reply", approve::signer_reply),
    ("sql", classify::sql),
    ("statement", approve::statement),
    ("terraform_config", classify::terraform_config),
    ("terraform_plan", classify::terraform_plan),
    ("token", approve::token),
];

/// Splits an input into words at zero bytes, as an argument vector is laid out.
fn words(bytes: &[u8]) -> Vec<iddio_core::text::RawText> {
    bytes.split(|byte| *byte == 0).map(iddio_core::text::RawText::new).collect()
}
