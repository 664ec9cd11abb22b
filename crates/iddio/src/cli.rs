//! The command line as a type: every verb, flag and word of help.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use iddio_core::principal::TaskName;

/// Puts every action on infrastructure through one pipeline: identify, classify, decide, approve,
/// record, run, record
#[derive(Debug, Parser)]
#[command(name = "iddio", version = crate::version::CALVER, propagate_version = true)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// Print nothing but results and refusals
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// When to use colour: `auto` is on terminals, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    pub(crate) color: When,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum When {
    Always,
    Auto,
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Register, list, rotate and revoke agents
    #[command(subcommand)]
    Agent(AgentVerb),
    /// Answer what waits for a human
    #[command(subcommand)]
    Approvals(ApprovalsVerb),
    /// Read, check and anchor the audit log
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Check, read and trust catalogs: what the command lines of a tool mean
    #[command(subcommand)]
    Catalog(CatalogVerb),
    /// Say how dangerous a command is, and why, without running it
    #[command(after_help = CLASSIFY_HELP)]
    Classify(ClassifyArgs),
    /// Check this installation and say what mends it
    Doctor(Json),
    /// Run a command through the pipeline
    #[command(after_help = EXEC_HELP)]
    Exec(ExecArgs),
    /// Stop an agent, a task, an operator or everybody: at once, and until a human thaws them
    #[command(after_help = FREEZE_HELP)]
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Freeze(FreezeArgs),
    /// Write man pages, completions or the reference
    #[command(hide = true)]
    Generate(GenerateArgs),
    /// Make the home, with keys and a default policy
    Init(Json),
    /// Install the services of this host: log service, signer, exec broker
    #[command(after_help = INSTALL_HELP)]
    Install(SystemArgs),
    /// Prepare a Kubernetes cluster for the gateway
    #[command(subcommand)]
    Kube(KubeVerb),
    /// Register the humans who may approve
    #[command(subcommand)]
    Operator(OperatorVerb),
    /// Check, lint, test and explain the policy
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// Run an agent in a box: a workspace to write, tools through iddio, and no sight of credentials
    #[command(after_help = RUN_HELP)]
    Run(RunArgs),
    /// Read what was recorded: list, show, search, replay, export
    #[command(subcommand)]
    Sessions(SessionsVerb),
    /// Say which services of this host run, and how each of them is
    Status(Json),
    /// Lift a freeze
    #[command(after_help = THAW_HELP)]
    Thaw(ThawArgs),
    /// Trust or list programs
    #[command(subcommand)]
    Tool(ToolVerb),
    /// Remove the services of this host; what was recorded, and the keys, stay
    Uninstall(SystemArgs),
    /// Print the version
    Version(Json),
    /// Wait for the answer to an ask
    #[command(after_help = WAIT_HELP)]
    Wait(WaitArgs),
}

