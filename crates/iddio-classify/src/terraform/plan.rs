//! A saved plan (`terraform plan -out=FILE`), read in-process.
//!
//! The format is Terraform's own (`internal/plans/planfile`): a zip archive with `tfplan` (protocol
//! buffers, format version 3), `tfstate` and `tfstate-prev` (state format 4), the configuration
//! under `tfconfig/` with its manifest `tfconfig/modules.json`, and `.terraform.lock.hcl`. OpenTofu
//! writes the same. An entry, field or value nobody here knows makes the plan unreadable: it was
//! made by a newer program or by hand.
//!
//! INVARIANT: every change that an apply of the file would make is in [`PlanFacts::changes`] or
//! [`PlanFacts::invocations`]. What the plan says about itself for display (its mode, its reasons)
//! never hides one.
//!
//! It runs nothing and believes nothing outside the file (E01, E20).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    address::{Address, Key, Mode, ProviderAddress},
    archive::{self, ArchiveError},
    config::{self, ConfigFacts, Source},
    json::{self, Json},
    msgpack::{self, Planned},
    wire::{self, Field, Kind, Message, Schema, Times, WireError},
};

/// The mode a plan was made in. For display: the changes say what it does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PlanMode {
    /// `plan -destroy`.
    Destroy,
    /// `plan`.
    Normal,
    /// `plan -refresh-only`.
    RefreshOnly,
}

/// What happens to a resource instance.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Action {
    /// Made.
    Create,
    /// Made anew before the old one is deleted.
    CreateThenDelete,
    /// Made anew while the old one is left to itself.
    CreateThenForget,
    /// Deleted.
    Delete,
    /// Deleted, then made anew.
    DeleteThenCreate,
    /// No longer managed; it stays where it is.
    Forget,
    /// Left alone.
    NoOp,
    /// Read.
    Read,
    /// Changed in place.
    Update,
}

/// Whether a change also takes an existing object under management.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// It was known to the state, or is new.
    Known,
    /// It is imported.
    Imported,
}

/// One change of a resource instance.
#[derive(Clone, Debug)]
pub struct ResourceChange {
    /// Its address as Terraform prints it.
    pub text: String,
    /// Its address.
    pub address: Address,
    /// Where it was before a `moved` block, if elsewhere.
    pub previous: Option<String>,
    /// The key of a deposed object, if it is one.
    pub deposed: Option<String>,
    /// The provider that makes the change.
    pub provider: ProviderAddress,
    /// What happens.
    pub action: Action,
    /// Whether it is imported.
    pub origin: Origin,
    /// The value it is to have.
    pub after: Option<Planned>,
}

/// One change of a root output.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutputChange {
    /// Its name.
    pub name: String,
    /// What happens.
    pub action: Action,
}

/// An action (`action "…" "…"`) that the apply invokes through a provider.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invocation {
    /// Its address as Terraform prints it.
    pub text: String,
    /// The provider that runs it.
    pub provider: ProviderAddress,
}

/// Where the state lives, from the plan itself (E20).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Backend {
    /// Its type, such as `s3`.
    pub kind: String,
    /// The workspace the plan is for.
    pub workspace: String,
    /// What tells it from other backends, without secrets: `s3://bucket/key`. Absent where the
    /// type is unknown or its configuration is not readable.
    pub identity: Option<String>,
}

/// How many instances are made, changed and deleted, as Terraform counts them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Imported.
    pub import: usize,
    /// Made.
    pub add: usize,
    /// Changed.
    pub change: usize,
    /// Deleted.
    pub destroy: usize,
    /// No longer managed.
    pub forget: usize,
}

/// How much a plan deletes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destruction {
    /// All that is managed, or nearly: what a plan says it keeps may have been added to hide it.
    Everything,
    /// Less than that, or nothing.
    Less,
}

