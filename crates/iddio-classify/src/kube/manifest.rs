//! Manifests: the objects that a file for kubectl holds, and what doing something with them means.
//!
//! Reading is apart from judging: the same objects are read, written or deleted by different
//! commands ([`Usage`]). An object is worth its request line and, where it is written, everything
//! its fields raise. What no reader or not every reader takes alike is break-glass.

use iddio_core::{
    operation::Effect,
    tier::{Class, Tier},
};
use serde_json::Value;

pub use super::document::ManifestError;
use super::{
    Line, Method, Verdict, body, document,
    pod::{self, Found, Scene},
    resource::{self, Place, Resource},
    resource_request,
};

/// What a manifest holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ManifestFacts {
    /// Its objects, lists taken apart.
    pub objects: Vec<ObjectFacts>,
    /// What it raises as the body of a change.
    pub patch: Option<Verdict>,
    /// Why it, or a part of it, cannot be read. It is break-glass then.
    pub unreadable: Option<String>,
}

/// What one object is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ObjectFacts {
    /// Its API group; empty for the core group.
    pub group: String,
    /// Its kind, as written.
    pub kind: String,
    /// The namespace it names.
    pub namespace: Option<String>,
    /// Its name, if it has one already.
    pub name: Option<String>,
    /// What its fields raise when it is written.
    pub found: Vec<Found>,
    resource: Option<&'static Resource>,
}

/// Where an object lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Home<'a> {
    /// In the cluster as a whole.
    Cluster,
    /// In the namespace that the command or the context names.
    Default,
    /// In this namespace.
    Namespace(&'a str),
    /// Its kind is not known: in the cluster or in the namespace of the command.
    Unknown,
}

/// What a command does with the objects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Usage {
    /// Creates or changes them.
    Apply,
    /// Creates them.
    Create,
    /// Deletes them.
    Delete,
    /// It is the body of a change.
    Patch,
    /// Reads them, or takes from them what something else is made of.
    Read,
    /// Replaces them.
    Replace,
    /// Changes something of them that the manifest does not say, through a subresource or not.
    Touch {
        /// The subresource, or nothing.
        subresource: String,
    },
}

/// One thing that happens, and why it has its tier.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct Judged {
    /// What it comes to.
    pub verdict: Verdict,
    /// The object, and what about it decides.
    pub text: String,
    /// How kubectl's diff would mark it.
    pub sign: &'static str,
}

/// Reads a manifest.
///
/// # Errors
///
/// When it is not what every reader takes alike, or is too large.
pub fn manifest(text: &[u8]) -> Result<ManifestFacts, ManifestError> {
    let mut facts = ManifestFacts::default();
    for document in document::documents(text)? {
        collect(&document, "", &mut facts.objects)?;
    }
    Ok(facts)
}

/// Judges one whole object: what its fields raise when it is written.
pub fn object(value: &Value) -> Result<ObjectFacts, ManifestError> {
    one(value, "")
}

/// Adds an object, or those of a list; `kind` is what an element is that does not say so.
fn collect(value: &Value, kind: &str, objects: &mut Vec<ObjectFacts>) -> Result<(), ManifestError> {
    let own = value.get("kind").and_then(Value::as_str).unwrap_or(kind);
    let items = value.get("items").and_then(Value::as_array);
    match (own.strip_suffix("List"), items) {
        (Some(element), Some(items)) => {
            items.iter().try_for_each(|item| collect(item, element, objects))
        }
        _ if OBJECTS_MAX <= objects.len() => Err(ManifestError::TooMany),
        _ => {
            objects.push(one(value, kind)?);
            Ok(())
        }
    }
}

fn one(value: &Value, kind: &str) -> Result<ObjectFacts, ManifestError> {
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(ManifestError::NoObject),
    };
    let kind = text(value.get("kind"))?.unwrap_or_else(|| kind.to_owned());
    let version = text(value.get("apiVersion"))?;
    if kind.is_empty() || !value.is_object() {
        return Err(ManifestError::NoObject);
    }
    let group = match version.as_deref().map(|version| version.split_once('/')) {
        None | Some(None) => String::new(),
        Some(Some((group, _))) => group.to_owned(),
    };
    let metadata = value.get("metadata").unwrap_or(&Value::Null);
    if !matches!(metadata, Value::Null | Value::Object(_)) {
        return Err(ManifestError::NoObject);
    }
    let namespace = text(metadata.get("namespace"))?.filter(|name| !name.is_empty());
    let name = text(metadata.get("name"))?;
    let resource = resource::of_kind(&kind, &group);
    let mut facts = ObjectFacts { group, kind, namespace, name, found: Vec::new(), resource };
    facts.look(value);
    Ok(facts)
}

