//! The words of a catalog file, as serde reads them.
//!
//! Reading is strict: an unknown key, a wrong word or a number out of range is an error with line
//! and column. What serde cannot see, such as a flag set that does not exist, is for
//! [`super::check`]. `docs/catalog.md` explains every key with examples.

use std::collections::BTreeMap;

pub(crate) use super::flags::FlagTable;
use super::placed::Placed;
use crate::command::InspectFormat;
use iddio_core::{
    operation::{OverrideKind, Protocol, ScopeKey},
    tier::{Class, Tier},
};
use serde::{Deserialize, Deserializer, de::Error as _};

/// One tool: what its command lines mean, and how it is run so that they mean nothing else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tool {
    /// The catalog's own name, and the prefix of its rules.
    pub(crate) name: String,
    /// One sentence for `catalog explain`; also checked to be there.
    pub(crate) summary: String,
    /// The file names it goes by.
    pub(crate) programs: Vec<String>,
    #[serde(deserialize_with = "protocol")]
    pub(crate) protocol: Protocol,
    /// The longest a run may take.
    #[serde(default = "timeout_seconds")]
    pub(crate) timeout_seconds: u64,
    /// Where programs lie that some commands run: see [`NeedWord::Installed`].
    #[serde(default)]
    pub(crate) installed: Vec<String>,
    /// Patterns of the paths that it writes or removes without being told their names, relative to the
    /// directory it works in: `.terraform/**`.
    #[serde(default)]
    pub(crate) writes: Vec<String>,
    pub(crate) syntax: Syntax,
    /// What a subcommand that is not listed means.
    #[serde(default = "unknown_command")]
    pub(crate) unknown_command: Rule,
    /// What a flag that is not listed means.
    #[serde(default = "unknown_flag")]
    pub(crate) unknown_flag: Rule,
    #[serde(default)]
    pub(crate) environment: Environment,
    #[serde(default)]
    pub(crate) neutralise: Vec<Neutralise>,
    #[serde(default)]
    pub(crate) scope: Vec<Scope>,
    /// Word sets, for patterns of families: `{service}`.
    #[serde(default)]
    pub(crate) sets: BTreeMap<String, Vec<String>>,
    /// Flag sets. `global` belongs to every command.
    #[serde(default)]
    pub(crate) flags: BTreeMap<String, FlagTable>,
    /// What the program does, where it has no subcommands: `ls`.
    #[serde(default)]
    pub(crate) plain: Option<Command>,
    #[serde(default)]
    pub(crate) command: BTreeMap<String, Placed<Command>>,
    /// Subcommands that mean the same, many at once.
    #[serde(default)]
    pub(crate) many: Vec<Placed<Many>>,
    #[serde(default)]
    pub(crate) family: Vec<Placed<Family>>,
    /// What the values of a flag with `is = "module"` mean; a name here may hold `*`. A module
    /// that is not listed but has a catalog of its name is judged by that: `python3 -m pip`.
    #[serde(default)]
    pub(crate) modules: BTreeMap<String, Rule>,
    /// The values that files, URLs and own parameters take.
    #[serde(default)]
    pub(crate) values: Values,
    /// None in a packed catalog: `super::Catalog::examples` reads them where they lie.
    #[serde(default)]
    pub(crate) example: Vec<Placed<Example>>,
}

/// How the tool reads its command line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Syntax {
    pub(crate) style: Style,
    /// What the program means with no subcommand at all. A catalog with `[plain]` needs none.
    #[serde(default)]
    pub(crate) bare: Option<Rule>,
    /// Whether the first word may be options without their dash: `tar czf`.
    #[serde(default)]
    pub(crate) bundle: Bundle,
    /// Words of a command that families judge: `ec2 describe-instances` is two.
    #[serde(default)]
    pub(crate) family_words: usize,
    /// A last word that only shows help.
    #[serde(default)]
    pub(crate) help_word: Option<String>,
}

