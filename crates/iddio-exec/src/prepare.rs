//! From words to an action: judged, bound, and ready to be admitted.
//!
//! The order matters. The program is opened first, so that everything after is about that file. The
//! tree and the inputs are copied before they are read, so that what is judged is what runs. Every
//! finding only raises the tier. Nothing here starts a program.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path, PathBuf},
    time::Duration,
};

use iddio_classify::{
    command::{
        Ambient, Binding, Extent, Inner, Judged, ManifestFacts, Need, Pin, RunPlan, StdinRole,
        Terminal, Vouched, Written, judge,
    },
    shell,
    terraform::{
        config::{ConfigFacts, Fact},
        judge::{self, PlanJudgement, Trust, Use},
        plan::{self, PlanError, PlanFacts},
    },
};
use iddio_core::{
    digest::Digest,
    operation::{Effect, Names, Operations, Protocol, Reason, ScopeKey, Scopes},
    text::RawText,
    tier::{Class, Tier},
};
use iddio_runtime::home::Home;
use iddio_spawn::{
    Arguments, Limits, Program, RequestError, RunTime, STRAGGLER_GRACE, SealedInput, TERM_GRACE,
    ToolPath, WorkingDirectory,
};

use crate::{
    bind::{self, BindError, Bound},
    catalogs::Catalogs,
    environment::{self, Built, EnvironmentError},
    facts::{self, Surroundings},
    hand::Input,
    installed, manifests, neutral,
    operation::{BoundInput, CommandAction, Material, StdinMaterial},
    outputs::Outputs,
    reach::Reach,
    request::{Resolved, Standing},
    run_dir::RunDir,
    tree::{self, Tree, TreeError},
    watch::Watched,
};

/// What every command of one caller has in common.
#[derive(Debug)]
pub struct Setting {
    /// Iddio's home.
    pub home: Home,
    /// The home directory that the user database names.
    pub user_home: PathBuf,
    /// Where programs are looked for.
    pub tool_path: ToolPath,
    /// The caller's environment.
    pub environment: BTreeMap<OsString, OsString>,
    /// Where the caller is.
    pub directory: PathBuf,
    /// The programs that policy or `iddio tool trust` names, with their contents.
    pub trusted: Vec<(PathBuf, Digest)>,
    /// The catalogs of this installation.
    pub catalogs: Catalogs,
    /// What of the caller's files may be looked at.
    pub reach: Reach,
    /// The caller's standard input.
    pub stdin: Input,
    /// Where runs have their private directories.
    pub runs: PathBuf,
    /// What the caller declares that the run writes, besides what its words and its tool do.
    pub outputs: Outputs,
}

/// A command that was looked at and not yet bound.
#[derive(Debug)]
pub struct Examined {
    /// What was judged, and how it runs.
    pub judged: Judged,
    /// The words, as the caller gave them.
    pub words: Vec<OsString>,
    /// The directory the tool works in.
    pub directory: PathBuf,
    /// What can be read once a signal has arrived: a wait for standard input ends then.
    pub signals: Option<OwnedFd>,
    /// What standard input gave, if it is the program and was read already.
    pub stdin: Option<SealedInput>,
}

/// What is known of what a command reads, besides its words.
#[derive(Debug, Default)]
struct Content {
    /// What is in its manifests, by the path the command line names.
    manifests: Vec<(RawText, ManifestFacts)>,
    /// What is on its standard input.
    stdin: Option<RawText>,
}

/// Why a command could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// An input could not be copied.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The environment could not be built.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The working directory is gone, or private directories cannot be made.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// A word cannot be handed to a program.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// Where a command works whose tree was copied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// In the copy, which nobody else changes.
    Copy,
    /// In the original; the copy was for the judge alone.
    Original,
}

/// What a saved plan is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PlanUse {
    /// It is carried out.
    Carried,
    /// It is only looked at.
    Shown,
}

// === impl Setting ===

