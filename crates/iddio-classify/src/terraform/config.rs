//! What a configuration makes Terraform do besides managing resources.
//!
//! It finds what runs programs (provisioners, `external`, `exec` of providers), reads secrets or
//! files, reaches out, or is made by a provider nobody trusted (E04, E12). A file that cannot be
//! read is a fact of its own and never left out: [`Fact::Unreadable`].
//!
//! Two readers look at native syntax: one of the structure, one of raw text that sees through
//! comments and strings. What only the second sees is [`Fact::Suspect`].
//!
//! It follows no module source and opens no file: the caller hands over every file, by its path
//! relative to the root module. Whether a path inside the tree is a link out of it, the caller knows.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    address::{Origin, ProviderAddress},
    hcl::{self, Attribute, Block, Body, Call, Names, PathArgument},
    json,
    types::Catalog,
};

pub use super::hcl::{Position, Text};

/// A configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its path, relative to the root module, with `/`.
    pub path: &'a str,
    /// Its content.
    pub bytes: &'a [u8],
}

/// Something a configuration does, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// The file.
    pub path: String,
    /// Where in the file.
    pub at: Position,
    /// The block it belongs to, such as `null_resource.a` or `data.external.b`; empty for none.
    pub address: String,
    /// What.
    pub fact: Fact,
}

/// Where the path of a file function leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reach {
    /// Below the root module.
    Inside,
    /// Elsewhere.
    Outside,
    /// Only evaluation would tell.
    Unknown,
}

/// When a provisioner runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum When {
    /// After its resource is made.
    Create,
    /// Before its resource is deleted.
    Destroy,
    /// Not known without evaluating.
    Unknown,
}

/// Something a configuration does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fact {
    /// An `action` block: a provider does something beyond managing resources.
    Action,
    /// A backend of this type.
    Backend(String),
    /// A `check` block.
    Check,
    /// `terraform { cloud {} }`: runs happen elsewhere.
    Cloud,
    /// A credentials helper of the CLI configuration: a program that prints tokens.
    CredentialsHelper(String),
    /// `dev_overrides`: a provider's program from a directory, unchecked.
    DevOverrides,
    /// An ephemeral resource of this type.
    Ephemeral(String),
    /// A `data "external"` program with its arguments.
    External(Vec<Text>),
    /// A function that reads files.
    FileFunction {
        /// Its name.
        function: String,
        /// Its argument.
        path: Text,
        /// Where that leads.
        reach: Reach,
    },
    /// A `file` provisioner: copies to the resource.
    FileProvisioner(Text),
    /// A `data "http"` request to this URL.
    Http(Text),
    /// An `import` block.
    Import,
    /// `provider_installation` other than from the registry: mirrors.
    Installation(String),
    /// A command run on this host.
    LocalExec {
        /// The command.
        command: Text,
        /// Its interpreter.
        interpreter: Vec<Text>,
        /// When.
        when: When,
    },
    /// A module from this source.
    Module(Text),
    /// A `moved` block.
    Moved,
    /// `nonsensitive()`: a secret may be printed.
    Nonsensitive,
    /// A provisioner of another kind.
    OtherProvisioner(String),
    /// A provider's configuration that names a program to run.
    ProviderProgram {
        /// The provider's local name.
        provider: String,
        /// The command and its arguments; the whole expression, if it is written as one.
        program: Vec<Text>,
    },
    /// Commands run on the resource.
    RemoteExec(Vec<Text>),
    /// A `removed` block.
    Removed,
    /// Reads a secret, by a data source or ephemeral resource of this type.
    Secret(String),
    /// Raw text has the header of such a block where the structure has none: a comment, or a text
    /// that another reader reads differently.
    Suspect(String),
    /// A file that cannot be read.
    Unreadable(String),
    /// A template inside the tree that was not handed over: it may call any function.
    UnseenTemplate(String),
}

