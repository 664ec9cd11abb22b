//! What is being asked, in words every gateway shares.
//!
//! An [`Action`] is the request itself; an [`Operation`] is its neutral description and all that
//! policy sees. One action may hold several operations (`kubectl get …; terraform plan`): each is
//! decided under its own protocol and scopes, and the strictest verdict wins.

use std::fmt;

use crate::{
    digest::{Canonical, Digest, Encoder},
    text::RawText,
    tier::{Class, Tier},
};

/// Names one trip through the pipeline: 128 random bits, drawn by whoever makes the request.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OperationId(pub u128);

/// A protocol-native request, owned by the pipeline from receipt to forwarding.
///
/// The gateway never holds the request and its permission apart, so it cannot check one request
/// and forward another. Its canonical encoding, over raw bytes, is the `action_digest` that the
/// ask, the warrant and every record carry: arguments, environment, working directory, inputs,
/// target identity.
pub trait Action: Canonical + Send + 'static {
    /// Describes the request in the neutral vocabulary.
    ///
    /// Pure and total: what cannot be understood is described with [`Tier::UNKNOWN`].
    fn operations(&self) -> Operations;

    /// Returns what a yes would do, worst first, for the human who is asked.
    fn effects(&self) -> Vec<Effect> {
        Vec::new()
    }

    /// Returns what else the human who is asked should see.
    fn context(&self) -> Context {
        Context::default()
    }
}

/// One or more operations; never none.
#[derive(Clone, Debug)]
pub struct Operations {
    first: Operation,
    rest: Vec<Operation>,
}

/// A protocol-neutral description of one simple request.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Under whose rules it is decided.
    pub protocol: Protocol,
    /// How dangerous it is by nature, leaving [`Self::overrides`] aside.
    pub tier: Tier,
    /// What kind of break-glass it is. Meaningful at [`Tier::BreakGlass`].
    pub class: Class,
    /// What it touches, for rules that name scopes.
    pub scopes: Scopes,
    /// Settings that override identity or route. Each makes the operation break-glass unless the
    /// deciding rule grants it (invariant I7).
    pub overrides: Vec<Override>,
    /// What a runbook may match.
    pub pattern: Pattern,
    /// Why it has its tier, in the order found.
    pub reasons: Vec<Reason>,
    /// What the record says about it.
    pub description: Description,
}

/// The protocol of an operation. The numbers are hashed, so a number is never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Protocol {
    /// The AWS API, by whatever client.
    Aws = 1,
    /// Any other program.
    Command = 2,
    /// Helm.
    Helm = 3,
    /// An HTTPS API.
    Https = 4,
    /// The Kubernetes API, by whatever client.
    Kubernetes = 5,
    /// A tool call nobody translated.
    Mcp = 6,
    /// An SSH connection.
    Ssh = 7,
    /// Terraform or OpenTofu.
    Terraform = 8,
}

/// What an operation touches, by kind of name. A key that is absent does not apply.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Scopes(Vec<(ScopeKey, Names)>);

/// A kind of name that a rule may restrict. The numbers are hashed, so a number is never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ScopeKey {
    /// AWS account ids.
    Accounts = 1,
    /// Kubernetes clusters.
    Clusters = 2,
    /// Program names.
    Commands = 3,
    /// SSH or HTTPS hosts.
    Hosts = 4,
    /// HTTP methods.
    Methods = 5,
    /// Kubernetes namespaces.
    Namespaces = 6,
    /// HTTP paths.
    Paths = 7,
    /// AWS regions.
    Regions = 8,
    /// Helm releases.
    Releases = 9,
    /// MCP servers.
    Servers = 10,
    /// AWS services.
    Services = 11,
    /// Unix users on the target.
    SshPrincipals = 12,
    /// MCP tools.
    Tools = 13,
    /// Terraform workspaces.
    Workspaces = 14,
}

/// The names of one kind that an operation touches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Names {
    /// All of them, whatever they are: `--all-namespaces`. Only the pattern `*` covers it.
    Every,
    /// These, and no other. Sorted, without repetition.
    Known(Vec<String>),
    /// Some that could not be established. Only the pattern `*` covers it.
    Unknown,
}

/// A setting on the command line that overrides identity or route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Override {
    /// What sort, as policy's `grants:` names them.
    pub kind: OverrideKind,
    /// The value, as policy's patterns see it: a URL, a profile, a path, `NAME=value`.
    pub value: String,
}

/// A kind of override. The numbers are hashed, so a number is never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum OverrideKind {
    /// `--endpoint-url`, `--server`, proxies.
    Endpoint = 1,
    /// An environment variable assigned on the command line.
    Env = 2,
    /// `--kubeconfig`, `KUBECONFIG`.
    Kubeconfig = 3,
    /// `--profile`, `AWS_PROFILE`, `--context`.
    Profile = 4,
}