/// Whether Terraform would apply the plan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It would.
    Applyable,
    /// Making the plan failed half-way.
    Errored,
    /// There is nothing to do, or the plan does not say: OpenTofu's never do.
    NotApplyable,
}

/// What a saved plan says.
#[derive(Clone, Debug)]
pub struct PlanFacts {
    /// The mode it was made in.
    pub mode: PlanMode,
    /// Whether it would be applied.
    pub standing: Standing,
    /// Every change of a resource instance, no-ops included.
    pub changes: Vec<ResourceChange>,
    /// Changes put off to a later plan.
    pub deferred: Vec<String>,
    /// Every change of an output, no-ops excluded.
    pub outputs: Vec<OutputChange>,
    /// Actions that the apply invokes.
    pub invocations: Vec<Invocation>,
    /// The count Terraform prints.
    pub counts: Counts,
    /// Whether everything managed is deleted.
    pub destruction: Destruction,
    /// Every provider that changes, state, lock file or configuration name.
    pub providers: BTreeSet<ProviderAddress>,
    /// Where the state lives.
    pub backend: Backend,
    /// The addresses `-target` named.
    pub targets: Vec<String>,
    /// The addresses `-replace` named.
    pub replacements: Vec<String>,
    /// The version of the program that made it.
    pub terraform_version: String,
    /// The names of the variables that were set.
    pub variables: BTreeSet<String>,
    /// What the embedded configuration says.
    pub config: ConfigFacts,
}

/// Why a plan was not read. The caller treats its apply as unknown.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The archive is not one Terraform wrote.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The plan's message is not one Terraform wrote.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A bookmark of a plan that is kept by a remote service.
    #[error("the plan is kept by a remote service, the file only names it")]
    Bookmark,
    /// An entry is missing.
    #[error("the plan has no `{0}`")]
    Missing(&'static str),
    /// Another version of the format.
    #[error("plan format version {0} is unknown")]
    Version(u64),
    /// A value that means nothing.
    #[error("the plan has an invalid {what}: `{value}`")]
    Invalid {
        /// What it should be.
        what: &'static str,
        /// What it is.
        value: String,
    },
    /// The embedded state.
    #[error("the embedded state is not readable")]
    State,
    /// The manifest of modules.
    #[error("the manifest of modules is not readable")]
    Manifest,
}

struct Prior {
    managed: BTreeSet<(Address, Option<String>)>,
    providers: BTreeSet<ProviderAddress>,
}

/// Reads a saved plan.
pub fn read(bytes: &[u8]) -> Result<PlanFacts, PlanError> {
    read_within("", bytes)
}

/// Reads a saved plan of a root module that lies at `root` inside a tree: modules beside it are then
/// inside the tree.
pub fn read_within(root: &str, bytes: &[u8]) -> Result<PlanFacts, PlanError> {
    if bytes.first() == Some(&b'{') {
        return Err(PlanError::Bookmark);
    }
    let mut entries = archive::read(bytes)?;
    let plan = entries.remove(PLAN).ok_or(PlanError::Missing(PLAN))?;
    let state = entries.remove(STATE).ok_or(PlanError::Missing(STATE))?;
    let previous = entries.remove(STATE_PREVIOUS).ok_or(PlanError::Missing(STATE_PREVIOUS))?;
    let prior = prior_state(&state)?;
    let before = prior_state(&previous)?;
    let config = embedded_configuration(root, entries)?;
    let message = wire::read(&plan, &PLAN_MESSAGE)?;
    let version = message.number(1);
    if version != FORMAT_VERSION {
        return Err(PlanError::Version(version));
    }
    let mut facts = facts(&message, config)?;
    facts.destruction = destruction(&facts, &prior);
    facts.providers.extend(prior.providers);
    facts.providers.extend(before.providers);
    Ok(facts)
}

