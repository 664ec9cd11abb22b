//! Policies and small helpers that several tests share.

use serde_json::Value;

/// What brings terraform, which no package has.
pub(crate) const TERRAFORM: &str = "install terraform 1.4 or newer into /usr/local/bin";

/// What brings kubectl.
pub(crate) const KUBECTL: &str = "install kubectl, or apt-get install kubernetes-client";

/// Everything but break-glass runs without asking.
pub(crate) const OPEN: &str = "\
agents:
  local:root:
    rules:
      - {protocol: command, tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}}
      - {protocol: terraform, tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}}
      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}}
      - {protocol: helm, tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}}
      - {protocol: aws, tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}}
";

/// Reads run, writes ask, the rest is refused.
pub(crate) const ASKING: &str = "\
agents:
  local:root:
    rules:
      - {protocol: command, tiers: {0: allow, 2: escalate, 3: escalate, 4: deny}}
      - {protocol: terraform, tiers: {0: allow, 1: allow, 2: escalate, 3: escalate, 4: deny}}
";

/// Returns the records of one event.
pub(crate) fn of<'a>(records: &'a [Value], event: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["event"] == event).collect()
}

/// Returns the only record of one event.
#[track_caller]
pub(crate) fn only<'a>(records: &'a [Value], event: &str) -> &'a Value {
    let found = of(records, event);
    assert_eq!(found.len(), 1, "{event} in {records:#?}");
    found[0]
}

/// A command that is T3 and leaves the file `ran`.
pub(crate) const SENSITIVE: [&str; 5] = ["exec", "--", "sh", "-c", "touch ran; rm -f gone"];