impl Setting {
    /// Judges words, with the names the tool would find out by itself. Starts nothing, copies
    /// nothing.
    pub fn examine(&self, words: Vec<OsString>, standing: &Standing) -> Examined {
        self.examine_with(words, standing, Content::default())
    }

    /// Reads standard input where it is the program, and judges again by what it holds. Whoever
    /// types into a terminal has not written it yet: that stays what it is.
    ///
    /// # Errors
    ///
    /// When it is too long, or a signal arrives before its end.
    pub fn read_program(
        &self,
        examined: Examined,
        resolved: &Resolved,
    ) -> Result<Examined, PrepareError> {
        let plan = &examined.judged.plan;
        let is_input = plan.inputs.iter().any(|input| input.binding == Binding::Stdin);
        let is_program = plan.stdin == StdinRole::Program && plan.catalog.is_some();
        if !is_program || is_input || self.stdin.is_terminal() {
            return Ok(examined);
        }
        let Examined { judged, words, directory, signals, stdin: _ } = examined;
        let signals_fd = signals.as_ref().map(AsFd::as_fd);
        let sealed = bind::standard_input(self.stdin.as_fd(), signals_fd)?;
        let bytes = bind::content(&sealed)
            .map_err(|source| PrepareError::Io { what: "standard input", source })?;
        let mut again = match bytes.len() <= shell::TEXT_BYTES_MAX {
            true => {
                let stdin = Some(RawText::new(bytes));
                let content = Content { stdin, ..Content::default() };
                self.examine_with(words, &resolved.standing, content)
            }
            false => Examined { judged, words, directory, signals: None, stdin: None },
        };
        self.see_real_name(&mut again, resolved);
        Ok(Examined { signals, stdin: Some(sealed), ..again })
    }

    /// Judges words of whose files somebody knows what they hold.
    fn examine_with(
        &self,
        words: Vec<OsString>,
        standing: &Standing,
        content: Content,
    ) -> Examined {
        let argv: Vec<RawText> = words.iter().map(|word| RawText::new(word.as_bytes())).collect();
        let goes_by = match standing {
            Standing::Tool { tool, .. }
            | Standing::Trusted { tool }
            | Standing::Changed { tool } => Some(tool.clone()),
            Standing::Unknown => None,
        };
        let vouched = match standing {
            Standing::Trusted { .. } => Vouched::Somebody,
            Standing::Changed { .. } | Standing::Tool { .. } | Standing::Unknown => Vouched::Nobody,
        };
        let mut ambient = Ambient {
            own_paths: self.own_paths(),
            working_directory: Some(RawText::new(
                self.reach.called(&self.directory).as_os_str().as_bytes(),
            )),
            goes_by,
            vouched,
            manifests: content.manifests,
            catalogs: self.catalogs.added(),
            stdin: content.stdin,
            inner: Inner::Unprepared,
            scopes: Scopes::default(),
        };
        let wanted = judge(&argv, &ambient).plan;
        let directory = self.tool_directory(&wanted);
        ambient.scopes = facts::establish(&wanted.facts, &self.around(&directory));
        let mut judged = judge(&argv, &ambient);
        if let Catalogs::Broken { reason: why } = &self.catalogs {
            let text = format!("a catalog of this installation cannot be used: {why}");
            judged.raise(reason(Tier::UNKNOWN, "catalog:broken", text), Class::Unknown);
        }
        self.look_around(&mut judged, standing, &directory);
        let texts = argv.iter().skip(1).chain(&ambient.stdin);
        self.see_through_links(&mut judged, texts, &directory);
        Examined { judged, words, directory, signals: None, stdin: None }
    }

