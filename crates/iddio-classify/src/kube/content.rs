//! The body of a request: in which form it comes, and what that form says.
//!
//! What it says it is decides how it is read, as the server does it; nothing is guessed. JSON with a
//! member named twice, YAML of several documents, a body that is compressed or in a form that is not
//! read here is refused, because what nobody read nobody judged (threats K09, K10).

use serde_json::Value;

use super::{Method, call::Malformed, cbor, document, info::About, protobuf, resource::Resource};

/// The body of a request, parsed.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A whole object, as far as the caller claims to own its fields: server-side apply.
    Apply(Value),
    /// There is none.
    Empty,
    /// A JSON patch: a list of operations.
    JsonPatch(Value),
    /// A JSON merge patch.
    MergePatch(Value),
    /// A whole object.
    Object(Value),
    /// Bytes for whatever the API server forwards them to.
    Opaque,
    /// A strategic merge patch.
    StrategicPatch(Value),
}

/// What the headers say of the body. A header that stands twice was refused before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'a> {
    /// `Content-Type`.
    pub(super) kind: Option<&'a str>,
    /// `Content-Encoding`.
    pub(super) encoding: Option<&'a str>,
}

/// Reads the body of a request that the API server answers itself.
pub(super) fn read(
    method: Method,
    said: Said<'_>,
    body: &[u8],
    about: Option<(&About, Option<&Resource>)>,
) -> Result<Content, Malformed> {
    if said.encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Malformed::Media("a body that is compressed".to_owned()));
    }
    if body.is_empty() {
        return match method {
            Method::Patch => Err(Malformed::Body("a patch of nothing".to_owned())),
            _ => Ok(Content::Empty),
        };
    }
    if matches!(method, Method::Get | Method::Head | Method::Options) {
        return Err(Malformed::Body("a read with a body".to_owned()));
    }
    let content = parse(method, media(said.kind)?, body)?;
    if let Some((about, resource)) = about {
        agrees(method, &content, about, resource)?;
    }
    Ok(content)
}

/// Returns the media type, without what may stand behind it.
fn media(kind: Option<&str>) -> Result<&str, Malformed> {
    let Some(kind) = kind else { return Ok("") };
    let (kind, rest) = kind.split_once(';').unwrap_or((kind, ""));
    let rest = rest.trim().to_ascii_lowercase();
    match rest.as_str() {
        "" | "charset=utf-8" | "charset=\"utf-8\"" => Ok(kind.trim()),
        _ => Err(Malformed::Media(format!("`{kind}` with `{rest}`"))),
    }
}

fn parse(method: Method, media: &str, body: &[u8]) -> Result<Content, Malformed> {
    let json = || document::one_json(body).map_err(Malformed::of_document);
    let yaml = || document::one_yaml(body).map_err(Malformed::of_document);
    let cbor = || cbor::one(body).map_err(Malformed::of_document);
    let content = match (method, media) {
        (Method::Patch, "application/json-patch+json") => Content::JsonPatch(json()?),
        (Method::Patch, "application/merge-patch+json") => Content::MergePatch(json()?),
        (Method::Patch, "application/strategic-merge-patch+json") => {
            Content::StrategicPatch(json()?)
        }
        (Method::Patch, "application/apply-patch+cbor") => Content::Apply(cbor()?),
        (Method::Patch, "application/apply-patch+yaml") => Content::Apply(yaml()?),
        (Method::Delete | Method::Post | Method::Put, "" | "application/json") => {
            Content::Object(json()?)
        }
        (Method::Delete | Method::Post | Method::Put, "application/yaml") => {
            Content::Object(yaml()?)
        }
        (Method::Delete | Method::Post | Method::Put, "application/cbor") => {
            Content::Object(cbor()?)
        }
        (Method::Delete | Method::Post | Method::Put, PROTOBUF) => {
            Content::Object(protobuf::one(body)?)
        }
        (_, media) => return Err(Malformed::Media(unread(media))),
    };
    let sound = match &content {
        Content::JsonPatch(value) => operations(value),
        Content::Apply(value)
        | Content::MergePatch(value)
        | Content::Object(value)
        | Content::StrategicPatch(value) => value.is_object(),
        Content::Empty | Content::Opaque => true,
    };
    match sound {
        true => Ok(content),
        false => Err(Malformed::Body("a body that is no object, or no list of changes".to_owned())),
    }
}

/// Says why a form is not read, and which would be.
fn unread(media: &str) -> String {
    let known = "send application/json or application/yaml";
    match media {
        "" => "a patch that does not say of which kind it is".to_owned(),
        media => format!("`{media}` cannot be judged here: {known}"),
    }
}