/// A way of reading options.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Style {
    /// Python's argparse: prefixes of a flag are that flag, in any place.
    Argparse,
    /// Go's flag package: one dash or two, no clusters, options before arguments.
    Go,
    /// `key=value` words: `dd`.
    Assignments,
    /// GNU getopt: `-s` in clusters, `-svalue`, prefixes of `--long`, in any place.
    Getopt,
    /// The same, but options end at the first argument: `sudo`, `env`, `xargs`.
    GetoptFirst,
    /// Cobra and pflag: `--long`, `-s` in clusters, in any place; `_` in a name is `-`.
    Pflag,
    /// One dash and a whole word, `-name value`, in any place; no clusters: `openssl`, `java`.
    Single,
    /// No options: every word is an argument. `echo`, `test`.
    Words,
}

/// Whether the first word may be options without their dash.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bundle {
    /// It is; values follow, in the order of the letters.
    First,
    /// It is not.
    #[default]
    Never,
}

/// What a command means where none of some options is given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Otherwise {
    /// The options with which it only looks.
    pub(crate) unless: Vec<String>,
    #[serde(deserialize_with = "tier")]
    pub(crate) tier: Tier,
    #[serde(default, deserialize_with = "class")]
    pub(crate) class: Option<Class>,
    pub(crate) why: String,
}

/// A tier with its reason.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(deserialize_with = "tier")]
    pub(crate) tier: Tier,
    #[serde(default, deserialize_with = "class")]
    pub(crate) class: Option<Class>,
    pub(crate) why: String,
}

/// A subcommand.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Command {
    #[serde(deserialize_with = "tier")]
    pub(crate) tier: Tier,
    #[serde(default, deserialize_with = "class")]
    pub(crate) class: Option<Class>,
    pub(crate) why: String,
    /// It writes files into the working directory by names that only the run knows, unless an
    /// option of `otherwise` says that it only looks.
    #[serde(default)]
    pub(crate) unpacks: bool,
    /// Patterns of the paths that it writes besides those of the tool.
    #[serde(default)]
    pub(crate) writes: Vec<String>,
    /// Other spellings of its last word.
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    /// Flag sets it knows besides `global`.
    #[serde(default)]
    pub(crate) flags: Vec<String>,
    /// Flags of its own.
    #[serde(default)]
    pub(crate) flag: FlagTable,
    /// Its arguments, in order; the last may repeat.
    #[serde(default)]
    pub(crate) args: Vec<Arg>,
    /// Whether what it does depends on no scope: `version`.
    #[serde(default)]
    pub(crate) scoped: Scoped,
    /// Scopes all of which it touches.
    #[serde(default, deserialize_with = "scope_keys")]
    pub(crate) every: Vec<ScopeKey>,
    /// Scopes that are not pinned for it, because pinning would break it.
    #[serde(default)]
    pub(crate) unpinned: Vec<String>,
    /// What standard input is to it.
    #[serde(default)]
    pub(crate) stdin: Stdin,
    /// Whether it talks to a terminal.
    #[serde(default)]
    pub(crate) interactive: bool,
    /// What the caller must look at before it trusts the tier.
    #[serde(default)]
    pub(crate) needs: Vec<NeedWord>,
    /// How it runs in two steps, so that its effect is known before.
    pub(crate) staged: Option<Staged>,
    /// Its Kubernetes requests.
    pub(crate) kube: Option<Kube>,
    /// What it means where neither an argument nor a flag brings a program: `chroot /mnt`, `ssh h`.
    #[serde(default)]
    pub(crate) without_program: Option<Rule>,
    /// What it means without any argument: `printenv`.
    #[serde(default)]
    pub(crate) without_arguments: Option<Rule>,
    /// What it means where no option says that it only looks: `gzip` without `-l`.
    #[serde(default)]
    pub(crate) otherwise: Option<Otherwise>,
    /// It is an interpreter: its first argument, an inline flag or standard input is a program.
    #[serde(default)]
    pub(crate) interpreter: Option<Interpreter>,
    /// The language of standard input, where nothing else gives a program: `psql`, `at`.
    #[serde(default)]
    pub(crate) feed: Option<Language>,
    /// Standard input becomes arguments of the program it runs: `xargs`.
    #[serde(default)]
    pub(crate) appends: Appends,
}

/// What an interpreter runs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Interpreter {
    /// Programs in a language that nobody reads here.
    Code,
    /// Text for a shell that is not read here but where it is nothing but plain words: `fish`.
    ForeignShell,
    /// Text for a POSIX shell or bash.
    Shell,
}

