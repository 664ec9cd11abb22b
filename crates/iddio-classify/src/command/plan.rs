//! How a judged command line is run: facts for a runner that knows no tool.
//!
//! INVARIANT: a plan only ever restricts. It names what passes, what is fixed, what is read and
//! what must not be there; a runner that cannot do one of these raises the tier instead
//! ([`super::Judged::raise`]).

use std::sync::Arc;

use iddio_core::{
    digest::Digest,
    operation::{Names, ScopeKey},
    text::RawText,
    tier::Tier,
};
use serde::Deserialize;

use crate::{
    catalog::format::{Neutralise, Tool},
    kube::manifest::Usage,
};

/// Everything a runner needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunPlan {
    /// The catalog that judged it; `None` for an unknown program.
    pub catalog: Option<CatalogIdentity>,
    /// What runs.
    pub program: Program,
    /// The directory the tool changes to first, and against which it reads relative paths.
    pub directory: Option<RawText>,
    /// The child's environment.
    pub environment: Arc<EnvironmentPlan>,
    /// What fixes the judged scopes in the child.
    pub pins: Vec<Pin>,
    /// What the child reads that was named on the command line.
    pub inputs: Vec<InputFile>,
    /// What the child writes that was named on the command line.
    pub outputs: Vec<OutputFile>,
    /// Everything that the words say, or the catalog, is written, made or removed: also by what the
    /// program runs in turn.
    pub writes: Vec<Written>,
    /// What its standard input is.
    pub stdin: StdinRole,
    /// Whether it talks to a terminal.
    pub terminal: Terminal,
    /// The longest it may run.
    pub timeout_seconds: u64,
    /// What must be made sure of for the tier to hold.
    pub neutralise: Arc<[Neutralisation]>,
    /// Names the caller could establish and pass in [`super::Ambient::scopes`]. Judge again then.
    pub facts: Vec<FactWanted>,
    /// What must be looked at before the tier is trusted.
    pub needs: Vec<Need>,
    /// How it runs in two steps, if it does.
    pub staged: Option<Staged>,
}

/// Which catalog judged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CatalogIdentity {
    /// Its name.
    pub name: Arc<str>,
    /// The digest of its source, and of the tables it refers to.
    pub digest: Digest,
}

/// What a catalog alone decides about every plan.
#[derive(Debug)]
pub(crate) struct Standing {
    identity: CatalogIdentity,
    environment: Arc<EnvironmentPlan>,
    neutralise: Arc<[Neutralisation]>,
}

/// What runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Program {
    /// Nothing can: there is no program, or its name is unfit.
    Nothing,
    /// The file at this path, as written: a program without a catalog entry, or a trusted one.
    Path(RawText),
    /// A program of this file name, from the tool path.
    Tool(String),
}

/// The child's environment: an allow-list, then what is set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EnvironmentPlan {
    /// Names that pass through from the caller; `LC_*` is a prefix. Nothing else does.
    pub keep: Vec<String>,
    /// What is set afterwards, whatever the caller has.
    pub set: Vec<(String, EnvironmentValue)>,
    /// Paths below the caller's home that a private home shows as well.
    pub carry: Vec<String>,
}

/// A value of a variable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EnvironmentValue {
    /// A path below the home that the user database names for the caller.
    BelowHome(String),
    /// The path of an empty file.
    EmptyFile,
    /// The path of a file with this content.
    FileWith(String),
    /// The path of an empty directory of this run.
    PrivateDirectory,
    /// The path of an empty directory that stands for the home.
    PrivateHome,
    /// This text.
    Text(String),
    /// The directories of the tool path.
    ToolPath,
}

/// What fixes a judged scope in the child.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Pin {
    /// A variable.
    Variable {
        /// The scope it fixes.
        scope: ScopeKey,
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Words put into the arguments.
    Words {
        /// The scope they fix.
        scope: ScopeKey,
        /// The index of the word they stand before.
        before: usize,
        /// The words.
        words: Vec<String>,
    },
}