/// A provider that the lock file names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LockedProvider {
    /// Its address.
    pub address: ProviderAddress,
    /// Its version.
    pub version: String,
    /// What its package may hash to: Terraform takes any one of them.
    pub hashes: Vec<String>,
}

/// What a configuration says.
#[derive(Clone, Debug, Default)]
pub struct ConfigFacts {
    /// Everything found, in the order of files.
    pub findings: Vec<Finding>,
    /// Providers that the lock files name.
    pub locked: Vec<LockedProvider>,
    /// Providers that the configuration needs, said or implied.
    pub required: BTreeSet<ProviderAddress>,
    /// Managed resources and data sources, as `type.name` or `data.type.name`.
    pub resources: BTreeSet<String>,
}

struct Scan<'a> {
    facts: ConfigFacts,
    root: &'a str,
    /// Templates that are called for, and where first.
    templates: BTreeMap<String, Position>,
    path: &'a str,
    directory: &'a str,
    catalog: Option<&'static Catalog>,
    /// Per directory: what local provider names stand for, and which are used.
    sources: BTreeMap<&'a str, BTreeMap<String, ProviderAddress>>,
    used: BTreeSet<(&'a str, String)>,
    /// Where this file has provisioners and what is read.
    seen: BTreeSet<Position>,
}

/// Scans configuration files whose paths are relative to the root module, and the text of a CLI
/// configuration if there is one.
pub fn scan(sources: &[Source<'_>], cli_config: Option<&[u8]>) -> ConfigFacts {
    scan_within("", sources, cli_config)
}

/// Scans configuration files of a tree in which the root module lies at `root`: modules beside it
/// are then inside the tree. Paths are relative to the tree.
pub fn scan_within(root: &str, sources: &[Source<'_>], cli_config: Option<&[u8]>) -> ConfigFacts {
    let mut scan = Scan {
        facts: ConfigFacts::default(),
        root,
        templates: BTreeMap::new(),
        path: "",
        directory: "",
        catalog: Catalog::compiled(),
        sources: BTreeMap::new(),
        used: BTreeSet::new(),
        seen: BTreeSet::new(),
    };
    let total = sources.iter().fold(0_usize, |sum, file| sum.saturating_add(file.bytes.len()));
    if sources.len() > FILES_MAX || total > TOTAL_BYTES_MAX {
        scan.unreadable(Position { line: 0, column: 0 }, "too many files or bytes");
        return scan.facts;
    }
    for source in sources {
        scan.file(source);
    }
    scan.rendered(sources);
    scan.resolve_providers();
    if let Some(text) = cli_config {
        scan.cli_config(text);
    }
    scan.facts
}

/// Joins a directory and a file name.
pub(super) fn join(directory: &str, file: &str) -> String {
    let directory = directory.strip_prefix("./").unwrap_or(directory);
    match directory {
        "" | "." => file.to_owned(),
        directory => format!("{}/{file}", directory.trim_end_matches('/')),
    }
}

/// Where a path leads.
enum Place {
    Inside(String),
    Outside,
    Unknown,
}

/// Returns where a path relative to a directory of the tree leads.
fn place(directory: &str, path: &str) -> Place {
    let absolute = |path: &str| path.starts_with(['/', '~', '\\']);
    if absolute(path) || absolute(directory) {
        return Place::Outside;
    }
    let mut parts = Vec::new();
    for part in directory.split('/').chain(path.split(['/', '\\'])) {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Place::Outside;
                }
            }
            part => parts.push(part),
        }
    }
    Place::Inside(parts.join("/"))
}

/// Returns where what follows `${path.module}` or its like leads. Without a separator it names a
/// sibling of the directory, which evaluation alone would tell.
fn below(directory: &str, rest: &str) -> Place {
    match rest.strip_prefix('/') {
        Some(rest) => place(directory, rest.trim_start_matches('/')),
        None if rest.is_empty() => place(directory, ""),
        None => Place::Unknown,
    }
}

