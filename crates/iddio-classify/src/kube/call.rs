//! An HTTP request of the Kubernetes API, read whole: what it is, and how dangerous.
//!
//! [`Call::read`] takes the request as bytes and headers and refuses what two readers could take
//! differently ([`Malformed`]); [`Call::operation`] describes the rest in the words policy knows. The
//! tier is the request line's, raised by an upgrade nobody knows and by what the body says, and
//! lowered by nothing: not by a dry run in whatever spelling (threat K17), not by the form in which
//! an answer is wished for (K07).
//!
//! A change to an object that holds pods is judged by the object that results as well, once somebody
//! fetched the object ([`Call::changes`], [`Call::resulting`]).
//!
//! What this module does not do: know custom resources (reads of what the catalog does not name are
//! T2, writes T3), or fetch anything.

use iddio_core::{
    operation::{
        Description, Effect, KubernetesPattern, Names, Operation, Pattern, Protocol, Reason,
        ScopeKey, Scopes,
    },
    tier::{Class, Tier},
};
use serde_json::Value;

use super::{
    Line, ManifestError, Method, Verdict, body,
    content::{self, Content, Said},
    discovery::{Discovered, Named as NamedKind},
    info::{self, About, Info, Named},
    listing::{self, Listing},
    manifest, node_unschedulable, patch, pod,
    query::{Query, Reader},
    request,
    resource::{self, Place, Resource},
    resource_request,
};

/// A request as it came, before anything of it is believed.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// The method, as written.
    pub method: &'a str,
    /// The path and the query, as written: the origin form of a request target.
    pub target: &'a [u8],
    /// The headers, names in lower case, in the order they came. Those that mean nothing here may be
    /// left out.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body, whole.
    pub body: &'a [u8],
}

/// A request that has one reading.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path, as written.
    pub path: String,
    /// The parameters.
    pub query: Query,
    /// What it is about.
    pub info: Info,
    /// What the connection is to become.
    pub upgrade: Upgrade,
    /// The body.
    pub content: Content,
    /// What the object that results raises.
    result: Vec<Verdict>,
    /// What the collection holds that it deletes, if somebody looked.
    listing: Option<Option<Listing>>,
    /// What its server says of a resource that is not built in.
    named: Option<NamedKind>,
}

/// The object that a change is for, as it is.
#[derive(Clone, Copy, Debug)]
pub enum Current<'a> {
    /// There is none.
    Absent,
    /// The answer that holds it, in JSON.
    Object(&'a [u8]),
    /// Nobody could read it.
    Unread,
}

/// What a connection is to become.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Upgrade {
    /// It stays what it is.
    None,
    /// Something that nobody here knows.
    Other,
    /// SPDY/3.1.
    Spdy,
    /// A WebSocket.
    WebSocket,
}

