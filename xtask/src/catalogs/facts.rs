//! What `facts.py` says: the CLI's command table, and the access levels that AWS publishes.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Everything there is to know before anybody judges.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    /// Versions of the packages it comes from.
    pub(crate) versions: BTreeMap<String, String>,
    /// Every command that can be run.
    pub(crate) commands: Vec<Fact>,
    /// Access levels, by source: the prefix of a permission, its name in lower case, its level.
    pub(crate) levels: Vec<BTreeMap<String, BTreeMap<String, String>>>,
}

/// A command of the CLI.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fact {
    /// Its words, parted by spaces.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// What the model says of the operation behind it.
    pub(crate) api: Option<Api>,
    pub(crate) arguments: BTreeMap<String, Arity>,
}

/// What a command is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A command of the CLI's own.
    Customisation,
    /// An operation of an API.
    Operation,
    /// One that asks until something has happened.
    Waiter,
}

/// An operation as its service's model describes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Api {
    /// Its name: `DescribeInstances`.
    pub(crate) operation: String,
    /// The method of its request.
    pub(crate) method: String,
    /// What its permissions may begin with.
    pub(crate) prefixes: Vec<String>,
    /// Members of its answer that the model marks as sensitive.
    pub(crate) sensitive: Vec<String>,
    /// Members of its answer named like a signed address.
    pub(crate) signed: Vec<String>,
}

/// What stands behind an option.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Arity {
    /// The name of a file that is written.
    File,
    /// Any number of values.
    Many,
    /// One value.
    One,
    /// It is no option but an argument.
    Place,
    /// It is an argument, and names a file that is written.
    PlaceFile,
    /// Nothing.
    Switch,
}