/// Shared by verbs that only offer JSON.
#[derive(Args, Debug)]
pub(crate) struct Json {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The verbs of `iddio kube`.
#[derive(Debug, Subcommand)]
pub(crate) enum KubeVerb {
    /// Print the accounts and rights that a cluster needs, for `kubectl apply -f -`
    #[command(after_help = MANIFESTS_HELP)]
    Manifests(ManifestsArgs),
}

/// `iddio kube manifests`.
#[derive(Args, Debug)]
pub(crate) struct ManifestsArgs {
    /// For this agent; may be repeated. All that are registered, if none is named
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Vec<String>,
    /// The namespace of the accounts, as `namespace` in kube.toml
    #[arg(long, value_name = "NAME", default_value = "iddio")]
    pub(crate) namespace: String,
    /// Bind the rights in this namespace alone; may be repeated. In the whole cluster, if none is named
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) r#in: Vec<String>,
    /// Add the custom resources of this API group; may be repeated
    #[arg(long, value_name = "GROUP")]
    pub(crate) custom: Vec<String>,
    /// Make accounts for tier 4 as well: exec, port-forward, roles, the cluster itself
    #[arg(long)]
    pub(crate) break_glass: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `iddio install` and `iddio uninstall`.
#[derive(Args, Debug)]
pub(crate) struct SystemArgs {
    /// For the whole host, as root
    #[arg(long, required = true)]
    pub(crate) system: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Say what is wrong with what is installed, and do nothing
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) check: bool,
    /// Work on the tree of another system, for images and tests
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `iddio exec`.
#[derive(Args, Debug)]
pub(crate) struct ExecArgs {
    /// Act as this agent; its token must verify
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Say why, for the approver; shown as untrusted
    #[arg(long, value_name = "TEXT")]
    pub(crate) because: Option<String>,
    /// Say which task it is for; one that was said outside stands
    #[arg(long, value_name = "NAME", value_parser = task)]
    pub(crate) task: Option<TaskName>,
    /// Start in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) workdir: Option<PathBuf>,
    /// At a broker: bring this back too, a path or a pattern of paths; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) out: Vec<OsString>,
    /// Print refusals as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The program and its arguments, after `--`
    #[arg(last = true, value_name = "COMMAND", required = true)]
    pub(crate) command: Vec<OsString>,
}

/// `iddio run`.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// What agents of this kind need: aider, claude, codex, gemini, shell, or a file `run/NAME.toml` of the
    /// home; the one that fits the program, if none is named
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Let it connect there, besides what its profile names; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) allow_net: Vec<iddio_net::Destination>,
    /// Let it read this, besides what its profile names; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) read: Vec<PathBuf>,
    /// Let it write this, besides the working directory; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) write: Vec<PathBuf>,
    /// Let through what policy refuses or asks about below tier 4, and record what policy says
    #[arg(long, conflicts_with = "shadow")]
    pub(crate) observe: bool,
    /// Let nothing through, and record what policy says
    #[arg(long)]
    pub(crate) shadow: bool,
    /// Act as this agent; its token must verify
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Say why, for the record and an approver; shown as untrusted
    #[arg(long, value_name = "TEXT")]
    pub(crate) because: Option<String>,
    /// The run, and every command in it, belongs to this task; nothing in it can say otherwise
    #[arg(long, value_name = "NAME", value_parser = task)]
    pub(crate) task: Option<TaskName>,
    /// As root: run the agent as this user
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Say what the agent would get, and run nothing
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) explain: bool,
    /// Print JSON: what the agent gets, on the first line of stderr; with --explain, on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// The agent and its arguments, after `--`
    #[arg(last = true, value_name = "AGENT", required = true)]
    pub(crate) command: Vec<OsString>,
}

/// `iddio classify`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct ClassifyArgs {
    /// A line of shell, as one word: quote it
    #[arg(value_name = "LINE", group = "what")]
    pub(crate) line: Option<OsString>,
    /// Judge a line of shell
    #[arg(long, value_name = "TEXT", group = "what")]
    pub(crate) shell: Option<OsString>,
    /// Read {"cmd": …} or {"argv": […]} per line, write {"tier": N, "reasons": […]} per line
    #[arg(long, group = "what")]
    pub(crate) jsonl: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The program and its arguments, after `--`
    #[arg(last = true, value_name = "COMMAND", group = "what")]
    pub(crate) command: Vec<OsString>,
}

