//! The judgement: parsed words and a catalog in, an operation and a run plan out.
//!
//! INVARIANT: every step only joins. Nothing here lowers a tier; the one exception, a command line
//! that only asks for help, is decided before any other rule.

use iddio_core::{
    operation::{
        Description, Names, Operation, Override, Pattern, Protocol, Reason, ScopeKey, Scopes,
    },
    text::RawText,
    tier::{Class, Tier},
};

use super::{
    Ambient, Found, Judged, hostile, inputs, kube,
    line::{Judging, Line},
    lists,
    parse::{self, Given, Parsed, Resolution, is_false},
    plan::{
        CatalogIdentity, EnvironmentPlan, EnvironmentValue, InspectedFile, Need, Neutralisation,
        Part, Program, RunPlan, Staged, StdinRole, Terminal,
    },
    scopes, unknown, worse_class,
};
use crate::catalog::{
    Catalog,
    format::{Arg, Command, Flag, NeedWord, Rule, Stage, Stdin, Takes},
    pattern,
};

/// Judges an argument vector, its program first.
///
/// Total: whatever comes in, an operation comes out, and what is not understood is
/// [`Tier::UNKNOWN`].
pub fn judge(argv: &[RawText], ambient: &Ambient) -> Judged {
    let fault = hostile::unreadable(argv).or_else(|| argv.first().and_then(hostile::program));
    let name = argv.first().and_then(RawText::as_str).unwrap_or("");
    if let Some(fault) = fault {
        return unfit(&fault, name, argv);
    }
    let goes_by = ambient.goes_by.as_deref();
    let tool = goes_by.or(Some(name).filter(|name| !name.contains('/')));
    let mut sum = Sum::default();
    for found in hostile::words(argv, ambient) {
        sum.add_found(&found);
    }
    match tool.filter(|tool| Catalog::names(tool)) {
        Some(tool) => match Catalog::for_program(tool) {
            Some(catalog) => known(catalog, tool, argv, ambient, sum),
            None => {
                let text = "the catalog of this program cannot be read";
                sum.add(Tier::UNKNOWN, Class::Unknown, "catalog:broken", text, None);
                sum.judged(Protocol::Command, Pattern::Unmatchable, describe(tool, argv))
            }
        },
        None => {
            let (scopes, plan, reasons) = unknown::program(argv, name, ambient.vouched);
            sum.scopes = scopes;
            sum.plan = plan;
            for (class, reason) in reasons {
                sum.add_reason(class, reason);
            }
            let pattern = command_pattern(argv, name, &sum);
            sum.judged(Protocol::Command, pattern, describe(name, argv))
        }
    }
}

/// Judges a simple command whose words may be known in part.
pub(crate) fn line(line: &Line, judging: &Judging<'_>) -> Judged {
    let argv: Vec<_> = line.words.iter().map(|term| term.text.clone()).collect();
    judge(&argv, judging.ambient)
}

/// Judges an argument vector by a catalog that is not built in: a user's own, or one under test.
///
/// The program's name is not looked at beyond being fit to be shown.
pub fn judge_by(catalog: &Catalog, argv: &[RawText], ambient: &Ambient) -> Judged {
    let fault = hostile::unreadable(argv).or_else(|| argv.first().and_then(hostile::program));
    let name = argv.first().and_then(RawText::as_str).unwrap_or("");
    match fault {
        Some(fault) => unfit(&fault, name, argv),
        None => {
            let mut sum = Sum::default();
            for found in hostile::words(argv, ambient) {
                sum.add_found(&found);
            }
            known(catalog, name, argv, ambient, sum)
        }
    }
}

/// Answers what cannot be read at all.
fn unfit(fault: &Found, name: &str, argv: &[RawText]) -> Judged {
    let shown = argv.get(..argv.len().min(SHOWN_WORDS_MAX)).unwrap_or_default();
    let mut sum = Sum::default();
    sum.add_found(fault);
    sum.judged(Protocol::Command, Pattern::Unmatchable, describe(name, shown))
}