fn text_or(body: &Body, name: &str) -> Text {
    match body.attribute(name) {
        Some(attribute) => attribute.value.text.clone(),
        None => Text::Literal(String::new()),
    }
}

/// Reads the text of an argument as a path.
fn path_of(text: &Text) -> PathArgument {
    let expression = match text {
        Text::Literal(path) => return PathArgument::Literal(path.clone()),
        Text::Expression(expression) => expression,
    };
    let quoted = expression.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let template = quoted.unwrap_or(expression);
    let plain = |rest: &&str| !rest.contains(['$', '%', '"', '\\']);
    let module = template.strip_prefix("${path.module}").filter(plain);
    let root = template.strip_prefix("${path.root}").filter(plain);
    match (module, root) {
        (Some(rest), _) => PathArgument::UnderModule(rest.to_owned()),
        (_, Some(rest)) => PathArgument::UnderRoot(rest.to_owned()),
        _ => PathArgument::Unknown(expression.clone()),
    }
}

fn texts(attribute: &Attribute) -> Vec<Text> {
    match &attribute.value.list {
        Some(list) => list.clone(),
        None => vec![attribute.value.text.clone()],
    }
}

// === impl Fact ===

impl Fact {
    /// Returns whether it is a provisioner, and when that runs.
    pub fn provisioning(&self) -> Provisioning {
        match self {
            Self::LocalExec { when, .. } => Provisioning::Yes(*when),
            Self::RemoteExec(_) | Self::FileProvisioner(_) | Self::OtherProvisioner(_) => {
                Provisioning::Yes(When::Unknown)
            }
            _ => Provisioning::No,
        }
    }
}

/// Whether a fact is a provisioner, and when it runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Provisioning {
    /// It is not.
    No,
    /// It is.
    Yes(When),
}

// === impl ConfigFacts ===

impl ConfigFacts {
    /// Returns every provider the configuration or its lock file names.
    pub fn provider_addresses(&self) -> BTreeSet<ProviderAddress> {
        let locked = self.locked.iter().map(|locked| locked.address.clone());
        locked.chain(self.required.iter().cloned()).collect()
    }

    /// Returns the first file that could not be read, and why.
    pub fn unreadable(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| matches!(finding.fact, Fact::Unreadable(_)))
    }
}

// === impl Scan ===

impl<'a> Scan<'a> {
    fn find(&mut self, at: Position, address: &str, fact: Fact) {
        let (path, address) = (self.path.to_owned(), address.to_owned());
        let finding = Finding { path, at, address, fact };
        // JSON says some things twice.
        if self.facts.findings.last() == Some(&finding) {
            return;
        }
        match self.facts.findings.len() {
            0..FINDINGS_MAX => self.facts.findings.push(finding),
            FINDINGS_MAX => {
                let fact = Fact::Unreadable("too many findings".to_owned());
                self.facts.findings.push(Finding { fact, ..finding });
            }
            _ => {}
        }
    }

    fn unreadable(&mut self, at: Position, why: &str) {
        self.find(at, "", Fact::Unreadable(why.to_owned()));
    }

    fn file(&mut self, source: &Source<'a>) {
        self.path = source.path;
        let (directory, name) = source.path.rsplit_once('/').unwrap_or(("", source.path));
        self.directory = directory;
        self.seen.clear();
        // Terraform reads no hidden files and no editor's leavings.
        let ignored = name.starts_with('.') || (name.starts_with('#') && name.ends_with('#'));
        let is = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        let native = is(&[".tf", ".tofu", ".tfvars"]);
        let in_json = is(&[".tf.json", ".tofu.json", ".tfvars.json"]);
        if name == LOCK_FILE {
            self.lock_file(source.bytes);
        } else if (native || in_json) && !ignored {
            match self.parse(source.bytes, if in_json { Syntax::Json } else { Syntax::Native }) {
                Ok(body) => {
                    self.calls_of(&body, "");
                    body.blocks.iter().for_each(|block| self.top(block));
                }
                Err((at, why)) => self.unreadable(at, &why),
            }
            if native {
                self.suspects(source.bytes);
            }
        }
    }

