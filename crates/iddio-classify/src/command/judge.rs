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
    Ambient, Found, Inner, Judged, Vouched, added, files,
    follow::{self, Runs},
    hostile, inputs, kube,
    line::{Feed, Judging, Known, Line, Surroundings, Term},
    lists,
    parse::{self, Given, Parsed, Resolution, Word, is_false},
    plan::{Need, Part, Program, RunPlan, Staged, StdinRole, Terminal},
    scopes, sent, unknown, unprepared, worse_class,
};
use crate::{
    catalog::{
        Catalog,
        format::{Command, Flag, NeedWord, PathUse, Rule, Stage, Stdin, Style, Takes},
        pattern,
    },
    paths, shell,
};

/// Judges an argument vector, its program first.
///
/// Total: whatever comes in, an operation comes out, and what is not understood is
/// [`Tier::UNKNOWN`].
pub fn judge(argv: &[RawText], ambient: &Ambient) -> Judged {
    let feed = ambient.stdin.clone().map_or(Feed::Inherited, Feed::Text);
    let line = Line { feed, ..Line::of(argv) };
    match hostile::unreadable(&line.words) {
        Some(fault) => unfit(&fault, &line.words),
        None => {
            let surroundings = match ambient.inner {
                Inner::AsJudged => Surroundings::Unknown,
                Inner::Unprepared => Surroundings::AsPlanned,
            };
            let judging = Judging { surroundings, ..Judging::new(ambient) };
            let mut judged = judge_in(&line, &judging, Place::Alone);
            judged.plan.writes = judging.declared.take();
            judged
        }
    }
}

/// Judges a simple command within text for a shell, or behind a program that runs it. Its words
/// may be known in part.
pub(crate) fn line(line: &Line, judging: &Judging<'_>) -> Judged {
    let affordable = judging.afford(STEPS_PER_COMMAND + line.words.len());
    match hostile::unreadable(&line.words).or_else(|| hostile::unaffordable(affordable)) {
        Some(fault) => unfit(&fault, &line.words),
        None => judge_in(line, judging, Place::Within),
    }
}

/// Judges an argument vector by a catalog that is not built in: a user's own, or one under test.
///
/// The program's name is not looked at beyond being fit to be shown.
pub fn judge_by(catalog: &Catalog, argv: &[RawText], ambient: &Ambient) -> Judged {
    let line = Line::of(argv);
    let fault = hostile::unreadable(&line.words);
    if let Some(fault) = fault.or_else(|| argv.first().and_then(hostile::program)) {
        return unfit(&fault, &line.words);
    }
    let name = argv.first().and_then(RawText::as_str).unwrap_or("");
    by_catalog(catalog, name, &line, &Judging::new(ambient))
}

/// Where a command stands.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Place {
    /// It is all that is asked for: the gateway finds the program.
    Alone,
    /// Something else runs it, and finds the program by the system's own search.
    Within,
}