    /// Raises an unknown program to what it would be by the name its file really has: a shell or
    /// iddio itself is no other program for being called through a link.
    pub fn see_real_name(&self, examined: &mut Examined, resolved: &Resolved) {
        let real = resolved.program.path().canonicalize().ok();
        let Some(real) = real.filter(|_| resolved.standing == Standing::Unknown) else { return };
        // One file under many names: the name says what it is, not the file.
        if real.file_name() == Some(OsStr::new("busybox")) {
            return;
        }
        let rest = examined.words.iter().skip(1).map(OsString::as_os_str);
        let words = std::iter::once(real.as_os_str()).chain(rest);
        let argv: Vec<RawText> = words.map(|word| RawText::new(word.as_bytes())).collect();
        let ambient = Ambient { inner: Inner::Unprepared, ..Ambient::default() };
        let Judged { operation, within, plan: _ } = judge(&argv, &ambient);
        // Words of what it runs are not words of its own.
        let within = within.into_iter().map(|mut operation| {
            operation.reasons.iter_mut().for_each(|reason| reason.word = None);
            operation
        });
        for operation in [operation].into_iter().chain(within) {
            for found in operation.reasons {
                if examined.judged.operation.tier < found.tier {
                    examined.judged.raise(found, operation.class);
                }
            }
        }
    }

    /// Binds everything an examined command reads.
    ///
    /// # Errors
    ///
    /// When something is there and cannot be copied, or a private directory cannot be made.
    pub fn prepare(
        &self,
        examined: Examined,
        resolved: Resolved,
        explanation: Option<RawText>,
        run: &RunDir,
    ) -> Result<CommandAction, PrepareError> {
        let mut examined = examined;
        let directory = examined.directory.clone();
        // What writes state or fetches works where the state is; what only evaluates, in the copy.
        let in_copy = examined.judged.tier() == Tier::Observe
            && !examined.judged.plan.needs.iter().any(|need| matches!(need, Need::Fetch(_)));
        let tree = self.tree(&mut examined.judged, &directory, run);
        let place = if in_copy { Place::Copy } else { Place::Original };
        self.prepare_in(examined, tree, place, resolved, explanation, run)
    }

    /// Binds everything an examined command reads, in a tree that was copied already.
    ///
    /// # Errors
    ///
    /// When something is there and cannot be copied, or a private directory cannot be made.
    pub fn prepare_in(
        &self,
        examined: Examined,
        tree: Option<Tree>,
        place: Place,
        resolved: Resolved,
        explanation: Option<RawText>,
        run: &RunDir,
    ) -> Result<CommandAction, PrepareError> {
        let Examined { mut judged, words, directory, signals, stdin } = examined;
        let signals = signals.as_ref().map(AsFd::as_fd);
        let original = words.clone();
        let (reach, stdin_fd) = (&self.reach, self.stdin.as_fd());
        let around = bind::Around { directory: &directory, reach, stdin: stdin_fd, signals };
        let mut bound = bind::bind(words, &judged.plan.inputs, &around, run)?;
        bound.stdin = bound.stdin.or(stdin);
        let mut effects = self.read_manifests(&mut judged, original, &bound, &resolved);
        effects.extend(self.needs(&mut judged, &bound.inputs, tree.as_ref(), &directory));
        raise_for_unbound(&mut judged, &bound.unbound);
        let (tree, watched) = match place {
            Place::Copy => (tree, None),
            Place::Original => (None, tree.map(|tree| tree.snapshot)),
        };
        let mut action = self.assemble(judged, bound, tree, effects, resolved, explanation, run)?;
        action.material.watched = watched;
        Ok(action)
    }