/// Where the last arguments of a program that is run come from.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Appends {
    /// The words of standard input, or of a file that a flag with `is = "feed-file"` names.
    Input,
    /// The command line alone.
    #[default]
    Nothing,
    /// Nobody knows.
    Unknown,
}

/// Subcommands that mean the same. They take any arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Many {
    /// `compute instances: list describe` is two of them.
    pub(crate) commands: Vec<String>,
    #[serde(deserialize_with = "tier")]
    pub(crate) tier: Tier,
    #[serde(default, deserialize_with = "class")]
    pub(crate) class: Option<Class>,
    pub(crate) why: String,
    #[serde(default)]
    pub(crate) flags: Vec<String>,
}

/// Commands judged by their names' shape. All that match count, the greatest tier wins.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Family {
    /// Patterns, a word each: literal, `*` for any run of characters, `{set}` for a word set.
    pub(crate) commands: Vec<String>,
    #[serde(deserialize_with = "tier")]
    pub(crate) tier: Tier,
    #[serde(default, deserialize_with = "class")]
    pub(crate) class: Option<Class>,
    pub(crate) why: String,
    /// Patterns it leaves alone. What no other family then matches is unknown.
    #[serde(default)]
    pub(crate) except: Vec<String>,
}

/// A flag.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flag {
    #[serde(default)]
    pub(crate) value: Takes,
    /// The tier it raises to.
    #[serde(default, deserialize_with = "some_tier")]
    pub(crate) tier: Option<Tier>,
    #[serde(default, deserialize_with = "class")]
    pub(crate) class: Option<Class>,
    #[serde(default)]
    pub(crate) why: String,
    /// Patterns of the values that raise. None: every value but a switch's `false`.
    #[serde(default)]
    pub(crate) when: Vec<String>,
    /// Patterns of the values that do not raise.
    #[serde(default)]
    pub(crate) unless: Vec<String>,
    /// What it overrides.
    #[serde(default, rename = "override", deserialize_with = "override_kind")]
    pub(crate) overrides: Option<OverrideKind>,
    /// The scope its value names.
    #[serde(default, deserialize_with = "scope_key")]
    pub(crate) scope: Option<ScopeKey>,
    /// The scope all of which it means.
    #[serde(default, deserialize_with = "scope_key")]
    pub(crate) every: Option<ScopeKey>,
    /// What it reads.
    pub(crate) input: Option<Input>,
    /// What it writes.
    #[serde(default)]
    pub(crate) output: Option<Output>,
    /// Which step of a staged command it belongs to.
    #[serde(default)]
    pub(crate) stage: Stage,
    /// It only shows help.
    #[serde(default)]
    pub(crate) help: bool,
    /// It makes the run talk to a terminal.
    #[serde(default)]
    pub(crate) interactive: bool,
    /// It selects many objects at once.
    #[serde(default)]
    pub(crate) selects: bool,
    /// Its value is the body of a request.
    #[serde(default)]
    pub(crate) body: bool,
    /// Its value is the directory the tool changes to first.
    #[serde(default)]
    pub(crate) changes_directory: bool,
    /// Its value is a path of the Kubernetes API.
    #[serde(default)]
    pub(crate) raw: bool,
    /// Its tier holds only where no program is given: `sudo -i`.
    #[serde(default)]
    pub(crate) alone: bool,
    /// With it, files are written into the working directory by names that only the run knows.
    #[serde(default)]
    pub(crate) unpacks: bool,
    /// Options end behind it and its value: `python3 -m`.
    #[serde(default)]
    pub(crate) ends: bool,
    /// Its value stands in place of an argument, which is then not there: `grep -e`, `cp -t`.
    #[serde(default)]
    pub(crate) instead: Option<Instead>,
    /// The uses of files by arguments are this instead: `sed -i`, `tee -a`.
    #[serde(default)]
    pub(crate) uses: Option<PathUse>,
    /// The uses of files by arguments take in everything below: `rm -r`, `chmod -R`.
    #[serde(default)]
    pub(crate) tree: bool,
    /// What happens to the file that its value names.
    #[serde(default)]
    pub(crate) path: Option<PathUse>,
    /// What happens to that file instead, where another option stands beside: tar's `-f` with `-c`.
    #[serde(default)]
    pub(crate) path_with: BTreeMap<String, PathUse>,
    /// The language of the program that its value is.
    #[serde(default)]
    pub(crate) program: Option<Language>,
    /// Its value is something special.
    #[serde(default)]
    pub(crate) is: Option<Special>,
    /// What it raises to besides, by other values.
    #[serde(default)]
    pub(crate) also: Vec<Also>,
}