/// Something that is read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InputFile {
    /// The index of the word that names it.
    pub word: usize,
    /// Where in the word the path starts, in bytes.
    pub start: usize,
    /// Where in the word the path ends, in bytes.
    pub end: usize,
    /// The path or address.
    pub path: RawText,
    /// What it is to the tool.
    pub kind: InputKind,
    /// Whether it can be bound: hashed, and substituted for the child.
    pub binding: Binding,
}

/// Whether an input can be bound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Binding {
    /// It is a directory tree.
    Directory,
    /// It is a file.
    File,
    /// It is a file or a directory; the runner looks.
    FileOrDirectory,
    /// It is standard input, which is spooled and hashed first.
    Stdin,
    /// It cannot be bound: an address, a reference to a repository.
    Unbound,
}

/// What an input is to the tool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InputKind {
    /// A chart.
    Chart,
    /// A directory with configuration.
    Configuration,
    /// Data.
    Data,
    /// Kubernetes objects.
    Manifest,
    /// A saved plan.
    SavedPlan,
    /// A state.
    State,
    /// A chart's values.
    Values,
    /// Values of variables.
    Variables,
}

/// Something that is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutputFile {
    /// The index of the word that names it.
    pub word: usize,
    /// The path.
    pub path: RawText,
}

/// What is written, made or removed.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Written {
    /// Its path, absolute or relative to the directory that the tool works in.
    pub path: RawText,
    /// What that stands for.
    pub extent: Extent,
}

/// What a path stands for that is written.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Extent {
    /// What is there, and everything below it.
    Below,
    /// Every path that it is a pattern of: `*` is any run of characters within a name, `**` any number of
    /// names.
    Pattern,
}

/// What standard input is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StdinRole {
    /// Data, or nothing: it is passed on as it comes.
    Data,
    /// Kubernetes objects, values or a plan: spooled, bounded and hashed before the decision.
    Input,
    /// A program: spooled, bounded and hashed before the decision.
    Program,
}

/// Whether a run talks to a terminal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Terminal {
    /// It may be part of a conversation: an editor, a console.
    Interactive,
    /// It only prints.
    Prints,
}

/// Something that must be made sure of for the tier to hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Neutralisation {
    /// What it is about, for people.
    pub what: String,
    /// Paths that must not be there: relative to the tool's directory, or `~/…` below the
    /// caller's home. A `*` at the end covers every name that starts so.
    pub absent: Vec<String>,
    /// Files that must not hold some keys.
    pub inspect: Vec<InspectedFile>,
    /// The tier where it cannot be made sure of.
    pub otherwise: Tier,
}

/// A file that must not hold some keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InspectedFile {
    /// `~/…` below the caller's home, or `$NAME`: the paths that a variable of the caller's holds,
    /// parted by colons.
    pub path: String,
    /// How it is read.
    pub format: InspectFormat,
    /// Keys, at any depth; `*` at the end covers every key that starts so.
    pub forbid: Vec<String>,
}

/// How a file is read that must not hold something.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum InspectFormat {
    /// Sections and `key = value`.
    Ini,
    /// YAML or JSON.
    Yaml,
}

/// Names of a scope that the caller could establish.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FactWanted {
    /// The scope.
    pub scope: ScopeKey,
    /// Where to look, in order; the first that answers decides.
    pub sources: Vec<FactSource>,
}

/// Where a name comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FactSource {
    /// The content of a file, spaces trimmed, relative to the tool's directory.
    File(String),
    /// The key of the section of the current profile in a file of sections.
    Ini {
        /// The file, `~/…`.
        path: String,
        /// The key.
        key: String,
    },
    /// A field of the current context: `context`, `cluster` or `namespace`.
    Kubeconfig(String),
    /// This name.
    Literal(String),
    /// A variable of the caller's, if it is not empty.
    Variable(String),
}

