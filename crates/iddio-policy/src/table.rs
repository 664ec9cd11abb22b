//! Table tests: a file of questions beside a policy, each with the answer that is expected.
//!
//! ```yaml
//! tests:
//!   - name: a restart is routine
//!     agent: claude-code
//!     command: ["kubectl", "-n", "payments", "rollout", "restart", "deploy/api"]
//!     expect: allow
//!   - name: nobody deletes production
//!     agent: claude-code
//!     protocol: kubernetes
//!     scopes: {namespaces: [prod]}
//!     tier: 3
//!     expect: {verdict: deny, reason: "no rule of this protocol covers its scopes"}
//! ```
//!
//! A case either describes an operation (`protocol`, `tier`, `scopes` …) or gives a command that
//! the caller's classifier turns into operations.

use std::{fmt, sync::Arc};

use iddio_core::{
    operation::{
        Description, KubernetesPattern, Names, Operation, Operations, Override, OverrideKind,
        Pattern, Protocol, Scopes,
    },
    policy::{Decision, Query, Verdict, engine::Trace},
    principal::{Principal, PrincipalId, PrincipalKind, Proof},
    tier::{Class, Tier},
    time::{BootTime, Moment, Timestamp},
};
use serde::Serialize;

use crate::{
    explain::explain,
    file::required,
    load::{Format, PolicyError, refusal, text, tree},
    model::Loaded,
    reader::{Reader, Table, first_of, shown},
    source::{Position, Source},
    tree::{Entry, Node, Value},
};

/// Turns a command line into the operations policy sees, or `None` where that cannot be done.
pub type Classify<'a> = dyn Fn(&[String]) -> Option<Operations> + 'a;

/// The outcome of every case of a file.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The file of tests.
    pub file: String,
    /// The SHA-256 of the policy they ran under.
    pub policy_version: String,
    /// The cases, in file order.
    pub cases: Vec<CaseReport>,
}

/// The outcome of one case.
#[derive(Clone, Debug, Serialize)]
pub struct CaseReport {
    /// What it is called.
    pub name: String,
    /// Where it stands.
    #[serde(flatten)]
    pub position: Position,
    /// Whether it passed.
    pub outcome: CaseOutcome,
    /// What was decided, in one line.
    pub got: String,
    /// What is different from what was expected.
    pub differences: Vec<String>,
}

/// Whether a case passed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CaseOutcome {
    /// It did not.
    Failed,
    /// It did.
    Passed,
}

/// Runs a file of tests against a policy.
pub fn test(
    loaded: &Loaded,
    source: &[u8],
    format: Format,
    name: &str,
    classify: &Classify<'_>,
) -> Result<Report, PolicyError> {
    let source = Source::new(name, text(source, name)?);
    let root = tree(&source, format)?;
    let mut reader = Reader::default();
    let cases = read_cases(&mut reader, &source, &root);
    if !reader.faults.is_empty() {
        return Err(refusal(&source, reader.faults));
    }
    Ok(Report {
        file: name.to_owned(),
        policy_version: loaded.version.to_hex(),
        cases: cases.iter().map(|case| case.run(loaded, classify)).collect(),
    })
}

struct Case {
    name: String,
    position: Position,
    principal: Principal,
    asked: Asked,
    expect: Expected,
}

enum Asked {
    Command(Vec<String>),
    Operation(Box<Operation>),
}

#[derive(Default)]
struct Expected {
    verdict: Option<Verdict>,
    tier: Option<Tier>,
    rule: Option<String>,
    runbook: Option<String>,
    reason: Option<String>,
}

// === impl Case ===