/// Who a program's name says it is.
enum Named<'a> {
    /// The tool of this name.
    Tool(&'a str),
    /// Some file, whose name is that of a tool or not.
    File(&'a str),
}

/// Judges by the built-in rules, and by the catalogs that the installation adds to them.
fn judge_in(line: &Line, judging: &Judging<'_>, place: Place) -> Judged {
    let judged = judge_built_in(line, judging, place);
    let goes_by = judging.ambient.goes_by.as_deref().filter(|_| place == Place::Alone);
    let judged = added::join(judged, line, judging, goes_by);
    match (place, judging.inner) {
        (Place::Within, Inner::Unprepared) => unprepared::raise(judged, line),
        (Place::Alone, _) | (_, Inner::AsJudged) => judged,
    }
}

/// Judges by one catalog, whatever the program is called.
pub(super) fn by_catalog(
    catalog: &Catalog,
    name: &str,
    line: &Line,
    judging: &Judging<'_>,
) -> Judged {
    let mut sum = Sum::of(hostile::words(&line.words, judging.ambient));
    let (protocol, pattern, description) = known(catalog, name, line, judging, &mut sum);
    sum.judged(protocol, pattern, description, &line.words)
}

fn judge_built_in(line: &Line, judging: &Judging<'_>, place: Place) -> Judged {
    let ambient = judging.ambient;
    let terms = line.words.as_slice();
    let Some(program) = terms.first() else { return unfit(&hostile::empty(), terms) };
    let mut sum = Sum::of(hostile::words(terms, ambient));
    if program.known != Known::Whole {
        let text = "a program that only the run knows";
        sum.add(Tier::UNKNOWN, Class::Unknown, "program:unresolved", text, Some(0));
        let described = describe("?", terms);
        return sum.judged(Protocol::Command, Pattern::Unmatchable, described, &line.words);
    }
    if let Some(fault) = hostile::program(&program.text) {
        return unfit(&fault, terms);
    }
    let name = program.text.as_str().unwrap_or("");
    let (protocol, pattern, description) = match named(name, judging, place) {
        Named::Tool(tool) => match Catalog::for_program(tool) {
            Some(catalog) => known(catalog, tool, line, judging, &mut sum),
            None => {
                let text = "the catalog of this program cannot be read";
                sum.add(Tier::UNKNOWN, Class::Unknown, "catalog:broken", text, None);
                (Protocol::Command, Pattern::Unmatchable, describe(tool, terms))
            }
        },
        Named::File(file) => stranger(file, name, line, judging, place, &mut sum),
    };
    sum.judged(protocol, pattern, description, &line.words)
}

/// Says who a program is by its name. A name with a slash is that file and no other: a gateway is
/// told of those it may trust, and what runs within takes the system's own for what they are.
fn named<'a>(name: &'a str, judging: &'a Judging<'_>, place: Place) -> Named<'a> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let goes_by = judging.ambient.goes_by.as_deref().filter(|_| place == Place::Alone);
    let system =
        place == Place::Within && paths::is_of_the_system(name, judging.directory.as_ref());
    let tool = goes_by.or((!name.contains('/') || system).then_some(file));
    match tool.filter(|tool| Catalog::names(tool)) {
        Some(tool) => Named::Tool(tool),
        None => Named::File(file),
    }
}

/// Judges a program that no catalog is for, or that goes by the name of a tool from elsewhere. The
/// second is worth no less than the tool would be.
fn stranger(
    file: &str,
    name: &str,
    line: &Line,
    judging: &Judging<'_>,
    place: Place,
    sum: &mut Sum,
) -> (Protocol, Pattern, Description) {
    let argv: Vec<_> = line.words.iter().map(|word| word.text.clone()).collect();
    let vouched = match place {
        Place::Alone => judging.ambient.vouched,
        Place::Within => Vouched::Nobody,
    };
    let written = argv.first().is_some_and(|path| name.contains('/') && judging.wrote(path));
    let (scopes, plan, reasons) = unknown::program(name, vouched);
    if let Some(catalog) = Catalog::for_program(file).filter(|_| name.contains('/')) {
        let mut other = Sum::default();
        let _ = known(catalog, file, line, judging, &mut other);
        other.reasons.retain(|reason| reason.tier > Tier::Sensitive);
        sum.within.append(&mut other.within);
        for reason in other.reasons {
            sum.add_reason(other.class.unwrap_or(Class::Unknown), reason);
        }
    }
    if !name.contains('/') {
        behind(line, judging, sum);
    }
    if written {
        let text = "a program that the same text writes first";
        sum.add(Tier::UNKNOWN, Class::Unknown, "program:written", text, Some(0));
    }
    sum.scopes = scopes;
    sum.plan = plan;
    for (class, reason) in reasons {
        sum.add_reason(class, reason);
    }
    let pattern = command_pattern(line, name, sum);
    (Protocol::Command, pattern, describe(name, &line.words))
}

/// Judges what a program that nobody knows may run: the words from each on that names a known one,
/// and text behind an option that says so. Only what is break-glass counts (invariant I2).
fn behind(line: &Line, judging: &Judging<'_>, sum: &mut Sum) {
    let Some(inner) = judging.within() else { return };
    let mut tries = 0;
    for (place, word) in line.words.iter().enumerate().skip(1) {
        let Some(text) = word.as_str().filter(|_| tries < BEHIND_MAX) else { continue };
        let before = line.words.get(place - 1).and_then(Term::as_str).unwrap_or_default();
        let told = match text.split_once('=') {
            Some((option, value)) if TELLS.contains(&option) => Some(value),
            _ => TELLS.contains(&before).then_some(text),
        };
        let last = place + 1 == line.words.len();
        let operations = match told.filter(|text| text.contains(' ')) {
            Some(told) => shell::judge_text(told.as_bytes(), &Feed::Unknown, &inner, None),
            None if names_program(text) && (!last || SHELLS.contains(&text)) => {
                let words = line.words.get(place..).unwrap_or_default().to_vec();
                let judged = self::line(&Line { words, feed: line.feed.clone() }, &inner);
                [judged.operation].into_iter().chain(judged.within).collect()
            }
            None => continue,
        };
        tries += 1;
        let worst = operations.iter().find(|one| one.native_tier() == Tier::BreakGlass);
        if let Some(worst) = worst {
            let why = "a program that nobody knows may run what follows it";
            sum.add(Tier::BreakGlass, worst.class, "program:behind", why, Some(place));
        }
    }
}