    /// Puts a command together of which everything is known.
    ///
    /// # Errors
    ///
    /// When the environment cannot be built or the working directory is gone.
    #[expect(clippy::too_many_arguments, reason = "everything a run consists of comes together")]
    pub fn assemble(
        &self,
        mut judged: Judged,
        bound: Bound,
        tree: Option<Tree>,
        mut effects: Vec<Effect>,
        resolved: Resolved,
        explanation: Option<RawText>,
        run: &RunDir,
    ) -> Result<CommandAction, PrepareError> {
        effects.sort_by_key(|effect| std::cmp::Reverse(effect.tier));
        let module = tree.as_ref().map(|tree| tree.module.clone()).unwrap_or_default();
        let material = self.material(&judged, resolved, bound, tree, run)?;
        // Once more, now that they are watched: it may be long since they were looked at first.
        let around = self.around(material.settings.directory());
        for objection in neutral::objections(&judged.plan.neutralise, &around) {
            if judged.operation.tier < objection.tier {
                judged.raise(objection, Class::Evasion);
            }
        }
        let operations = Operations::of(judged.operation, judged.within);
        Ok(CommandAction { material, operations, effects, explanation, module })
    }

    /// Returns where to look for what a tool would find by itself.
    pub fn around<'a>(&'a self, directory: &'a Path) -> Surroundings<'a> {
        let (user_home, environment) = (&self.user_home, &self.environment);
        Surroundings { directory, user_home, environment, reach: &self.reach }
    }

    /// Returns the providers below a tool's directory that are trusted by their content.
    pub fn trust(&self, directory: &Path) -> Trust {
        installed::providers(directory, &self.contents(), &self.reach)
    }

    /// The trusted contents, wherever they lie.
    fn contents(&self) -> Vec<Digest> {
        self.trusted.iter().map(|(_, content)| *content).collect()
    }

    fn tool_directory(&self, plan: &RunPlan) -> PathBuf {
        match &plan.directory {
            Some(directory) => self.directory.join(OsStr::from_bytes(directory.as_bytes())),
            None => self.directory.clone(),
        }
    }

    /// Iddio's own paths, as named and as they really are.
    fn own_paths(&self) -> Vec<RawText> {
        let home = self.home.root();
        let real = home.canonicalize().unwrap_or_else(|_| home.to_owned());
        let mut paths = vec![home.to_owned(), real, PathBuf::from("/etc/iddio")];
        paths.dedup();
        paths.iter().map(|path| RawText::new(path.as_os_str().as_bytes())).collect()
    }

    /// Raises for what the surroundings hold.
    fn look_around(&self, judged: &mut Judged, standing: &Standing, directory: &Path) {
        if let Standing::Changed { tool } = standing {
            let text = format!("`{tool}` changed since it was pinned: iddio tool trust PATH");
            judged.raise(reason(Tier::Sensitive, "exec:changed", text), Class::Unknown);
        }
        let terraform = judged.operation.protocol == Protocol::Terraform;
        if terraform && neutral::remembers_amazon(directory, &self.reach) {
            judged.plan.neutralise_also(neutral::amazon());
        }
        for objection in neutral::objections(&judged.plan.neutralise, &self.around(directory)) {
            judged.raise(objection, Class::Evasion);
        }
    }