impl Case {
    fn run(&self, loaded: &Loaded, classify: &Classify<'_>) -> CaseReport {
        let operations = match &self.asked {
            Asked::Command(argv) => classify(argv),
            Asked::Operation(operation) => Some(Operations::one((**operation).clone())),
        };
        let (got, differences) = match operations {
            Some(operations) => {
                let decision = decide(loaded, &self.principal, &operations);
                let (first, _) = operations.split_first();
                let query = Query { principal: &self.principal, operation: first, now: NOW };
                let got = match operations.iter().len() {
                    1 => format!(
                        "{} — {}",
                        decision.verdict.name(),
                        explain(loaded, &query).headline()
                    ),
                    _ => format!("{} — {}", decision.verdict.name(), decision.rule),
                };
                (got, self.expect.differences(&decision))
            }
            None => {
                let message = "the command could not be classified".to_owned();
                (String::from("nothing"), vec![message])
            }
        };
        let outcome = match differences.is_empty() {
            true => CaseOutcome::Passed,
            false => CaseOutcome::Failed,
        };
        let (name, position) = (self.name.clone(), self.position);
        CaseReport { name, position, outcome, got, differences }
    }
}

struct Unwatched;

impl Trace for Unwatched {}

/// Decides each operation and joins, as the pipeline does.
fn decide(loaded: &Loaded, principal: &Principal, operations: &Operations) -> Decision {
    let one = |operation: &Operation| {
        let query = Query { principal, operation, now: NOW };
        loaded.policy.decide(&query, &mut Unwatched)
    };
    let (first, rest) = operations.split_first();
    rest.iter().fold(one(first), |joined, operation| joined.join(one(operation)))
}

// === impl Expected ===

impl Expected {
    fn differences(&self, decision: &Decision) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |what: &str, expected: Option<String>, got: Option<String>| {
            if let Some(expected) = expected.filter(|expected| Some(expected) != got.as_ref()) {
                let got = got.unwrap_or_else(|| "none".to_owned());
                differences.push(format!("{what}: expected {expected}, got {got}"));
            }
        };
        let word = |text: &Arc<str>| text.to_string();
        let verdict = self.verdict.map(|verdict| verdict.name().to_owned());
        compare("verdict", verdict, Some(decision.verdict.name().to_owned()));
        let tier = |tier: Tier| tier.number().to_string();
        compare("tier", self.tier.map(tier), Some(tier(decision.effective)));
        compare("rule", self.rule.clone(), Some(word(&decision.rule)));
        compare("runbook", self.runbook.clone(), decision.runbook.as_ref().map(word));
        compare("reason", self.reason.clone(), decision.reason.as_ref().map(word));
        differences
    }
}

fn read_cases(reader: &mut Reader, source: &Source<'_>, root: &Node) -> Vec<Case> {
    let Some(table) = reader.table(root, &["tests"]) else { return Vec::new() };
    let Some(list) = required(reader, &table, root, "tests") else { return Vec::new() };
    let items = reader.list(list).unwrap_or_default();
    items.iter().filter_map(|item| read_case(reader, source, item)).collect()
}

fn read_case(reader: &mut Reader, source: &Source<'_>, item: &Node) -> Option<Case> {
    let table = reader.table(item, CASE_KEYS)?;
    let principal = read_principal(reader, item, &table);
    let asked = match table.node("command") {
        Some(node) => {
            for key in OPERATION_KEYS {
                if let Some(entry) = table.entry(key) {
                    let message = format!("`{key}` and `command` in one case");
                    reader.fault(&entry.span, message, "the command says it");
                }
            }
            read_words(reader, node).map(Asked::Command)
        }
        None => read_operation(reader, item, &table).map(|found| Asked::Operation(Box::new(found))),
    };
    let expect =
        required(reader, &table, item, "expect").and_then(|node| read_expected(reader, node));
    let position = source.position(item.span.start);
    let name = table.node("name").and_then(|node| reader.text(node)).map(shown);
    let name = name.unwrap_or_else(|| format!("line {}", position.line));
    Some(Case { name, position, principal: principal?, asked: asked?, expect: expect? })
}

fn read_principal(reader: &mut Reader, item: &Node, table: &Table<'_>) -> Option<Principal> {
    let node = required(reader, table, item, "agent")?;
    let text = reader.text(node)?;
    let Some(id) = PrincipalId::new(text) else {
        reader.fault(&node.span, format!("bad principal `{}`", shown(text)), "");
        return None;
    };
    let proofs = [Proof::Certificate, Proof::Claimed, Proof::Token, Proof::UnixUser];
    let words = proofs.map(|proof| (proof.name(), proof));
    let proof = table.node("proof").and_then(|node| reader.word(node, "proof", &words));
    let groups = table.node("groups").and_then(|node| reader.names(node)).unwrap_or_default();
    Some(Principal {
        id,
        kind: PrincipalKind::Agent,
        delegation: Vec::new(),
        proof: proof.unwrap_or(Proof::Token),
        groups,
        tenant: None,
        task: None,
    })
}