/// An argument that is no option.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arg {
    /// What it is, for `catalog explain`.
    pub(crate) name: String,
    /// Whether it may be left out though others follow: `helm template [NAME] CHART`.
    #[serde(default)]
    pub(crate) optional: bool,
    /// Whether it may stand any number of times.
    #[serde(default)]
    pub(crate) rest: bool,
    #[serde(default)]
    pub(crate) input: Option<Input>,
    #[serde(default)]
    pub(crate) output: Option<Output>,
    #[serde(default, deserialize_with = "scope_key")]
    pub(crate) scope: Option<ScopeKey>,
    /// The tier it raises to.
    #[serde(default, deserialize_with = "some_tier")]
    pub(crate) tier: Option<Tier>,
    #[serde(default, deserialize_with = "class")]
    pub(crate) class: Option<Class>,
    #[serde(default)]
    pub(crate) why: String,
    /// Patterns of the values that raise. None: every value.
    #[serde(default)]
    pub(crate) when: Vec<String>,
    /// It names what is done, for the record.
    #[serde(default)]
    pub(crate) resource: bool,
    /// What happens to the file it names. An argument that repeats may be followed by others,
    /// which are the last words: `cp SOURCE… TARGET`.
    #[serde(default)]
    pub(crate) path: Option<PathUse>,
    /// The language of the program it is. [`Language::Shell`] on the last argument, repeated, is
    /// all words from here joined by spaces, options too: `ssh host ls -l`. With [`Language::Argv`] every word from here on belongs
    /// to it, options too.
    #[serde(default)]
    pub(crate) program: Option<Language>,
    /// It is something special.
    #[serde(default)]
    pub(crate) is: Option<Special>,
    /// Patterns of the values that do not raise.
    #[serde(default)]
    pub(crate) unless: Vec<String>,
    /// What it raises to besides, by other values.
    #[serde(default)]
    pub(crate) also: Vec<Also>,
}

/// What a flag stands in place of.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Instead {
    /// Standard input is no program where it is given: `psql -l`, `psql -f`.
    Feed,
    /// The first.
    First,
    /// The last.
    Last,
}

/// One more raise: one option may mean several things, by its value.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Also {
    #[serde(deserialize_with = "tier")]
    pub(crate) tier: Tier,
    #[serde(default, deserialize_with = "class")]
    pub(crate) class: Option<Class>,
    pub(crate) why: String,
    /// Patterns of the values that raise. None: every value.
    #[serde(default)]
    pub(crate) when: Vec<String>,
    /// Patterns of the values that do not raise.
    #[serde(default)]
    pub(crate) unless: Vec<String>,
}

/// What happens to a file. The path catalog (`policies/paths.toml`) says how dangerous that is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PathUse {
    /// Something is added to its end.
    Append,
    /// Its mode, owner or attributes change.
    Attributes,
    /// The same, with everything below it.
    AttributesTree,
    /// It is made, if it is not there: `mkdir`, `touch`.
    Create,
    /// It becomes another name of something: the new name of a link.
    LinkName,
    /// It gets another name: what a link leads to.
    LinkTarget,
    /// Its name, size and dates are shown.
    List,
    /// It is moved away.
    MoveFrom,
    /// Its content is shown or copied.
    Read,
    /// The same, with everything below it.
    ReadTree,
    /// It is removed.
    Remove,
    /// It is removed with everything below it.
    RemoveTree,
    /// It holds a program that runs.
    Run,
    /// Its content is lost and written anew.
    Write,
    /// Files below it are written, by names that nobody knows: an archive is unpacked.
    WriteTree,
}

impl PathUse {
    /// Whether the file, or what lies below it, is another one afterwards.
    pub(crate) fn changes(self) -> bool {
        !matches!(self, Self::List | Self::LinkTarget | Self::Read | Self::ReadTree | Self::Run)
    }
}