    /// Raises for words that lead into iddio's home through links or `..` (threat E07), from where
    /// the caller is or from where the tool works, and for written files that links lead elsewhere.
    fn see_through_links<'a>(
        &self,
        judged: &mut Judged,
        texts: impl Iterator<Item = &'a RawText>,
        directory: &Path,
    ) {
        for output in &judged.plan.outputs.clone() {
            let path = directory.join(OsStr::from_bytes(output.path.as_bytes()));
            let here = directory.canonicalize().ok();
            let inside = |path: &PathBuf| here.as_ref().is_some_and(|here| path.starts_with(here));
            if !path.is_absolute() || !really(&path).is_some_and(|path| inside(&path)) {
                let text = "a link leads what it writes out of the working directory".to_owned();
                let word = u32::try_from(output.word).ok();
                let reason = Reason { word, ..reason(Tier::Sensitive, "exec:linked-output", text) };
                judged.raise(reason, Class::Evasion);
            }
        }
        let Ok(home) = self.home.root().canonicalize() else { return };
        // A word may be text for a shell: the parts of that are what may be paths.
        let parts_words = !judged.within.is_empty();
        for (index, word) in texts.enumerate() {
            let bytes = word.as_bytes();
            let parts = bytes.split(|byte| {
                matches!(byte, b'=' | b'@' | b',' | b':')
                    || parts_words
                        && (byte.is_ascii_whitespace() || b"'\"`${;&|<>()".contains(byte))
            });
            let leads = |part: &[u8]| {
                // What stands behind `file://`.
                let part = part.strip_prefix(b"//").unwrap_or(part);
                let below = HOMES.iter().find_map(|home| part.strip_prefix(*home));
                let path = OsStr::from_bytes(below.filter(|_| parts_words).unwrap_or(part));
                let starts = [&self.directory, directory, &self.user_home];
                let starts = starts.iter().take(if below.is_some() { 3 } else { 2 });
                let mut paths = starts.map(|start| start.join(path));
                !part.is_empty()
                    && paths.any(|path| really(&path).is_some_and(|p| p.starts_with(&home)))
            };
            if leads(bytes) || parts.into_iter().any(leads) {
                let text = "leads into iddio's own home".to_owned();
                // The program is no text of these; standard input is no word.
                let word = u32::try_from(index + 1).ok();
                let reason = Reason { word, ..reason(Tier::BreakGlass, "exec:own-home", text) };
                judged.raise(reason, Class::Evasion);
            }
        }
    }

    /// Copies the tree, if the configuration in it matters. Where it cannot be copied the run
    /// happens in place, and the tier says so.
    pub fn tree(&self, judged: &mut Judged, directory: &Path, run: &RunDir) -> Option<Tree> {
        let there = self.reach.is_directory(directory);
        if !judged.plan.needs.contains(&Need::Configuration) || !there {
            return None;
        }
        let copied = match run.path() {
            Ok(path) => tree::copy(directory, &self.user_home, &path.join("tree"), &self.reach),
            Err(source) => Err(TreeError::Place(source)),
        };
        match copied {
            Ok(tree) => Some(tree),
            Err(error) => {
                let text = format!("the configuration could not be bound: {error}");
                judged.raise(reason(Tier::Sensitive, "exec:unbound-tree", text), Class::Unknown);
                None
            }
        }
    }

    /// Judges once more where manifests were bound, by what they hold, and returns what happens to
    /// each object. What was found besides the words is kept.
    fn read_manifests(
        &self,
        judged: &mut Judged,
        words: Vec<OsString>,
        bound: &Bound,
        resolved: &Resolved,
    ) -> Vec<Effect> {
        let manifests = manifests::read(&judged.plan, bound);
        if manifests.is_empty() {
            return Vec::new();
        }
        let effects = manifests::effects(&judged.plan, &manifests);
        let content = Content { manifests, ..Content::default() };
        let mut again = self.examine_with(words, &resolved.standing, content);
        self.see_real_name(&mut again, resolved);
        // INVARIANT: the inputs are those that were bound: only facts differ between the two.
        let class = judged.operation.class;
        let before = std::mem::replace(judged, again.judged).operation.reasons;
        for found in before.into_iter().filter(|reason| reason.rule.starts_with("exec:")) {
            if !judged.operation.reasons.contains(&found) {
                judged.raise(found, class);
            }
        }
        effects
    }

    /// Looks at what must be looked at before the tier is trusted, and returns its effects.
    fn needs(
        &self,
        judged: &mut Judged,
        inputs: &[BoundInput],
        tree: Option<&Tree>,
        directory: &Path,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        for need in judged.plan.needs.clone() {
            match need {
                Need::Configuration => {
                    let facts = tree.map(Tree::facts).unwrap_or_default();
                    let amazon = |fact: &Fact| matches!(fact, Fact::Backend(kind) if kind == "s3");
                    if facts.findings.iter().any(|finding| amazon(&finding.fact)) {
                        judged.plan.neutralise_also(neutral::amazon());
                    }
                    effects.extend(raise_for_configuration(judged, &facts, &self.trust(directory)));
                }
                Need::SavedPlan(input) => {
                    let word = judged.plan.inputs.get(input).map(|input| input.word);
                    let sealed = inputs.iter().find(|bound| bound.argument == word);
                    effects.extend(raise_for_plan(
                        judged,
                        read_plan(sealed).as_ref(),
                        plan_use(judged),
                        &self.trust(directory),
                    ));
                }
                Need::Fetch(_) if tree.is_some_and(|tree| tree.is_complete()) => {}
                Need::Fetch(tier) => {
                    let text = "may fetch what is not there yet".to_owned();
                    judged.raise(reason(tier, "exec:fetch", text), Class::Unknown);
                }
                Need::Installed { paths, otherwise } => {
                    let installed =
                        installed::look(directory, &paths, &self.contents(), &self.reach);
                    if let Some(path) = installed.untrusted {
                        let text = format!("runs {}, which nobody trusted", path.display());
                        judged.raise(reason(otherwise, "exec:installed", text), Class::Unknown);
                    }
                }
                Need::ConfigurationAt(_) => {
                    let text = "configuration elsewhere is not looked into".to_owned();
                    let reason = reason(Tier::Sensitive, "exec:other-configuration", text);
                    judged.raise(reason, Class::Unknown);
                }
                // A bare apply is staged by the caller; what a manifest holds is in the tier
                // already.
                Need::BareApply | Need::Manifest(_) => {}
            }
        }
        effects
    }

    fn material(
        &self,
        judged: &Judged,
        resolved: Resolved,
        bound: Bound,
        tree: Option<Tree>,
        run: &RunDir,
    ) -> Result<Material, PrepareError> {
        let plan = &judged.plan;
        let Bound { words, mut inputs, trees, copied: _, unbound, stdin } = bound;
        let settings = Watched::look(plan, &self.around(&self.tool_directory(plan)));
        let Resolved { program, digest: program_digest, .. } = resolved;
        let (caller, user_home) = (&self.environment, self.user_home.as_path());
        let sources = environment::Sources { caller, user_home, tool_path: &self.tool_path, run };
        let Built { environment, files } =
            environment::build(&plan.environment, &plan.pins, &sources)?;
        inputs.extend(files);
        let words = match &tree {
            Some(tree) => redirect(words, &tree.directory()),
            None => words,
        };
        let mut words = put_pins(plan, words).into_iter();
        let name = argument_zero(&program, words.next().unwrap_or_default());
        let directory = WorkingDirectory::open(&self.directory)
            .map_err(|source| PrepareError::Io { what: "the working directory", source })?;
        let trees = tree.map(|tree| tree.snapshot).into_iter().chain(trees).collect();
        let called = self.reach.called(directory.path());
        Ok(Material {
            called,
            arguments: Arguments::new(name, words)?,
            program,
            program_digest,
            environment,
            directory,
            inputs,
            unbound,
            stdin: stdin.map_or_else(|| self.stdin_of(judged), StdinMaterial::Sealed),
            trees,
            watched: None,
            catalogs: plan.catalog.iter().cloned().chain(self.catalogs.identities()).collect(),
            settings,
            target: plan.pins.iter().map(target).collect(),
            outputs: self.outputs_of(plan),
            limits: limits(plan),
        })
    }

    /// Returns what a run declares that it writes, as the caller calls it.
    fn outputs_of(&self, plan: &RunPlan) -> Outputs {
        let directory = self.reach.called(&self.tool_directory(plan));
        let mut outputs = Outputs::of(&plan.writes, &directory);
        outputs.join(&self.outputs);
        outputs
    }

    /// Returns what standard input is where none was sealed. What is typed into a session is the session
    /// that was asked for; a program that nobody has seen is not read otherwise.
    fn stdin_of(&self, judged: &Judged) -> StdinMaterial {
        let plan = &judged.plan;
        let session = judged.tier() == Tier::BreakGlass || plan.terminal == Terminal::Interactive;
        match plan.stdin {
            StdinRole::Data => StdinMaterial::Inherit,
            StdinRole::Program if session && self.stdin.is_terminal() => StdinMaterial::Inherit,
            StdinRole::Input | StdinRole::Program => StdinMaterial::Nothing,
        }
    }
}