fn names_program(text: &str) -> bool {
    let file = text.rsplit('/').next().unwrap_or(text);
    !file.is_empty() && Catalog::names(file)
}

/// Answers what cannot be read at all.
fn unfit(fault: &Found, argv: &[Term]) -> Judged {
    let shown = argv.get(..argv.len().min(SHOWN_WORDS_MAX)).unwrap_or_default();
    let name = argv.first().and_then(|word| word.text.as_str()).unwrap_or("");
    let mut sum = Sum::default();
    sum.add_found(fault);
    sum.judged(Protocol::Command, Pattern::Unmatchable, describe(name, shown), &[])
}

/// Judges a program with a catalog.
fn known(
    catalog: &Catalog,
    tool: &str,
    line: &Line,
    judging: &Judging<'_>,
    sum: &mut Sum,
) -> (Protocol, Pattern, Description) {
    let terms = line.words.as_slice();
    let texts = parse::texts(terms);
    let parsed = parse::parse(catalog, terms, &texts);
    sum.plan = run_plan(catalog, tool, terms, judging.ambient);
    let command = match parsed.resolution {
        Resolution::Known(command) => Some(command),
        _ => None,
    };
    let mut pattern = None;
    if asks_for_help(catalog, &parsed, terms) {
        let rule = format!("{}:help", catalog.name());
        sum.add(Tier::Observe, Class::Unknown, &rule, "shows help", None);
    } else {
        let families = base(catalog, &parsed, sum);
        doubts(catalog, &parsed, command, sum);
        let runs = follow::runs(&parsed, command);
        for given in &parsed.flags {
            flag(catalog, &parsed, given, families, runs, sum);
        }
        if families == Families::None {
            arguments(&parsed, command, sum);
        }
        inputs::collect(catalog, &parsed, line, judging.ambient, sum);
        files::judge(&parsed, terms, judging, sum);
        files::declare(&catalog.tool, &parsed, terms, judging);
        follow::judge(catalog, &parsed, command, line, judging, sum);
        // What is not taken apart may run what follows it.
        if catalog.style() == Style::Words && runs == Runs::Nothing && Tier::Sensitive <= sum.tier {
            behind(line, judging, sum);
        }
        sent::judge(&parsed, command, &line.feed, judging, sum);
        pattern = command
            .and_then(|command| command.kube.as_ref())
            .and_then(|kube| kube::judge(catalog, kube, &parsed, sum));
        if let Some(command) = command {
            modes(catalog, &parsed, command, sum);
        }
    }
    scopes::settle(catalog, tool, &parsed, command, judging.ambient, sum);
    let command = match parsed.path.as_str() {
        "" => tool.to_owned(),
        path => [tool, " ", path].concat(),
    };
    let description = Description {
        command: Some(command),
        argv: terms.iter().map(|word| word.text.clone()).collect(),
        workspace: one_name(&sum.scopes, ScopeKey::Workspaces),
        namespace: one_name(&sum.scopes, ScopeKey::Namespaces),
        resource: sum.resource.take(),
        ..Description::default()
    };
    let pattern = match pattern {
        Some(pattern) if sum.overrides.is_empty() => pattern,
        _ => command_pattern(line, tool, sum),
    };
    (catalog.tool.protocol, pattern, description)
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
    /// Names of scopes, as they stand on the command line; `None` for one that only the run knows.
    pub(super) named: Vec<(ScopeKey, Option<String>)>,
    /// What it runs in turn.
    pub(super) within: Vec<Operation>,
    /// Scopes that do not follow from the rules of the catalog: everything of a kind.
    pub(super) every: Vec<ScopeKey>,
    /// Scopes whose default is touched besides what is named.
    pub(super) implied: Vec<ScopeKey>,
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
            within: Vec::new(),
            every: Vec::new(),
            implied: Vec::new(),
        }
    }
}

