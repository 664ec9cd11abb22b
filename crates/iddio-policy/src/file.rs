//! The top level of a policy file.

use std::collections::BTreeMap;

use iddio_core::{
    digest::Digest,
    policy::{
        engine::{AgentSpec, Fallback, PolicySpec, ToolApproval, ToolSpec, ToolSwitch},
        runbook::Runbook,
    },
    principal::PrincipalId,
};

use crate::{
    model::{AgentPlaces, Destination, Inspected, Places, RulePlaces, Trusted},
    reader::{Reader, Table, shown},
    rule::read_rule,
    runbook::read_runbook,
    source::{Position, Source},
    tree::{Entry, Node},
};

/// Everything a file says, or as much of it as could be read.
pub(crate) struct Said {
    pub(crate) spec: PolicySpec,
    pub(crate) trusted: Vec<Trusted>,
    pub(crate) inspect: BTreeMap<Inspected, Vec<Destination>>,
    pub(crate) places: Places,
}

/// Reads the root of a policy file.
pub(crate) fn read(reader: &mut Reader, source: &Source<'_>, root: &Node) -> Option<Said> {
    let table = reader.table(root, KEYS)?;
    let silent = KEYS.iter().all(|key| table.node(key).is_none());
    if silent && reader.faults.is_empty() {
        let hint = "write `agents: {}` for a policy that denies everything";
        reader.fault(&crate::reader::first_of(root), "the policy says nothing", hint);
        return None;
    }
    let mut places = Places::default();
    let fallback = table.node("default").and_then(|node| reader.word(node, "default", FALLBACKS));
    let groups = read_groups(reader, &table);
    let runbooks = read_runbooks(reader, source, &table, &mut places);
    let agents = read_agents(reader, source, &table, &mut places);
    let tools = read_tools(reader, source, &table, &mut places);
    let spec = PolicySpec {
        version: Digest::of_bytes(source.text.as_bytes()),
        fallback: fallback.unwrap_or(Fallback::Deny),
        agents,
        runbooks,
        tools,
        groups,
    };
    let trusted = read_trusted(reader, &table);
    let inspect = read_inspect(reader, &table);
    Some(Said { spec, trusted, inspect, places })
}

fn read_agents(
    reader: &mut Reader,
    source: &Source<'_>,
    table: &Table<'_>,
    places: &mut Places,
) -> Vec<AgentSpec> {
    let Some(entries) = table.node("agents").and_then(|node| reader.entries(node)) else {
        return Vec::new();
    };
    let mut agents = Vec::new();
    for entry in entries {
        let id = read_principal(reader, &entry.key, entry);
        let mut place = AgentPlaces { name: source.position(entry.span.start), rules: Vec::new() };
        let rules = read_rules(reader, source, &entry.node, &mut place);
        if let (Some(id), Some(rules)) = (id, rules) {
            agents.push(AgentSpec { id, rules });
            places.agents.push(place);
        }
    }
    agents
}

fn read_rules(
    reader: &mut Reader,
    source: &Source<'_>,
    node: &Node,
    place: &mut AgentPlaces,
) -> Option<Vec<iddio_core::policy::engine::RuleSpec>> {
    let table = reader.table(node, &["rules"])?;
    let Some(list) = table.node("rules") else {
        let span = crate::reader::first_of(node);
        reader.fault(&span, "missing key `rules`", "an agent has a list of rules");
        return None;
    };
    let mut rules = Vec::new();
    for item in reader.list(list)? {
        let mut at = RulePlaces { rule: source.position(item.span.start), ..RulePlaces::default() };
        let rule = read_rule(reader, source, item, &mut at);
        rules.extend(rule);
        place.rules.push(at);
    }
    Some(rules)
}

fn read_runbooks(
    reader: &mut Reader,
    source: &Source<'_>,
    table: &Table<'_>,
    places: &mut Places,
) -> Vec<Runbook> {
    let Some(entries) = table.node("runbooks").and_then(|node| reader.entries(node)) else {
        return Vec::new();
    };
    let mut runbooks = Vec::new();
    for entry in entries {
        let name = reader.sound_name(&entry.key, &entry.span);
        places.runbooks.insert(entry.key.clone(), source.position(entry.span.start));
        let runbook = read_runbook(reader, &entry.key, &entry.node);
        runbooks.extend(runbook.filter(|_| name.is_some()));
    }
    runbooks
}

fn read_groups(reader: &mut Reader, table: &Table<'_>) -> Vec<(String, Vec<PrincipalId>)> {
    let Some(entries) = table.node("groups").and_then(|node| reader.entries(node)) else {
        return Vec::new();
    };
    let mut groups = Vec::new();
    for Entry { key, span, node } in entries {
        let name = reader.sound_name(key, span);
        let Some(items) = reader.list(node) else { continue };
        let mut members = Vec::new();
        for item in items {
            let Some(text) = reader.text(item) else { continue };
            match PrincipalId::new(text) {
                Some(id) if members.contains(&id) => {
                    reader.fault(&item.span, format!("`{id}` is there twice"), "each member once");
                }
                Some(id) => members.push(id),
                None => bad_principal(reader, text, &item.span),
            }
        }
        groups.extend(name.map(|name| (name, members)));
    }
    groups
}