/// `iddio catalog`.
#[derive(Debug, Subcommand)]
pub(crate) enum CatalogVerb {
    /// Say how much of what people run the catalogs know
    #[command(after_help = COVERAGE_HELP)]
    Coverage {
        /// Command lines, one a line, or {"cmd": …} per line; standard input if there is none
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a catalog says of a tool, or of one subcommand
    Explain {
        /// The tool: a program's name or a catalog's
        tool: String,
        /// The subcommand
        #[arg(value_name = "SUBCOMMAND")]
        path: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check catalogs: their words, their references, their examples
    Lint {
        /// The catalogs, instead of all there are
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the catalogs
    List(Json),
    /// Trust a catalog, as it is now, to say what a program does that nothing else knows
    #[command(after_help = CATALOG_TRUST_HELP)]
    Trust {
        /// The catalog, in the directory `catalogs` of the home
        path: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `iddio freeze`.
#[derive(Args, Debug)]
pub(crate) struct FreezeArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<FreezeVerb>,
    #[command(flatten)]
    pub(crate) whom: Selector,
    /// Say why; whoever is refused sees it
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The verbs of `iddio freeze`.
#[derive(Debug, Subcommand)]
pub(crate) enum FreezeVerb {
    /// List who is frozen, since when, by whom and why
    List(Json),
    /// Make the state anew from the log, after a crash or when it is damaged
    #[command(after_help = FREEZE_REPAIR_HELP)]
    Repair(Json),
}

/// Who is frozen or thawed.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Selector {
    /// This agent, or whoever else has exactly this name
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Whoever works on this task
    #[arg(long, value_name = "NAME", value_parser = task)]
    pub(crate) task: Option<TaskName>,
    /// This human, every agent that acts for them, and every yes they give
    #[arg(long, value_name = "NAME")]
    pub(crate) operator: Option<String>,
    /// Everybody
    #[arg(long)]
    pub(crate) all: bool,
}

/// `iddio thaw`.
#[derive(Args, Debug)]
pub(crate) struct ThawArgs {
    #[command(flatten)]
    pub(crate) whom: Selector,
    #[command(flatten)]
    pub(crate) signing: Signing,
    /// Print what that operator signs elsewhere, and lift nothing
    #[arg(long, requires = "operator_as", conflicts_with = "signature")]
    pub(crate) statement: bool,
    /// The signature over it, as `ssh-keygen -Y sign` wrote it
    #[arg(long, value_name = "FILE", requires = "operator_as", conflicts_with = "passphrase_fd")]
    pub(crate) signature: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `iddio wait`.
#[derive(Args, Debug)]
pub(crate) struct WaitArgs {
    /// The ask, `esc_…` or a unique beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `iddio agent`.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentVerb {
    /// Register an agent: print its token once, and write its kubeconfig
    #[command(after_help = AGENT_HELP)]
    Add {
        /// Its name: letters, digits, `.`, `_`, `-`
        name: String,
        /// A group policy may name; may be repeated
        #[arg(long, value_name = "GROUP")]
        group: Vec<String>,
        /// The configuration of the Kubernetes gateway that its kubeconfig points at [default: the host's]
        #[arg(long, value_name = "FILE")]
        kube: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List agents
    List(Json),
    /// Give an agent a new token and a new certificate; the old ones end at once
    Rotate {
        /// Its name
        name: String,
        /// The configuration of the Kubernetes gateway that its kubeconfig points at [default: the host's]
        #[arg(long, value_name = "FILE")]
        kube: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End an agent
    Revoke {
        /// Its name
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `iddio approvals`.
#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsVerb {
    /// Say yes, once, to exactly what was shown
    Approve {
        /// The ask, `esc_…` or a unique beginning of it
        id: String,
        #[command(flatten)]
        signing: Signing,
        /// Also cover like asks (same agent, command and scope, T2 at most) for so long, at most 15m
        #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "15m", conflicts_with = "statement")]
        ticket: Option<String>,
        /// Confirm that the whole content was read: the first digits of the digest `show` prints
        #[arg(long, value_name = "DIGEST")]
        reviewed: Option<String>,
        #[command(flatten)]
        detached: Detached,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say no
    Deny {
        /// The ask, `esc_…` or a unique beginning of it
        id: String,
        /// Say why; the caller sees it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        signing: Signing,
        #[command(flatten)]
        detached: Detached,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List what waits
    List {
        /// List answered asks too
        #[arg(long)]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one ask whole
    Show {
        /// The ask, `esc_…` or a unique beginning of it
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what an operator signs elsewhere to answer an ask
    #[command(after_help = STATEMENT_HELP)]
    Statement {
        /// The ask, `esc_…` or a unique beginning of it
        id: String,
        /// Whose answer it is
        #[arg(long = "as", value_name = "OPERATOR")]
        operator: String,
        /// Say no instead of yes
        #[arg(long, conflicts_with = "ticket")]
        deny: bool,
        /// Also cover like asks (same agent, command and scope, T2 at most) for so long, at most 15m
        #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "15m")]
        ticket: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Watch the queue and answer, full screen
    Watch {
        #[command(flatten)]
        signing: Signing,
    },
}

/// An answer signed here.
#[derive(Args, Debug)]
pub(crate) struct Signing {
    /// Sign as this operator; asks for the passphrase of their key
    #[arg(id = "operator_as", long = "as", value_name = "OPERATOR")]
    pub(crate) operator: Option<String>,
    /// Read the passphrase from this descriptor instead of the terminal
    #[arg(long, value_name = "FD", requires = "operator_as")]
    pub(crate) passphrase_fd: Option<i32>,
}

/// An answer signed elsewhere.
#[derive(Args, Debug)]
pub(crate) struct Detached {
    /// Hand in an answer signed elsewhere: what `approvals statement` printed
    #[arg(long, value_name = "FILE", requires = "signature", conflicts_with = "operator_as")]
    pub(crate) statement: Option<PathBuf>,
    /// The signature over it, as `ssh-keygen -Y sign` wrote it
    #[arg(long, value_name = "FILE", requires = "statement")]
    pub(crate) signature: Option<PathBuf>,
}

/// `iddio audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Sign the head of the log
    Checkpoint {
        /// Also write it here
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Erase the key behind one day's commitments, so that nobody can ever guess what they hide
    #[command(after_help = FORGET_HELP)]
    Forget {
        /// A past day in UTC, `2026-11-20`
        #[arg(value_name = "DAY")]
        day: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Prove that a record is in the log the last checkpoint signed, as JSON
    #[command(after_help = PROVE_HELP)]
    Prove {
        /// The record's number
        #[arg(value_name = "SEQ")]
        seq: u64,
    },
    /// Print records that match
    Query(QueryArgs),
    /// Open the log again after the disk failed to sync it
    #[command(after_help = REPAIR_HELP)]
    Repair(Json),
    /// Print every record about one operation, ask or record
    Show {
        /// An operation's id or the beginning of one, an ask `esc_…`, or a record `#SEQ`
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say how large the log is, and whether it takes records
    Status(Json),
    /// Print records as they are written
    Tail {
        /// Print the last N first
        #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
        last: usize,
        /// Stop at the end instead of waiting for more
        #[arg(long)]
        no_follow: bool,
        /// Print JSON lines, as stored
        #[arg(long)]
        json: bool,
    },
    /// Check every record, link and story; name the first bad one
    Verify {
        /// Check another log directory than the home's
        #[arg(long, value_name = "DIR")]
        log: Option<PathBuf>,
        /// Also check every byte of every recording
        #[arg(long)]
        recordings: bool,
        /// Also check against an older checkpoint, from wherever it was kept
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `iddio sessions`.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionsVerb {
    /// Write a recording in another form to stdout
    Export(ExportArgs),
    /// List what is recorded: id, when, who, what, how long, how much, sealed or not
    List {
        /// Of this agent
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove recordings that nobody has added to for so long; that is on record
    Prune {
        /// `90d`, `36h`
        #[arg(long, value_name = "AGE")]
        older_than: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a terminal was sent, in its time
    #[command(after_help = REPLAY_HELP)]
    Replay(ReplayArgs),
    /// Find text in all that was typed, shown and sent
    Search(SearchArgs),
    /// Show what is known of a recording, with its records
    Show {
        /// A recording or an operation, or the beginning of its id
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `iddio sessions export`.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// A recording or an operation, or the beginning of its id
    pub(crate) id: String,
    /// The form
    #[arg(long, value_enum, default_value = "asciicast")]
    pub(crate) format: ExportFormat,
}

/// What a recording is exported as.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A terminal, version 2
    Asciicast,
    /// A terminal, version 3
    Asciicast3,
    /// A line for each frame
    Json,
    /// The bytes as they were, all streams in order
    Raw,
    /// Text without a control sequence
    Text,
}

/// `iddio sessions replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// A recording or an operation, or the beginning of its id
    pub(crate) id: String,
    /// So many times as fast
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) speed: f64,
    /// The longest pause, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "2")]
    pub(crate) idle: u64,
    /// Send your terminal all that was sent to that one
    #[arg(long)]
    pub(crate) raw: bool,
}

/// `iddio sessions search`.
#[derive(Args, Debug)]
pub(crate) struct SearchArgs {
    /// The text, in any case
    pub(crate) text: String,
    /// In what this agent did
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Print JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// `iddio audit query`.
#[derive(Args, Debug)]
pub(crate) struct QueryArgs {
    /// Records of this agent
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Records of this tier or above
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=4))]
    pub(crate) tier: Option<u8>,
    /// Records with this decision
    #[arg(long, value_name = "WORD", value_parser = ["allow", "deny", "escalate"])]
    pub(crate) decision: Option<String>,
    /// Records of this event: asked, decided, closed, …
    #[arg(long, value_name = "WORD")]
    pub(crate) event: Option<String>,
    /// Records from this time on: RFC 3339 in UTC, or the beginning of one, `2026-11-20T14`
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Records before this time, written so too
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// The last N that match
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) last: Option<usize>,
    /// Print JSON lines, as stored
    #[arg(long)]
    pub(crate) json: bool,
}

/// `iddio operator`.
#[derive(Debug, Subcommand)]
pub(crate) enum OperatorVerb {
    /// Register a human who may approve
    Add {
        /// Their name
        name: String,
        /// Their OpenSSH public key
        #[arg(long, value_name = "FILE")]
        ssh_key: Option<PathBuf>,
        /// Where the private half of that key lies, as you state it: `here` is within reach of the
        /// Unix user that asks, and a signature then proves nothing
        #[arg(long, value_enum, default_value_t = Custody::Here, requires = "ssh_key", value_name = "WHERE")]
        custody: Custody,
        /// A group policy may name; may be repeated
        #[arg(long, value_name = "GROUP")]
        group: Vec<String>,
        /// The Unix user they also are; their own name if such a user exists
        #[arg(long, value_name = "USER")]
        unix_user: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make them an approver key under a passphrase
    Enroll {
        /// Their name
        name: String,
        /// Read the passphrase from this descriptor instead of the terminal
        #[arg(long, value_name = "FD")]
        passphrase_fd: Option<i32>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List operators
    List(Json),
    /// End an operator; their answers no longer count
    Revoke {
        /// Their name
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Where the private half of a key made elsewhere lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Custody {
    Elsewhere,
    Here,
}

/// `iddio policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyVerb {
    /// Parse the policy and name what is wrong, by line and column
    Check(PolicyFile),
    /// Say which rule decides a command, and why
    Explain {
        /// Decide for this principal instead of the caller
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The program and its arguments, after `--`
        #[arg(last = true, value_name = "COMMAND", required = true)]
        command: Vec<OsString>,
    },
    /// Name rules that do not do what they seem to
    Lint(PolicyFile),
    /// Run the table tests beside the policy
    Test {
        /// The policy, instead of the home's
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// The tests, instead of `…_test.yaml` beside the policy
        #[arg(long, value_name = "FILE")]
        tests: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A verb on one policy file.
#[derive(Args, Debug)]
pub(crate) struct PolicyFile {
    /// The policy, instead of the home's
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `iddio tool`.
#[derive(Debug, Subcommand)]
pub(crate) enum ToolVerb {
    /// List pinned and trusted programs
    List(Json),
    /// Trust the program at this path, as it is now: another content is not trusted
    Trust {
        /// The program, or a provider below `.terraform/providers`
        path: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `iddio generate`.
#[derive(Args, Debug)]
pub(crate) struct GenerateArgs {
    /// What to write
    #[arg(value_enum)]
    pub(crate) what: Generated,
    /// Where to
    pub(crate) directory: PathBuf,
}

/// What `iddio generate` writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Generated {
    /// Shell completions.
    Completions,
    /// Man pages.
    Man,
    /// The reference in Markdown.
    Reference,
}

fn task(name: &str) -> Result<TaskName, String> {
    let most = TaskName::BYTES_MAX;
    TaskName::new(name).ok_or(format!("a task has 1 to {most} of a-z A-Z 0-9 . _ - : / @ #"))
}

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 the answer is no, 64 usage, 69 unavailable, 77 refused, 141 nobody reads on.
`iddio exec` ends with the command's own code; 124 timed out, 126 not executable, 127 not found.

  iddio exec -- terraform plan        run a command through the pipeline
  iddio classify -- kubectl get pods  say how dangerous it is
  iddio approvals list                see what waits for a human";

const EXEC_HELP: &str = "\
The command runs as it would without iddio: same terminal, same streams, same exit code.
What changes is before it: it is classified, decided by policy, approved by a human where policy
says so, and durably recorded. Refused commands end with 77 and one explanation on stderr.

Where root wrote /etc/iddio/exec.toml, the command runs at the host's exec broker: as a user that
nobody is, in a copy of your tree, with credentials that you never hold.

  iddio exec -- terraform -chdir=prod apply
  iddio exec --agent claude-code -- kubectl get pods -n web";

const MANIFESTS_HELP: &str = "\
Each agent has one account for each tier, which may what is of that tier and below. The gateway's own
account makes tokens of these and nothing else. Deleting the Secret of an agent ends all its tokens.

  iddio kube manifests | kubectl apply -f -
  iddio kube manifests --agent claude --in shop --in web | kubectl apply -f -
  kubectl -n iddio create token iddio-kube --duration 24h   the gateway's own, for token_file";

const AGENT_HELP: &str = "\
The agent sets IDDIO_TOKEN to its token, or KUBECONFIG to its kubeconfig, which holds a client certificate
and its key. It may do nothing until the policy names it under `agents:`.";

const COVERAGE_HELP: &str = "\
What is unknown is judged high, so what people often run and no catalog knows is worth an entry.

  history | cut -c8- | iddio catalog coverage
  iddio catalog coverage --json lines.jsonl";

const CATALOG_TRUST_HELP: &str = "\
A catalog in the home's directory `catalogs` only raises, until it is trusted. Then it also stands in
for the rule about unknown programs, which are T3: `iddio policy lint` shows everything it lowers.
The trust is for this content; after a change the catalog only raises again.";

const CLASSIFY_HELP: &str = "\
T0 OBSERVE, T1 OPERATE, T2 MODIFY, T3 SENSITIVE, T4 BREAK-GLASS. What a tier means is for the policy
to say: iddio policy explain -- COMMAND.

  iddio classify -- kubectl get secret db -o yaml
  iddio classify 'kubectl get pods; rm -rf /'";

const FORGET_HELP: &str = "\
A record never holds a secret, only a commitment to it under a key of that day. Without the key
nothing can be learned from the commitment, and the log verifies as before. It cannot be undone.";

const FREEZE_HELP: &str = "\
Whoever is frozen is refused (exit 77, on record), their asks end, and what they run is asked to end
within the second and killed after three. It holds until a human lifts it: through crashes, restarts
and damage to its own state, which freezes everybody. Stopping is always allowed to a human, and to an
agent that stops itself. Commands that look, answer, thaw or verify work on.

  iddio freeze --agent claude-code --reason 'it deletes things'
  iddio freeze --all
  iddio freeze list
  iddio thaw --agent claude-code";

const FREEZE_REPAIR_HELP: &str = "\
Everybody stays frozen whom the log or the state says is, and what was not on record is recorded. It
lifts no freeze that stands in the log.";

const PROVE_HELP: &str = "\
The proof is a Merkle inclusion proof (RFC 6962) up to the root that the last checkpoint signed. Who
holds that checkpoint needs nothing else of the log: docs/audit-format.md says how to check it.";

const REPAIR_HELP: &str = "\
After a failed sync nobody knows what the disk holds, so nothing is recorded and nothing is allowed.
What may not have been synced is set aside beside the log, never dropped, and a record says so.";

const RUN_HELP: &str = "\
The agent gets a terminal, a process namespace and a home of its own. It writes the working directory,
reads the system's programs and what its profile names, and sees nothing else: no credentials, no
sockets of yours, no other process. terraform, kubectl, helm, aws, ssh and their like lead through
`iddio exec`, whose decisions, approvals and records are those of this home. It has no network but
HTTPS to what its profile and --allow-net name.

  iddio run -- claude
  iddio run --explain -- claude
  iddio run --allow-net registry.npmjs.org:443 -- bash";

const STATEMENT_HELP: &str = "\
For a key that lies elsewhere. Read the ask, sign the statement, hand both in:

  iddio approvals statement ID --as bob > statement
  ssh-keygen -Y sign -f KEY -n iddio-approval statement
  iddio approvals approve ID --statement statement --signature statement.sig";

const INSTALL_HELP: &str = "\
Copies the programs that lie beside this one, writes units, users, directories and first configurations, and starts the sockets. Doing it again does only what is missing.

From then on every record of every user goes to the log service. docs/installing.md says what is where.";

const REPLAY_HELP: &str = "\
What draws and moves is shown. What would reach your terminal is left out: titles, links, clipboard,
images, reports, modes. Text that was concealed is seen; what nobody sees is shown as an escape.

  iddio sessions replay 5cde0bd2 --speed 4
  iddio sessions export 5cde0bd2 --format text   # what was drawn over has a line of its own";

const THAW_HELP: &str = "\
Only a human thaws, and nobody who is frozen. As soon as an operator of this home has a key, a thaw is
signed: --as NAME asks for their passphrase. For a key that lies elsewhere:

  iddio thaw --all --as bob --statement > statement
  ssh-keygen -Y sign -f KEY -n iddio-thaw statement
  iddio thaw --all --as bob --signature statement.sig";

const WAIT_HELP: &str = "\
Exit codes: 0 granted and used, 69 it still waits, 77 refused, lapsed or withdrawn.";
