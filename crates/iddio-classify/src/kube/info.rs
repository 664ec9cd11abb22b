//! What a request is about, by the rules of Kubernetes' own request info.
//!
//! The server derives verb, group, resource, subresource, namespace and name from method, path and
//! query, and authorises by them. So does this, for every path that has one reading; the test
//! beside it holds an independent model of those rules against this one.

use super::{
    Line, Method, Target,
    call::Malformed,
    query::{Query, Watches, escaped},
    target,
};

/// What a request is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Info {
    /// The verb the server authorises: `get`, `list`, `deletecollection`; empty where it has none.
    pub verb: &'static str,
    /// What it is about; nothing where it is about no resource.
    pub resource: Option<About>,
}

/// The parts of a request for a resource. An empty part is not there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct About {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The namespace; of a namespace itself, its own name.
    pub namespace: String,
    /// The plural name of the resource.
    pub resource: String,
    /// The object's name, decoded.
    pub name: String,
    /// The subresource.
    pub subresource: String,
    /// Whether the path itself names one object, and not a selector.
    pub place: Named,
}

/// Where the name of an object comes from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Named {
    /// The path names an object.
    ByPath,
    /// A field selector names it: it is still a request for a collection.
    BySelector,
    /// Nothing names one.
    #[default]
    Not,
}

/// Derives what a request is about.
pub(super) fn info(method: Method, path: &str, query: &Query) -> Result<Info, Malformed> {
    let line = match target(path).ok_or(Malformed::Path("a path that could be read in two ways"))? {
        Target::NonResource(path) => {
            let first = path.split('/').nth(1).unwrap_or_default();
            let lower = first.to_ascii_lowercase();
            return match matches!(lower.as_str(), "api" | "apis") && lower != first {
                true => Err(Malformed::Path("a prefix of the API in upper case")),
                false => Ok(Info { verb: plain_verb(method), resource: None }),
            };
        }
        Target::Resource(line) => line,
    };
    let prefix = prefix(path);
    if line.resource.is_empty() {
        return Err(Malformed::Path("a prefix without a resource"));
    }
    let read = matches!(method, Method::Get | Method::Head);
    if prefix == Prefix::Watch && !read {
        return Err(Malformed::Path("a watch that is no GET"));
    }
    let name = decoded(line.name).ok_or(Malformed::Path("a name that is not text"))?;
    let mut about = about(&line, name);
    let verb = match prefix {
        Prefix::Proxy => {
            about.subresource = "proxy".to_owned();
            "proxy"
        }
        Prefix::Watch => "watch",
        Prefix::None => resource_verb(method, &mut about, query)?,
    };
    Ok(Info { verb, resource: Some(about) })
}

fn about(line: &Line<'_>, name: String) -> About {
    let own = line.resource == "namespaces" && line.namespace.is_empty();
    let namespace = if own { name.clone() } else { line.namespace.to_owned() };
    About {
        group: line.group.to_owned(),
        version: line.version.to_owned(),
        namespace,
        resource: line.resource.to_owned(),
        place: if name.is_empty() { Named::Not } else { Named::ByPath },
        name,
        subresource: line.subresource.to_owned(),
    }
}

/// The verb of a request for a resource. A field selector may still give it a name.
fn resource_verb(
    method: Method,
    about: &mut About,
    query: &Query,
) -> Result<&'static str, Malformed> {
    let collection = about.place == Named::Not;
    Ok(match (method, collection) {
        (Method::Get | Method::Head, true) => {
            if let Some(name) = query.selected_name()? {
                about.name = name;
                about.place = Named::BySelector;
            }
            match query.watches() {
                Watches::No => "list",
                Watches::Yes => "watch",
            }
        }
        (Method::Get | Method::Head, false) => "get",
        (Method::Delete, true) => "deletecollection",
        (Method::Delete, false) => "delete",
        (Method::Options, _) => "",
        (Method::Patch, _) => "patch",
        (Method::Post, _) => "create",
        (Method::Put, _) => "update",
    })
}

/// The verb of a request that is about no resource: its method.
fn plain_verb(method: Method) -> &'static str {
    match method {
        Method::Delete => "delete",
        Method::Get => "get",
        Method::Head => "head",
        Method::Options => "options",
        Method::Patch => "patch",
        Method::Post => "post",
        Method::Put => "put",
    }
}

/// The verbs that old paths carry in front of the resource.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Prefix {
    None,
    Proxy,
    Watch,
}

fn prefix(path: &str) -> Prefix {
    let mut parts = path.split('/').skip(1);
    let behind = if parts.next() == Some("apis") { 2 } else { 1 };
    match parts.nth(behind) {
        Some("proxy") => Prefix::Proxy,
        Some("watch") => Prefix::Watch,
        _ => Prefix::None,
    }
}

/// Decodes the escapes of a name; the path was looked at, so each stands for a printable letter.
fn decoded(name: &str) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    let mut parts = name.split('%');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (digits, rest) = part.as_bytes().split_first_chunk::<2>()?;
        text.push(char::from(escaped(digits)?));
        text.push_str(std::str::from_utf8(rest).ok()?);
    }
    Some(text)
}