// === impl ManifestFacts ===

impl ManifestFacts {
    /// What is known of a manifest that cannot be read.
    pub fn unreadable(why: impl Into<String>) -> Self {
        Self { unreadable: Some(why.into()), ..Self::default() }
    }

    /// Reads a manifest for `usage`; what cannot be read is break-glass, never an error.
    pub fn of(text: &[u8], usage: &Usage) -> Self {
        if *usage == Usage::Patch {
            let verdict = match std::str::from_utf8(text) {
                Ok(text) => body::judge(text),
                Err(_) => return Self::unreadable(ManifestError::NotText.to_string()),
            };
            return Self { patch: verdict, ..Self::default() };
        }
        manifest(text).unwrap_or_else(|error| Self::unreadable(error.to_string()))
    }

    /// Adds what another file of the same directory holds.
    pub fn join(&mut self, other: Self) {
        self.objects.extend(other.objects);
        self.patch = self.patch.max(other.patch);
        if self.unreadable.is_none() {
            self.unreadable = other.unreadable;
        }
        if OBJECTS_MAX < self.objects.len() {
            self.objects.truncate(OBJECTS_MAX);
            self.unreadable = Some(ManifestError::TooMany.to_string());
        }
    }

    /// Returns everything that happens, worst first.
    pub fn judged(&self, usage: &Usage) -> Vec<Judged> {
        let sign = usage.sign();
        let mut all: Vec<_> = self.objects.iter().map(|object| object.judged(usage)).collect();
        all.extend(self.patch.map(|verdict| {
            let text = format!("the patch: {}", verdict.reason);
            Judged { verdict, text, sign }
        }));
        all.extend(self.unreadable.as_ref().map(|why| {
            let reason = "a manifest that cannot be read";
            let (tier, class) = (Tier::UNKNOWN, Class::Unknown);
            let verdict = Verdict { tier, class, rule: 10, reason };
            Judged { verdict, text: format!("{reason}: {why}"), sign: "!" }
        }));
        all.sort_by_key(|judged| std::cmp::Reverse(judged.verdict.tier));
        all
    }

    /// Returns the same for an approver.
    pub fn effects(&self, usage: &Usage) -> Vec<Effect> {
        let effect = |judged: Judged| {
            let (tier, sign) = (judged.verdict.tier, judged.sign.to_owned());
            Effect { tier, sign, text: judged.text }
        };
        self.judged(usage).into_iter().map(effect).collect()
    }
}

// === impl ObjectFacts ===