/// What a runbook may match. Nothing else of an operation can be pre-approved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Pattern {
    /// The parsed words of a simple command with no assignment and no redirection: the program,
    /// then every argument.
    Command(Vec<String>),
    /// A Kubernetes request.
    Kubernetes(KubernetesPattern),
    /// An MCP tool: server, then tool.
    Tool(String, String),
    /// Nothing may match: not understood, not UTF-8, or adorned with assignments or redirections.
    Unmatchable,
}

/// The parts of a Kubernetes request that a runbook may name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KubernetesPattern {
    /// The HTTP methods it sends, upper case.
    pub methods: Vec<String>,
    /// The API groups, `""` for the core group.
    pub api_groups: Vec<String>,
    /// The resources with their subresource, as `deployments` or `deployments/scale`.
    pub resources: Vec<String>,
    /// For a write, the fields it touches, as JSON pointers; `None` if they are not known.
    pub fields: Option<Vec<String>>,
}

/// Why an operation has its tier.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reason {
    /// The tier this reason alone gives.
    pub tier: Tier,
    /// The catalog rule, for example `terraform:apply`.
    pub rule: String,
    /// What it means, for people.
    pub text: String,
    /// The index of the word in the operation's `argv` that caused it, if one did.
    pub word: Option<u32>,
    /// Where it stands in the outermost text for a shell, if there is one.
    pub at: Option<Span>,
}

/// Where something stands in a text, in bytes.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Span {
    /// Its first byte.
    pub start: u32,
    /// The byte behind its last.
    pub end: u32,
}

/// What the record says about an operation. Absent means not applicable.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Description {
    /// The command in a few words: `terraform apply`.
    pub command: Option<String>,
    /// The arguments. Secrets are taken out on the way into the record, not here.
    pub argv: Vec<RawText>,
    /// HTTP method or Kubernetes verb.
    pub method: Option<String>,
    /// Request path.
    pub path: Option<String>,
    /// Namespace or namespaces, joined with commas.
    pub namespace: Option<String>,
    /// What it is done to.
    pub resource: Option<String>,
    /// Terraform workspace.
    pub workspace: Option<String>,
    /// The cluster, where a gateway stands before several.
    pub cluster: Option<String>,
}

/// One thing a yes would do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Effect {
    /// How dangerous this one is.
    pub tier: Tier,
    /// What happens, in the tool's own sign: `+`, `~`, `-`, `-/+`, `!`.
    pub sign: String,
    /// To what, and how. Unsanitised: show it through [`crate::sanitise`].
    pub text: String,
}

/// What a human who is asked sees besides the operations and their effects.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Context {
    /// The working directory, as the caller named it.
    pub directory: Option<RawText>,
    /// What it reads, with the digests that are held to.
    pub inputs: Vec<Input>,
    /// What the caller says about it. Nobody checked it: show it as untrusted.
    pub explanation: Option<RawText>,
}

/// Something an operation reads: a plan, a manifest, a script, standard input, a URL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Input {
    /// What it is, as the caller named it.
    pub name: RawText,
    /// The digest of the bytes that will be read, or `None` if they cannot be bound.
    pub digest: Option<Digest>,
}

// === impl OperationId ===

/// Writes 32 lower-case hexadecimal digits.
impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl OperationId {
    /// Reads 32 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let sound = text.len() == 32 && text.bytes().all(digit);
        sound.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl Canonical for OperationId {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.int(self.0);
    }
}

// === impl Operations ===

impl Operations {
    /// Takes one operation.
    pub fn one(operation: Operation) -> Self {
        Self { first: operation, rest: Vec::new() }
    }

    /// Takes one, and those that follow.
    pub fn of(first: Operation, rest: Vec<Operation>) -> Self {
        Self { first, rest }
    }

    /// Takes several, or returns `None` for none.
    pub fn many(operations: impl IntoIterator<Item = Operation>) -> Option<Self> {
        let mut operations = operations.into_iter();
        let first = operations.next()?;
        Some(Self { first, rest: operations.collect() })
    }