fn read_operation(reader: &mut Reader, item: &Node, table: &Table<'_>) -> Option<Operation> {
    let protocols = Protocol::ALL.map(|protocol| (protocol.name(), protocol));
    let protocol = match table.node("protocol") {
        Some(node) => reader.word(node, "protocol", &protocols)?,
        None => Protocol::Kubernetes,
    };
    let node = required(reader, table, item, "tier")?;
    let number = reader.number(node, 0, 4)?;
    let tier = u8::try_from(number).ok().and_then(Tier::from_number)?;
    let classes = Class::ALL.map(|class| (class.name(), class));
    let class = table.node("class").and_then(|node| reader.word(node, "class", &classes));
    let mut scopes = Scopes::default();
    let entries = table.node("scopes").and_then(|node| reader.entries(node)).unwrap_or_default();
    for entry in entries {
        let key = protocol.scope_keys().iter().find(|key| key.name() == entry.key);
        let Some(key) = key else {
            let known: Vec<_> = protocol.scope_keys().iter().map(|key| key.name()).collect();
            let message = format!("`{}` is no scope of {}", shown(&entry.key), protocol.name());
            reader.fault(&entry.span, message, crate::reader::suggestion(&entry.key, &known));
            continue;
        };
        scopes.add(*key, read_scope(reader, entry)?);
    }
    Some(Operation {
        protocol,
        tier,
        class: class.unwrap_or(Class::Unknown),
        scopes,
        overrides: read_overrides(reader, table),
        pattern: read_pattern(reader, table)?,
        reasons: Vec::new(),
        description: Description::default(),
    })
}

/// Reads a list of names, or the words `every` and `unknown`.
fn read_scope(reader: &mut Reader, entry: &Entry) -> Option<Names> {
    if let Value::Text(_) = entry.node.value {
        let words = [("every", ()), ("unknown", ())];
        reader.word(&entry.node, "set of names", &words)?;
        return match reader.text(&entry.node)? {
            "every" => Some(Names::Every),
            _ => Some(Names::Unknown),
        };
    }
    let items = reader.list(&entry.node)?;
    let names: Vec<_> = items.iter().map(|item| reader.text(item).map(str::to_owned)).collect();
    names.into_iter().collect::<Option<Vec<_>>>().map(Names::Known)
}

fn read_overrides(reader: &mut Reader, table: &Table<'_>) -> Vec<Override> {
    let kinds = [
        ("endpoint", OverrideKind::Endpoint),
        ("env", OverrideKind::Env),
        ("kubeconfig", OverrideKind::Kubeconfig),
        ("profile", OverrideKind::Profile),
    ];
    let entries = table.node("overrides").and_then(|node| reader.entries(node)).unwrap_or_default();
    let mut overrides = Vec::new();
    for Entry { key, span, node } in entries {
        let kind = kinds.iter().find(|(name, _)| name == key);
        let Some((_, kind)) = kind else {
            let known = kinds.map(|(name, _)| name);
            let message = format!("unknown override `{}`", shown(key));
            reader.fault(span, message, crate::reader::suggestion(key, &known));
            continue;
        };
        let value = reader.text(node).map(str::to_owned);
        overrides.extend(value.map(|value| Override { kind: *kind, value }));
    }
    overrides
}