/// Returns where a path really leads: its longest beginning that exists, links followed, and what
/// remains.
fn really(path: &Path) -> Option<PathBuf> {
    path.ancestors().find_map(|beginning| {
        let rest = path.strip_prefix(beginning).ok()?;
        let plain = rest.components().all(|part| matches!(part, Component::Normal(_)));
        beginning.canonicalize().ok().filter(|_| plain).map(|beginning| beginning.join(rest))
    })
}

/// Returns what the child finds as its own name: for a script, which its interpreter looks for by
/// this name, the caller's word; it decides nothing, the descriptor does.
fn argument_zero(program: &Program, name: OsString) -> OsString {
    if name.is_empty() { program.path().as_os_str().to_owned() } else { name }
}

fn limits(plan: &RunPlan) -> Limits {
    let run_time = match plan.timeout_seconds {
        0 => RunTime::Unlimited,
        seconds => RunTime::AtMost(Duration::from_secs(seconds)),
    };
    Limits { run_time, term_grace: TERM_GRACE, straggler_grace: STRAGGLER_GRACE }
}

fn target(pin: &Pin) -> (String, String) {
    match pin {
        Pin::Variable { scope, value, .. } => (scope.name().to_owned(), value.clone()),
        Pin::Words { scope, words, .. } => (scope.name().to_owned(), words.join(" ")),
    }
}

