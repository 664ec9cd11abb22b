//! Facts become effects, and effects a tier.
//!
//! A tier only ever rises: it is the highest of the effects and of the floor of the command. What
//! was not understood is [`Tier::UNKNOWN`]. Commands of provisioners and external programs are
//! judged as text for a shell and at least [`Tier::Sensitive`]; what Terraform puts in when it runs
//! is a value that nobody knows.

use std::collections::BTreeSet;

use iddio_core::tier::{Class, Tier};

use crate::{
    command::{
        Ambient,
        line::{Feed, Judging},
        worse_class,
    },
    shell,
};

use super::{
    address::{Mode, Origin as ProviderOrigin, ProviderAddress},
    config::{ConfigFacts, Fact, Finding, LockedProvider, Provisioning, Reach, Text, When},
    plan::{Action, Counts, Destruction, Origin, PlanError, PlanFacts, ResourceChange},
    types::{Catalog, Change, Known},
};

/// A provider that may run below the tier of an unknown program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrustedProvider {
    /// Its address, with `*` for any run: `registry.terraform.io/hashicorp/*`. Without a host it
    /// means the public registry of Terraform and that of OpenTofu.
    pub source: String,
    /// What its package may hash to. If any are given, every hash the lock file would accept must
    /// be among them: a package in `.terraform/` proves nothing by itself (E01).
    pub hashes: Vec<String>,
}

/// What is trusted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trust {
    /// The providers. The built-in one is always trusted.
    pub providers: Vec<TrustedProvider>,
}

/// What the configuration is used for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Use {
    /// `apply` without a saved plan: provisioners run.
    Apply,
    /// `plan`, `refresh`, `validate`: data sources and functions are evaluated.
    Evaluate,
}

/// One thing that would happen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Effect {
    /// How dangerous it is.
    pub tier: Tier,
    /// What kind of break-glass it is, if it is.
    pub class: Option<Class>,
    /// How Terraform marks it: `+`, `~`, `-`, `-/+`, `+/-`, `<=`, `.`; `!` for what it does not.
    pub symbol: &'static str,
    /// What it happens to.
    pub address: String,
    /// What happens. Raw text of whoever wrote it.
    pub what: String,
    /// The rule that gave the tier.
    pub rule: String,
}

/// What a plan or a configuration would do.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct PlanJudgement {
    /// The highest tier of all.
    pub tier: Tier,
    /// Every effect, worst first.
    pub effects: Vec<Effect>,
    /// `1 to add, 0 to change, 0 to destroy`, as Terraform prints it.
    pub summary: String,
    /// Commands that are run, for people: expressions stand in them as they are written.
    pub shell: Vec<String>,
}

struct Judge<'a> {
    effects: Vec<Effect>,
    shell: Vec<String>,
    trust: &'a Trust,
    catalog: Option<&'static Catalog>,
}

/// Judges what applying a saved plan would do.
pub fn plan(facts: &PlanFacts, trust: &Trust) -> PlanJudgement {
    let mut judge = Judge::new(trust);
    for change in &facts.changes {
        judge.change(change, &facts.config.locked);
    }
    if facts.destruction == Destruction::Everything {
        let what = "destroys everything that is managed".to_owned();
        judge.effect(Tier::BreakGlass, Some(Class::Destroy), "-", "", what, "destroy-all");
    }
    for invocation in &facts.invocations {
        let what = format!("invoked through provider {}", invocation.provider);
        judge.effect(Tier::Sensitive, None, "!", &invocation.text, what, "action");
    }
    for output in &facts.outputs {
        let address = format!("output.{}", output.name);
        let symbol = symbol(output.action);
        judge.effect(Tier::Modify, None, symbol, &address, "output changes".to_owned(), "output");
    }
    let touched = touched(facts);
    for finding in &facts.config.findings {
        if runs(finding, &touched) {
            judge.finding(finding, Use::Apply);
        }
    }
    judge.providers(&facts.providers, &facts.config.locked);
    judge.conclude(Tier::Modify, summary(facts.counts))
}