/// Reads what a runbook may match: `words`, `request` or `tool`.
fn read_pattern(reader: &mut Reader, table: &Table<'_>) -> Option<Pattern> {
    if let Some(node) = table.node("words") {
        return read_words(reader, node).map(Pattern::Command);
    }
    if let Some(node) = table.node("tool") {
        let text = reader.text(node)?;
        let Some((server, tool)) = text.split_once('/') else {
            reader.fault(&node.span, format!("bad tool `{}`", shown(text)), "`server/tool`");
            return None;
        };
        return Some(Pattern::Tool(server.to_owned(), tool.to_owned()));
    }
    let Some(node) = table.node("request") else { return Some(Pattern::Unmatchable) };
    let request = reader.table(node, &["methods", "api_groups", "resources", "fields"])?;
    let mut texts = |key: &str| {
        let items = reader.list_or_empty(request.node(key)?)?;
        let texts: Vec<_> = items.iter().map(|item| reader.text(item).map(str::to_owned)).collect();
        texts.into_iter().collect::<Option<Vec<_>>>()
    };
    Some(Pattern::Kubernetes(KubernetesPattern {
        methods: texts("methods").unwrap_or_default(),
        api_groups: texts("api_groups").unwrap_or_else(|| vec!["apps".to_owned()]),
        resources: texts("resources").unwrap_or_default(),
        fields: texts("fields"),
    }))
}

/// Reads words: a list, or one text with single spaces between them.
fn read_words(reader: &mut Reader, node: &Node) -> Option<Vec<String>> {
    if let Value::Text(text) = &node.value {
        return Some(text.split(' ').map(str::to_owned).collect());
    }
    let items = reader.list(node)?;
    let words: Vec<_> = items.iter().map(|item| reader.text(item).map(str::to_owned)).collect();
    words.into_iter().collect()
}

fn read_expected(reader: &mut Reader, node: &Node) -> Option<Expected> {
    let verdicts = [Verdict::Allow, Verdict::Escalate, Verdict::Deny];
    let verdicts = verdicts.map(|verdict| (verdict.name(), verdict));
    if let Value::Text(_) = node.value {
        let verdict = Some(reader.word(node, "verdict", &verdicts)?);
        return Some(Expected { verdict, ..Expected::default() });
    }
    let table = reader.table(node, &["verdict", "tier", "rule", "runbook", "reason"])?;
    let verdict = table.node("verdict").and_then(|node| reader.word(node, "verdict", &verdicts));
    let number = table.node("tier").and_then(|node| reader.number(node, 0, 4));
    let mut text =
        |key: &str| table.node(key).and_then(|node| reader.text(node)).map(str::to_owned);
    let (rule, runbook, reason) = (text("rule"), text("runbook"), text("reason"));
    let tier = number.and_then(|number| u8::try_from(number).ok()).and_then(Tier::from_number);
    let expected = Expected { verdict, tier, rule, runbook, reason };
    if KEYS_OF_EXPECT.iter().all(|key| table.node(key).is_none()) {
        reader.fault(&first_of(node), "nothing is expected", "such as `expect: deny`");
    }
    Some(expected)
}

// === impl Report ===

impl Report {
    /// Returns how many cases failed.
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|case| case.outcome == CaseOutcome::Failed).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.cases.iter().map(|case| case.name.chars().count()).max().unwrap_or(0);
        for CaseReport { name, position, outcome, got, differences } in &self.cases {
            let word = match outcome {
                CaseOutcome::Failed => "FAIL",
                CaseOutcome::Passed => "ok  ",
            };
            writeln!(f, "{word}  {name:width$}  {got}")?;
            for difference in differences {
                writeln!(f, "      {}:{position}: {difference}", self.file)?;
            }
        }
        let (failed, all) = (self.failed(), self.cases.len());
        write!(f, "{} passed, {failed} failed", all - failed)
    }
}

/// Policies read no clock; a test's query has one all the same.
const NOW: Moment = Moment { wall: Timestamp(0), boot: BootTime { boot_id: 0, millis: 0 } };

const OPERATION_KEYS: &[&str] =
    &["protocol", "tier", "class", "scopes", "overrides", "words", "request", "tool"];

const CASE_KEYS: &[&str] = &[
    "name",
    "agent",
    "proof",
    "groups",
    "command",
    "protocol",
    "tier",
    "class",
    "scopes",
    "overrides",
    "words",
    "request",
    "tool",
    "expect",
];

const KEYS_OF_EXPECT: &[&str] = &["verdict", "tier", "rule", "runbook", "reason"];