/// Judges a program with a catalog.
fn known(
    catalog: &Catalog,
    tool: &str,
    argv: &[RawText],
    ambient: &Ambient,
    mut sum: Sum,
) -> Judged {
    let parsed = parse::parse(catalog, argv);
    sum.plan = run_plan(catalog, tool, argv, ambient);
    let command = match parsed.resolution {
        Resolution::Known(command) => Some(command),
        _ => None,
    };
    let mut pattern = None;
    if asks_for_help(catalog, &parsed, argv) {
        let rule = format!("{}:help", catalog.name());
        sum.add(Tier::Observe, Class::Unknown, &rule, "shows help", None);
    } else {
        let families = base(catalog, &parsed, &mut sum);
        doubts(catalog, &parsed, &mut sum);
        for given in &parsed.flags {
            flag(catalog, &parsed, given, families, &mut sum);
        }
        if families == Families::None {
            arguments(catalog, &parsed, command, &mut sum);
        }
        inputs::collect(catalog, &parsed, command, argv, ambient, &mut sum);
        pattern = command
            .and_then(|command| command.kube.as_ref())
            .and_then(|kube| kube::judge(catalog, kube, &parsed, &mut sum));
        if let Some(command) = command {
            modes(catalog, &parsed, command, &mut sum);
        }
    }
    scopes::settle(catalog, &parsed, command, ambient, &mut sum);
    let mut description = describe(tool, argv);
    let words = [tool, parsed.path.as_str()].join(" ");
    description.command = Some(words.trim_end().to_owned());
    description.workspace = one_name(&sum.scopes, ScopeKey::Workspaces);
    description.namespace = one_name(&sum.scopes, ScopeKey::Namespaces);
    description.resource = sum.resource.take();
    let pattern = match pattern {
        Some(pattern) if sum.overrides.is_empty() => pattern,
        _ => command_pattern(argv, tool, &sum),
    };
    sum.judged(catalog.tool.protocol, pattern, description)
}

/// What is found so far. Everything about it grows.
pub(super) struct Sum {
    tier: Tier,
    class: Option<Class>,
    reasons: Vec<Reason>,
    pub(super) scopes: Scopes,
    pub(super) overrides: Vec<Override>,
    pub(super) plan: RunPlan,
    pub(super) resource: Option<String>,
    /// Names of scopes, as they stand on the command line.
    pub(super) named: Vec<(ScopeKey, String)>,
    /// Scopes that do not follow from the rules of the catalog: everything of a kind.
    pub(super) every: Vec<ScopeKey>,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            tier: Tier::Observe,
            class: None,
            reasons: Vec::new(),
            scopes: Scopes::default(),
            overrides: Vec::new(),
            plan: RunPlan::nothing(),
            resource: None,
            named: Vec::new(),
            every: Vec::new(),
        }
    }
}

impl Sum {
    pub(super) fn add(
        &mut self,
        tier: Tier,
        class: Class,
        rule: &str,
        text: &str,
        word: Option<usize>,
    ) {
        let word = word.and_then(|word| u32::try_from(word).ok());
        let reason = Reason { tier, rule: rule.to_owned(), text: text.to_owned(), word, at: None };
        self.add_reason(class, reason);
    }

    pub(super) fn add_rule(&mut self, rule: &Rule, name: &str, word: Option<usize>) {
        self.add(rule.tier, rule.class.unwrap_or(Class::Unknown), name, &rule.why, word);
    }

    fn add_found(&mut self, found: &Found) {
        self.add(found.tier, found.class, &found.rule, &found.text, found.word);
    }

    fn add_reason(&mut self, class: Class, reason: Reason) {
        if reason.tier == Tier::BreakGlass {
            self.class = Some(self.class.map_or(class, |present| worse_class(present, class)));
        }
        self.tier = self.tier.join(reason.tier);
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason);
        } else if let Some(least) = self.reasons.iter_mut().min_by_key(|reason| reason.tier)
            && least.tier < reason.tier
        {
            // INVARIANT: a reason of the greatest tier is among those kept.
            *least = reason;
        }
    }

    fn judged(self, protocol: Protocol, pattern: Pattern, description: Description) -> Judged {
        let operation = Operation {
            protocol,
            tier: self.tier,
            class: self.class.unwrap_or(Class::Unknown),
            scopes: self.scopes,
            overrides: self.overrides,
            pattern,
            reasons: self.reasons,
            description,
        };
        Judged { operation, within: Vec::new(), plan: self.plan }
    }
}