impl ObjectFacts {
    /// Returns where it lives.
    pub fn home(&self) -> Home<'_> {
        match (self.resource.map(|resource| resource.place), &self.namespace) {
            (Some(Place::Cluster), _) => Home::Cluster,
            (_, Some(namespace)) => Home::Namespace(namespace),
            (Some(Place::Namespace), None) => Home::Default,
            (None, None) => Home::Unknown,
        }
    }

    /// Returns what doing this with it comes to.
    pub fn judged(&self, usage: &Usage) -> Judged {
        let request = self.request(usage);
        let written = matches!(usage, Usage::Apply | Usage::Create | Usage::Replace);
        let worst = self.found.iter().filter(|_| written).max_by_key(|found| found.verdict);
        let (verdict, why) = match worst {
            Some(found) if request.tier <= found.verdict.tier => {
                (found.verdict, format!("{} ({})", found.verdict.reason, found.path))
            }
            _ => (request, request.reason.to_owned()),
        };
        let text = format!("{}: {why}", self.shown());
        Judged { verdict, text, sign: usage.sign() }
    }

    /// What people call it: kind, namespace and name.
    fn shown(&self) -> String {
        let name = self.name.as_deref().unwrap_or("(a new name)");
        match self.home() {
            Home::Namespace(namespace) => format!("{} {namespace}/{name}", self.kind),
            _ => format!("{} {name}", self.kind),
        }
    }

    fn request(&self, usage: &Usage) -> Verdict {
        let (method, subresource) = match usage {
            Usage::Apply | Usage::Patch => (Method::Patch, ""),
            Usage::Create => (Method::Post, ""),
            Usage::Delete => (Method::Delete, ""),
            Usage::Read => (Method::Get, ""),
            Usage::Replace => (Method::Put, ""),
            Usage::Touch { subresource } => (Method::Patch, subresource.as_str()),
        };
        let line = Line {
            group: self.resource.map_or(self.group.as_str(), |resource| resource.group),
            resource: self.resource.map_or("?", |resource| resource.plural),
            name: if method == Method::Post { "" } else { "x" },
            subresource,
            ..Line::default()
        };
        resource_request(method, &line)
    }

    /// Looks at the fields, as far as an object of its kind can have them: the server drops the
    /// rest.
    fn look(&mut self, value: &Value) {
        self.found = match self.resource {
            Some(resource) if !WORKLOADS.contains(&resource.plural) => {
                let whole = ["metadata", "rules", "roleRef", "aggregationRule"];
                let mut found: Vec<_> = whole
                    .into_iter()
                    .filter_map(|key| value.get(key))
                    .flat_map(|part| pod::look(part, Scene::Whole))
                    .collect();
                let spec = value.get("spec").and_then(|spec| spec.get("externalIPs"));
                let taken =
                    spec.and_then(|spec| pod::member("spec", "externalIPs", spec, Scene::Whole));
                let path = "spec.externalIPs".to_owned();
                found.extend(taken.map(|verdict| Found { verdict, path }));
                found.extend(grants(resource, value));
                found
            }
            _ => pod::look(value, Scene::Whole),
        };
        let strong = self.namespace.as_deref() == Some("kube-system");
        for found in self.found.iter_mut().filter(|_| strong) {
            if found.verdict.reason == "another service account" {
                found.verdict.tier = Tier::BreakGlass;
                found.verdict.reason = "a service account of kube-system";
            }
        }
    }
}

/// What a role or a binding gives, for people: its request is break-glass already (threat K13).
fn grants(resource: &Resource, value: &Value) -> Option<Found> {
    let (reason, path) = match resource.plural {
        "roles" | "clusterroles" => {
            let rules = value.get("rules").and_then(Value::as_array)?;
            let verbs = rules.iter().filter_map(|rule| rule.get("verbs")?.as_array()).flatten();
            let verb = verbs
                .filter_map(Value::as_str)
                .find(|verb| ["escalate", "bind", "impersonate", "*"].contains(verb))?;
            match verb {
                "*" => ("may do everything to something", "rules.verbs"),
                _ => ("may give itself more rights", "rules.verbs"),
            }
        }
        "rolebindings" | "clusterrolebindings"
            if value.get("roleRef")?.get("name")? == "cluster-admin" =>
        {
            ("makes somebody an administrator of the cluster", "roleRef.name")
        }
        _ => return None,
    };
    let (tier, class) = (Tier::BreakGlass, Class::Identity);
    Some(Found { verdict: Verdict { tier, class, rule: 7, reason }, path: path.to_owned() })
}

// === impl Usage ===

impl Usage {
    fn sign(&self) -> &'static str {
        match self {
            Self::Apply => "+~",
            Self::Create => "+",
            Self::Delete => "-",
            Self::Read => "<=",
            Self::Patch | Self::Replace | Self::Touch { .. } => "~",
        }
    }
}

/// The resources whose objects hold pods: a field anywhere in one counts.
pub(super) const WORKLOADS: [&str; 10] = [
    "controllerrevisions",
    "cronjobs",
    "daemonsets",
    "deployments",
    "jobs",
    "pods",
    "podtemplates",
    "replicasets",
    "replicationcontrollers",
    "statefulsets",
];

/// The most objects of a manifest: somebody has to be able to look at them.
pub(crate) const OBJECTS_MAX: usize = 4096;
