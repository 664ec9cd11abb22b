//! How a command ended, as the error channel says it: a `metav1.Status`.

use iddio_core::recording::Channel;
use serde_json::{Value, json};

/// Listens to the error channel.
#[derive(Debug, Default)]
pub(super) struct Listener(Vec<u8>);

// === impl Listener ===

impl Listener {
    /// Hears one frame.
    pub(super) fn hear(&mut self, channel: Channel, bytes: &[u8]) {
        if channel == Channel::Error && self.0.len() + bytes.len() <= STATUS_BYTES_MAX {
            self.0.extend_from_slice(bytes);
        }
    }

    /// Returns the exit code, where one was told.
    pub(super) fn code(&self) -> Option<u8> {
        let status: Value = serde_json::from_slice(&self.0).ok()?;
        if status.get("status")?.as_str()? == "Success" {
            return Some(0);
        }
        let causes = status.pointer("/details/causes")?.as_array()?;
        let reason =
            |cause: &Value| cause.get("reason").and_then(Value::as_str) == Some("ExitCode");
        let cause = causes.iter().find(|cause| reason(cause))?;
        cause.get("message")?.as_str()?.parse().ok()
    }
}

/// The status of a command that the gateway ended.
pub(super) fn failed(why: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": format!("iddio cut the stream: {why}"), "reason": "Forbidden", "code": 403,
    })
    .to_string()
}

/// The most of a status that is listened to: a few hundred bytes tell an exit code.
const STATUS_BYTES_MAX: usize = 16 * 1024;