fn facts(plan: &Message<'_>, config: ConfigFacts) -> Result<PlanFacts, PlanError> {
    let changes = plan.messages(3).map(resource_change).collect::<Result<Vec<_>, _>>()?;
    no_change_twice(&changes)?;
    let invocations = plan.messages(30).map(invocation).collect::<Result<Vec<_>, _>>()?;
    let mut outputs = Vec::new();
    for output in plan.messages(4) {
        let change = output.message(2).ok_or_else(|| invalid("output", output.text(1)))?;
        let action = action(change)?;
        if action != Action::NoOp {
            outputs.push(OutputChange { name: output.text(1).to_owned(), action });
        }
    }
    let mut providers = config.provider_addresses();
    providers.extend(changes.iter().map(|change| change.provider.clone()));
    providers.extend(invocations.iter().map(|invocation| invocation.provider.clone()));
    let mut variables = BTreeSet::new();
    for variable in plan.messages(2) {
        if !variables.insert(variable.text(1).to_owned()) {
            return Err(invalid("variable", variable.text(1)));
        }
    }
    Ok(PlanFacts {
        mode: mode(plan)?,
        standing: standing(plan)?,
        counts: counts(&changes),
        deferred: deferred(plan),
        destruction: Destruction::Less,
        backend: backend(plan)?,
        targets: plan.texts(5).chain(plan.texts(32)).map(str::to_owned).collect(),
        replacements: plan.texts(16).map(str::to_owned).collect(),
        terraform_version: plan.text(14).to_owned(),
        changes,
        outputs,
        invocations,
        providers,
        variables,
        config,
    })
}

fn mode(plan: &Message<'_>) -> Result<PlanMode, PlanError> {
    match plan.number(17) {
        0 => Ok(PlanMode::Normal),
        1 => Ok(PlanMode::Destroy),
        2 => Ok(PlanMode::RefreshOnly),
        other => Err(invalid("mode", &other.to_string())),
    }
}

fn standing(plan: &Message<'_>) -> Result<Standing, PlanError> {
    match (plan.number(20), plan.number(25)) {
        (0, 1) => Ok(Standing::Applyable),
        (0, 0) => Ok(Standing::NotApplyable),
        (1, 0 | 1) => Ok(Standing::Errored),
        (_, other) => Err(invalid("flag", &other.to_string())),
    }
}

fn deferred(plan: &Message<'_>) -> Vec<String> {
    let resources = plan.messages(27).filter_map(|deferred| deferred.message(2));
    let invocations = plan.messages(31).filter_map(|deferred| deferred.message(2));
    resources
        .map(|change| change.text(13))
        .chain(invocations.map(|invocation| invocation.text(1)))
        .map(str::to_owned)
        .collect()
}

fn resource_change(message: &Message<'_>) -> Result<ResourceChange, PlanError> {
    let text = message.text(13);
    let address = Address::parse(text).ok_or_else(|| invalid("address", text))?;
    let provider = provider(message.text(8))?;
    let change = message.message(9).ok_or_else(|| invalid("change", text))?;
    let action = action(change)?;
    let mut values = change.messages(2).map(|value| value.bytes(1));
    let after = match action {
        Action::Create | Action::NoOp => values.next(),
        Action::Delete | Action::Forget => None,
        _ => values.nth(1),
    };
    let after = after.flatten().map(|bytes| msgpack::read(bytes).map(Planned));
    let after = match after {
        Some(None) => return Err(invalid("value", text)),
        Some(planned) => planned,
        None => None,
    };
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let origin = if change.message(5).is_some() { Origin::Imported } else { Origin::Known };
    Ok(ResourceChange {
        text: text.to_owned(),
        address,
        previous: some(message.text(14)),
        deposed: some(message.text(7)),
        provider,
        action,
        origin,
        after,
    })
}

fn no_change_twice(changes: &[ResourceChange]) -> Result<(), PlanError> {
    let mut seen = BTreeSet::new();
    for change in changes {
        if !seen.insert((&change.address, &change.deposed)) {
            return Err(invalid("second change of one object", &change.text));
        }
    }
    Ok(())
}

