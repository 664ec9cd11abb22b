//! One runbook of a policy file.

use iddio_core::{
    policy::{
        pattern::{Glob, GlobKind, Globs},
        runbook::{
            CORE_GROUP, KubernetesOperation, RUNBOOK_CAP_DEFAULT, RUNBOOK_CEILING, Runbook,
            RunbookError, RunbookOperation, ToolPattern, WordList,
        },
    },
    tier::Tier,
};

use crate::{
    file::required,
    reader::{Reader, Table, first_of, shown},
    tree::{Node, Value},
};

/// Reads a runbook.
pub(crate) fn read_runbook(reader: &mut Reader, name: &str, node: &Node) -> Option<Runbook> {
    let table = reader.table(node, &["max_tier", "operations"])?;
    let cap = match table.node("max_tier") {
        Some(node) => {
            let most = i64::from(RUNBOOK_CEILING.number());
            let number = reader.number(node, 1, most)?;
            u8::try_from(number).ok().and_then(Tier::from_number)?
        }
        None => RUNBOOK_CAP_DEFAULT,
    };
    let list = required(reader, &table, node, "operations")?;
    let mut operations = Vec::new();
    for item in reader.list(list)? {
        let operation = read_operation(reader, item)?;
        // Made by itself first, so that a refusal points at the operation.
        if let Err(error) = Runbook::new(name, cap, vec![operation.clone()]) {
            refuse(reader, item, error);
            return None;
        }
        operations.push(operation);
    }
    Runbook::new(name, cap, operations).ok()
}

fn refuse(reader: &mut Reader, item: &Node, error: RunbookError) {
    let expected = match error {
        RunbookError::Fields => "`fields: [\"/spec/replicas\"]`, as JSON pointers",
        RunbookError::Pointer => "such as \"/spec/replicas\"; `/` in a name is written `~1`",
        RunbookError::Cap | RunbookError::Empty => "",
    };
    reader.fault(&first_of(item), error.to_string(), expected);
}

fn read_operation(reader: &mut Reader, item: &Node) -> Option<RunbookOperation> {
    let table = reader.table(item, KEYS)?;
    let kubernetes = KUBERNETES_KEYS.iter().any(|key| table.node(key).is_some());
    match (table.node("commands"), table.node("tools"), kubernetes) {
        (Some(node), None, false) => read_commands(reader, node).map(RunbookOperation::Commands),
        (None, Some(node), false) => read_tools(reader, node).map(RunbookOperation::Tools),
        (None, None, true) => {
            read_kubernetes(reader, item, &table).map(RunbookOperation::Kubernetes)
        }
        (None, None, false) => {
            let expected = "expected `methods` and `resources`, `commands` or `tools`";
            reader.fault(&first_of(item), "the operation names nothing", expected);
            None
        }
        _ => {
            let expected = "one of Kubernetes keys, `commands` or `tools`; write two operations";
            reader.fault(&first_of(item), "the operation mixes protocols", expected);
            None
        }
    }
}

fn read_kubernetes(
    reader: &mut Reader,
    item: &Node,
    table: &Table<'_>,
) -> Option<KubernetesOperation> {
    let words = METHODS.map(|method| (method, method));
    let methods = required(reader, table, item, "methods").and_then(|node| {
        let items = reader.list(node)?;
        let methods: Vec<_> =
            items.iter().map(|item| reader.word(item, "method", &words)).collect();
        methods.into_iter().collect::<Option<Vec<_>>>()
    });
    let resources = required(reader, table, item, "resources")
        .and_then(|node| reader.globs(node, GlobKind::Path));
    let subresources = match table.node("subresources") {
        Some(node) => texts(reader, node)?,
        None => Vec::new(),
    };
    let api_groups = match table.node("api_groups") {
        Some(node) => Some(read_groups(reader, node)?),
        None => None,
    };
    let fields = match table.node("fields") {
        Some(node) => Some(texts(reader, node)?),
        None => None,
    };
    let methods = methods?.into_iter().map(str::to_owned).collect();
    Some(KubernetesOperation { methods, resources: resources?, subresources, api_groups, fields })
}

/// The core group's name is empty; here it may be written so, or as `core`.
fn read_groups(reader: &mut Reader, node: &Node) -> Option<Globs> {
    let items = reader.list(node)?;
    let glob = |item: &Node| match &item.value {
        Value::Text(text) if text.is_empty() => Glob::new(GlobKind::Plain, CORE_GROUP).ok(),
        _ => reader.glob(item, GlobKind::Plain),
    };
    let globs: Vec<_> = items.iter().map(glob).collect();
    globs.into_iter().collect::<Option<Vec<_>>>().map(Globs::new)
}

/// Reads a list of text that may be empty, of texts that may be.
fn texts(reader: &mut Reader, node: &Node) -> Option<Vec<String>> {
    let items = reader.list_or_empty(node)?;
    let texts: Vec<_> = items.iter().map(|item| reader.text(item).map(str::to_owned)).collect();
    texts.into_iter().collect()
}

/// Reads commands: each a list of words, or one text whose words are separated by single spaces.
fn read_commands(reader: &mut Reader, node: &Node) -> Option<Vec<WordList>> {
    let items = reader.list(node)?;
    let lists: Vec<_> = items.iter().map(|item| read_command(reader, item)).collect();
    lists.into_iter().collect()
}

fn read_command(reader: &mut Reader, item: &Node) -> Option<WordList> {
    if let Value::List(_) = item.value {
        let words = reader.list(item)?;
        let globs: Vec<_> = words.iter().map(|word| reader.glob(word, GlobKind::Word)).collect();
        return globs.into_iter().collect::<Option<Vec<_>>>().map(WordList);
    }
    let text = reader.text(item)?;
    let quoted = text.contains(['\'', '"', '\\', '`', '$', '|', '&', ';', '<', '>']);
    let words: Option<Vec<_>> =
        text.split(' ').map(|word| Glob::new(GlobKind::Word, word).ok()).collect();
    match words {
        Some(words) if !quoted => Some(WordList(words)),
        _ => {
            let message = format!("bad command pattern `{}`", shown(text));
            let hint = "words separated by single spaces; write a list of words to quote one";
            reader.fault(&item.span, message, hint);
            None
        }
    }
}

fn read_tools(reader: &mut Reader, node: &Node) -> Option<Vec<ToolPattern>> {
    let items = reader.list(node)?;
    let pattern = |item: &Node| {
        let whole = reader.glob(item, GlobKind::Plain)?;
        let (server, tool) = match whole.as_str().split_once('/') {
            Some((server, tool)) => (Some(server), tool),
            None => (None, whole.as_str()),
        };
        let glob = |text: &str| Glob::new(GlobKind::Plain, text).ok();
        let server = match server.map(glob) {
            Some(None) => None,
            Some(found) => Some(found),
            None => Some(None),
        };
        let made = server.zip(glob(tool));
        if made.is_none() {
            reader.fault(&item.span, format!("bad tool `{whole}`"), "`tool` or `server/tool`");
        }
        made.map(|(server, tool)| ToolPattern { server, tool })
    };
    let patterns: Vec<_> = items.iter().map(pattern).collect();
    patterns.into_iter().collect()
}

/// The keys of an operation.
pub(crate) const KEYS: &[&str] =
    &["methods", "resources", "subresources", "api_groups", "fields", "commands", "tools"];

const KUBERNETES_KEYS: &[&str] = &["methods", "resources", "subresources", "api_groups", "fields"];

const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