/// Why a request is refused without asking anybody: it has no one reading.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// The body is not what every reader takes alike, or not what the path says.
    #[error("{0}")]
    Body(String),
    /// A header that decides something stands twice, disagrees with another or is no text.
    #[error("{0}")]
    Header(&'static str),
    /// The body is longer than the limit.
    #[error("a body longer than {BODY_BYTES_MAX} bytes")]
    Long,
    /// The body comes in a form that is not read here.
    #[error("{0}")]
    Media(String),
    /// The API has no such method.
    #[error("a method that the API does not have")]
    Method,
    /// The path.
    #[error("{0}")]
    Path(&'static str),
    /// The query.
    #[error("{0}")]
    Query(&'static str),
}

// === impl Call ===

impl Call {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// When it has no one reading.
    pub fn read(raw: &Raw<'_>) -> Result<Self, Malformed> {
        let method = Method::of(raw.method).ok_or(Malformed::Method)?;
        let target = std::str::from_utf8(raw.target);
        let target = target.map_err(|_| Malformed::Path("a path that is not text"))?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let reader = match forwards(path) {
            true => Reader::Beyond,
            false => Reader::Server,
        };
        let query = Query::read(query, reader)?;
        let info = info::info(method, path, &query)?;
        let upgrade = upgrade(raw.headers)?;
        if BODY_BYTES_MAX < raw.body.len() {
            return Err(Malformed::Long);
        }
        let said = Said {
            kind: one(raw.headers, "content-type")?,
            encoding: one(raw.headers, "content-encoding")?,
        };
        let about = info.resource.as_ref();
        let about = about.map(|about| (about, resource::find(&about.resource, &about.group)));
        let content = match reader {
            Reader::Beyond => Content::Opaque,
            Reader::Server => content::read(method, said, raw.body, about)?,
        };
        let (path, result, named) = (path.to_owned(), Vec::new(), None);
        let listing = None;
        Ok(Self { method, path, query, info, upgrade, content, result, listing, named })
    }

    /// Returns the target of the list that says what this deletes, where it deletes a collection.
    pub fn deletes(&self) -> Option<String> {
        let all = self.info.verb == "deletecollection" && self.resource().is_some();
        all.then(|| listing::target(&self.path, &self.query))
    }

    /// Takes what that list holds, or that nobody could read it, for whoever is asked.
    pub fn listed(&mut self, listing: Option<Listing>) {
        self.listing = Some(listing);
    }

    /// Returns group and version of a resource that is not built in, so that its server may be asked for
    /// its names.
    pub fn unknown(&self) -> Option<(&str, &str)> {
        let about = self.about().filter(|about| !about.group.is_empty())?;
        self.resource().is_none().then_some((about.group.as_str(), about.version.as_str()))
    }

    /// Takes what the server says of that resource: its kind, which an object has to be of, and where it
    /// lives. No tier is lowered by it.
    ///
    /// # Errors
    ///
    /// When the object is of another kind.
    pub fn discovered(&mut self, names: &Discovered) -> Result<(), Malformed> {
        let unknown = self.unknown().is_some();
        let Some(about) = self.info.resource.as_ref().filter(|_| unknown) else { return Ok(()) };
        let Some(named) = names.of(&about.resource) else { return Ok(()) };
        if let Content::Object(object) | Content::Apply(object) = &self.content
            && about.subresource.is_empty()
            && self.method != Method::Delete
        {
            let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
            if !kind.is_empty() && kind != named.kind {
                return Err(Malformed::Body(
                    "the object's kind is not that of the path".to_owned(),
                ));
            }
        }
        self.named = Some(named.clone());
        Ok(())
    }

    /// Returns the path of the object that this changes, where it holds pods, so that what results has
    /// to be judged.
    pub fn changes(&self) -> Option<&str> {
        let about = self.about()?;
        let holds_pods = manifest::WORKLOADS.contains(&about.resource.as_str());
        let whole = about.subresource.is_empty() && about.place == Named::ByPath;
        let changes = self.method == Method::Patch && self.resource().is_some();
        (changes && holds_pods && whole).then_some(self.path.as_str())
    }

    /// Judges what results from a change to this object, too. It raises, and lowers nothing.
    pub fn resulting(&mut self, current: Current<'_>) {
        if self.changes().is_none() {
            return;
        }
        let (tier, class) = (Tier::Sensitive, Class::Unknown);
        let unread = |reason| vec![Verdict { tier, class, rule: 7, reason }];
        self.result = match current {
            Current::Absent => Vec::new(),
            Current::Unread => unread("changes an object that could not be read"),
            Current::Object(bytes) => match super::document::one_json(bytes) {
                Ok(object) if object.is_object() => patch::raised(&self.content, &object),
                _ => unread("changes an object that could not be read"),
            },
        };
    }

    /// Returns the verb for people and records: what a stream into a workload is, or else the one
    /// that the server authorises.
    pub fn verb(&self) -> &'static str {
        let subresource = self.about().map_or("", |about| about.subresource.as_str());
        match subresource {
            "exec" => "exec",
            "attach" => "attach",
            "portforward" => "portforward",
            "proxy" => "proxy",
            _ if self.info.verb.is_empty() => "options",
            _ => self.info.verb,
        }
    }

    /// Describes the request to `cluster`.
    pub fn operation(&self, cluster: &str) -> Operation {
        let mut scopes = Scopes::default();
        scopes.add_name(ScopeKey::Clusters, cluster);
        self.add_namespaces(&mut scopes);
        let verdicts = self.verdicts();
        let reasons: Vec<_> = verdicts.iter().map(reason).collect();
        // Of several kinds of break-glass the one that fewest policies let through counts.
        let worst = verdicts.iter().max_by_key(|verdict| (verdict.tier, strictness(verdict.class)));
        let (tier, class) =
            worst.map_or((Tier::UNKNOWN, Class::Unknown), |worst| (worst.tier, worst.class));
        let about = self.about();
        Operation {
            protocol: Protocol::Kubernetes,
            tier,
            class,
            scopes,
            overrides: Vec::new(),
            pattern: self.pattern(),
            reasons,
            description: Description {
                command: Some(self.shown()),
                method: Some(self.verb().to_owned()),
                path: Some(self.path.clone()),
                namespace: about.map(|a| a.namespace.clone()).filter(|name| !name.is_empty()),
                resource: about.map(About::full),
                cluster: Some(cluster.to_owned()),
                ..Description::default()
            },
        }
    }

    /// Returns what a yes would do.
    pub fn effects(&self) -> Vec<Effect> {
        let verdicts = self.verdicts();
        let tier = verdicts.iter().map(|verdict| verdict.tier).max().unwrap_or(Tier::UNKNOWN);
        let sign = match self.method {
            Method::Delete => "-",
            Method::Patch | Method::Put => "~",
            Method::Post => "+",
            Method::Get | Method::Head | Method::Options => "<=",
        };
        let mut text = self.shown();
        let command: Vec<_> = self.query.all("command").collect();
        if !command.is_empty() {
            text = format!("{text}: {}", command.join(" "));
        }
        for (name, label) in [("labelSelector", "labels"), ("fieldSelector", "fields")] {
            if let Some(selector) = self.query.one(name) {
                text = format!("{text}, {label} {selector}");
            }
        }
        if self.query.one("dryRun").is_some() {
            text.push_str(", said to be a dry run");
        }
        match &self.listing {
            Some(Some(listing)) => text = format!("{text}, {}", listing.shown()),
            Some(None) => text.push_str(", nobody knows how many"),
            None => {}
        }
        let mut effects = vec![Effect { tier, sign: sign.to_owned(), text }];
        effects.extend(verdicts.iter().skip(1).map(|verdict| Effect {
            tier: verdict.tier,
            sign: "!".to_owned(),
            text: verdict.reason.to_owned(),
        }));
        effects.sort_by_key(|effect| std::cmp::Reverse(effect.tier));
        effects
    }

    /// The request in a few words: `delete pods payments/web-1`.
    pub fn shown(&self) -> String {
        let verb = self.verb();
        let Some(about) = self.about() else { return format!("{verb} {}", self.path) };
        let resource = about.full();
        let own = about.resource == "namespaces";
        match (about.namespace.as_str(), about.name.as_str()) {
            ("", "") => format!("{verb} {resource}"),
            ("", name) => format!("{verb} {resource} {name}"),
            (_, name) if own => format!("{verb} {resource} {name}"),
            (namespace, "") => format!("{verb} {resource} in {namespace}"),
            (namespace, name) => format!("{verb} {resource} {namespace}/{name}"),
        }
    }

    fn about(&self) -> Option<&About> {
        self.info.resource.as_ref()
    }

    fn resource(&self) -> Option<&'static Resource> {
        self.about().and_then(|about| resource::find(&about.resource, &about.group))
    }

    /// Everything it comes to: the request line first, then what raises it.
    fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = vec![self.line()];
        let streams = ["exec", "attach", "portforward", "proxy"];
        let stream = self.about().is_some_and(|a| streams.contains(&a.subresource.as_str()));
        let (tier, class) = (Tier::BreakGlass, Class::Unknown);
        if self.upgrade != Upgrade::None && (!stream || self.upgrade == Upgrade::Other) {
            let reason = "an upgrade that the catalog does not know";
            verdicts.push(Verdict { tier, class, rule: 2, reason });
        }
        let mut raised = match &self.content {
            Content::Apply(value) => self.whole(value),
            Content::Object(value) if self.method != Method::Delete => self.whole(value),
            Content::JsonPatch(value)
            | Content::MergePatch(value)
            | Content::StrategicPatch(value) => body::raised(value),
            Content::Empty | Content::Object(_) | Content::Opaque => Vec::new(),
        };
        raised.extend(&self.result);
        raised.sort_by(|one, other| other.cmp(one));
        raised.dedup();
        raised.truncate(RAISED_MAX);
        verdicts.extend(raised);
        verdicts
    }

    /// What the request line comes to.
    fn line(&self) -> Verdict {
        let Some(about) = self.about() else { return request(self.method.name(), &self.path) };
        if self.only_unschedulable(about) {
            return node_unschedulable();
        }
        let selected = about.place == Named::BySelector;
        let line = Line {
            group: &about.group,
            version: &about.version,
            namespace: &about.namespace,
            resource: &about.resource,
            // What a selector names is a collection still.
            name: if selected { "" } else { &about.name },
            subresource: &about.subresource,
            rest: "",
        };
        resource_request(self.method, &line)
    }

    /// Whether it changes nothing of a node but whether it takes pods (rule 4).
    fn only_unschedulable(&self, about: &About) -> bool {
        let node = about.resource == "nodes" && about.group.is_empty();
        let fields = self.content.fields();
        node && self.method == Method::Patch
            && about.subresource.is_empty()
            && fields.is_some_and(|fields| {
                !fields.is_empty() && fields.iter().all(|field| field == "/spec/unschedulable")
            })
    }

    /// What a whole object raises. What it does not say of itself, the path says.
    fn whole(&self, value: &Value) -> Vec<Verdict> {
        let main = self.about().is_some_and(|about| about.subresource.is_empty());
        let Some(resource) = self.resource().filter(|_| main) else {
            let found = pod::look(value, pod::Scene::Whole);
            return found.into_iter().map(|found| found.verdict).collect();
        };
        let mut object = value.clone();
        if let Some(members) = object.as_object_mut() {
            let version = match resource.group {
                "" => "v1".to_owned(),
                group => format!("{group}/v1"),
            };
            members.insert("kind".to_owned(), resource.kind.into());
            members.insert("apiVersion".to_owned(), version.into());
        }
        match manifest::object(&object) {
            Ok(facts) => facts.found.into_iter().map(|found| found.verdict).collect(),
            Err(_) => {
                let reason = "an object that cannot be read";
                let (tier, class) = (Tier::UNKNOWN, Class::Unknown);
                vec![Verdict { tier, class, rule: 10, reason }]
            }
        }
    }

    /// What it touches: its namespace, every one, or none where it is about the cluster. A kind that
    /// nobody knows and that names no namespace is about the cluster, which fewer rules cover.
    fn add_namespaces(&self, scopes: &mut Scopes) {
        let Some(about) = self.about() else { return };
        let own = about.resource == "namespaces" && about.group.is_empty();
        let built_in = self.resource().map(|resource| resource.place);
        let place = built_in.or(self.named.as_ref().map(|named| named.place));
        match place {
            _ if !own && !about.namespace.is_empty() => {
                scopes.add_name(ScopeKey::Namespaces, about.namespace.as_str());
            }
            Some(Place::Namespace) => {
                scopes.add(ScopeKey::Namespaces, Names::Every);
            }
            Some(Place::Cluster) | None => {}
        }
    }

    /// What a runbook may match. No stream may.
    fn pattern(&self) -> Pattern {
        if self.upgrade != Upgrade::None || self.content == Content::Opaque {
            return Pattern::Unmatchable;
        }
        let (mut api_groups, mut resources) = (Vec::new(), Vec::new());
        if let Some(about) = self.about() {
            api_groups.push(about.group.clone());
            resources.push(match about.subresource.as_str() {
                "" => about.resource.clone(),
                subresource => format!("{}/{subresource}", about.resource),
            });
        }
        let fields = self.content.fields();
        let methods = vec![self.method.name().to_owned()];
        Pattern::Kubernetes(KubernetesPattern { methods, api_groups, resources, fields })
    }
}

