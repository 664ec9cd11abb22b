//! What a tool would find out by itself: its workspace, namespace, region.
//!
//! The catalog says where to look; this looks, and the names are judged and pinned into the child.
//! What cannot be established stays unknown, which only the pattern `*` covers.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use iddio_classify::command::{FactSource, FactWanted};
use iddio_core::operation::{Names, Scopes};
use serde_json::Value;

use crate::reach::{Found, Reach};

/// Where to look.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The directory the tool works in.
    pub directory: &'a Path,
    /// The home directory that the user database names.
    pub user_home: &'a Path,
    /// The caller's environment.
    pub environment: &'a BTreeMap<OsString, OsString>,
    /// What of it may be looked at.
    pub reach: &'a Reach,
}

/// Looks up every name the catalog wants.
pub fn establish(wanted: &[FactWanted], around: &Surroundings<'_>) -> Scopes {
    let mut scopes = Scopes::default();
    for fact in wanted {
        let name = fact.sources.iter().find_map(|source| around.look(source));
        scopes.add(fact.scope, name.unwrap_or(Names::Unknown));
    }
    scopes
}

// === impl Surroundings ===

impl Surroundings<'_> {
    /// Returns what one source says; `None` passes the question on to the next. A source that is
    /// there and cannot be understood answers that the name is unknown.
    fn look(&self, source: &FactSource) -> Option<Names> {
        match source {
            FactSource::Literal(name) => Some(known(name)),
            FactSource::Variable(name) => {
                let value = self.variable(name)?;
                Some(value.into_string().map_or(Names::Unknown, |value| known(&value)))
            }
            FactSource::File(path) => match self.reach.read(&self.directory.join(path)) {
                Found::Missing => None,
                Found::Text(text) if text.trim().is_empty() => None,
                Found::Text(text) => Some(known(text.trim())),
                Found::Unreadable => Some(Names::Unknown),
            },
            FactSource::Ini { path, key } => match self.reach.read(&self.path(path)) {
                Found::Missing => None,
                Found::Text(text) => ini(&text, &self.profile(), key).map(|name| known(&name)),
                Found::Unreadable => Some(Names::Unknown),
            },
            FactSource::Kubeconfig(field) => self.kubeconfig(field),
        }
    }

    /// Returns the path that a catalog names: `~/…` is below the user's home.
    pub fn path(&self, path: &str) -> PathBuf {
        match path.strip_prefix("~/") {
            Some(rest) => self.user_home.join(rest),
            None => self.directory.join(path),
        }
    }

    /// Returns a variable of the caller's, if it is not empty.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        let value = self.environment.get(std::ffi::OsStr::new(name))?;
        (!value.is_empty()).then(|| value.clone())
    }

    fn profile(&self) -> String {
        let named = self.variable("AWS_PROFILE").or_else(|| self.variable("AWS_DEFAULT_PROFILE"));
        named.and_then(|name| name.into_string().ok()).unwrap_or_else(|| "default".to_owned())
    }

    /// Reads the one kubeconfig that kubectl would. Several, merged, are not followed: unknown.
    fn kubeconfig(&self, field: &str) -> Option<Names> {
        let path = match self.variable("KUBECONFIG") {
            Some(paths) => PathBuf::from(paths),
            None => self.user_home.join(".kube/config"),
        };
        let text = match self.reach.read(&path) {
            Found::Missing => return None,
            Found::Text(text) => text,
            Found::Unreadable => return Some(Names::Unknown),
        };
        let Some(config) = yaml(&text) else { return Some(Names::Unknown) };
        let current = config.get("current-context").and_then(Value::as_str).unwrap_or_default();
        if field == "context" {
            return (!current.is_empty()).then(|| known(current));
        }
        let contexts = config.get("contexts").and_then(Value::as_array)?;
        let named = |context: &&Value| context.get("name").and_then(Value::as_str) == Some(current);
        let context = contexts.iter().find(named)?.get("context")?;
        context.get(field).and_then(Value::as_str).filter(|name| !name.is_empty()).map(known)
    }
}

/// Reads YAML or JSON, strictly, or returns `None`.
pub(crate) fn yaml(text: &str) -> Option<Value> {
    serde_saphyr::from_str(text).ok()
}

/// Returns the value of `key` in the section of `profile`, as the AWS CLI names sections.
fn ini(text: &str, profile: &str, key: &str) -> Option<String> {
    let sections = [format!("[{profile}]"), format!("[profile {profile}]")];
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = sections.iter().any(|section| section == line);
        } else if inside
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == key
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

fn known(name: &str) -> Names {
    Names::Known(vec![name.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profiles_section_answers_for_that_profile_alone() {
        let text = "[default]\nregion = eu-west-1\n[profile prod]\nregion=us-east-1\n";
        assert_eq!(ini(text, "default", "region").as_deref(), Some("eu-west-1"));
        assert_eq!(ini(text, "prod", "region").as_deref(), Some("us-east-1"));
        assert_eq!(ini(text, "other", "region"), None);
    }
}