/// Whether the line only shows help: a command, and nothing else but one help flag or word.
fn asks_for_help(catalog: &Catalog, parsed: &Parsed<'_>, argv: &[RawText]) -> bool {
    let by_flag = match parsed.flags.as_slice() {
        [given] => {
            let help = given.flags.first().is_some_and(|flag| flag.help);
            let named = !matches!(parsed.resolution, Resolution::Unknown);
            help && named && parsed.args.is_empty() && argv.len() == parsed.path_words.len() + 2
        }
        _ => false,
    };
    let by_word = catalog.tool.syntax.help_word.as_deref().is_some_and(|help| {
        let words = argv.get(1..).unwrap_or_default();
        words.len() <= catalog.tool.syntax.family_words + 1
            && words.last().and_then(RawText::as_str) == Some(help)
            && words.iter().all(|word| !word.as_bytes().starts_with(b"-"))
    });
    by_flag || by_word
}

/// What the command itself means.
fn base(catalog: &Catalog, parsed: &Parsed<'_>, sum: &mut Sum) -> Families {
    let name = catalog.name();
    let families = match parsed.resolution {
        Resolution::Family | Resolution::Known(_) => family(catalog, parsed, sum),
        _ => Families::None,
    };
    let word = parsed.path_words.last().copied();
    let rule = format!("{name}:{}", parsed.path);
    match parsed.resolution {
        Resolution::Bare if !parsed.args.is_empty() => {
            sum.add_rule(&catalog.tool.unknown_command, &rule, None);
        }
        Resolution::Bare => sum.add_rule(&catalog.tool.syntax.bare, name, None),
        Resolution::Group => {
            let text = "shows the subcommands";
            sum.add(Tier::Observe, Class::Unknown, &rule, text, word);
        }
        Resolution::Known(command) => {
            let class = command.class.unwrap_or(Class::Unknown);
            sum.add(command.tier, class, &rule, &command.why, word);
        }
        Resolution::Family if families != Families::None => {}
        Resolution::Family | Resolution::Unknown => {
            sum.add_rule(&catalog.tool.unknown_command, &rule, word);
        }
    }
    families
}

/// Whether families cover a command: then its own options are parameters of an API.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Families {
    /// None does.
    None,
    /// Some do, and this is the greatest of their tiers.
    Some(Tier),
}

/// Adds every family that covers the command.
fn family(catalog: &Catalog, parsed: &Parsed<'_>, sum: &mut Sum) -> Families {
    let words: Vec<_> = parsed.path.split(' ').collect();
    let sets = &catalog.tool.sets;
    let covers = |patterns: &[String]| {
        patterns.iter().any(|pattern| pattern::covers_words(pattern, &words, sets))
    };
    let mut families = Families::None;
    for family in &catalog.tool.family {
        let family = family.get_ref();
        if covers(&family.commands) && !covers(&family.except) {
            families = match families {
                Families::None => Families::Some(family.tier),
                Families::Some(tier) => Families::Some(tier.join(family.tier)),
            };
            let rule = format!("{}:{}", catalog.name(), parsed.path);
            let class = family.class.unwrap_or(Class::Unknown);
            sum.add(family.tier, class, &rule, &family.why, parsed.path_words.last().copied());
        }
    }
    families
}

fn doubts(catalog: &Catalog, parsed: &Parsed<'_>, sum: &mut Sum) {
    for doubt in &parsed.doubts {
        let rule = format!("{}:doubtful", catalog.name());
        sum.add(doubt.tier, Class::Unknown, &rule, doubt.text, Some(doubt.word));
    }
}

/// What one option means.
fn flag(
    catalog: &Catalog,
    parsed: &Parsed<'_>,
    given: &Given<'_>,
    families: Families,
    sum: &mut Sum,
) {
    let path = if parsed.path.is_empty() { "" } else { parsed.path.as_str() };
    let rule = format!("{}:{path} {}", catalog.name(), given.name);
    if given.flags.is_empty() {
        let known = match families {
            Families::Some(tier) => {
                tier >= catalog.tool.unknown_flag.tier || is_parameter(catalog, given)
            }
            Families::None => false,
        };
        if !known {
            sum.add_rule(&catalog.tool.unknown_flag, &rule, Some(given.word));
        }
        return;
    }
    for flag in &given.flags {
        raise(flag, given, &rule, sum);
        let value = given.value.as_ref().map_or("", |value| &value.text);
        if let Some(kind) = flag.overrides {
            sum.overrides.push(Override { kind, value: value.to_owned() });
        }
        if let Some(key) = flag.scope {
            sum.named.push((key, value.to_owned()));
        }
        if let Some(key) = flag.every
            && !given.is_off()
        {
            sum.every.push(key);
        }
        if flag.interactive && !given.is_off() {
            sum.plan.terminal = Terminal::Interactive;
        }
    }
}