    /// Returns all of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Operation> {
        Ordered { first: Some(&self.first), rest: self.rest.iter() }
    }

    /// Returns the first, and the rest.
    pub fn split_first(&self) -> (&Operation, &[Operation]) {
        (&self.first, &self.rest)
    }

    /// Returns the most dangerous one; among equals the first.
    pub fn worst(&self) -> &Operation {
        let native = Operation::native_tier;
        self.rest.iter().fold(&self.first, |worst, next| match native(worst) < native(next) {
            true => next,
            false => worst,
        })
    }

    /// Returns all of them, the most dangerous first; among equals in order.
    pub fn worst_first(&self) -> Vec<&Operation> {
        let mut operations: Vec<_> = self.iter().collect();
        operations.sort_by_key(|operation| std::cmp::Reverse(operation.native_tier()));
        operations
    }

    /// Returns the tier of the whole: the maximum (invariant I1).
    pub fn native_tier(&self) -> Tier {
        self.worst().native_tier()
    }
}

impl Canonical for Operations {
    fn encode(&self, encoder: &mut Encoder) {
        let Self { first, rest } = self;
        first.encode(encoder);
        encoder.list(rest);
    }
}

/// The first operation, then the rest; `Chain` is not an `ExactSizeIterator`.
struct Ordered<'a> {
    first: Option<&'a Operation>,
    rest: std::slice::Iter<'a, Operation>,
}

impl<'a> Iterator for Ordered<'a> {
    type Item = &'a Operation;

    fn next(&mut self) -> Option<Self::Item> {
        self.first.take().or_else(|| self.rest.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.rest.len() + usize::from(self.first.is_some());
        (len, Some(len))
    }
}

impl ExactSizeIterator for Ordered<'_> {}

// === impl Operation ===

impl Operation {
    /// Returns the tier with every override held against it.
    pub fn native_tier(&self) -> Tier {
        match self.overrides.is_empty() {
            true => self.tier,
            false => Tier::BreakGlass,
        }
    }

    /// Returns the reason that gave it its tier: the first of the greatest. Overrides aside.
    pub fn deciding_reason(&self) -> Option<&Reason> {
        let greatest = self.reasons.iter().map(|reason| reason.tier).max()?;
        self.reasons.iter().find(|reason| reason.tier == greatest)
    }

    /// Returns the class with every override held against it.
    pub fn native_class(&self) -> Class {
        match (self.tier, self.overrides.is_empty()) {
            (Tier::BreakGlass, _) | (_, true) => self.class,
            (_, false) => Class::Evasion,
        }
    }
}

impl Canonical for Operation {
    fn encode(&self, encoder: &mut Encoder) {
        let Self { protocol, tier, class, scopes, overrides, pattern, reasons, description } = self;
        encoder.tag(*protocol as u8);
        encoder.tag(*tier as u8);
        encoder.tag(*class as u8);
        scopes.encode(encoder);
        encoder.list(overrides);
        pattern.encode(encoder);
        encoder.list(reasons);
        description.encode(encoder);
    }
}

// === impl Protocol ===

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 8] = [
        Self::Aws,
        Self::Command,
        Self::Helm,
        Self::Https,
        Self::Kubernetes,
        Self::Mcp,
        Self::Ssh,
        Self::Terraform,
    ];

    /// Returns the word used in policy files and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Command => "command",
            Self::Helm => "helm",
            Self::Https => "https",
            Self::Kubernetes => "kubernetes",
            Self::Mcp => "mcp",
            Self::Ssh => "ssh",
            Self::Terraform => "terraform",
        }
    }

    /// Returns the protocol with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// Returns the scopes that rules of this protocol may restrict (product contract, section 3).
    pub const fn scope_keys(self) -> &'static [ScopeKey] {
        use ScopeKey::{
            Accounts, Clusters, Commands, Hosts, Methods, Namespaces, Paths, Regions, Releases,
            Servers, Services, SshPrincipals, Tools, Workspaces,
        };
        match self {
            Self::Aws => &[Services, Regions, Accounts],
            Self::Command => &[Commands],
            Self::Helm => &[Namespaces, Releases],
            Self::Https => &[Hosts, Methods, Paths],
            Self::Kubernetes => &[Clusters, Namespaces],
            Self::Mcp => &[Servers, Tools],
            Self::Ssh => &[Hosts, SshPrincipals],
            Self::Terraform => &[Workspaces],
        }
    }
}

// === impl ScopeKey ===

impl ScopeKey {
    /// Returns the key as written in policy files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Clusters => "clusters",
            Self::Commands => "commands",
            Self::Hosts => "hosts",
            Self::Methods => "methods",
            Self::Namespaces => "namespaces",
            Self::Paths => "paths",
            Self::Regions => "regions",
            Self::Releases => "releases",
            Self::Servers => "servers",
            Self::Services => "services",
            Self::SshPrincipals => "ssh_principals",
            Self::Tools => "tools",
            Self::Workspaces => "workspaces",
        }
    }
}

// === impl Scopes ===

