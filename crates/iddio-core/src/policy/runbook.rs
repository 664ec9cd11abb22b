//! Runbooks: named patterns that are approved in advance.
//!
//! A runbook lowers the tier of what it matches to [`Tier::Operate`], if the native tier is at most
//! its cap. AND inside an operation, OR between operations. There are no conditions, no state and
//! no clock in a runbook: the same request always matches the same way.
//!
//! INVARIANT: break-glass is never lowered, whatever the cap says; a pattern never matches more
//! words, fields, methods or resources than it names (E16).

use std::{fmt, sync::Arc};

use super::pattern::{Glob, Globs};
use crate::{
    operation::{KubernetesPattern, Pattern},
    tier::Tier,
};

/// A named set of pre-approved operations.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Runbook {
    name: Arc<str>,
    cap: Tier,
    operations: Vec<RunbookOperation>,
}

/// One pre-approved operation. Everything it names must hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RunbookOperation {
    /// Command lines, word by word. One of them must match.
    Commands(Vec<WordList>),
    /// Kubernetes requests.
    Kubernetes(KubernetesOperation),
    /// MCP tools. One of them must match.
    Tools(Vec<ToolPattern>),
}

/// The words of a command, each a glob that stays inside its word.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WordList(pub Vec<Glob>);

/// An MCP tool, on any server or on those named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ToolPattern {
    /// The server. `None`: whichever the rule permits.
    pub server: Option<Glob>,
    /// The tool.
    pub tool: Glob,
}

/// A Kubernetes request, as it may be pre-approved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KubernetesOperation {
    /// The HTTP methods, upper case. Every method sent must be among them.
    pub methods: Vec<String>,
    /// The resources, as `deployments` or `deployments/scale`.
    pub resources: Globs,
    /// Subresources of the resources that are written without one; `""` is the resource itself.
    /// Empty: no subresource.
    pub subresources: Vec<String>,
    /// The API groups. `None`: those of Kubernetes itself, which no custom resource can be in.
    pub api_groups: Option<Globs>,
    /// The JSON pointers a write may touch, each with what is below it. A write names them; a
    /// DELETE, which touches none, may name an empty list.
    pub fields: Option<Vec<String>>,
}

/// Why a runbook is not one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RunbookError {
    /// A cap of break-glass, or of nothing.
    Cap,
    /// A write that does not name the fields it may touch.
    Fields,
    /// A field that is no JSON pointer, or the pointer to the whole object.
    Pointer,
    /// A command of no words, or an operation that names nothing.
    Empty,
}

// === impl Runbook ===

impl Runbook {
    /// Makes a runbook, unless it would approve more than it says.
    pub fn new(
        name: &str,
        cap: Tier,
        operations: Vec<RunbookOperation>,
    ) -> Result<Self, RunbookError> {
        if !(Tier::Operate..=RUNBOOK_CEILING).contains(&cap) {
            return Err(RunbookError::Cap);
        }
        if operations.is_empty() {
            return Err(RunbookError::Empty);
        }
        operations.iter().try_for_each(RunbookOperation::check)?;
        Ok(Self { name: name.into(), cap, operations })
    }

    /// Returns the name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns the greatest native tier it lowers.
    pub fn cap(&self) -> Tier {
        self.cap
    }

    /// Returns its operations.
    pub fn operations(&self) -> &[RunbookOperation] {
        &self.operations
    }

    /// Whether a request of this native tier and pattern is pre-approved.
    pub fn lowers(&self, native: Tier, pattern: &Pattern) -> bool {
        let lowerable = (Tier::Modify..=self.cap.min(RUNBOOK_CEILING)).contains(&native);
        lowerable && self.operations.iter().any(|operation| operation.matches(pattern))
    }
}

// === impl RunbookOperation ===

impl RunbookOperation {
    fn check(&self) -> Result<(), RunbookError> {
        match self {
            Self::Commands(lists) => {
                let empty = lists.is_empty() || lists.iter().any(|list| list.0.is_empty());
                if empty { Err(RunbookError::Empty) } else { Ok(()) }
            }
            Self::Kubernetes(operation) => operation.check(),
            Self::Tools(tools) if tools.is_empty() => Err(RunbookError::Empty),
            Self::Tools(_) => Ok(()),
        }
    }

    fn matches(&self, pattern: &Pattern) -> bool {
        match (self, pattern) {
            (Self::Commands(lists), Pattern::Command(words)) => {
                lists.iter().any(|list| list.matches(words))
            }
            (Self::Kubernetes(operation), Pattern::Kubernetes(request)) => {
                operation.matches(request)
            }
            (Self::Tools(tools), Pattern::Tool(server, tool)) => {
                tools.iter().any(|pattern| pattern.matches(server, tool))
            }
            (Self::Commands(_) | Self::Kubernetes(_) | Self::Tools(_), _) => false,
        }
    }
}