fn raise(flag: &Flag, given: &Given<'_>, rule: &str, sum: &mut Sum) {
    let Some(tier) = flag.tier else { return };
    let switch = flag.value == Takes::Switch;
    let value = match &given.value {
        None if switch => Some("true"),
        None => None,
        Some(value) if switch && is_false(&value.text) => Some("false"),
        Some(value) if switch && TRUTHS.contains(&value.text.as_ref()) => Some("true"),
        Some(value) => Some(value.text.as_ref()),
    };
    let raises = match value {
        None => true,
        Some(value) if pattern::any_covers(&flag.unless, value) => false,
        Some("false") if switch && flag.when.is_empty() => false,
        Some(value) => flag.when.is_empty() || pattern::any_covers(&flag.when, value),
    };
    if raises {
        sum.add(tier, flag.class.unwrap_or(Class::Unknown), rule, &flag.why, Some(given.word));
    }
}

/// Whether an option is a parameter of an API operation. A reading operation knows its own; a
/// write has tier 2 whatever its parameters are.
fn is_parameter(catalog: &Catalog, given: &Given<'_>) -> bool {
    let Some(list) = &catalog.tool.values.read_parameters else { return false };
    let name = given.name.trim_start_matches("--");
    let positive = name.strip_prefix("no-").unwrap_or(name);
    !name.is_empty()
        && (lists::holds_or_extends(list, name) || lists::holds_or_extends(list, positive))
}

/// What the arguments mean.
fn arguments(catalog: &Catalog, parsed: &Parsed<'_>, command: Option<&Command>, sum: &mut Sum) {
    let Some(command) = command else { return };
    let mut shown = Vec::new();
    for (place, word) in parsed.args.iter().enumerate() {
        let rule = format!("{}:{}", catalog.name(), parsed.path);
        let Some(arg) = argument(command, place, parsed.args.len()) else {
            let text = "an argument more than the command takes";
            sum.add(Tier::Modify, Class::Unknown, &rule, text, Some(word.word));
            continue;
        };
        let covered = arg.when.is_empty() || pattern::any_covers(&arg.when, &word.text);
        if let Some(tier) = arg.tier.filter(|_| covered) {
            let class = arg.class.unwrap_or(Class::Unknown);
            sum.add(tier, class, &rule, &arg.why, Some(word.word));
        }
        if let Some(key) = arg.scope {
            sum.named.push((key, word.text.to_string()));
        }
        if arg.resource {
            shown.push(word.text.as_ref());
        }
    }
    if !shown.is_empty() {
        sum.resource = Some(shown.join(" "));
    }
}

/// Returns what the catalog says about the argument in this place, of so many. Where fewer stand
/// than the command takes, its leading optional ones are left out.
pub(super) fn argument(command: &Command, place: usize, given: usize) -> Option<&Arg> {
    let args = command.args.as_slice();
    let optional = args.iter().take_while(|arg| arg.optional).count();
    let left_out = args.len().saturating_sub(given).min(optional);
    args.get(place + left_out).or_else(|| args.last().filter(|arg| arg.rest))
}

/// How it runs: standard input, terminal, needs and steps.
fn modes(catalog: &Catalog, parsed: &Parsed<'_>, command: &Command, sum: &mut Sum) {
    if command.stdin == Stdin::Program {
        sum.plan.stdin = StdinRole::Program;
    }
    sum.every.extend(&command.every);
    if command.interactive {
        sum.plan.terminal = Terminal::Interactive;
    }
    for need in &command.needs {
        sum.plan.needs.push(match need {
            NeedWord::Configuration => Need::Configuration,
            NeedWord::Fetch => Need::Fetch(Tier::Operate),
            NeedWord::Installed => Need::Installed {
                paths: catalog.tool.installed.clone(),
                otherwise: Tier::Sensitive,
            },
        });
    }
    let sound = parsed.args.is_empty() && parsed.flags.iter().all(|given| !given.flags.is_empty());
    if let Some(staged) = command.staged.as_ref().filter(|_| sound) {
        sum.plan.needs.push(Need::BareApply);
        let mut preview = words(parsed, &staged.preview, Stage::Preview);
        preview
            .insert(front(parsed) + staged.preview.len(), Part::FileBehind(staged.write.clone()));
        let mut run = words(parsed, &staged.run, Stage::Run);
        run.push(Part::File);
        sum.plan.staged = Some(Staged { preview, run });
    }
}