fn invocation(message: &Message<'_>) -> Result<Invocation, PlanError> {
    Ok(Invocation { text: message.text(1).to_owned(), provider: provider(message.text(2))? })
}

fn provider(text: &str) -> Result<ProviderAddress, PlanError> {
    ProviderAddress::parse_configuration(text).ok_or_else(|| invalid("provider", text))
}

fn action(change: &Message<'_>) -> Result<Action, PlanError> {
    match change.number(1) {
        0 => Ok(Action::NoOp),
        1 => Ok(Action::Create),
        2 => Ok(Action::Read),
        3 => Ok(Action::Update),
        5 => Ok(Action::Delete),
        6 => Ok(Action::DeleteThenCreate),
        7 => Ok(Action::CreateThenDelete),
        8 => Ok(Action::Forget),
        9 => Ok(Action::CreateThenForget),
        other => Err(invalid("action", &other.to_string())),
    }
}

fn invalid(what: &'static str, value: &str) -> PlanError {
    PlanError::Invalid { what, value: value.to_owned() }
}

fn counts(changes: &[ResourceChange]) -> Counts {
    let mut counts = Counts::default();
    for change in changes.iter().filter(|change| change.address.mode == Mode::Managed) {
        let add = |n: &mut usize| *n = n.saturating_add(1);
        if change.origin == Origin::Imported {
            add(&mut counts.import);
        }
        match change.action {
            Action::Create => add(&mut counts.add),
            Action::Update => add(&mut counts.change),
            Action::Delete => add(&mut counts.destroy),
            Action::DeleteThenCreate | Action::CreateThenDelete => {
                add(&mut counts.add);
                add(&mut counts.destroy);
            }
            Action::CreateThenForget => {
                add(&mut counts.add);
                add(&mut counts.forget);
            }
            Action::Forget => add(&mut counts.forget),
            Action::NoOp | Action::Read => {}
        }
    }
    counts
}

/// Decides from the changes, not from the mode alone: a plan may say it is a normal one and delete
/// all there is.
fn destruction(facts: &PlanFacts, prior: &Prior) -> Destruction {
    if facts.mode == PlanMode::Destroy && facts.targets.is_empty() {
        return Destruction::Everything;
    }
    let managed = facts.changes.iter().filter(|change| change.address.mode == Mode::Managed);
    let (deleted, others): (Vec<_>, Vec<_>) =
        managed.partition(|change| change.action == Action::Delete);
    let stays = |change: &&&ResourceChange| change.action != Action::Forget;
    let kept = others.iter().filter(stays).count();
    let deleted: BTreeSet<_> =
        deleted.into_iter().map(|change| (&change.address, &change.deposed)).collect();
    let is_kept = |entry: &&(Address, Option<String>)| !deleted.contains(&(&entry.0, &entry.1));
    let kept = kept.max(prior.managed.iter().filter(is_kept).count());
    let nearly = deleted.len() >= NEARLY_ALL_MIN && deleted.len() / NEARLY_ALL >= kept;
    if !deleted.is_empty() && (kept == 0 || nearly) {
        Destruction::Everything
    } else {
        Destruction::Less
    }
}

fn prior_state(bytes: &[u8]) -> Result<Prior, PlanError> {
    let state = json::parse(bytes).ok_or(PlanError::State)?;
    if state.lookalike(&["version", "resources"]).is_some()
        || state.member("version") != Some(&Json::Number("4".to_owned()))
    {
        return Err(PlanError::State);
    }
    let mut prior = Prior { managed: BTreeSet::new(), providers: BTreeSet::new() };
    for resource in state.list("resources").unwrap_or_default() {
        state_resource(resource, &mut prior).ok_or(PlanError::State)?;
    }
    Ok(prior)
}