impl Scopes {
    /// Adds `names` under `key`, joining with what is there. [`Names::Every`] and
    /// [`Names::Unknown`] absorb known names.
    pub fn add(&mut self, key: ScopeKey, names: Names) {
        match self.0.binary_search_by_key(&key, |(key, _)| *key) {
            Err(place) => self.0.insert(place, (key, names.normalised())),
            Ok(place) => {
                if let Some((_, present)) = self.0.get_mut(place) {
                    *present = std::mem::replace(present, Names::Unknown).joined(names);
                }
            }
        }
    }

    /// Adds one known name under `key`.
    pub fn add_name(&mut self, key: ScopeKey, name: impl Into<String>) {
        self.add(key, Names::Known(vec![name.into()]));
    }

    /// Returns the names under `key`, or `None` if the key does not apply.
    pub fn names(&self, key: ScopeKey) -> Option<&Names> {
        let place = self.0.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        self.0.get(place).map(|(_, names)| names)
    }

    /// Returns every key that applies, with its names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ScopeKey, &Names)> {
        self.0.iter().map(|(key, names)| (*key, names))
    }
}

impl Canonical for Scopes {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.int(self.0.len() as u128);
        for (key, names) in &self.0 {
            encoder.tag(*key as u8);
            match names {
                Names::Every => encoder.tag(1),
                Names::Known(names) => {
                    encoder.tag(2);
                    encoder.list(names);
                }
                Names::Unknown => encoder.tag(3),
            }
        }
    }
}

impl Names {
    fn normalised(self) -> Self {
        match self {
            Self::Known(mut names) => {
                names.sort();
                names.dedup();
                Self::Known(names)
            }
            names @ (Self::Every | Self::Unknown) => names,
        }
    }

    fn joined(self, other: Self) -> Self {
        match (self, other) {
            (Self::Known(mut names), Self::Known(more)) => {
                names.extend(more);
                Self::Known(names).normalised()
            }
            (Self::Every, _) | (_, Self::Every) => Self::Every,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
        }
    }
}

impl Canonical for Override {
    fn encode(&self, encoder: &mut Encoder) {
        let Self { kind, value } = self;
        encoder.tag(*kind as u8);
        encoder.text(value);
    }
}

impl Canonical for Pattern {
    fn encode(&self, encoder: &mut Encoder) {
        match self {
            Self::Command(words) => {
                encoder.tag(1);
                encoder.list(words);
            }
            Self::Kubernetes(KubernetesPattern { methods, api_groups, resources, fields }) => {
                encoder.tag(2);
                encoder.list(methods);
                encoder.list(api_groups);
                encoder.list(resources);
                encoder.tag(u8::from(fields.is_some()));
                encoder.list(fields.as_deref().unwrap_or_default());
            }
            Self::Tool(server, tool) => {
                encoder.tag(3);
                encoder.text(server);
                encoder.text(tool);
            }
            Self::Unmatchable => encoder.tag(4),
        }
    }
}

impl Canonical for Reason {
    fn encode(&self, encoder: &mut Encoder) {
        let Self { tier, rule, text, word, at } = self;
        encoder.tag(*tier as u8);
        encoder.text(rule);
        encoder.text(text);
        encoder.int(word.map_or(0, |word| u128::from(word) + 1));
        let place = |at: &Span| u128::from(at.start) << 32 | u128::from(at.end);
        encoder.int(at.as_ref().map_or(0, |at| place(at) + 1));
    }
}

impl Canonical for Description {
    fn encode(&self, encoder: &mut Encoder) {
        let Self { command, argv, method, path, namespace, resource, workspace, cluster } = self;
        encoder.option(command.as_ref());
        encoder.list(argv);
        encoder.option(method.as_ref());
        encoder.option(path.as_ref());
        encoder.option(namespace.as_ref());
        encoder.option(resource.as_ref());
        encoder.option(workspace.as_ref());
        encoder.option(cluster.as_ref());
    }
}

impl Canonical for Effect {
    fn encode(&self, encoder: &mut Encoder) {
        let Self { tier, sign, text } = self;
        encoder.tag(*tier as u8);
        encoder.text(sign);
        encoder.text(text);
    }
}

impl Canonical for Context {
    fn encode(&self, encoder: &mut Encoder) {
        let Self { directory, inputs, explanation } = self;
        encoder.option(directory.as_ref());
        encoder.list(inputs);
        encoder.option(explanation.as_ref());
    }
}

impl Canonical for Input {
    fn encode(&self, encoder: &mut Encoder) {
        let Self { name, digest } = self;
        name.encode(encoder);
        encoder.option(digest.as_ref());
    }
}

/// Returns the digest that the ask, the warrant and every record carry.
pub fn action_digest(action: &impl Action) -> Digest {
    Digest::of(action)
}