// === impl WordList ===

impl WordList {
    /// Word by word, and not one word more. A word that begins open never matches an option: what
    /// stands for a name must not become a flag.
    fn matches(&self, words: &[String]) -> bool {
        let word = |(glob, word): (&Glob, &String)| {
            let option = word.starts_with('-') && glob.begins_open();
            glob.covers(word) && !option && !steps_back(glob, word)
        };
        self.0.len() == words.len() && self.0.iter().zip(words).all(word)
    }
}

/// The lone `*` covers everything, so the step back is looked for here as well.
fn steps_back(glob: &Glob, word: &str) -> bool {
    glob.is_everything() && word.split(['/', '=']).any(|part| part == "..")
}

// === impl ToolPattern ===

impl ToolPattern {
    fn matches(&self, server: &str, tool: &str) -> bool {
        self.tool.covers(tool) && self.server.as_ref().is_none_or(|glob| glob.covers(server))
    }
}

// === impl KubernetesOperation ===

impl KubernetesOperation {
    fn check(&self) -> Result<(), RunbookError> {
        if self.methods.is_empty() || self.resources.iter().next().is_none() {
            return Err(RunbookError::Empty);
        }
        let pointer = |field: &String| {
            let sound = field.starts_with('/') && field.len() > 1 && !field.ends_with('/');
            let mut escapes = field.split('~').skip(1);
            sound && escapes.all(|rest| rest.starts_with(['0', '1']))
        };
        if !self.fields.iter().flatten().all(pointer) {
            return Err(RunbookError::Pointer);
        }
        let touches = self.methods.iter().any(|method| touches_fields(method));
        let writes = touches || self.methods.iter().any(|method| method == "DELETE");
        match &self.fields {
            None if writes => Err(RunbookError::Fields),
            Some(fields) if touches && fields.is_empty() => Err(RunbookError::Fields),
            _ => Ok(()),
        }
    }

    fn matches(&self, request: &KubernetesPattern) -> bool {
        let KubernetesPattern { methods, api_groups, resources, fields } = request;
        let named = !methods.is_empty() && !resources.is_empty() && !api_groups.is_empty();
        named
            && methods.iter().all(|method| self.methods.contains(method))
            && resources.iter().all(|resource| self.covers_resource(resource))
            && api_groups.iter().all(|group| self.covers_group(group))
            && self.covers_fields(methods, fields.as_deref())
    }

    fn covers_resource(&self, resource: &str) -> bool {
        let (main, sub) = resource.split_once('/').unwrap_or((resource, ""));
        let permitted = match self.subresources.as_slice() {
            [] => sub.is_empty(),
            named => named.iter().any(|name| name == sub),
        };
        self.resources.iter().any(|glob| match glob.as_str().contains('/') {
            true => glob.covers(resource),
            false => permitted && glob.covers(main),
        })
    }

    fn covers_group(&self, group: &str) -> bool {
        match &self.api_groups {
            Some(named) => named.covers(group) || (group.is_empty() && named.covers(CORE_GROUP)),
            None => !group.contains('.') || group.ends_with(".k8s.io"),
        }
    }

    /// A write that changes an object must say what it touches, and touch nothing that is not named.
    fn covers_fields(&self, methods: &[String], touched: Option<&[String]>) -> bool {
        if !methods.iter().any(|method| touches_fields(method)) {
            return true;
        }
        let covered = |pointer: &String| {
            self.fields.iter().flatten().any(|named| {
                let rest = pointer.strip_prefix(named.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        touched.is_some_and(|touched| !touched.is_empty() && touched.iter().all(covered))
    }
}

/// Whether a method changes fields of an object. An unknown one does.
fn touches_fields(method: &str) -> bool {
    !matches!(method, "GET" | "HEAD" | "OPTIONS" | "DELETE")
}

// === impl RunbookError ===

impl fmt::Display for RunbookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cap => "a runbook lowers tier 1 to 3",
            Self::Fields => "a write names the `fields` it may touch",
            Self::Pointer => "a field is a JSON pointer to part of an object",
            Self::Empty => "an operation names what it approves",
        })
    }
}

impl std::error::Error for RunbookError {}

/// The greatest tier any runbook lowers. Break-glass is never approved in advance.
pub const RUNBOOK_CEILING: Tier = Tier::Sensitive;

/// The greatest tier a runbook lowers that names no cap.
pub const RUNBOOK_CAP_DEFAULT: Tier = Tier::Modify;

/// How `api_groups` may spell the core group, whose name is empty.
pub const CORE_GROUP: &str = "core";
