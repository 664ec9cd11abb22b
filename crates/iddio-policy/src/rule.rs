//! One rule of a policy file.

use iddio_core::{
    approval::Assurance,
    audit::Durability,
    operation::{OverrideKind, Protocol, ScopeKey},
    pipeline::ASK_MILLIS_MAX,
    policy::{
        CredentialReuse, FourEyes, Obligations, Recorded, SharedApproval, Verdict,
        engine::{BreakGlassAllow, ClusterScoped, Grants, RuleSpec},
        pattern::{GlobKind, Globs},
    },
    tier::{Class, Tier},
};

use crate::{
    file::place,
    limits::{APPROVERS_MAX, RUN_MILLIS_MAX},
    model::RulePlaces,
    reader::{Reader, Table, first_of, listed, shown},
    source::{Source, printable},
    tree::{Entry, Node, Value},
};

/// Reads a rule, and notes where its parts stand.
pub(crate) fn read_rule(
    reader: &mut Reader,
    source: &Source<'_>,
    node: &Node,
    places: &mut RulePlaces,
) -> Option<RuleSpec> {
    let table = reader.table(node, KEYS)?;
    for key in KEYS {
        if let Some(entry) = table.entry(key) {
            places.keys.insert((*key).to_owned(), place(source, entry));
        }
    }
    let protocols = Protocol::ALL.map(|protocol| (protocol.name(), protocol));
    let protocol = match table.node("protocol") {
        Some(node) => reader.word(node, "protocol", &protocols)?,
        None => Protocol::Kubernetes,
    };
    let scopes = read_scopes(reader, &table, protocol);
    let classes = read_classes(reader, &table);
    let break_glass = table.node("dangerous_allow").and_then(|node| {
        reader.switch(node, BreakGlassAllow::DangerousAllow, BreakGlassAllow::Refused)
    });
    let break_glass = break_glass.unwrap_or(BreakGlassAllow::Refused);
    let Some(tiers) = table.entry("tiers") else {
        reader.fault(&first_of(node), "missing key `tiers`", "such as `tiers: {0: allow}`");
        return None;
    };
    places.tiers = place(source, tiers);
    let tiers = read_tiers(reader, &tiers.node, &classes, break_glass)?;
    let cluster_scoped = read_cluster_scoped(reader, &table, protocol);
    Some(RuleSpec {
        protocol,
        scopes,
        tiers,
        classes,
        runbooks: table.node("runbooks").and_then(|node| reader.names(node)).unwrap_or_default(),
        cluster_scoped,
        grants: read_grants(reader, &table),
        obligations: read_obligations(reader, &table),
        break_glass,
    })
}

fn read_scopes(
    reader: &mut Reader,
    table: &Table<'_>,
    protocol: Protocol,
) -> Vec<(ScopeKey, Globs)> {
    let own = protocol.scope_keys();
    let mut scopes = Vec::new();
    for key in SCOPE_KEYS {
        let Some(Entry { span, node, .. }) = table.entry(key.name()) else { continue };
        if !own.contains(key) {
            let names: Vec<_> = own.iter().map(|key| key.name()).collect();
            let message = format!("`{}` is no scope of {}", key.name(), protocol.name());
            reader.fault(span, message, format!("expected {} here", listed(&names)));
            continue;
        }
        let globs = reader.globs(node, glob_kind(*key));
        scopes.extend(globs.map(|globs| (*key, globs)));
    }
    scopes
}

/// Returns what a run may cross in names of this kind.
pub(crate) fn glob_kind(key: ScopeKey) -> GlobKind {
    match key {
        ScopeKey::Hosts => GlobKind::Host,
        ScopeKey::Paths => GlobKind::Path,
        _ => GlobKind::Plain,
    }
}

fn read_tiers(
    reader: &mut Reader,
    node: &Node,
    classes: &[Class],
    break_glass: BreakGlassAllow,
) -> Option<[Option<Verdict>; 5]> {
    let mut tiers = [None; 5];
    for Entry { key, span, node } in reader.entries(node)? {
        let mut slots = TIER_KEYS.iter().zip(tiers.iter_mut());
        let Some((_, slot)) = slots.find(|(name, _)| *name == key) else {
            reader.fault(
                span,
                format!("unknown tier `{}`", shown(key)),
                "expected 0, 1, 2, 3 or 4",
            );
            continue;
        };
        *slot = reader.word(node, "verdict", VERDICTS);
        if *key == TIER_KEYS[4] {
            check_break_glass(reader, node, *slot, classes, break_glass);
        }
    }
    Some(tiers)
}