/// Judges a plan that could not be read: it may do anything.
pub fn unreadable(error: &PlanError) -> PlanJudgement {
    let effect = Effect {
        tier: Tier::UNKNOWN,
        class: Some(Class::Unknown),
        symbol: "!",
        address: String::new(),
        what: format!("the plan cannot be read: {error}"),
        rule: "unreadable".to_owned(),
    };
    let (effects, summary) = (vec![effect], "unknown".to_owned());
    PlanJudgement { tier: Tier::UNKNOWN, effects, summary, shell: Vec::new() }
}

/// Judges what using a configuration would do besides what the command's own tier says.
pub fn config(facts: &ConfigFacts, usage: Use, trust: &Trust) -> PlanJudgement {
    let mut judge = Judge::new(trust);
    for finding in &facts.findings {
        judge.finding(finding, usage);
    }
    judge.providers(&facts.provider_addresses(), &facts.locked);
    let floor = match usage {
        Use::Apply => Tier::Modify,
        Use::Evaluate => Tier::Observe,
    };
    judge.conclude(floor, String::new())
}

/// Resources whose provisioners run: `type.name` and whether they are made or deleted.
fn touched(facts: &PlanFacts) -> BTreeSet<(String, Change)> {
    let mut touched = BTreeSet::new();
    for change in &facts.changes {
        let resource = format!("{}.{}", change.address.kind, change.address.name);
        for part in parts(change.action) {
            touched.insert((resource.clone(), *part));
        }
    }
    touched
}

/// Reports whether a finding comes into play: a provisioner does only with its resource. One that
/// belongs to no resource (a `removed` block) always does.
///
/// A template counts where it is rendered: what an apply renders anew must come out as planned.
fn runs(finding: &Finding, touched: &BTreeSet<(String, Change)>) -> bool {
    if matches!(finding.fact, Fact::UnseenTemplate(_)) {
        return false;
    }
    let Provisioning::Yes(when) = finding.fact.provisioning() else { return true };
    let has = |change| touched.contains(&(finding.address.clone(), change));
    let plain = finding.address.split('.').count() == 2;
    match when {
        _ if !plain => true,
        When::Create => has(Change::Create),
        When::Destroy => has(Change::Delete),
        When::Unknown => has(Change::Create) || has(Change::Delete),
    }
}

fn parts(action: Action) -> &'static [Change] {
    match action {
        Action::Create | Action::CreateThenForget => &[Change::Create],
        Action::Update => &[Change::Update],
        Action::Delete => &[Change::Delete],
        Action::DeleteThenCreate | Action::CreateThenDelete => &[Change::Delete, Change::Create],
        Action::Forget | Action::NoOp | Action::Read => &[],
    }
}

fn symbol(action: Action) -> &'static str {
    match action {
        Action::Create => "+",
        Action::CreateThenDelete => "+/-",
        Action::CreateThenForget => "+/.",
        Action::Delete => "-",
        Action::DeleteThenCreate => "-/+",
        Action::Forget => ".",
        Action::NoOp => " ",
        Action::Read => "<=",
        Action::Update => "~",
    }
}

fn summary(counts: Counts) -> String {
    let Counts { import, add, change, destroy, forget } = counts;
    let import = if import > 0 { format!("{import} to import, ") } else { String::new() };
    let forget = if forget > 0 { format!(", {forget} to forget") } else { String::new() };
    format!("{import}{add} to add, {change} to change, {destroy} to destroy{forget}")
}

/// Returns a program and its arguments as a shell would be given them.
fn command(program: &[Text]) -> String {
    let words: Vec<_> = program.iter().map(word).collect();
    words.join(" ")
}

/// Quotes a literal, so that it stays one word. Expressions stay as they are written.
fn word(text: &Text) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:=@%+,-".contains(&byte);
    match text {
        Text::Literal(word) if word.is_empty() || !word.bytes().all(plain) => {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
        text => text.as_str().to_owned(),
    }
}

/// Returns the text for a shell that a fact would have run, with a variable that nobody knows for
/// each value that Terraform puts in.
fn program(fact: &Fact) -> Option<String> {
    let words = |program: &[Text]| {
        let words: Vec<_> = program.iter().map(|part| word(&Text::Literal(folded(part)))).collect();
        words.join(" ")
    };
    Some(match fact {
        Fact::LocalExec { command, interpreter, .. } if interpreter.is_empty() => folded(command),
        Fact::LocalExec { command, interpreter, .. } => {
            format!("{} {}", words(interpreter), quoted(command))
        }
        Fact::External(program) | Fact::ProviderProgram { program, .. } => words(program),
        Fact::RemoteExec(commands) => {
            let lines: Vec<_> = commands.iter().map(folded).collect();
            lines.join("\n")
        }
        _ => return None,
    })
}