fn read_tools(
    reader: &mut Reader,
    source: &Source<'_>,
    table: &Table<'_>,
    places: &mut Places,
) -> Vec<ToolSpec> {
    let Some(entries) = table.node("tools").and_then(|node| reader.entries(node)) else {
        return Vec::new();
    };
    let mut tools = Vec::new();
    for Entry { key, span, node } in entries {
        let name = reader.sound_name(key, span);
        places.tools.insert(key.clone(), source.position(span.start));
        let known = ["enabled", "allowed_roles", "require_approval"];
        let Some(tool) = reader.table(node, &known) else { continue };
        let enabled = tool.node("enabled");
        let switch =
            enabled.and_then(|node| reader.switch(node, ToolSwitch::Enabled, ToolSwitch::Disabled));
        let roles = tool.node("allowed_roles").and_then(|node| reader.names(node));
        let approval = tool
            .node("require_approval")
            .and_then(|node| reader.switch(node, ToolApproval::Required, ToolApproval::ByRule));
        tools.extend(name.map(|name| ToolSpec {
            name,
            switch: switch.unwrap_or(ToolSwitch::Enabled),
            roles,
            approval: approval.unwrap_or(ToolApproval::ByRule),
        }));
    }
    tools
}

fn read_trusted(reader: &mut Reader, table: &Table<'_>) -> Vec<Trusted> {
    let Some(items) = table.node("trusted").and_then(|node| reader.list(node)) else {
        return Vec::new();
    };
    let mut trusted: Vec<Trusted> = Vec::new();
    for item in items {
        let Some(entry) = reader.table(item, &["path", "sha256"]) else { continue };
        let path = required(reader, &entry, item, "path").and_then(|node| {
            let text = reader.text(node)?;
            let steps = text.split('/').any(|part| matches!(part, "." | ".."));
            let sound = text.starts_with('/') && !steps && !text.chars().any(char::is_control);
            if !sound {
                let message = format!("bad path `{}`", shown(text));
                reader.fault(&node.span, message, "an absolute path without `.` and `..`");
            }
            sound.then(|| text.to_owned())
        });
        let sha256 = required(reader, &entry, item, "sha256").and_then(|node| {
            let text = reader.text(node)?;
            let digest = Digest::from_hex(text);
            if digest.is_none() {
                let message = format!("bad digest `{}`", shown(text));
                reader.fault(&node.span, message, "64 lower-case hexadecimal digits");
            }
            digest
        });
        let (Some(path), Some(sha256)) = (path, sha256) else { continue };
        if trusted.iter().any(|known| known.path == path) {
            let message = format!("`{}` is trusted twice", shown(&path));
            reader.fault(&crate::reader::first_of(item), message, "each path once");
        }
        trusted.push(Trusted { path, sha256 });
    }
    trusted
}

fn read_inspect(reader: &mut Reader, table: &Table<'_>) -> BTreeMap<Inspected, Vec<Destination>> {
    let mut inspect = BTreeMap::new();
    for protocol in Inspected::ALL {
        let Some(section) = table.node(protocol.name()) else { continue };
        let Some(entry) = reader.table(section, &["inspect"]) else { continue };
        let Some(list) = required(reader, &entry, section, "inspect") else { continue };
        // An empty list inspects nothing, which is what `generic` ships with.
        let Some(items) = reader.list_or_empty(list) else { continue };
        let mut destinations = Vec::new();
        for item in items {
            let Some(text) = reader.text(item) else { continue };
            match Destination::parse(text) {
                Some(destination) => destinations.push(destination),
                None => {
                    let message = format!("bad destination `{}`", shown(text));
                    reader.fault(
                        &item.span,
                        message,
                        "a host, `*.suffix`, an address or a network",
                    );
                }
            }
        }
        inspect.insert(protocol, destinations);
    }
    inspect
}

/// Returns the value under a key that must be there.
pub(crate) fn required<'n>(
    reader: &mut Reader,
    table: &Table<'n>,
    owner: &Node,
    key: &str,
) -> Option<&'n Node> {
    let node = table.node(key);
    if node.is_none() {
        reader.fault(&crate::reader::first_of(owner), format!("missing key `{key}`"), "");
    }
    node
}

fn read_principal(reader: &mut Reader, text: &str, entry: &Entry) -> Option<PrincipalId> {
    let id = PrincipalId::new(text);
    if id.is_none() {
        bad_principal(reader, text, &entry.span);
    }
    id
}

fn bad_principal(reader: &mut Reader, text: &str, span: &std::ops::Range<usize>) {
    let expected = format!("1 to {} of a-z A-Z 0-9 . _ - : / @", PrincipalId::BYTES_MAX);
    reader.fault(span, format!("bad principal `{}`", shown(text)), expected);
}

/// Returns where something stands, for tools.
pub(crate) fn place(source: &Source<'_>, entry: &Entry) -> Position {
    source.position(entry.span.start)
}

/// The keys of the top level.
pub(crate) const KEYS: &[&str] = &[
    "default", "agents", "groups", "runbooks", "trusted", "tools", "kubectl", "google", "aws",
    "azure", "fly", "generic",
];

const FALLBACKS: &[(&str, Fallback)] =
    &[("deny", Fallback::Deny), ("escalate", Fallback::Escalate)];