fn state_resource(resource: &Json, prior: &mut Prior) -> Option<()> {
    let fields = ["module", "mode", "type", "name", "provider", "instances"];
    if resource.lookalike(&fields).is_some() {
        return None;
    }
    prior.providers.insert(ProviderAddress::parse_configuration(resource.text("provider")?)?);
    if resource.text("mode")? != "managed" {
        return Some(());
    }
    for instance in resource.list("instances")? {
        if instance.lookalike(&["index_key", "deposed"]).is_some() {
            return None;
        }
        let key = match instance.member("index_key") {
            None | Some(Json::Null) => Key::None,
            Some(Json::Text(name)) => Key::Name(name.clone()),
            Some(Json::Number(number)) => Key::Index(number.parse().ok()?),
            Some(_) => return None,
        };
        let address = Address {
            module: resource.text("module").unwrap_or_default().to_owned(),
            mode: Mode::Managed,
            kind: resource.text("type")?.to_owned(),
            name: resource.text("name")?.to_owned(),
            key,
        };
        prior.managed.insert((address, instance.text("deposed").map(str::to_owned)));
    }
    Some(())
}

fn backend(plan: &Message<'_>) -> Result<Backend, PlanError> {
    // Exactly one of the two, as Terraform demands.
    let (store, kind) = match (plan.message(13), plan.message(29)) {
        (Some(backend), None) => (backend, backend.text(1).to_owned()),
        (None, Some(store)) => (store, format!("state_store.{}", store.text(1))),
        _ => return Err(PlanError::Missing("backend")),
    };
    let config = store.message(2).and_then(|value| value.bytes(1)).and_then(msgpack::read);
    let identity = config.as_ref().and_then(|config| backend_identity(&kind, config));
    Ok(Backend { kind, workspace: store.text(3).to_owned(), identity })
}

/// Returns what tells this backend from others. Members that may hold a secret are left out.
fn backend_identity(kind: &str, config: &msgpack::Value) -> Option<String> {
    let text = |name: &str| config.text(name);
    let or = |name: &str, default: &'static str| text(name).unwrap_or(default).to_owned();
    let identity = match kind {
        "local" => format!("local:{}", or("path", "terraform.tfstate")),
        "s3" => {
            let endpoint = config.member("endpoints").and_then(|endpoints| endpoints.text("s3"));
            let endpoint = endpoint.or(text("endpoint")).map(|at| format!("?endpoint={at}"));
            let prefix = text("workspace_key_prefix").map(|at| format!("#prefix={at}"));
            let (bucket, key) = (text("bucket")?, text("key")?);
            let (endpoint, prefix) = (endpoint.unwrap_or_default(), prefix.unwrap_or_default());
            format!("s3://{bucket}/{key}{endpoint}{prefix}")
        }
        "gcs" => format!("gcs://{}/{}", text("bucket")?, or("prefix", "")),
        "azurerm" => {
            let (account, container) = (text("storage_account_name")?, text("container_name")?);
            format!("azurerm://{account}/{container}/{}", text("key")?)
        }
        "oss" | "cos" => {
            let key = text("key").or(text("prefix")).unwrap_or_default();
            format!("{kind}://{}/{key}", text("bucket")?)
        }
        "http" => format!("http:{}", without_user(text("address")?)?),
        "consul" => format!("consul:{}/{}", or("address", ""), text("path")?),
        "kubernetes" => {
            let (host, namespace) = (or("host", ""), or("namespace", "default"));
            format!("kubernetes:{host}/{namespace}/{}", text("secret_suffix")?)
        }
        "remote" | "cloud" => {
            let workspaces = config.member("workspaces");
            let name = workspaces.and_then(|at| at.text("name").or(at.text("prefix")));
            let (host, organization) = (or("hostname", "app.terraform.io"), text("organization")?);
            format!("{kind}://{host}/{organization}/{}", name.unwrap_or_default())
        }
        _ => return None,
    };
    Some(identity)
}