/// What must be looked at before the tier is trusted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Need {
    /// The effect is not known until a preview has run: see [`RunPlan::staged`].
    BareApply,
    /// The configuration in the tool's directory: data sources that run programs or print
    /// secrets raise to tier 3.
    Configuration,
    /// The same in the input of this index.
    ConfigurationAt(usize),
    /// Whether anything would be fetched. If so, or if it is not known, the tier is at least this.
    Fetch(Tier),
    /// Programs below these paths, relative to the tool's directory, are run. Where one of them is
    /// not trusted, the tier is at least this.
    Installed {
        /// The directories. One that is not there holds nothing.
        paths: Vec<String>,
        /// The tier where one is not trusted.
        otherwise: Tier,
    },
    /// The objects in an input.
    Manifest(ManifestNeed),
    /// The saved plan in the input of this index: what it does decides.
    SavedPlan(usize),
}

/// An input whose objects decide the tier: read it and judge again with
/// [`super::Ambient::manifests`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ManifestNeed {
    /// The index of the input.
    pub input: usize,
    /// What happens to its objects.
    pub usage: Usage,
    /// What of a directory is read.
    pub below: Below,
}

/// What of a directory is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Below {
    /// Its files, and those of the directories below.
    Everything,
    /// Its own files.
    Nothing,
}

/// A run in two steps: a preview writes a file, which is judged and shown; then that file is run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Staged {
    /// The arguments of the preview, program included.
    pub preview: Vec<Part>,
    /// The arguments of the run, program included.
    pub run: Vec<Part>,
}

/// A word of a staged command line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// The file that the preview writes and the run reads.
    File,
    /// The same, behind a text: `-out=`.
    FileBehind(String),
    /// The word of this index in the original arguments, with its inputs substituted.
    Original(usize),
    /// A word.
    Text(String),
}

// === impl RunPlan ===

impl RunPlan {
    /// Returns the plan of something that cannot run.
    pub(crate) fn nothing() -> Self {
        Self {
            catalog: None,
            program: Program::Nothing,
            directory: None,
            environment: Arc::default(),
            pins: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            writes: Vec::new(),
            stdin: StdinRole::Data,
            terminal: Terminal::Prints,
            timeout_seconds: 0,
            neutralise: Arc::default(),
            facts: Vec::new(),
            needs: Vec::new(),
            staged: None,
        }
    }

    /// Adds something that must be made sure of.
    pub fn neutralise_also(&mut self, more: Neutralisation) {
        self.neutralise = self.neutralise.iter().cloned().chain([more]).collect();
    }

    /// Returns the arguments of the judged command line with every pin of words put in.
    pub fn pinned_arguments(&self, argv: &[RawText]) -> Vec<RawText> {
        let mut words = Vec::with_capacity(argv.len());
        for (index, word) in argv.iter().enumerate() {
            for pin in &self.pins {
                if let Pin::Words { before, words: put, .. } = pin
                    && *before == index
                {
                    words.extend(put.iter().map(|word| RawText::from(word.as_str())));
                }
            }
            words.push(word.clone());
        }
        words
    }
}

// === impl Standing ===

impl Standing {
    pub(crate) fn of(tool: &Tool, digest: Digest) -> Self {
        let environment = &tool.environment;
        let set = environment.set.iter().map(|(name, value)| (name.clone(), set_to(value)));
        Self {
            identity: CatalogIdentity { name: Arc::from(tool.name.as_str()), digest },
            environment: Arc::new(EnvironmentPlan {
                keep: environment.keep.clone(),
                set: set.collect(),
                carry: environment.carry.clone(),
            }),
            neutralise: tool.neutralise.iter().map(neutralisation).collect(),
        }
    }

    /// Returns the plan of a run of `program` of which nothing else is known.
    pub(super) fn plan(&self, program: Program, timeout_seconds: u64) -> RunPlan {
        RunPlan {
            catalog: Some(self.identity.clone()),
            program,
            environment: Arc::clone(&self.environment),
            timeout_seconds,
            neutralise: Arc::clone(&self.neutralise),
            ..RunPlan::nothing()
        }
    }
}

fn neutralisation(from: &Neutralise) -> Neutralisation {
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

/// Reads what a catalog sets a variable to.
pub(super) fn set_to(value: &str) -> EnvironmentValue {
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

// === impl FactWanted ===

impl FactWanted {
    /// Returns the names that one answer stands for.
    pub fn answer(name: impl Into<String>) -> Names {
        Names::Known(vec![name.into()])
    }
}