/// Puts the pins of words in. They stand before words of the original, so this comes last.
fn put_pins(plan: &RunPlan, words: Vec<OsString>) -> Vec<OsString> {
    let raw: Vec<RawText> = words.into_iter().map(|word| RawText::new(word.into_vec())).collect();
    let pinned = plan.pinned_arguments(&raw);
    pinned.into_iter().map(|word| OsString::from_vec(word.as_bytes().to_vec())).collect()
}

/// Leads Terraform to the copy: its `-chdir`, or one of ours.
fn redirect(mut words: Vec<OsString>, directory: &Path) -> Vec<OsString> {
    let mut chdir = OsString::from("-chdir=");
    chdir.push(directory);
    let is_chdir = |word: &&mut OsString| {
        word.as_bytes().starts_with(b"-chdir=") || word.as_bytes().starts_with(b"--chdir=")
    };
    // Terraform takes it before the subcommand alone.
    let global = |word: &&mut OsString| word.as_bytes().starts_with(b"-");
    match words.iter_mut().skip(1).take_while(global).find(is_chdir) {
        Some(word) => *word = chdir,
        None => words.insert(1.min(words.len()), chdir),
    }
    words
}

/// Whether a saved plan would be carried out: the catalog's own tier for `show` is a read.
fn plan_use(judged: &Judged) -> PlanUse {
    match judged.tier() < Tier::Modify {
        true => PlanUse::Shown,
        false => PlanUse::Carried,
    }
}

fn raise_for_configuration(judged: &mut Judged, facts: &ConfigFacts, trust: &Trust) -> Vec<Effect> {
    let usage = match judged.tier() < Tier::Modify {
        true => Use::Evaluate,
        false => Use::Apply,
    };
    raise(judged, judge::config(facts, usage, trust), "terraform:configuration")
}

/// Reads a saved plan that was bound, or returns `None` if it was not.
pub fn read_plan(sealed: Option<&BoundInput>) -> Option<Result<PlanFacts, PlanError>> {
    let bytes = bind::content(&sealed?.sealed).ok()?;
    Some(plan::read(&bytes))
}