/// The language of a program that a value is or names.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Language {
    /// A program and its arguments, a word each.
    Argv,
    /// An awk program.
    Awk,
    /// A language that nobody reads here: break-glass.
    Code,
    /// Commands of ed and ex.
    Ed,
    /// An expression of find.
    Find,
    /// SQL of MySQL, with the client's own commands.
    Mysql,
    /// SQL of PostgreSQL, with psql's own commands.
    Postgres,
    /// A command of Redis, a word each.
    Redis,
    /// A sed script.
    Sed,
    /// Text for a POSIX shell or bash.
    Shell,
    /// A program and its arguments in one word, split at white space: `env -S`.
    Split,
    /// SQL of SQLite, with its shell's own commands.
    Sqlite,
}

/// A value with a meaning of its own.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Special {
    /// `NAME=VALUE` of the environment (invariant I7).
    Assignment,
    /// Text or `@FILE`: with the `@` the file's content is sent.
    AtFile,
    /// A file that is copied, of this machine or of another: `host:path`.
    Copy,
    /// Where files are copied to, on this machine or on another.
    CopyTo,
    /// How the words of standard input are parted: `xargs -0`.
    Delimiter,
    /// The file that is read instead of standard input: `xargs -a`.
    FeedFile,
    /// A host, `user@host` or `host:path`.
    Host,
    /// An interpreter's flag: a program follows. As a switch, the first argument is it (`sh -c`).
    Inline,
    /// An interpreter's flag: the name of a module that runs with all words behind it.
    Module,
    /// The text in the program's words that is replaced by what is read: `xargs -I`.
    Replace,
    /// A file whose content is sent away.
    Sent,
    /// An interpreter's flag: the program is standard input, whatever the arguments.
    Stdin,
    /// A terminal is opened for what runs: `xargs -o`.
    Terminal,
    /// The name of a variable that what runs no longer finds: `env -u`.
    Unset,
    /// An address that is fetched or sent to.
    Url,
}

/// Whether and how a flag takes a value.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Takes {
    /// Any number of following words, up to the next option.
    Many,
    /// The following word, if it is no option.
    Maybe,
    /// Only after `=`.
    Optional,
    /// Always: after `=` or as the next word.
    Required,
    /// It is on or off: no value, or `=true`, `=false`.
    #[default]
    Switch,
}

/// What a value or argument names that is read.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Input {
    /// A chart: a directory or archive, or a reference that nobody can bind.
    Chart,
    /// A directory with configuration.
    Configuration,
    /// Data that goes where the command says.
    Data,
    /// A list `name=path,…` of data files.
    DataList,
    /// `[key=]path` of a data file.
    DataPair,
    /// Kubernetes objects.
    Manifest,
    /// The body of a change to Kubernetes objects.
    Patch,
    /// A saved Terraform plan.
    Plan,
    /// A file or directory, or a bucket address that is no file here.
    Remote,
    /// A Terraform state.
    State,
    /// A chart's values.
    Values,
    /// Values of variables.
    Variables,
}

/// Where something is written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Output {
    /// A directory on this machine.
    Directory,
    /// A file on this machine.
    File,
    /// A file on this machine, unless it is a bucket address or standard output.
    Remote,
}

/// Which step of a staged command a flag belongs to.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    /// Both.
    #[default]
    Both,
    /// Neither: what it asks for is done otherwise.
    Neither,
    /// The one that shows.
    Preview,
    /// The one that does.
    Run,
}

/// Whether scopes apply.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scoped {
    /// It touches nothing that a scope names.
    Nothing,
    /// It touches what its flags, its arguments or the surroundings name.
    #[default]
    Named,
}

/// What standard input is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stdin {
    /// Data, or nothing.
    #[default]
    Data,
    /// Something that decides what is done.
    Program,
    /// Something that goes to another machine: `openssl s_client`.
    Sent,
}

/// What the caller must look at.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NeedWord {
    /// The configuration in the working directory.
    Configuration,
    /// Whether everything it would fetch is there.
    Fetch,
    /// The programs that the tool's `installed` directories hold, which it runs.
    Installed,
}

/// How a command runs in two steps.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Staged {
    /// The words that show what would be done, in place of the command's own.
    pub(crate) preview: Vec<String>,
    /// The start of the word that ends with the file the preview writes.
    pub(crate) write: String,
    /// The words that do what the file says.
    pub(crate) run: Vec<String>,
}

