//! What kubectl's arguments ask the API server for.
//!
//! A command line is worth the highest tier of the requests it sends, so its arguments become
//! request lines and [`crate::kube`] judges those. What kubectl itself refuses or resolves on the
//! server is judged as if it went through.

use iddio_core::{
    operation::{KubernetesPattern, Names, Pattern, ScopeKey},
    tier::{Class, Tier},
};

use super::{
    NAMED_MAX,
    judge::Sum,
    line::Known,
    parse::{Given, Parsed, Word},
};
use crate::{
    catalog::{
        Catalog,
        format::{Command, Kube, KubeForm},
    },
    kube::{
        self, Line, ManifestFacts, Method, Target, body,
        manifest::{Home, Usage},
        resource,
    },
};

/// Adds what the requests come to, and returns what a runbook may match, if that is known.
pub(super) fn judge(
    catalog: &Catalog,
    kube: &Kube,
    parsed: &Parsed<'_>,
    sum: &mut Sum,
) -> Option<Pattern> {
    let Some(method) = Method::of(&kube.method) else {
        sum.add(Tier::UNKNOWN, Class::Unknown, "kube:10", "an unknown method", None);
        return None;
    };
    let raw = parsed.flags.iter().find(|given| given.flags.iter().any(|flag| flag.raw));
    if let Some(raw) = raw {
        raw_request(method, raw, sum);
        return None;
    }
    let asked = requests(kube, parsed);
    if NAMED_MAX < asked.len() {
        let text = "more requests than the limit";
        sum.add(Tier::UNKNOWN, Class::Unknown, "argv:limit", text, None);
        return None;
    }
    let bodies: Vec<_> = parsed
        .flags
        .iter()
        .filter(|given| given.flags.iter().any(|flag| flag.body))
        .filter_map(|given| given.value.as_ref())
        .collect();
    named_objects(kube, method, parsed, &asked, &bodies, sum);
    for body in bodies {
        if body.known != Known::Whole {
            let text = "a change that is not known before it runs";
            sum.add(Tier::Sensitive, Class::Unknown, "kube:7", text, Some(body.word));
        } else if let Some(verdict) = body::judge(&body.text) {
            add(sum, verdict, Some(body.word));
        }
    }
    if let Some(word) = kind_unknown(kube, parsed) {
        let text = "what kind of object it is about is not known before it runs";
        let tier = match method {
            Method::Delete => Tier::BreakGlass,
            _ => Tier::Sensitive,
        };
        sum.add(tier, Class::Unknown, "kube:9", text, Some(word));
    }
    if kube.form == KubeForm::TypesThenSettings {
        for word in &parsed.args {
            if let Some(verdict) = body::setting(&word.text) {
                add(sum, verdict, Some(word.word));
            }
        }
    }
    let cluster = asked.iter().all(|request| request.cluster);
    if cluster && !asked.is_empty() {
        sum.every.push(ScopeKey::Namespaces);
    }
    let plain = parsed.flags.iter().all(|given| {
        given.flags.len() == 1
            && given
                .flags
                .iter()
                .all(|flag| flag.input.is_none() && !flag.body && flag.tier.is_none())
    });
    let known = plain && !asked.is_empty() && asked.iter().all(|request| request.known);
    known.then(|| Pattern::Kubernetes(pattern(method, kube, &asked))).filter(|_| {
        // Without fields a write could be any write, which no runbook may match.
        catalog.name() == "kubectl"
    })
}