/// Raises for what a saved plan does, and returns the effects to show.
pub fn raise_for_plan(
    judged: &mut Judged,
    plan: Option<&Result<PlanFacts, PlanError>>,
    usage: PlanUse,
    trust: &Trust,
) -> Vec<Effect> {
    let judgement = match plan {
        Some(Ok(facts)) => {
            scope_of_plan(judged, facts);
            judged.plan.writes.extend(state_of_plan(facts));
            match usage {
                PlanUse::Carried => judge::plan(facts, trust),
                PlanUse::Shown => judge::config(&facts.config, Use::Evaluate, trust),
            }
        }
        Some(Err(error)) => judge::unreadable(error),
        None => {
            let text = "the plan could not be bound".to_owned();
            judged.raise(reason(Tier::UNKNOWN, "exec:unbound-plan", text), Class::Unknown);
            return Vec::new();
        }
    };
    raise(judged, judgement, "terraform:plan")
}

/// Returns what an apply writes that keeps its state in a file: that, its backup and its lock.
fn state_of_plan(facts: &PlanFacts) -> Vec<Written> {
    let path = facts.backend.identity.as_deref().and_then(|text| text.strip_prefix("local:"));
    let Some(path) = path.filter(|path| !path.is_empty()) else { return Vec::new() };
    let (above, name) = path.rsplit_once('/').map_or(("", path), |(above, name)| (above, name));
    let lock = match above {
        "" => format!(".{name}.lock.info"),
        above => format!("{above}/.{name}.lock.info"),
    };
    let below = |path: String| Written { path: RawText::from(path), extent: Extent::Below };
    [path.to_owned(), format!("{path}.backup"), lock].map(below).into()
}

/// The workspace is the plan's own, whatever the directory says now (threat E20).
fn scope_of_plan(judged: &mut Judged, facts: &PlanFacts) {
    let workspace = &facts.backend.workspace;
    let scopes = &mut judged.operation.scopes;
    let before = scopes.names(ScopeKey::Workspaces).cloned();
    scopes.add(ScopeKey::Workspaces, Names::Known(vec![workspace.clone()]));
    judged.operation.description.workspace = Some(workspace.clone());
    // The pin must not lead the tool elsewhere than the plan.
    if before.is_some_and(|names| names != Names::Known(vec![workspace.clone()])) {
        let text = format!("the plan was made in workspace `{workspace}`, another is selected");
        judged.raise(reason(Tier::Sensitive, "exec:other-workspace", text), Class::Evasion);
    }
}

/// Raises for what a plan or a configuration does, and returns the effects to show.
pub fn raise(judged: &mut Judged, judgement: PlanJudgement, rule: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    for effect in judgement.effects {
        let text = match effect.address.is_empty() {
            true => effect.what.clone(),
            false => format!("{} {}", effect.address, effect.what),
        };
        if judged.operation.tier < effect.tier || effect.tier == Tier::BreakGlass {
            let class = effect.class.unwrap_or(Class::Unknown);
            let rule = format!("{rule}:{}", effect.rule);
            judged.raise(reason(effect.tier, &rule, text.clone()), class);
        }
        effects.push(Effect { tier: effect.tier, sign: effect.symbol.to_owned(), text });
    }
    let text = "what it does, taken together".to_owned();
    if judged.operation.tier < judgement.tier {
        judged.raise(reason(judgement.tier, rule, text), Class::Unknown);
    }
    effects
}

fn raise_for_unbound(judged: &mut Judged, unbound: &[RawText]) {
    if unbound.is_empty() || Tier::Sensitive <= judged.operation.tier {
        return;
    }
    let text = "reads what cannot be bound".to_owned();
    judged.raise(reason(Tier::Sensitive, "exec:unbound", text), Class::Unknown);
}

fn reason(tier: Tier, rule: &str, text: String) -> Reason {
    Reason { tier, rule: rule.to_owned(), text, word: None, at: None }
}

/// How a shell's text names what lies below the home, dollar signs taken off.
const HOMES: [&[u8]; 3] = [b"~/", b"HOME/", b"HOME}/"];