/// The Kubernetes requests of a command.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kube {
    pub(crate) method: String,
    /// What its arguments are.
    pub(crate) form: KubeForm,
    /// The resource, where the arguments do not say: `pods`, `deployments.apps`.
    #[serde(default)]
    pub(crate) resource: String,
    #[serde(default)]
    pub(crate) subresource: String,
    /// The fields it touches, where they are always the same.
    #[serde(default)]
    pub(crate) fields: Vec<String>,
}

/// What the arguments of a kubectl command are.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KubeForm {
    /// Nothing that names a resource beyond `resource`.
    Fixed,
    /// Types and names: `pods web`, `pods,secrets`, `deploy/web`.
    Types,
    /// Types and names, then settings such as `key=value`, which are not names.
    TypesThenSettings,
}

/// The child's environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Environment {
    /// Names, or prefixes ending in `*`, that pass through.
    pub(crate) keep: Vec<String>,
    /// What is set, whatever the caller has.
    #[serde(default)]
    pub(crate) set: BTreeMap<String, String>,
    /// Files below the home that a private home still shows.
    #[serde(default)]
    pub(crate) carry: Vec<String>,
}

/// Something the tool takes code or targets from that the environment alone does not stop.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Neutralise {
    pub(crate) what: String,
    /// Paths that must not be there.
    #[serde(default)]
    pub(crate) absent: Vec<String>,
    /// Files that must not hold any of `forbid`.
    #[serde(default)]
    pub(crate) inspect: Vec<String>,
    #[serde(default)]
    pub(crate) format: Option<InspectFormat>,
    /// Keys at any depth, or prefixes ending in `*`.
    #[serde(default)]
    pub(crate) forbid: Vec<String>,
}

/// A scope: where its names come from when the command line does not say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scope {
    #[serde(deserialize_with = "scope_key_required")]
    pub(crate) key: ScopeKey,
    /// Sources in order: `env:NAME`, `file:PATH`, `ini:PATH:KEY`, `kubeconfig:FIELD`, `literal:NAME`.
    #[serde(default)]
    pub(crate) sources: Vec<String>,
    /// The variable or flag that fixes the judged name in the child.
    #[serde(default)]
    pub(crate) pin: Option<PinSource>,
    /// The command word that names it, counted from 0.
    #[serde(default)]
    pub(crate) word: Option<usize>,
    /// Names that stand for another: `s3api` for `s3`.
    #[serde(default)]
    pub(crate) alias: BTreeMap<String, String>,
}

/// What fixes a scope in the child.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum PinSource {
    /// An environment variable.
    Env(String),
    /// A flag, put right behind the program's name.
    Flag(String),
}

/// Values that mean something wherever they stand.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Values {
    /// Prefixes of a value that make the rest a file to read: `file://`.
    #[serde(default)]
    pub(crate) file_prefixes: Vec<String>,
    /// Prefixes of a value that make the tool fetch it.
    #[serde(default)]
    pub(crate) url_prefixes: Vec<String>,
    /// Flags whose value is a URL that is only handed on.
    #[serde(default)]
    pub(crate) url_plain: Vec<String>,
    /// The list of parameters that reading operations take.
    #[serde(default)]
    pub(crate) read_parameters: Option<String>,
    /// The table of what every command does: what a family is for a tool with too many.
    #[serde(default)]
    pub(crate) operations: Option<String>,
    /// The table of commands that write a file.
    #[serde(default)]
    pub(crate) outfiles: Option<String>,
}

/// A command line and what it must come to. Runs as a test.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Example {
    /// Words parted by spaces; `'…'` and `"…"` quote.
    pub(crate) run: String,
    #[serde(deserialize_with = "tier")]
    pub(crate) tier: Tier,
    #[serde(default, deserialize_with = "class")]
    pub(crate) class: Option<Class>,
    /// A rule that must be among the reasons.
    #[serde(default)]
    pub(crate) rule: Option<String>,
    /// Scopes it must have, each the exact list; `["*"]` for all, `["?"]` for unknown.
    #[serde(default)]
    pub(crate) scopes: BTreeMap<String, Vec<String>>,
}