/// Whether a JSON patch is a list of operations of the six kinds, each with what it needs.
fn operations(value: &Value) -> bool {
    let Some(list) = value.as_array().filter(|list| list.len() <= OPERATIONS_MAX) else {
        return false;
    };
    let text = |operation: &Value, key: &str| operation.get(key).is_some_and(Value::is_string);
    list.iter().all(|operation| {
        let needs = match operation.get("op").and_then(Value::as_str) {
            Some("add" | "replace" | "test") => operation.get("value").is_some(),
            Some("remove") => true,
            Some("copy" | "move") => text(operation, "from"),
            _ => false,
        };
        needs && text(operation, "path")
    })
}

/// A whole object is of the kind, in the namespace and of the name that the path says, or says
/// nothing of it: the server refuses what disagrees, and so does this, because somebody may read the
/// one and somebody else the other.
fn agrees(
    method: Method,
    content: &Content,
    about: &About,
    resource: Option<&Resource>,
) -> Result<(), Malformed> {
    let (Content::Object(value) | Content::Apply(value)) = content else { return Ok(()) };
    let disagrees = |what: &str| Err(Malformed::Body(format!("{what} is not that of the path")));
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(Malformed::Body("a kind or a name that is no text".to_owned())),
    };
    let kind = text(value.get("kind"))?;
    let version = text(value.get("apiVersion"))?;
    if method == Method::Delete {
        return match kind.as_str() {
            "" | "DeleteOptions" => Ok(()),
            _ => Err(Malformed::Body("a delete whose body is no DeleteOptions".to_owned())),
        };
    }
    let main = about.subresource.is_empty();
    if let Some(resource) = resource.filter(|_| main) {
        let group = version.split_once('/').map_or("", |(group, _)| group);
        if !kind.is_empty() && !kind.eq_ignore_ascii_case(resource.kind) {
            return disagrees("the object's kind");
        }
        if !version.is_empty() && group != resource.group {
            return disagrees("the object's API group");
        }
    }
    let metadata = value.get("metadata").unwrap_or(&Value::Null);
    if !matches!(metadata, Value::Null | Value::Object(_)) {
        return Err(Malformed::Body("an object whose metadata is none".to_owned()));
    }
    let namespace = text(metadata.get("namespace"))?;
    let own = about.resource == "namespaces" && main;
    if !own && !namespace.is_empty() && namespace != about.namespace {
        return disagrees("the object's namespace");
    }
    let name = text(metadata.get("name"))?;
    let named = method != Method::Post && !name.is_empty();
    if named && name != about.name {
        return disagrees("the object's name");
    }
    Ok(())
}

// === impl Content ===

impl Content {
    /// Returns the fields it touches, as JSON pointers, where it says so by itself.
    pub(super) fn fields(&self) -> Option<Vec<String>> {
        match self {
            Self::JsonPatch(value) => pointers(value),
            Self::MergePatch(value) | Self::StrategicPatch(value) => {
                let mut fields = Vec::new();
                leaves(value, &mut String::new(), &mut fields)?;
                Some(fields)
            }
            Self::Apply(_) | Self::Empty | Self::Object(_) | Self::Opaque => None,
        }
    }
}

/// The fields of a JSON patch. A test touches none.
fn pointers(value: &Value) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    for operation in value.as_array()? {
        if operation.get("op")? == "test" {
            continue;
        }
        for key in ["path", "from"] {
            if let Some(pointer) = operation.get(key).and_then(Value::as_str) {
                // The whole object, or what is no pointer, is everything.
                let whole = !pointer.starts_with('/') || pointer.len() < 2;
                fields.push(Some(pointer).filter(|_| !whole)?.to_owned());
            }
        }
    }
    Some(fields)
}

/// The fields of a merge patch: what stands at the end of each path. Directives are everything.
fn leaves(value: &Value, path: &mut String, fields: &mut Vec<String>) -> Option<()> {
    match value.as_object().filter(|members| !members.is_empty()) {
        None if path.is_empty() => None,
        None if holds_directive(value) => None,
        None => {
            fields.push(path.clone());
            Some(())
        }
        Some(members) => members.iter().try_for_each(|(name, value)| {
            if name.starts_with('$') {
                return None;
            }
            let length = path.len();
            path.push('/');
            path.push_str(&name.replace('~', "~0").replace('/', "~1"));
            leaves(value, path, fields)?;
            path.truncate(length);
            Some(())
        }),
    }
}

fn holds_directive(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().any(holds_directive),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name.starts_with('$') || holds_directive(value))
        }
        _ => false,
    }
}

/// Kubernetes' protobuf form.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// As many operations as the API server takes.
const OPERATIONS_MAX: usize = 10_000;