impl Sum {
    fn of(found: Vec<Found>) -> Self {
        let mut sum = Self::default();
        found.iter().for_each(|found| sum.add_found(found));
        sum
    }

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

    pub(super) fn add_found(&mut self, found: &Found) {
        let reason = Reason {
            tier: found.tier,
            rule: found.rule.clone().into_owned(),
            text: found.text.clone().into_owned(),
            word: found.word.and_then(|word| u32::try_from(word).ok()),
            at: found.at,
        };
        self.add_reason(found.class, reason);
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

    /// Returns the judgement of these words, each reason with its place in the text.
    fn judged(
        mut self,
        protocol: Protocol,
        pattern: Pattern,
        description: Description,
        words: &[Term],
    ) -> Judged {
        for reason in self.reasons.iter_mut().filter(|reason| reason.at.is_none()) {
            let word = reason.word.and_then(|word| usize::try_from(word).ok());
            let whole = words.first().and_then(|word| word.span);
            reason.at = word.and_then(|word| words.get(word)?.span).or(whole);
        }
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
        Judged { operation, within: self.within, plan: self.plan }
    }
}

/// Whether the line only shows help: a command, and nothing else but one help flag or word.
fn asks_for_help(catalog: &Catalog, parsed: &Parsed<'_>, argv: &[Term]) -> bool {
    let by_flag = match parsed.flags.as_slice() {
        [given] => {
            let help = given.flags.first().is_some_and(|flag| flag.help);
            let named = !matches!(parsed.resolution, Resolution::Unknown);
            let whole = argv.iter().all(|word| word.known == Known::Whole);
            let alone = parsed.args.is_empty() && parsed.program.is_none();
            help && named && whole && alone && argv.len() == parsed.path_words.len() + 2
        }
        _ => false,
    };
    let by_word = catalog.tool.syntax.help_word.as_deref().is_some_and(|help| {
        let words = argv.get(1..).unwrap_or_default();
        words.len() <= catalog.tool.syntax.family_words + 1
            && words.last().and_then(Term::as_str) == Some(help)
            && words.iter().all(|word| word.as_str().is_some_and(|word| !word.starts_with('-')))
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
    let rule = &parsed.rule;
    match parsed.resolution {
        Resolution::Bare if !parsed.args.is_empty() => {
            sum.add_rule(&catalog.tool.unknown_command, rule, None);
        }
        Resolution::Bare => match &catalog.tool.syntax.bare {
            Some(bare) => sum.add_rule(bare, name, None),
            None => sum.add_rule(&catalog.tool.unknown_command, name, None),
        },
        Resolution::Group => {
            let text = "shows the subcommands";
            sum.add(Tier::Observe, Class::Unknown, rule, text, word);
        }
        Resolution::Known(command) => {
            let class = command.class.unwrap_or(Class::Unknown);
            sum.add(command.tier, class, rule, &command.why, word);
            if let Some(alone) = &command.without_arguments
                && parsed.args.is_empty()
                && parsed.program.is_none()
            {
                sum.add_rule(alone, rule, word);
            }
            if let Some(otherwise) = &command.otherwise
                && !otherwise.unless.iter().any(|names| parsed.gives(names))
            {
                let class = otherwise.class.unwrap_or(Class::Unknown);
                sum.add(otherwise.tier, class, rule, &otherwise.why, word);
            }
        }
        Resolution::Family if families != Families::None => {}
        Resolution::Family | Resolution::Unknown => {
            sum.add_rule(&catalog.tool.unknown_command, rule, word);
        }
    }
    families
}

/// Whether families or a table cover a command: then its own options are parameters of an API.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Families {
    /// None does.
    None,
    /// Some do, and this is the greatest of their tiers.
    Some(Tier),
}

impl Families {
    fn or(self, tier: Tier) -> Self {
        match self {
            Self::None => Self::Some(tier),
            Self::Some(present) => Self::Some(present.join(tier)),
        }
    }
}

/// Adds every family that covers the command, and what the table of operations says of it.
fn family(catalog: &Catalog, parsed: &Parsed<'_>, sum: &mut Sum) -> Families {
    let words: Vec<_> = parsed.path.split(' ').collect();
    let sets = &catalog.tool.sets;
    let covers = |patterns: &[String]| {
        patterns.iter().any(|pattern| pattern::covers_words(pattern, &words, sets))
    };
    let rule = format!("{}:{}", catalog.name(), parsed.path);
    let word = parsed.path_words.last().copied();
    let mut families = operation(catalog, parsed, sum);
    for family in &catalog.tool.family {
        let family = family.get_ref();
        if covers(&family.commands) && !covers(&family.except) {
            families = families.or(family.tier);
            let class = family.class.unwrap_or(Class::Unknown);
            sum.add(family.tier, class, &rule, &family.why, word);
        }
    }
    families
}

/// Adds what the table of operations says: of the command, and of the command that its first
/// argument makes of it, `deploy push`.
fn operation(catalog: &Catalog, parsed: &Parsed<'_>, sum: &mut Sum) -> Families {
    let mut families = Families::None;
    let Some(table) = &catalog.tool.values.operations else { return families };
    let first = parsed.args.first().and_then(|word| Some((word.whole()?, word.word)));
    let longer = first.map(|(first, word)| (format!("{} {first}", parsed.path), Some(word)));
    let own = (parsed.path.clone(), parsed.path_words.last().copied());
    for (path, word) in [own].into_iter().chain(longer) {
        if let Some(found) = lists::operation(table, &path) {
            families = families.or(found.tier);
            let class = found.class.unwrap_or(Class::Unknown);
            sum.add(found.tier, class, &format!("{}:{path}", catalog.name()), found.why, word);
        }
    }
    match parsed.resolution {
        // The catalog knows all its options and arguments.
        Resolution::Known(command) if !command.args.is_empty() => Families::None,
        _ => families,
    }
}

fn doubts(catalog: &Catalog, parsed: &Parsed<'_>, command: Option<&Command>, sum: &mut Sum) {
    for doubt in &parsed.doubts {
        let rule = format!("{}:doubtful", catalog.name());
        sum.add(doubt.tier, Class::Unknown, &rule, doubt.text, Some(doubt.word));
    }
    if command.is_none() && catalog.tool.values.operations.is_some() {
        veiled_parameters(parsed, sum);
    }
    let Some(command) = command.filter(|_| !parsed.veiled.is_empty()) else { return };
    let worst = worst_option(catalog, parsed);
    for veil in &parsed.veiled {
        let word = parsed.args.iter().find(|arg| arg.word == *veil);
        let known = word.map_or(Known::Prefix(0), |word| word.known);
        // A file would have to be named like an option: no reason to suspect every `cat *`.
        if known == Known::Pattern && command.tier == Tier::Observe {
            continue;
        }
        let removes = command.args.iter().any(|arg| arg.path == Some(PathUse::Remove));
        let tree = removes && catalog.flags_of(&parsed.path).any(|flag| flag.tree);
        let tier = match known {
            Known::Any if tree => Tier::BreakGlass,
            Known::Any if Tier::Observe < command.tier => Tier::Sensitive,
            Known::Prefix(_) if command.tier == Tier::Observe => one_word(catalog, parsed),
            _ => worst,
        };
        if Tier::Observe < tier {
            let rule = format!("{}:veiled", parsed.rule);
            let text = "only the run knows this word, and it may be an option";
            sum.add(tier, Class::Destroy, &rule, text, Some(*veil));
        }
    }
}

/// A word that only the run knows among the parameters of an operation. It may be an option too, but
/// `--instance-ids "$ID"` is what honest lines say: a write at most.
fn veiled_parameters(parsed: &Parsed<'_>, sum: &mut Sum) {
    for veil in &parsed.veiled {
        let word = parsed.args.iter().find(|arg| arg.word == *veil);
        let known = word.map_or(Known::Prefix(0), |word| word.known);
        let tier = if known == Known::Any { Tier::Sensitive } else { Tier::Modify };
        if known != Known::Pattern {
            let rule = format!("{}:veiled", parsed.rule);
            let text = "only the run knows this word, and it may be an option";
            sum.add(tier, Class::Unknown, &rule, text, Some(*veil));
        }
    }
}

/// Returns the tier of a single unknown word of a command that reads: a name of something, nearly
/// always, which may still be one option. Where one of the options runs a program, names a file to
/// write, leads elsewhere or has tier 3, it counts as a write.
fn one_word(catalog: &Catalog, parsed: &Parsed<'_>) -> Tier {
    let grave = |flag: &Flag| {
        let own = flag.tier.is_some_and(|tier| Tier::Modify < tier)
            || flag.also.iter().any(|also| Tier::Modify < also.tier);
        let writes = flag.path.is_some_and(PathUse::changes) || flag.output.is_some();
        own || writes || flag.uses.is_some() || flag.program.is_some() || flag.overrides.is_some()
    };
    match catalog.flags_of(&parsed.path).any(grave) {
        true => Tier::Modify,
        false => Tier::Observe,
    }
}

/// Returns the tier of the worst option of a command that a single unknown word may be, no more
/// than tier 3: else every variable would be break-glass.
fn worst_option(catalog: &Catalog, parsed: &Parsed<'_>) -> Tier {
    let tier = |flag: &Flag| {
        let own = flag.tier.unwrap_or(Tier::Observe);
        let writes = flag.path.is_some_and(|usage| !matches!(usage, PathUse::List | PathUse::Read));
        let acts = writes || flag.output.is_some() || flag.uses.is_some();
        let overrides = flag.overrides.is_some();
        match flag.program {
            Some(_) => Tier::Sensitive,
            None if acts || overrides => own.join(Tier::Modify),
            None => own,
        }
    };
    let worst = catalog.flags_of(&parsed.path).map(tier).max().unwrap_or(Tier::Observe);
    worst.min(Tier::Sensitive)
}

/// What one option means.
fn flag(
    catalog: &Catalog,
    parsed: &Parsed<'_>,
    given: &Given<'_>,
    families: Families,
    runs: Runs,
    sum: &mut Sum,
) {
    let rule = || [parsed.rule.as_str(), " ", &given.name].concat();
    if given.flags.is_empty() {
        let known = match families {
            Families::Some(tier) => {
                tier >= catalog.tool.unknown_flag.tier || is_parameter(catalog, given)
            }
            Families::None => false,
        };
        if !known {
            sum.add_rule(&catalog.tool.unknown_flag, &rule(), Some(given.word));
        }
        return;
    }
    for flag in &given.flags {
        if !(flag.alone && runs == Runs::Something) {
            raise(flag, given, parsed, &rule, sum);
        }
        let value = given.value.as_ref().map_or("", |value| &value.text);
        if let Some(kind) = flag.overrides {
            sum.overrides.push(Override { kind, value: value.to_owned() });
        }
        if let Some(key) = flag.scope {
            let name = given.value.as_ref().map_or(Some(""), Word::whole);
            sum.named.push((key, name.map(str::to_owned)));
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

fn raise(
    flag: &Flag,
    given: &Given<'_>,
    parsed: &Parsed<'_>,
    rule: &impl Fn() -> String,
    sum: &mut Sum,
) {
    let word = Some(given.word);
    let switch = flag.value == Takes::Switch;
    let value = given.value.as_ref();
    if value.is_some_and(|value| switch && flag.when.is_empty() && is_false(&value.text)) {
        return;
    }
    if let Some(tier) = flag.tier
        && let Some(tier) = raised(tier, &flag.when, &flag.unless, parsed, value, switch)
    {
        sum.add(tier, flag.class.unwrap_or(Class::Unknown), &rule(), &flag.why, word);
    }
    for also in &flag.also {
        if let Some(tier) = raised(also.tier, &also.when, &also.unless, parsed, value, switch) {
            sum.add(tier, also.class.unwrap_or(Class::Unknown), &rule(), &also.why, word);
        }
    }
}

/// Returns the tier that a value raises to, by the patterns of those that do and those that do not.
/// A value that only the run knows may be one of them: that is tier 3 at most, or every variable
/// would be break-glass.
fn raised(
    tier: Tier,
    when: &[String],
    unless: &[String],
    parsed: &Parsed<'_>,
    value: Option<&Word<'_>>,
    switch: bool,
) -> Option<Tier> {
    let Some(value) = value else {
        let on = |patterns: &[String]| pattern::any_covers(patterns, "true");
        let raises = !switch || !on(unless) && (when.is_empty() || on(when));
        return raises.then_some(tier);
    };
    let text = match switch {
        true if is_false(&value.text) => "false",
        true if TRUTHS.contains(&value.text.as_ref()) => "true",
        _ => value.text.as_ref(),
    };
    let known = match value.known {
        Known::Whole => {
            let raises = !pattern::any_covers(unless, text)
                && (when.is_empty() || pattern::any_covers(when, text));
            return raises.then_some(tier);
        }
        Known::Prefix(bytes) => text.get(..bytes).unwrap_or(""),
        Known::Any | Known::Pattern => "",
    };
    if unless.iter().any(|unless| pattern::covers_every(unless, known)) {
        return None;
    }
    match when {
        [] => Some(tier),
        when => {
            let tail = parsed.tail(value);
            let may = when.iter().any(|when| match tail {
                Some(tail) => pattern::may_cover_tame(when, known, tail),
                None => pattern::may_cover(when, known),
            });
            may.then_some(tier.min(Tier::Sensitive))
        }
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
fn arguments(parsed: &Parsed<'_>, command: Option<&Command>, sum: &mut Sum) {
    let Some(command) = command else { return };
    let mut shown = Vec::new();
    for (place, word) in parsed.args.iter().enumerate() {
        let rule = &parsed.rule;
        let Some(arg) = parsed.slots.get(place).copied().flatten() else {
            if command.interpreter.is_some() {
                continue;
            }
            let text = "an argument more than the command takes";
            sum.add(Tier::Modify, Class::Unknown, rule, text, Some(word.word));
            continue;
        };
        let raised = |tier, when, unless| raised(tier, when, unless, parsed, Some(word), false);
        if let Some(tier) = arg.tier.and_then(|tier| raised(tier, &arg.when, &arg.unless)) {
            let class = arg.class.unwrap_or(Class::Unknown);
            sum.add(tier, class, rule, &arg.why, Some(word.word));
        }
        for also in &arg.also {
            if let Some(tier) = raised(also.tier, &also.when, &also.unless) {
                let class = also.class.unwrap_or(Class::Unknown);
                sum.add(tier, class, rule, &also.why, Some(word.word));
            }
        }
        if let Some(key) = arg.scope {
            sum.named.push((key, word.whole().map(str::to_owned)));
        }
        if arg.resource {
            shown.push(word.text.as_ref());
        }
    }
    if !shown.is_empty() {
        sum.resource = Some(shown.join(" "));
    }
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
fn run_plan(catalog: &Catalog, tool: &str, argv: &[Term], ambient: &Ambient) -> RunPlan {
    let program = match (&ambient.goes_by, argv.first()) {
        (Some(_), Some(path)) => Program::Path(path.text.clone()),
        _ => Program::Tool(tool.to_owned()),
    };
    catalog.standing.plan(program, catalog.tool.timeout_seconds)
}

fn describe(name: &str, words: &[Term]) -> Description {
    let argv = words.iter().map(|word| word.text.clone()).collect();
    Description { command: Some(name.to_owned()), argv, ..Description::default() }
}

/// The words, for runbooks; only of a line without overrides, all of it text.
fn command_pattern(line: &Line, name: &str, sum: &Sum) -> Pattern {
    if !sum.overrides.is_empty() || !sum.within.is_empty() {
        return Pattern::Unmatchable;
    }
    let mut words = Vec::with_capacity(line.words.len());
    words.push(name.to_owned());
    for word in line.words.iter().skip(1) {
        let Some(word) = word.as_str() else { return Pattern::Unmatchable };
        words.push(word.to_owned());
    }
    Pattern::Command(words)
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

/// What it takes to judge a command by its catalog, in steps of the walk over a text, besides one
/// for every word.
const STEPS_PER_COMMAND: usize = 24;

/// The most reasons an operation keeps: a record must stay readable, and one decides.
const REASONS_MAX: usize = 256;

/// The most words that are described of a line that cannot be read.
const SHOWN_WORDS_MAX: usize = 64;

/// Options and words whose value many programs run.
const TELLS: [&str; 9] =
    ["--cmd", "--command", "--exec", "--execute", "--run", "-c", "-e", "-x", "cmd.run"];

/// Shells that wait for somebody to type where nothing follows them.
const SHELLS: [&str; 9] =
    ["/bin/bash", "/bin/sh", "ash", "bash", "dash", "fish", "ksh", "sh", "zsh"];

/// How many words of an unknown program are tried as programs: one that runs another names it early.
const BEHIND_MAX: usize = 8;