/// The words of one step: the program and what stands before the command, the step's own words,
/// then the options that belong to it.
fn words(parsed: &Parsed<'_>, step: &[String], stage: Stage) -> Vec<Part> {
    let command = parsed.path_words.first().copied().unwrap_or(1);
    let mut words: Vec<_> = (0..command).map(Part::Original).collect();
    words.extend(step.iter().cloned().map(Part::Text));
    for given in parsed.flags.iter().filter(|given| given.word > command) {
        let belongs = given.flags.first().map_or(Stage::Both, |flag| flag.stage);
        if belongs == Stage::Both || belongs == stage {
            words.push(Part::Original(given.word));
            let value = given.value.as_ref().filter(|value| value.word != given.word);
            words.extend(value.map(|value| Part::Original(value.word)));
        }
    }
    words
}

fn front(parsed: &Parsed<'_>) -> usize {
    parsed.path_words.first().copied().unwrap_or(1)
}

/// The parts of a plan that the catalog alone decides.
fn run_plan(catalog: &Catalog, tool: &str, argv: &[RawText], ambient: &Ambient) -> RunPlan {
    let environment = &catalog.tool.environment;
    let program = match (&ambient.goes_by, argv.first()) {
        (Some(_), Some(path)) => Program::Path(path.clone()),
        _ => Program::Tool(tool.to_owned()),
    };
    RunPlan {
        catalog: Some(CatalogIdentity {
            name: catalog.name().to_owned(),
            digest: catalog.digest(),
        }),
        program,
        environment: EnvironmentPlan {
            keep: environment.keep.clone(),
            set: environment
                .set
                .iter()
                .map(|(name, value)| (name.clone(), set_to(value)))
                .collect(),
            carry: environment.carry.clone(),
        },
        timeout_seconds: catalog.tool.timeout_seconds,
        neutralise: catalog.tool.neutralise.iter().map(neutralisation).collect(),
        ..RunPlan::nothing()
    }
}

fn neutralisation(from: &crate::catalog::format::Neutralise) -> Neutralisation {
    let inspected = |path: &String| {
        let format = from.format?;
        Some(InspectedFile { path: path.clone(), format, forbid: from.forbid.clone() })
    };
    Neutralisation {
        what: from.what.clone(),
        absent: from.absent.clone(),
        inspect: from.inspect.iter().filter_map(inspected).collect(),
        otherwise: Tier::Sensitive,
    }
}

fn set_to(value: &str) -> EnvironmentValue {
    match value {
        "{empty-file}" => EnvironmentValue::EmptyFile,
        "{private-directory}" => EnvironmentValue::PrivateDirectory,
        "{private-home}" => EnvironmentValue::PrivateHome,
        "{tool-path}" => EnvironmentValue::ToolPath,
        _ => match (value.strip_prefix("{home}/"), value.strip_prefix("{file}")) {
            (Some(below), _) => EnvironmentValue::BelowHome(below.to_owned()),
            (_, Some(content)) => EnvironmentValue::FileWith(content.to_owned()),
            _ => EnvironmentValue::Text(value.to_owned()),
        },
    }
}

fn describe(name: &str, argv: &[RawText]) -> Description {
    Description { command: Some(name.to_owned()), argv: argv.to_vec(), ..Description::default() }
}

/// The words, for runbooks; only of a line without overrides, all of it text.
fn command_pattern(argv: &[RawText], name: &str, sum: &Sum) -> Pattern {
    let rest: Option<Vec<_>> =
        argv.iter().skip(1).map(|word| word.as_str().map(str::to_owned)).collect();
    match rest {
        Some(rest) if sum.overrides.is_empty() => {
            Pattern::Command([name.to_owned()].into_iter().chain(rest).collect())
        }
        _ => Pattern::Unmatchable,
    }
}

fn one_name(scopes: &Scopes, key: ScopeKey) -> Option<String> {
    match scopes.names(key)? {
        Names::Known(names) => Some(names.join(",")),
        Names::Every => Some("*".to_owned()),
        Names::Unknown => None,
    }
}

/// What Go reads as true.
const TRUTHS: [&str; 6] = ["1", "t", "T", "true", "True", "TRUE"];

/// The most reasons an operation keeps: a record must stay readable, and one decides.
const REASONS_MAX: usize = 256;

/// The most words that are described of a line that cannot be read.
const SHOWN_WORDS_MAX: usize = 64;