    fn parse(&self, bytes: &[u8], syntax: Syntax) -> Result<Body, (Position, String)> {
        let nowhere = Position { line: 0, column: 0 };
        if bytes.len() > FILE_BYTES_MAX {
            return Err((nowhere, "the file is too large".to_owned()));
        }
        let parsed = match syntax {
            Syntax::Json => json::body(bytes),
            Syntax::Native => {
                let text = std::str::from_utf8(bytes);
                let text = text.map_err(|_| (nowhere, "the file is not UTF-8".to_owned()))?;
                hcl::parse(text, Names::Bare)
            }
        };
        parsed.map_err(|error| (error.at, error.to_string()))
    }

    fn top(&mut self, block: &Block) {
        let mut labels = block.labels.iter().map(String::as_str);
        let (first, second) = (labels.next().unwrap_or(""), labels.next().unwrap_or(""));
        match block.kind.as_str() {
            "resource" => {
                let address = format!("{first}.{second}");
                self.uses(first, &block.body);
                self.facts.resources.insert(address.clone());
                self.inside(block, &address);
            }
            "provider" => self.provider(block, first),
            "terraform" => self.settings(block),
            "module" => {
                let fact = Fact::Module(text_or(&block.body, "source"));
                self.find(block.at, &format!("module.{first}"), fact);
                self.inside(block, &format!("module.{first}"));
            }
            "action" => {
                let address = format!("action.{first}.{second}");
                self.uses(first, &block.body);
                self.find(block.at, &address, Fact::Action);
                self.inside(block, &address);
            }
            // Terraform refuses it here; another program may not.
            "provisioner" => {
                self.provisioner(block, "");
                self.inside(block, "");
            }
            "import" => self.simple(block, Fact::Import, "to"),
            "moved" => self.simple(block, Fact::Moved, "from"),
            "removed" => self.simple(block, Fact::Removed, "from"),
            "check" => {
                self.find(block.at, &format!("check.{first}"), Fact::Check);
                self.inside(block, &format!("check.{first}"));
            }
            _ => self.inside(block, ""),
        }
        if matches!(block.kind.as_str(), "data" | "ephemeral") {
            self.read(block);
        }
    }

    fn simple(&mut self, block: &Block, fact: Fact, name: &str) {
        let address = text_or(&block.body, name).as_str().to_owned();
        self.find(block.at, &address, fact);
        self.inside(block, &address);
    }

    /// Looks at everything below a block, at any depth: provisioners, data sources, calls.
    fn inside(&mut self, block: &Block, address: &str) {
        self.calls_of(&block.body, address);
        for inner in &block.body.blocks {
            match inner.kind.as_str() {
                "provisioner" => self.provisioner(inner, address),
                "data" | "ephemeral" => self.read(inner),
                _ => {}
            }
            self.inside(inner, address);
        }
    }

    fn calls_of(&mut self, body: &Body, address: &str) {
        for attribute in &body.attributes {
            for call in &attribute.value.calls {
                self.call(call, address);
            }
        }
    }

    fn call(&mut self, call: &Call, address: &str) {
        if call.name == "nonsensitive" {
            self.find(call.at, address, Fact::Nonsensitive);
        }
        if !FILE_FUNCTIONS.contains(&call.name.as_str()) {
            return;
        }
        self.reads(&call.name, &call.path, call.at, address);
    }