// === impl Malformed ===

impl Malformed {
    /// Returns the HTTP status that says so.
    pub fn status(&self) -> u16 {
        match self {
            Self::Long => 413,
            Self::Media(_) => 415,
            Self::Body(_) | Self::Header(_) | Self::Method | Self::Path(_) | Self::Query(_) => 400,
        }
    }

    /// Describes the request for its record: break-glass that nobody lets through.
    pub fn operation(&self, cluster: &str, method: &str, path: &str) -> Operation {
        let class = match self {
            Self::Body(_) | Self::Long | Self::Media(_) => Class::Unknown,
            Self::Header(_) | Self::Method | Self::Path(_) | Self::Query(_) => Class::Evasion,
        };
        let mut scopes = Scopes::default();
        scopes.add_name(ScopeKey::Clusters, cluster);
        scopes.add(ScopeKey::Namespaces, Names::Unknown);
        let reason = Reason {
            tier: Tier::UNKNOWN,
            rule: "kube:10".to_owned(),
            text: self.to_string(),
            word: None,
            at: None,
        };
        Operation {
            protocol: Protocol::Kubernetes,
            tier: Tier::UNKNOWN,
            class,
            scopes,
            overrides: Vec::new(),
            pattern: Pattern::Unmatchable,
            reasons: vec![reason],
            description: Description {
                command: Some("a request with no one reading".to_owned()),
                method: Some(method.chars().take(SHOWN_CHARS_MAX).collect()),
                path: Some(path.chars().take(SHOWN_CHARS_MAX).collect()),
                cluster: Some(cluster.to_owned()),
                ..Description::default()
            },
        }
    }