/// Returns a URL without the user and password it may hold.
fn without_user(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit('@').next()?;
    let path = path.split(['?', '#']).next()?;
    Some(format!("{scheme}://{host}/{path}"))
}

/// Scans what is left of the archive: the configuration, its manifest and the lock file.
fn embedded_configuration(
    root: &str,
    mut entries: BTreeMap<String, Vec<u8>>,
) -> Result<ConfigFacts, PlanError> {
    let manifest = entries.remove(MANIFEST).ok_or(PlanError::Missing(MANIFEST))?;
    let directories = directories(&manifest)?;
    let lock = entries.remove(LOCK).ok_or(PlanError::Missing(LOCK))?;
    let mut files = vec![(LOCK.to_owned(), lock)];
    for (name, content) in entries {
        let unexpected = || ArchiveError::Name(name.clone());
        let (module, file) = name
            .strip_prefix(MODULE)
            .and_then(|rest| rest.split_once('/'))
            .ok_or_else(unexpected)?;
        if file.contains('/') {
            return Err(unexpected().into());
        }
        let directory = directories.get(module).ok_or_else(unexpected)?;
        files.push((config::join(&config::join(root, directory), file), content));
    }
    let sources: Vec<_> = files.iter().map(|(path, bytes)| Source { path, bytes }).collect();
    Ok(config::scan_within(root, &sources, None))
}

/// Returns where each module lies, by its key.
fn directories(manifest: &[u8]) -> Result<BTreeMap<String, String>, PlanError> {
    let Some(Json::List(records)) = json::parse(manifest) else {
        return Err(PlanError::Manifest);
    };
    let mut directories = BTreeMap::new();
    for record in records {
        let key = record.text("Key").ok_or(PlanError::Manifest)?;
        let directory = record.text("Dir").ok_or(PlanError::Manifest)?;
        let odd = record.lookalike(&["Key", "Dir", "Source", "Version"]).is_some();
        if odd || directories.insert(key.to_owned(), directory.to_owned()).is_some() {
            return Err(PlanError::Manifest);
        }
    }
    Ok(directories)
}

const PLAN: &str = "tfplan";
const STATE: &str = "tfstate";
const STATE_PREVIOUS: &str = "tfstate-prev";
const MANIFEST: &str = "tfconfig/modules.json";
const MODULE: &str = "tfconfig/m-";
const LOCK: &str = ".terraform.lock.hcl";

/// One kept for so many deleted is as good as nothing kept.
const NEARLY_ALL: usize = 10;

/// Below so many deletes, keeping one is keeping something.
const NEARLY_ALL_MIN: usize = 10;

/// The version of the format that Terraform 0.14 to 1.15 and OpenTofu write.
const FORMAT_VERSION: u64 = 3;

// The messages of `planfile.proto`: number, type, how often.

static VALUE: Schema = Schema { name: "DynamicValue", fields: &[bytes(1)] };

static VARIABLE: Schema = Schema { name: "variable", fields: &[text(1), message(2, &VALUE)] };

static STEP: Schema = Schema { name: "Step", fields: &[text(1), message(2, &VALUE)] };

static PATH: Schema = Schema { name: "Path", fields: &[messages(1, &STEP)] };

static IMPORTING: Schema =
    Schema { name: "Importing", fields: &[text(1), number(2), message(3, &VALUE)] };

static CHANGE: Schema = Schema {
    name: "Change",
    fields: &[
        number(1),
        messages(2, &VALUE),
        messages(3, &PATH),
        messages(4, &PATH),
        message(5, &IMPORTING),
        text(6),
        message(7, &VALUE),
        message(8, &VALUE),
    ],
};

static RESOURCE_CHANGE: Schema = Schema {
    name: "ResourceInstanceChange",
    fields: &[
        text(7),
        text(8),
        message(9, &CHANGE),
        bytes(10),
        messages(11, &PATH),
        number(12),
        text(13),
        text(14),
    ],
};