/// Break-glass is let through by name only.
fn check_break_glass(
    reader: &mut Reader,
    node: &Node,
    verdict: Option<Verdict>,
    classes: &[Class],
    break_glass: BreakGlassAllow,
) {
    match verdict {
        Some(Verdict::Allow) if break_glass == BreakGlassAllow::Refused => {
            let hint = "write `dangerous_allow: true` in the rule if you mean it";
            reader.fault(&node.span, "tier 4 is allowed without asking", hint);
        }
        Some(Verdict::Allow | Verdict::Escalate) if classes.is_empty() => {
            let hint = "name what it is for: `classes: [session]`, destroy or identity";
            reader.fault(&node.span, "tier 4 is not denied and no class is named", hint);
        }
        Some(_) | None => {}
    }
}

fn read_classes(reader: &mut Reader, table: &Table<'_>) -> Vec<Class> {
    let words = Class::ALL.map(|class| (class.name(), class));
    let items = table.node("classes").and_then(|node| reader.list(node)).unwrap_or_default();
    items.iter().filter_map(|item| reader.word(item, "class", &words)).collect()
}

fn read_cluster_scoped(
    reader: &mut Reader,
    table: &Table<'_>,
    protocol: Protocol,
) -> ClusterScoped {
    let Some(Entry { span, node, .. }) = table.entry("cluster_scoped") else {
        return ClusterScoped::Excluded;
    };
    if protocol != Protocol::Kubernetes {
        let message = format!("`cluster_scoped` has no meaning for {}", protocol.name());
        reader.fault(span, message, "only kubernetes has objects without a namespace");
    }
    let covered = reader.switch(node, ClusterScoped::Covered, ClusterScoped::Excluded);
    covered.unwrap_or(ClusterScoped::Excluded)
}

fn read_grants(reader: &mut Reader, table: &Table<'_>) -> Grants {
    let known = GRANTS.map(|(name, _, _)| name);
    let Some(grants) = table.node("grants").and_then(|node| reader.table(node, &known)) else {
        return Grants::default();
    };
    let mut granted = Vec::new();
    for (name, kind, globs) in GRANTS {
        let globs = grants.node(name).and_then(|node| reader.globs(node, globs));
        granted.extend(globs.map(|globs| (kind, globs)));
    }
    Grants(granted)
}

fn read_obligations(reader: &mut Reader, table: &Table<'_>) -> Obligations {
    let assurances = Assurance::ALL.map(|assurance| (assurance.name(), assurance));
    let mut required = |key: &str, default| {
        let most = i64::from(APPROVERS_MAX);
        let number = table.node(key).and_then(|node| reader.number(node, 1, most));
        number.and_then(|number| u8::try_from(number).ok()).unwrap_or(default)
    };
    let required_approvers = required("required_approvers", 0);
    let mut obligations = Obligations { required_approvers, ..Obligations::NONE };
    let node = |key: &str| table.node(key);
    if let Some(groups) = node("approvers").and_then(|node| reader.names(node)) {
        obligations.approvers = groups;
    }
    let four_eyes = node("four_eyes");
    if let Some(said) =
        four_eyes.and_then(|node| reader.switch(node, FourEyes::Required, FourEyes::Waived))
    {
        obligations.four_eyes = said;
    }
    if let Some(said) =
        node("assurance").and_then(|node| reader.word(node, "assurance", &assurances))
    {
        obligations.assurance = said;
    }
    if let Some(said) = node("record").and_then(|node| reader.word(node, "recording", RECORDED)) {
        obligations.record = said;
    }
    if let Some(said) = node("durability").and_then(|node| reader.word(node, "durability", DURABLE))
    {
        obligations.durability = Some(said);
    }
    if let Some(said) = node("credential").and_then(|node| reader.word(node, "credential", REUSE)) {
        obligations.credential = said;
    }
    let shared = node("shared_approval");
    if let Some(said) = shared
        .and_then(|node| reader.switch(node, SharedApproval::Permitted, SharedApproval::Forbidden))
    {
        obligations.shared_approval = said;
    }
    obligations.verify = node("verify").and_then(|node| reader.name(node));
    obligations.run_millis_max =
        node("max_duration").and_then(|node| reader.duration(node, RUN_MILLIS_MAX));
    obligations.ask_millis = read_timeout(reader, table);
    obligations.notify = read_notify(reader, table);
    obligations
}