    pub(super) fn of_document(error: ManifestError) -> Self {
        match error {
            ManifestError::TooLong => Self::Long,
            error => Self::Body(error.to_string()),
        }
    }
}

// === impl About ===

impl About {
    /// Returns resource and subresource with the group, as kubectl writes them: `deployments.apps`,
    /// `pods/exec`.
    pub fn full(&self) -> String {
        let group = match self.group.as_str() {
            "" => String::new(),
            group => format!(".{group}"),
        };
        match self.subresource.as_str() {
            "" => format!("{}{group}", self.resource),
            subresource => format!("{}{group}/{subresource}", self.resource),
        }
    }
}

/// Whether the API server hands the request on to something else, whose query and body it is.
fn forwards(path: &str) -> bool {
    match super::target(path) {
        Some(super::Target::Resource(line)) => line.subresource == "proxy",
        Some(super::Target::NonResource(_)) | None => false,
    }
}

/// Reads what the connection is to become (threats K01, K02, K26).
fn upgrade(headers: &[(&str, &[u8])]) -> Result<Upgrade, Malformed> {
    let wished = one(headers, "upgrade")?;
    let mut told = false;
    for (_, value) in headers.iter().filter(|(name, _)| *name == "connection") {
        let text = std::str::from_utf8(value);
        let text = text.map_err(|_| Malformed::Header("a header that is not text"))?;
        told |= text.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    }
    match wished.map(str::trim) {
        None if told => Err(Malformed::Header("an upgrade to nothing")),
        None => Ok(Upgrade::None),
        Some(_) if !told => Err(Malformed::Header("an upgrade that the connection does not name")),
        Some(word) if word.eq_ignore_ascii_case("websocket") => Ok(Upgrade::WebSocket),
        Some(word) if word.eq_ignore_ascii_case("spdy/3.1") => Ok(Upgrade::Spdy),
        Some(word) if word.to_ascii_lowercase().starts_with("h2") => {
            Err(Malformed::Header("an upgrade to HTTP/2"))
        }
        Some(_) => Ok(Upgrade::Other),
    }
}

/// Returns a header that may stand once.
fn one<'a>(headers: &[(&str, &'a [u8])], name: &str) -> Result<Option<&'a str>, Malformed> {
    let mut values = headers.iter().filter(|(own, _)| *own == name).map(|(_, value)| *value);
    let first = values.next();
    if values.next().is_some() {
        return Err(Malformed::Header("a header that stands twice"));
    }
    let text = first.map(std::str::from_utf8).transpose();
    text.map_err(|_| Malformed::Header("a header that is not text"))
}

fn strictness(class: Class) -> u8 {
    match class {
        Class::Evasion => 4,
        Class::Unknown => 3,
        Class::Destroy => 2,
        Class::Identity => 1,
        Class::Session => 0,
    }
}

fn reason(verdict: &Verdict) -> Reason {
    Reason {
        tier: verdict.tier,
        rule: format!("kube:{}", verdict.rule),
        text: verdict.reason.to_owned(),
        word: None,
        at: None,
    }
}

/// The longest body: the API server takes 3 MiB, and what it does not take need not be read.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// The most that is said of a body: an operation keeps few reasons.
const RAISED_MAX: usize = 16;

/// The most of a path that nobody could read that is kept.
const SHOWN_CHARS_MAX: usize = 256;