    /// Something that reads a file of this host.
    fn reads(&mut self, function: &str, path: &PathArgument, at: Position, address: &str) {
        let (path, place) = match path {
            PathArgument::Literal(path) => (Text::Literal(path.clone()), place(self.root, path)),
            PathArgument::UnderRoot(rest) => {
                (Text::Expression(format!("${{path.root}}{rest}")), below(self.root, rest))
            }
            PathArgument::UnderModule(rest) => {
                (Text::Expression(format!("${{path.module}}{rest}")), below(self.directory, rest))
            }
            PathArgument::Unknown(text) => (Text::Expression(text.clone()), Place::Unknown),
        };
        let reach = match place {
            Place::Inside(path) => {
                if function == "templatefile" {
                    self.templates.entry(path).or_insert(at);
                }
                Reach::Inside
            }
            Place::Outside => Reach::Outside,
            Place::Unknown => Reach::Unknown,
        };
        let function = function.to_owned();
        self.find(at, address, Fact::FileFunction { function, path, reach });
    }

    /// Looks into the templates that are called for: they call functions too.
    fn rendered(&mut self, sources: &[Source<'a>]) {
        for (path, at) in std::mem::take(&mut self.templates) {
            let same = |source: &&Source<'a>| matches!(place("", source.path), Place::Inside(inside) if inside == path);
            let Some(source) = sources.iter().find(same) else {
                self.path = "";
                self.find(at, "", Fact::UnseenTemplate(path));
                continue;
            };
            (self.path, self.directory) = (source.path, self.root);
            let text = std::str::from_utf8(source.bytes).ok();
            match text.filter(|text| text.len() <= FILE_BYTES_MAX).map(hcl::template) {
                Some(Ok(template)) => {
                    template.calls.iter().for_each(|call| self.call(call, ""));
                }
                Some(Err(error)) => self.unreadable(error.at, &error.to_string()),
                None => self.unreadable(at, "the template is not readable"),
            }
        }
    }

    fn provisioner(&mut self, block: &Block, address: &str) {
        let kind = block.labels.first().map(String::as_str).unwrap_or_default();
        self.seen.insert(block.at);
        let body = &block.body;
        let when = match text_or(body, "when").as_str() {
            "" | "create" => When::Create,
            "destroy" => When::Destroy,
            _ => When::Unknown,
        };
        let fact = match kind {
            "local-exec" => Fact::LocalExec {
                command: text_or(body, "command"),
                interpreter: body.attribute("interpreter").map(texts).unwrap_or_default(),
                when,
            },
            "remote-exec" => {
                let names = ["inline", "script", "scripts"];
                let given = names.iter().filter_map(|name| body.attribute(name));
                Fact::RemoteExec(given.flat_map(texts).collect())
            }
            "file" => {
                let given = ["source", "content"].iter().find_map(|name| body.attribute(name));
                let empty = Text::Literal(String::new());
                Fact::FileProvisioner(given.map_or(empty, |given| given.value.text.clone()))
            }
            other => Fact::OtherProvisioner(other.to_owned()),
        };
        self.find(block.at, address, fact);
    }

    /// A data source or an ephemeral resource.
    fn read(&mut self, block: &Block) {
        let mut labels = block.labels.iter().map(String::as_str);
        let (kind, name) = (labels.next().unwrap_or(""), labels.next().unwrap_or(""));
        self.seen.insert(block.at);
        let address = format!("{}.{kind}.{name}", block.kind);
        self.uses(kind, &block.body);
        self.facts.resources.insert(address.clone());
        if block.kind == "ephemeral" {
            self.find(block.at, &address, Fact::Ephemeral(kind.to_owned()));
        }
        match kind {
            "external" => {
                let program = block.body.attribute("program").map(texts).unwrap_or_default();
                self.find(block.at, &address, Fact::External(program));
            }
            "http" => self.find(block.at, &address, Fact::Http(text_or(&block.body, "url"))),
            "local_file" | "local_sensitive_file" => {
                let path = path_of(&text_or(&block.body, "filename"));
                self.reads(kind, &path, block.at, &address);
            }
            // Without a catalog every reading may be one of a secret.
            kind if self.catalog.is_none_or(|catalog| catalog.reads_secret(kind)) => {
                self.find(block.at, &address, Fact::Secret(kind.to_owned()));
            }
            _ => {}
        }
        self.calls_of(&block.body, &address);
    }

    fn provider(&mut self, block: &Block, name: &str) {
        self.used.insert((self.directory, name.to_owned()));
        let address = format!("provider.{name}");
        self.inside(block, &address);
        self.programs(&block.body, name, &address);
    }

    /// Looks for arguments that name programs, or files that may name some, at any depth.
    fn programs(&mut self, body: &Body, provider: &str, address: &str) {
        let mut pending = vec![body];
        while let Some(body) = pending.pop() {
            for attribute in &body.attributes {
                let inside = attribute.value.names.iter().map(String::as_str);
                let names = std::iter::once(attribute.name.as_str()).chain(inside);
                if !names.into_iter().any(|name| PROGRAM_ARGUMENTS.contains(&name)) {
                    continue;
                }
                let mut program = texts(attribute);
                if attribute.name == "command" {
                    program.extend(body.attribute("args").map(texts).unwrap_or_default());
                }
                let provider = provider.to_owned();
                self.find(attribute.at, address, Fact::ProviderProgram { provider, program });
            }
            pending.extend(body.blocks.iter().map(|inner| &inner.body));
        }
    }

    fn settings(&mut self, block: &Block) {
        self.inside(block, "terraform");
        for inner in &block.body.blocks {
            let label = inner.labels.first().cloned().unwrap_or_default();
            match inner.kind.as_str() {
                "backend" | "state_store" => {
                    self.programs(&inner.body, &format!("backend {label}"), "terraform");
                    self.find(inner.at, "terraform", Fact::Backend(label));
                }
                "cloud" => self.find(inner.at, "terraform", Fact::Cloud),
                "required_providers" => self.required_providers(inner),
                _ => {}
            }
        }
    }

    fn required_providers(&mut self, block: &Block) {
        for attribute in &block.body.attributes {
            let mut members = attribute.value.members.iter();
            let source = members.find(|(name, _)| name == "source");
            let address = match source.map(|(_, value)| &value.text) {
                None => ProviderAddress::parse_source(&attribute.name),
                Some(Text::Literal(source)) => ProviderAddress::parse_source(source),
                Some(Text::Expression(_)) => None,
            };
            match address {
                Some(address) => {
                    let names = self.sources.entry(self.directory).or_default();
                    names.insert(attribute.name.clone(), address.clone());
                    self.facts.required.insert(address);
                }
                None => self.unreadable(attribute.at, "the source of a provider is not readable"),
            }
        }
    }

    /// Notes the provider that a resource of this type belongs to.
    fn uses(&mut self, kind: &str, body: &Body) {
        let said = text_or(body, "provider").as_str().to_owned();
        let name = match said.split('.').next() {
            Some("") | None => kind.split('_').next().unwrap_or(kind),
            Some(name) => name,
        };
        self.used.insert((self.directory, name.to_owned()));
    }

    fn resolve_providers(&mut self) {
        for (directory, name) in std::mem::take(&mut self.used) {
            let said = self.sources.get(directory).and_then(|names| names.get(&name)).cloned();
            match said.or_else(|| ProviderAddress::parse_source(&name)) {
                Some(address) => {
                    self.facts.required.insert(address);
                }
                None => self.unreadable(
                    Position { line: 0, column: 0 },
                    "the name of a provider is not readable",
                ),
            }
        }
    }

    fn lock_file(&mut self, bytes: &[u8]) {
        let body = match self.parse(bytes, Syntax::Native) {
            Ok(body) => body,
            Err((at, why)) => return self.unreadable(at, &why),
        };
        for block in &body.blocks {
            let label = block.labels.first().map(String::as_str).unwrap_or_default();
            let Some(address) = ProviderAddress::parse_source(label) else {
                self.unreadable(block.at, "the lock file names no provider");
                continue;
            };
            let hashes = block.body.attribute("hashes").map(texts).unwrap_or_default();
            self.facts.locked.push(LockedProvider {
                address,
                version: text_or(&block.body, "version").as_str().to_owned(),
                hashes: hashes.into_iter().map(|hash| hash.as_str().to_owned()).collect(),
            });
        }
    }

    fn cli_config(&mut self, bytes: &[u8]) {
        (self.path, self.directory) = (CLI_CONFIG, "");
        let text = std::str::from_utf8(bytes).ok().filter(|_| bytes.len() <= FILE_BYTES_MAX);
        let body = match text.map(|text| hcl::parse(text, Names::Quoted)) {
            Some(Ok(body)) => body,
            Some(Err(error)) => return self.unreadable(error.at, &error.to_string()),
            None => {
                let nowhere = Position { line: 0, column: 0 };
                return self.unreadable(nowhere, "the CLI configuration is not readable");
            }
        };
        for block in &body.blocks {
            match block.kind.as_str() {
                "provider_installation" => {
                    for method in &block.body.blocks {
                        let fact = match method.kind.as_str() {
                            "direct" => continue,
                            "dev_overrides" => Fact::DevOverrides,
                            other => Fact::Installation(other.to_owned()),
                        };
                        self.find(method.at, "", fact);
                    }
                }
                "credentials_helper" => {
                    let name = block.labels.first().cloned().unwrap_or_default();
                    self.find(block.at, "", Fact::CredentialsHelper(name));
                }
                // The registry of a host, named anew.
                "host" | "providers" => {
                    self.find(block.at, "", Fact::Installation(block.kind.clone()));
                }
                _ => {}
            }
        }
        // In the CLI configuration what is a block may be written as an argument too.
        for attribute in &body.attributes {
            if matches!(attribute.name.as_str(), "provider_installation" | "providers") {
                self.find(attribute.at, "", Fact::DevOverrides);
            }
        }
    }

    fn suspects(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        for kind in ["provisioner", "data", "ephemeral"] {
            for (at, label) in hcl::headers(text, kind) {
                let dangerous = kind == "provisioner"
                    || matches!(label.as_str(), "external" | "http")
                    || label.contains('\\');
                if dangerous && !self.seen.contains(&at) {
                    self.find(at, "", Fact::Suspect(format!("{kind} \"{label}\"")));
                }
            }
        }
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Syntax {
    Json,
    Native,
}

// === impl LockedProvider ===

impl LockedProvider {
    /// Reports whether the program comes with Terraform.
    pub fn origin(&self) -> Origin {
        self.address.origin()
    }
}

const LOCK_FILE: &str = ".terraform.lock.hcl";

/// How findings of the CLI configuration name their file.
const CLI_CONFIG: &str = "(CLI configuration)";

/// Functions that read files of this host.
const FILE_FUNCTIONS: [&str; 11] = [
    "file",
    "filebase64",
    "filebase64sha256",
    "filebase64sha512",
    "fileexists",
    "filemd5",
    "fileset",
    "filesha1",
    "filesha256",
    "filesha512",
    "templatefile",
];

/// Arguments of providers and backends that name a program to run: `exec { command }` of kubernetes
/// and helm, `credential_process` and its like; and files that may name one: settings of the AWS SDK
/// and kubeconfigs.
const PROGRAM_ARGUMENTS: [&str; 12] = [
    "command",
    "config_path",
    "config_paths",
    "credential_process",
    "credentials_process",
    "exec",
    "password_command",
    "program",
    "shared_config_files",
    "shared_credentials_file",
    "shared_credentials_files",
    "token_command",
];

/// Findings of one configuration: more are shown to nobody, and what is beyond is unknown.
const FINDINGS_MAX: usize = 20_000;

/// Files of one configuration, modules included: large monorepos have a few thousand.
const FILES_MAX: usize = 20_000;

/// One file: generated ones reach one mebibyte.
const FILE_BYTES_MAX: usize = 4 << 20;

/// All files together.
const TOTAL_BYTES_MAX: usize = 64 << 20;