fn read_timeout(reader: &mut Reader, table: &Table<'_>) -> Option<u64> {
    one_of(reader, table, "timeout", "timeout_minutes");
    let minutes_max = i64::try_from(ASK_MILLIS_MAX / 60_000).unwrap_or(i64::MAX);
    match (table.node("timeout"), table.node("timeout_minutes")) {
        (Some(node), _) => reader.duration(node, ASK_MILLIS_MAX),
        (None, Some(node)) => {
            let minutes = reader.number(node, 1, minutes_max)?;
            u64::try_from(minutes).ok().map(|minutes| minutes * 60_000)
        }
        (None, None) => None,
    }
}

fn read_notify(reader: &mut Reader, table: &Table<'_>) -> Vec<String> {
    one_of(reader, table, "notify", "notify_channel");
    let Some(node) = table.node("notify").or(table.node("notify_channel")) else {
        return Vec::new();
    };
    let mut channels = match &node.value {
        Value::List(_) => reader.names(node).unwrap_or_default(),
        _ => reader.name(node).into_iter().collect(),
    };
    channels.sort();
    channels.dedup();
    channels
}

/// Two spellings of one key may not both be there.
fn one_of(reader: &mut Reader, table: &Table<'_>, one: &str, other: &str) {
    if let (Some(_), Some(entry)) = (table.entry(one), table.entry(other)) {
        let message = format!("`{other}` says the same as `{one}`");
        reader.fault(&entry.span, printable(&message), "keep one of them");
    }
}

/// The keys of a rule.
pub(crate) const KEYS: &[&str] = &[
    "protocol",
    "clusters",
    "namespaces",
    "hosts",
    "ssh_principals",
    "workspaces",
    "releases",
    "services",
    "regions",
    "accounts",
    "servers",
    "tools",
    "methods",
    "paths",
    "commands",
    "tiers",
    "classes",
    "runbooks",
    "cluster_scoped",
    "approvers",
    "required_approvers",
    "four_eyes",
    "assurance",
    "timeout",
    "timeout_minutes",
    "notify",
    "notify_channel",
    "max_duration",
    "record",
    "durability",
    "credential",
    "shared_approval",
    "grants",
    "dangerous_allow",
    "verify",
];

const SCOPE_KEYS: &[ScopeKey] = &[
    ScopeKey::Accounts,
    ScopeKey::Clusters,
    ScopeKey::Commands,
    ScopeKey::Hosts,
    ScopeKey::Methods,
    ScopeKey::Namespaces,
    ScopeKey::Paths,
    ScopeKey::Regions,
    ScopeKey::Releases,
    ScopeKey::Servers,
    ScopeKey::Services,
    ScopeKey::SshPrincipals,
    ScopeKey::Tools,
    ScopeKey::Workspaces,
];

const TIER_KEYS: [&str; Tier::ALL.len()] = ["0", "1", "2", "3", "4"];

const VERDICTS: &[(&str, Verdict)] =
    &[("allow", Verdict::Allow), ("escalate", Verdict::Escalate), ("deny", Verdict::Deny)];

const RECORDED: &[(&str, Recorded)] = &[("full", Recorded::Full), ("metadata", Recorded::Metadata)];

const DURABLE: &[(&str, Durability)] = &[("sync", Durability::Sync)];

const REUSE: &[(&str, CredentialReuse)] =
    &[("per_request", CredentialReuse::PerRequest), ("reuse", CredentialReuse::Reuse)];

const GRANTS: [(&str, OverrideKind, GlobKind); 4] = [
    ("endpoints", OverrideKind::Endpoint, GlobKind::Endpoint),
    ("profiles", OverrideKind::Profile, GlobKind::Plain),
    ("kubeconfigs", OverrideKind::Kubeconfig, GlobKind::Path),
    ("env", OverrideKind::Env, GlobKind::Word),
];