/// Returns a text with a variable of the shell in place of every expression. Of one that is nothing
/// but an expression nothing is known.
fn folded(text: &Text) -> String {
    let source = match text {
        Text::Literal(text) => return text.clone(),
        Text::Expression(source) => source.trim(),
    };
    let quoted = source.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let body = match (quoted, source.strip_prefix("<<")) {
        (Some(body), _) => body.replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\"),
        (None, Some(document)) => {
            let mut lines: Vec<_> = document.lines().skip(1).collect();
            lines.pop();
            lines.join("\n")
        }
        (None, None) => return UNKNOWN_VALUE.to_owned(),
    };
    let mut out = String::new();
    let mut rest = body.as_str();
    while let Some(start) = rest.find("${").into_iter().chain(rest.find("%{")).min() {
        let (before, expression) = rest.split_at_checked(start).unwrap_or((rest, ""));
        out.push_str(before);
        let end = closing(expression);
        let inside = expression.get(2..end.saturating_sub(1)).unwrap_or("").trim();
        match inside {
            // Terraform's own places: a file below is one of the configuration.
            "path.module" | "path.root" | "path.cwd" => out.push('.'),
            _ => out.push_str(UNKNOWN_VALUE),
        }
        rest = expression.get(end..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

/// Quotes a folded text, so that it stays one word.
fn quoted(text: &Text) -> String {
    match folded(text) {
        value if value == UNKNOWN_VALUE => format!("\"{value}\""),
        value => word(&Text::Literal(value)),
    }
}

/// Where the expression that starts here ends, behind its brace.
fn closing(text: &str) -> usize {
    let mut depth = 0usize;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return place + 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    text.len()
}

/// Returns what a text for a shell comes to, if that is more than running a program at all.
fn dangerous(text: &str) -> Option<(Tier, Class, String)> {
    let ambient = Ambient::default();
    let operations =
        shell::judge_text(text.as_bytes(), &Feed::Inherited, &Judging::new(&ambient), None);
    let worst = operations.iter().map(|one| one.native_tier()).max()?;
    let class = operations
        .iter()
        .filter(|one| one.native_tier() == worst)
        .map(|one| one.class)
        .reduce(worse_class)?;
    let reasons = operations.iter().flat_map(|one| &one.reasons);
    let why = reasons.max_by_key(|reason| reason.tier)?.text.clone();
    (Tier::Sensitive < worst).then_some((worst, class, why))
}

// === impl Trust ===

impl Trust {
    /// Reports whether a provider may run, given what the lock file would accept of it.
    fn admits(&self, provider: &ProviderAddress, locked: &[LockedProvider]) -> Trusted {
        if provider.origin() == ProviderOrigin::BuiltIn {
            return Trusted::Yes;
        }
        let mut hashes =
            locked.iter().filter(|locked| locked.address == *provider).flat_map(|l| &l.hashes);
        let fits = |trusted: &&TrustedProvider| trusted.covers(provider);
        let Some(trusted) = self.providers.iter().find(fits) else { return Trusted::No };
        let is_locked = hashes.clone().next().is_some();
        let pinned = is_locked && hashes.all(|hash| trusted.hashes.contains(hash));
        if trusted.hashes.is_empty() || pinned { Trusted::Yes } else { Trusted::No }
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Trusted {
    No,
    Yes,
}

// === impl TrustedProvider ===

impl TrustedProvider {
    fn covers(&self, provider: &ProviderAddress) -> bool {
        let address = provider.as_str();
        let parts: Vec<_> = address.split('/').collect();
        let wanted: Vec<_> = self.source.split('/').collect();
        let hosts = PUBLIC_HOSTS.iter();
        let full: Vec<Vec<&str>> = match wanted.as_slice() {
            [namespace, kind] => hosts.map(|host| vec![*host, *namespace, *kind]).collect(),
            _ => vec![wanted],
        };
        // Part by part, so that no star crosses a slash.
        full.iter().any(|full| {
            full.len() == parts.len()
                && full.iter().zip(&parts).all(|(pattern, part)| {
                    super::types::matches(&pattern.to_ascii_lowercase(), part)
                })
        })
    }
}

// === impl Judge ===

impl<'a> Judge<'a> {
    fn new(trust: &'a Trust) -> Self {
        let (effects, shell) = (Vec::new(), Vec::new());
        Self { effects, shell, trust, catalog: Catalog::compiled() }
    }

    fn effect(
        &mut self,
        tier: Tier,
        class: Option<Class>,
        symbol: &'static str,
        address: &str,
        what: String,
        rule: &str,
    ) {
        let (address, rule) = (address.to_owned(), rule.to_owned());
        let class = class.filter(|_| tier == Tier::BreakGlass);
        self.effects.push(Effect { tier, class, symbol, address, what, rule });
    }

    fn change(&mut self, change: &ResourceChange, locked: &[LockedProvider]) {
        let (symbol, text) = (symbol(change.action), change.text.as_str());
        let Some(catalog) = self.catalog else {
            let class = Some(Class::Unknown);
            let what = "the catalog of types cannot be read".to_owned();
            return self.effect(Tier::UNKNOWN, class, symbol, text, what, "catalog");
        };
        if change.origin == Origin::Imported {
            self.effect(Tier::Modify, None, symbol, text, "imported".to_owned(), "import");
        }
        match change.action {
            Action::Forget | Action::CreateThenForget => {
                let what = "no longer managed, left where it is".to_owned();
                self.effect(Tier::Sensitive, None, symbol, text, what, "forget");
            }
            // It runs the provider: what that reads is the configuration's finding.
            Action::Read if change.address.mode != Mode::Managed => {
                let tier = match catalog.reads_secret(&change.address.kind) {
                    true => Tier::Sensitive,
                    false => Tier::Observe,
                };
                self.effect(tier, None, symbol, text, "read during the apply".to_owned(), "read");
            }
            Action::Read => {
                let class = Some(Class::Unknown);
                let what = "a managed resource cannot be read".to_owned();
                self.effect(Tier::UNKNOWN, class, symbol, text, what, "read");
            }
            _ => {}
        }
        let unknown_provider = self.trust.admits(&change.provider, locked) == Trusted::No
            && catalog.knows(&change.address.kind) == Known::No;
        for part in parts(change.action) {
            let rating = catalog.rate(&change.address.kind, *part);
            let (tier, rule) = match (unknown_provider, rating.rule.as_str()) {
                (true, _) => (rating.tier.join(Tier::Sensitive), "unknown-provider"),
                (false, "") => (rating.tier, "floor"),
                (false, rule) => (rating.tier, rule),
            };
            let class = rating.class.or(match part {
                Change::Delete => Some(Class::Destroy),
                Change::Create | Change::Update => None,
            });
            let what = match (part, &change.deposed) {
                (Change::Create, _) => "created".to_owned(),
                (Change::Update, _) => "changed in place".to_owned(),
                (Change::Delete, None) => "deleted".to_owned(),
                (Change::Delete, Some(key)) => format!("deposed object {key} deleted"),
            };
            self.effect(tier, class, symbol, text, what, rule);
        }
        let writes = parts(change.action).iter().any(|part| *part != Change::Delete);
        if let Some(after) = change.after.as_ref().filter(|_| writes) {
            for rating in catalog.exposures(&change.address.kind, &after.0) {
                let what = "exposes what it makes".to_owned();
                self.effect(rating.tier, rating.class, symbol, text, what, &rating.rule);
            }
        }
    }

    fn finding(&mut self, finding: &Finding, usage: Use) {
        let at = format!("{}:{}", finding.path, finding.at);
        let provisions = finding.fact.provisioning() != Provisioning::No;
        if provisions && usage == Use::Evaluate {
            return;
        }
        let Some((tier, what, rule)) = self.rate(&finding.fact) else { return };
        let run = program(&finding.fact).and_then(|text| dangerous(&text));
        let what = match &run {
            Some((.., why)) => format!("{what}: {why} ({at})"),
            None => format!("{what} ({at})"),
        };
        let (more, class) = run.map_or((tier, Class::Unknown), |(tier, class, _)| (tier, class));
        self.effect(tier.join(more), Some(class), "!", &finding.address, what, rule);
    }

    /// Returns what a fact is worth, and hands on the commands it would run.
    fn rate(&mut self, fact: &Fact) -> Option<(Tier, String, &'static str)> {
        let sensitive = |what: String, rule| Some((Tier::Sensitive, what, rule));
        match fact {
            Fact::LocalExec { command, interpreter, .. } => {
                let line = match interpreter.is_empty() {
                    true => command.as_str().to_owned(),
                    false => format!("{} {}", self::command(interpreter), word(command)),
                };
                self.shell.push(line.clone());
                sensitive(format!("runs on this host: {line}"), "local-exec")
            }
            Fact::External(program) => {
                let line = command(program);
                self.shell.push(line.clone());
                sensitive(format!("runs on this host: {line}"), "external")
            }
            Fact::ProviderProgram { provider, program } => {
                let line = command(program);
                self.shell.push(line.clone());
                sensitive(format!("provider {provider} runs: {line}"), "provider-program")
            }
            Fact::RemoteExec(commands) => {
                let lines: Vec<_> = commands.iter().map(|line| line.as_str().to_owned()).collect();
                self.shell.extend(lines.iter().cloned());
                sensitive(format!("runs on the resource: {}", lines.join("; ")), "remote-exec")
            }
            Fact::FileProvisioner(source) => {
                sensitive(format!("copies to the resource: {}", source.as_str()), "provisioner")
            }
            Fact::OtherProvisioner(kind) => {
                sensitive(format!("provisioner `{kind}`"), "provisioner")
            }
            Fact::Http(url) => sensitive(format!("requests {}", url.as_str()), "http"),
            Fact::Secret(kind) => sensitive(format!("reads a secret: {kind}"), "secret"),
            Fact::FileFunction { reach: Reach::Inside, .. } => None,
            Fact::FileFunction { function, path, .. } => {
                sensitive(format!("{function}({}) reads this host", path.as_str()), "file")
            }
            Fact::Nonsensitive => {
                sensitive("nonsensitive() may print a secret".to_owned(), "nonsensitive")
            }
            Fact::DevOverrides => {
                sensitive("providers are overridden by directories".to_owned(), "dev-overrides")
            }
            Fact::Installation(from) => {
                sensitive(format!("providers come from `{from}`"), "installation")
            }
            Fact::CredentialsHelper(name) => {
                sensitive(format!("runs credentials helper `{name}`"), "credentials-helper")
            }
            Fact::Action => sensitive("an action of a provider".to_owned(), "action"),
            Fact::Suspect(header) => {
                sensitive(format!("text that may be a block: {header}"), "suspect")
            }
            Fact::UnseenTemplate(path) => {
                sensitive(format!("renders `{path}`, which nobody has looked into"), "template")
            }
            Fact::Unreadable(why) => {
                Some((Tier::UNKNOWN, format!("not readable: {why}"), "unreadable"))
            }
            Fact::Backend(_)
            | Fact::Check
            | Fact::Cloud
            | Fact::Ephemeral(_)
            | Fact::Import
            | Fact::Module(_)
            | Fact::Moved
            | Fact::Removed => None,
        }
    }

    fn providers(&mut self, providers: &BTreeSet<ProviderAddress>, locked: &[LockedProvider]) {
        for provider in providers {
            if self.trust.admits(provider, locked) == Trusted::No {
                let what = "runs a provider nobody trusted".to_owned();
                let rule = "untrusted-provider";
                self.effect(Tier::Sensitive, None, "!", provider.as_str(), what, rule);
            }
        }
    }

    fn conclude(mut self, floor: Tier, summary: String) -> PlanJudgement {
        let tier = self.effects.iter().fold(floor, |tier, effect| tier.join(effect.tier));
        // Worst first; among equals as Terraform lists them.
        self.effects.sort_by_key(|effect| std::cmp::Reverse(effect.tier));
        let (effects, shell) = (self.effects, self.shell);
        PlanJudgement { tier, effects, summary, shell }
    }
}

/// The registries a source without a host means.
const PUBLIC_HOSTS: [&str; 2] = ["registry.terraform.io", "registry.opentofu.org"];

/// A variable of the shell that nobody sets: its value is unknown.
const UNKNOWN_VALUE: &str = "$value_of_terraform";