/// Adds what happens to each object that is named.
fn named_objects(
    kube: &Kube,
    method: Method,
    parsed: &Parsed<'_>,
    asked: &[Asked],
    bodies: &[&Word<'_>],
    sum: &mut Sum,
) {
    for request in asked {
        let schedules = request.resource == "nodes"
            && method == Method::Patch
            && (kube.fields == ["/spec/unschedulable"]
                || !bodies.is_empty() && bodies.iter().all(|body| only_unschedulable(&body.text)));
        let verdict = match schedules {
            true => kube::node_unschedulable(),
            false => kube::resource_request(method, &request.line(kube)),
        };
        add(sum, verdict, request.word);
        if kube.method == "GET"
            && parsed.path == "describe"
            && request.resource == "serviceaccounts"
        {
            let text = "describing a service account reads the Secrets of its namespace";
            sum.add(Tier::Sensitive, Class::Identity, "kube:5", text, request.word);
        }
    }
}

/// The word that names a kind of object and is not known, if there is one.
fn kind_unknown(kube: &Kube, parsed: &Parsed<'_>) -> Option<usize> {
    let first = parsed.args.first().filter(|_| kube.form != KubeForm::Fixed)?;
    let unknown = first.known != Known::Whole && !first.text.contains('/');
    unknown.then_some(first.word)
}

/// What a command does with the objects of its manifests.
pub(super) fn usage(command: Option<&Command>) -> Usage {
    let Some(kube) = command.and_then(|command| command.kube.as_ref()) else {
        return Usage::Apply;
    };
    match (kube.form, Method::of(&kube.method)) {
        // It makes something else of them.
        (KubeForm::Fixed, _) => Usage::Read,
        (_, Some(Method::Delete)) => Usage::Delete,
        (_, Some(Method::Get | Method::Head | Method::Options)) => Usage::Read,
        (_, Some(Method::Patch)) => Usage::Touch { subresource: kube.subresource.clone() },
        (_, Some(Method::Post)) => Usage::Create,
        (_, Some(Method::Put)) => Usage::Replace,
        (_, None) => Usage::Apply,
    }
}

/// Adds what happens to the objects of a manifest, and where they are.
pub(super) fn objects(facts: &ManifestFacts, usage: &Usage, word: usize, sum: &mut Sum) {
    let judged = facts.judged(usage);
    let least = judged.iter().map(|judged| judged.verdict.tier).max();
    for one in &judged {
        // The harmless ones are one reason together: an operation keeps few.
        if Tier::Modify < one.verdict.tier {
            let rule = format!("kube:{}", one.verdict.rule);
            sum.add(one.verdict.tier, one.verdict.class, &rule, &one.text, Some(word));
        }
    }
    if let Some(tier) = least.filter(|tier| *tier <= Tier::Modify) {
        let text = "what its objects come to";
        sum.add(tier, Class::Unknown, "kube:7", text, Some(word));
    }
    for object in &facts.objects {
        match object.home() {
            Home::Cluster => sum.every.push(ScopeKey::Namespaces),
            Home::Default => sum.implied.push(ScopeKey::Namespaces),
            Home::Namespace(name) => sum.scopes.add_name(ScopeKey::Namespaces, name),
            Home::Unknown => sum.scopes.add(ScopeKey::Namespaces, Names::Unknown),
        }
    }
    if facts.unreadable.is_some() {
        sum.scopes.add(ScopeKey::Namespaces, Names::Unknown);
    }
}

/// One request, by what it is for.
struct Asked {
    group: String,
    resource: String,
    /// Whether it names an object.
    named: bool,
    cluster: bool,
    known: bool,
    word: Option<usize>,
}

impl Asked {
    fn line<'a>(&'a self, kube: &'a Kube) -> Line<'a> {
        Line {
            group: &self.group,
            resource: &self.resource,
            name: if self.named { "x" } else { "" },
            subresource: &kube.subresource,
            ..Line::default()
        }
    }
}

/// The requests that the arguments name.
fn requests(kube: &Kube, parsed: &Parsed<'_>) -> Vec<Asked> {
    let selects = parsed
        .flags
        .iter()
        .any(|given| !given.is_off() && given.flags.iter().any(|flag| flag.selects));
    if kube.form == KubeForm::Fixed {
        let named = kube.method != "POST" && !selects;
        return kube.resource.split(',').map(|name| asked(name, named, None)).collect();
    }
    let settings = kube.form == KubeForm::TypesThenSettings;
    let setting = |text: &str| settings && (text.contains('=') || text.ends_with('-'));
    let words: Vec<_> = parsed.args.iter().filter(|word| !setting(&word.text)).collect();
    let Some(first) = words.first() else { return Vec::new() };
    if words.iter().any(|word| word.text.contains('/')) {
        let pair = |text: &str| text.split('/').next().unwrap_or("").to_owned();
        return words
            .iter()
            .map(|word| asked(&pair(&word.text), !selects, Some(word.word)))
            .collect();
    }
    let named = words.len() > 1 && !selects;
    first
        .text
        .split(',')
        .take(NAMED_MAX + 1)
        .flat_map(|name| match name {
            "all" => ALL.to_vec(),
            name => vec![name],
        })
        .map(|name| asked(name, named, Some(first.word)))
        .collect()
}

fn asked(name: &str, named: bool, word: Option<usize>) -> Asked {
    match resource::named(name) {
        Some(resource) => Asked {
            group: resource.group.to_owned(),
            resource: resource.plural.to_owned(),
            named,
            cluster: resource.place == resource::Place::Cluster,
            known: true,
            word,
        },
        None => Asked {
            group: "?".to_owned(),
            resource: name.to_owned(),
            named,
            cluster: false,
            known: false,
            word,
        },
    }
}

/// `--raw /api/…`: the path is judged as a gateway would judge it.
fn raw_request(method: Method, given: &Given<'_>, sum: &mut Sum) {
    let text = given.value.as_ref().map_or("", |value| &value.text);
    let path = text.split(['?', '#']).next().unwrap_or("");
    add(sum, kube::request(method.name(), path), Some(given.word));
    match kube::target(path) {
        Some(Target::Resource(line)) if !line.namespace.is_empty() => {
            sum.scopes.add_name(ScopeKey::Namespaces, line.namespace);
        }
        _ => sum.every.push(ScopeKey::Namespaces),
    }
}

fn add(sum: &mut Sum, verdict: kube::Verdict, word: Option<usize>) {
    let rule = format!("kube:{}", verdict.rule);
    sum.add(verdict.tier, verdict.class, &rule, verdict.reason, word);
}

fn pattern(method: Method, kube: &Kube, asked: &[Asked]) -> KubernetesPattern {
    let resource = |request: &Asked| match kube.subresource.as_str() {
        "" => request.resource.clone(),
        subresource => format!("{}/{subresource}", request.resource),
    };
    let mut api_groups: Vec<_> = asked.iter().map(|request| request.group.clone()).collect();
    let mut resources: Vec<_> = asked.iter().map(resource).collect();
    api_groups.sort();
    api_groups.dedup();
    resources.sort();
    resources.dedup();
    let fields = (!kube.fields.is_empty()).then(|| kube.fields.clone());
    KubernetesPattern { methods: vec![method.name().to_owned()], api_groups, resources, fields }
}

/// Whether a patch touches nothing of a node but whether it takes pods.
fn only_unschedulable(text: &str) -> bool {
    let Some(serde_json::Value::Object(body)) = body::read(text) else { return false };
    let spec = body.get("spec").and_then(serde_json::Value::as_object);
    body.len() == 1
        && spec.is_some_and(|spec| spec.len() == 1 && spec.contains_key("unschedulable"))
}

/// What `kubectl get all` asks for.
const ALL: [&str; 10] = [
    "pods",
    "replicationcontrollers",
    "services",
    "daemonsets.apps",
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "horizontalpodautoscalers.autoscaling",
    "cronjobs.batch",
    "jobs.batch",
];