impl Many {
    /// Returns the paths, and the command that each of them is.
    pub(crate) fn each(&self) -> (impl Iterator<Item = String>, Command) {
        let rest = Arg { name: "what".to_owned(), rest: true, ..Arg::default() };
        let command = Command {
            unpacks: false,
            writes: Vec::new(),
            tier: self.tier,
            class: self.class,
            why: self.why.clone(),
            aliases: Vec::new(),
            flags: self.flags.clone(),
            flag: FlagTable::default(),
            args: vec![rest],
            scoped: Scoped::default(),
            every: Vec::new(),
            unpinned: Vec::new(),
            stdin: Stdin::default(),
            interactive: false,
            needs: Vec::new(),
            staged: None,
            kube: None,
            without_program: None,
            without_arguments: None,
            otherwise: None,
            interpreter: None,
            feed: None,
            appends: Appends::default(),
        };
        let paths = self.commands.iter().flat_map(|line| {
            let (group, words) = line.split_once(':').unwrap_or(("", line));
            let path = move |word: &str| match group.trim_start() {
                "" => word.to_owned(),
                group => [group, " ", word].concat(),
            };
            words.split_ascii_whitespace().map(path)
        });
        (paths, command)
    }
}

impl Default for Environment {
    fn default() -> Self {
        let keep = ["HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_*", "TZ", "TERM"];
        let keep = keep.into_iter().chain(["COLORTERM", "NO_COLOR"]);
        // What it prints goes through no pager, and none that starts all the same runs commands.
        let set = [
            ("PATH", "{tool-path}"),
            ("PAGER", "cat"),
            ("MANPAGER", "cat"),
            ("SYSTEMD_PAGER", "cat"),
            ("SYSTEMD_PAGERSECURE", "1"),
            ("SYSTEMD_EDITOR", "true"),
            ("LESSSECURE", "1"),
        ];
        Self {
            keep: keep.map(str::to_owned).collect(),
            set: set.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            carry: Vec::new(),
        }
    }
}

/// As long as the longest known tool may take.
fn timeout_seconds() -> u64 {
    4 * 60 * 60
}

fn unknown_command() -> Rule {
    let why = "a subcommand that the catalog does not know".to_owned();
    Rule { tier: Tier::Sensitive, class: None, why }
}

fn unknown_flag() -> Rule {
    let why = "an option that the catalog does not know".to_owned();
    Rule { tier: Tier::Modify, class: None, why }
}

fn tier<'de, D: Deserializer<'de>>(from: D) -> Result<Tier, D::Error> {
    let number = u8::deserialize(from)?;
    Tier::from_number(number)
        .ok_or_else(|| D::Error::custom(format!("`{number}` is no tier; expected 0 to 4")))
}

fn some_tier<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Tier>, D::Error> {
    tier(from).map(Some)
}

fn class<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Class>, D::Error> {
    word(from, "class", Class::from_name).map(Some)
}

fn protocol<'de, D: Deserializer<'de>>(from: D) -> Result<Protocol, D::Error> {
    word(from, "protocol", Protocol::from_name)
}

fn scope_key_required<'de, D: Deserializer<'de>>(from: D) -> Result<ScopeKey, D::Error> {
    word(from, "scope", find_scope)
}

fn scope_key<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ScopeKey>, D::Error> {
    scope_key_required(from).map(Some)
}

fn scope_keys<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ScopeKey>, D::Error> {
    let names = Vec::<String>::deserialize(from)?;
    let key = |name: String| {
        find_scope(&name).ok_or_else(|| D::Error::custom(format!("unknown scope `{name}`")))
    };
    names.into_iter().map(key).collect()
}

fn find_scope(name: &str) -> Option<ScopeKey> {
    Protocol::ALL
        .into_iter()
        .flat_map(|protocol| protocol.scope_keys().iter().copied())
        .find(|key| key.name() == name)
}

fn override_kind<'de, D: Deserializer<'de>>(from: D) -> Result<Option<OverrideKind>, D::Error> {
    word(from, "override", |name| match name {
        "endpoint" => Some(OverrideKind::Endpoint),
        "env" => Some(OverrideKind::Env),
        "kubeconfig" => Some(OverrideKind::Kubeconfig),
        "profile" => Some(OverrideKind::Profile),
        _ => None,
    })
    .map(Some)
}

fn word<'de, D: Deserializer<'de>, T>(
    from: D,
    kind: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let name = String::deserialize(from)?;
    read(&name).ok_or_else(|| D::Error::custom(format!("unknown {kind} `{name}`")))
}