static OUTPUT_CHANGE: Schema =
    Schema { name: "OutputChange", fields: &[text(1), message(2, &CHANGE), number(3)] };

static DEFERRED: Schema = Schema { name: "Deferred", fields: &[number(1)] };

static DEFERRED_CHANGE: Schema = Schema {
    name: "DeferredResourceInstanceChange",
    fields: &[message(1, &DEFERRED), message(2, &RESOURCE_CHANGE)],
};

static RESOURCE_TRIGGER: Schema = Schema {
    name: "ResourceActionTrigger",
    fields: &[text(1), number(2), number(3), number(4), number(5)],
};

static INVOKE_TRIGGER: Schema = Schema { name: "InvokeActionTrigger", fields: &[text(1)] };

static INVOCATION: Schema = Schema {
    name: "ActionInvocationInstance",
    fields: &[
        text(1),
        text(2),
        message(4, &VALUE),
        messages(5, &PATH),
        message(6, &RESOURCE_TRIGGER),
        message(7, &INVOKE_TRIGGER),
    ],
};

static DEFERRED_INVOCATION: Schema = Schema {
    name: "DeferredActionInvocation",
    fields: &[message(1, &DEFERRED), message(2, &INVOCATION)],
};

static OBJECT_RESULT: Schema =
    Schema { name: "ObjectResult", fields: &[text(1), number(2), texts(3)] };

static CHECK_RESULTS: Schema = Schema {
    name: "CheckResults",
    fields: &[number(1), text(2), number(3), messages(4, &OBJECT_RESULT)],
};

static BACKEND: Schema =
    Schema { name: "Backend", fields: &[text(1), message(2, &VALUE), text(3)] };

static PROVIDER: Schema =
    Schema { name: "Provider", fields: &[text(1), text(2), message(3, &VALUE)] };

static STATE_STORE: Schema = Schema {
    name: "StateStore",
    fields: &[text(1), message(2, &VALUE), text(3), message(4, &PROVIDER)],
};

static RESOURCE_ATTRIBUTE: Schema =
    Schema { name: "resource_attr", fields: &[text(1), message(2, &PATH)] };

static FUNCTION_CALL: Schema = Schema { name: "FunctionCallHash", fields: &[bytes(1), bytes(2)] };

static PLAN_MESSAGE: Schema = Schema {
    name: "Plan",
    fields: &[
        number(1),
        messages(2, &VARIABLE),
        messages(3, &RESOURCE_CHANGE),
        messages(4, &OUTPUT_CHANGE),
        texts(5),
        message(13, &BACKEND),
        text(14),
        messages(15, &RESOURCE_ATTRIBUTE),
        texts(16),
        number(17),
        messages(18, &RESOURCE_CHANGE),
        messages(19, &CHECK_RESULTS),
        number(20),
        text(21),
        messages(22, &FUNCTION_CALL),
        number(25),
        number(26),
        messages(27, &DEFERRED_CHANGE),
        texts(28),
        message(29, &STATE_STORE),
        messages(30, &INVOCATION),
        messages(31, &DEFERRED_INVOCATION),
        texts(32),
    ],
};

const fn number(field: u32) -> Field {
    Field(field, Kind::Number, Times::Once)
}

const fn text(field: u32) -> Field {
    Field(field, Kind::Text, Times::Once)
}

const fn texts(field: u32) -> Field {
    Field(field, Kind::Text, Times::Many)
}

const fn bytes(field: u32) -> Field {
    Field(field, Kind::Bytes, Times::Once)
}

const fn message(field: u32, schema: &'static Schema) -> Field {
    Field(field, Kind::Message(schema), Times::Once)
}

const fn messages(field: u32, schema: &'static Schema) -> Field {
    Field(field, Kind::Message(schema), Times::Many)
}
