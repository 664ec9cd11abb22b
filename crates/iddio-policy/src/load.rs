//! Bytes to a policy, or to everything that is wrong with them.

use std::{fmt, sync::Arc};

use iddio_core::{digest::Digest, policy::engine::Policy};

use crate::{
    file,
    limits::FILE_BYTES_MAX,
    model::Loaded,
    reader::Reader,
    source::{Diagnostic, Fault, Source},
    toml_tree,
    tree::Node,
    yaml,
};

/// The format of a policy file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// TOML 1.1.
    Toml,
    /// YAML 1.2 without anchors, aliases, merge keys or tags.
    Yaml,
}

/// A policy file that was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub struct PolicyError {
    /// What is wrong, first mistake first. Never empty.
    pub diagnostics: Vec<Diagnostic>,
}

/// The policy in force: the last one that was good.
///
/// INVARIANT: only [`Self::offer`] replaces it, and only with a file that loads. The holder is
/// plain data; whoever watches files and swaps policies atomically puts it behind a lock.
#[derive(Clone, Debug)]
pub struct LastGood(Arc<Loaded>);

/// What became of an offered file.
#[derive(Debug)]
#[must_use]
pub enum Reload {
    /// It is in force.
    Accepted {
        /// The policy that was in force.
        old: Digest,
        /// The policy that is.
        new: Digest,
    },
    /// It was refused; the old policy stays in force.
    Refused {
        /// The policy that stays in force.
        kept: Digest,
        /// The SHA-256 of what was offered.
        offered: Digest,
        /// What is wrong with it.
        error: PolicyError,
    },
}

/// Loads a policy. `name` is what the file is called in messages.
pub fn load(source: &[u8], format: Format, name: &str) -> Result<Loaded, PolicyError> {
    let text = text(source, name)?;
    let source = Source::new(name, text);
    let refuse = |faults: Vec<Fault>| refusal(&source, faults);
    let root = tree(&source, format)?;
    let mut reader = Reader::default();
    let said = file::read(&mut reader, &source, &root);
    let faults = reader.faults;
    let Some(said) = said.filter(|_| faults.is_empty()) else { return Err(refuse(faults)) };
    let compiled = Policy::compile(said.spec.clone());
    let policy = compiled.map_err(|error| refuse(vec![whole(error.to_string(), "")]))?;
    Ok(Loaded {
        policy,
        version: said.spec.version,
        name: name.to_owned(),
        groups: said.spec.groups.iter().cloned().collect(),
        spec: said.spec,
        trusted: said.trusted,
        inspect: said.inspect,
        places: said.places,
    })
}

/// Parses the text into a tree.
pub(crate) fn tree(source: &Source<'_>, format: Format) -> Result<Node, PolicyError> {
    let root = match format {
        Format::Toml => toml_tree::parse(source),
        Format::Yaml => yaml::parse(source),
    };
    root.map_err(|fault| refusal(source, vec![fault]))
}

/// Makes the error of a file with faults.
pub(crate) fn refusal(source: &Source<'_>, mut faults: Vec<Fault>) -> PolicyError {
    faults.sort_by_key(|fault| fault.span.start);
    let diagnostics = faults.into_iter().map(|fault| source.diagnose(fault)).collect();
    PolicyError { diagnostics }
}

/// Returns the text, if it is text that can be a policy.
pub(crate) fn text<'a>(source: &'a [u8], name: &str) -> Result<&'a str, PolicyError> {
    let refuse = |text: &str, fault: Fault| {
        let diagnostics = vec![Source::new(name, text).diagnose(fault)];
        PolicyError { diagnostics }
    };
    if FILE_BYTES_MAX < source.len() {
        let message = format!("the file is larger than {} MiB", FILE_BYTES_MAX >> 20);
        return Err(refuse("", whole(message, "a smaller policy")));
    }
    let text = match std::str::from_utf8(source) {
        Ok(text) => text,
        Err(error) => {
            let sound = source.get(..error.valid_up_to()).unwrap_or_default();
            let sound = std::str::from_utf8(sound).unwrap_or_default();
            let end = sound.len();
            let fault = Fault { span: end..end, ..whole("not UTF-8".to_owned(), "UTF-8 text") };
            return Err(refuse(sound, fault));
        }
    };
    if text.starts_with('\u{feff}') {
        let hint = "save the file as UTF-8 without it";
        return Err(refuse(text, whole("the file begins with a byte order mark".to_owned(), hint)));
    }
    let foreign =
        |character: char| character.is_control() && !matches!(character, '\n' | '\r' | '\t');
    if let Some(at) = text.find(foreign) {
        let fault = whole("a control character".to_owned(), "printable text");
        return Err(refuse(text, Fault { span: at..at, ..fault }));
    }
    Ok(text)
}

fn whole(message: String, expected: &str) -> Fault {
    Fault { span: 0..0, message, expected: expected.to_owned() }
}

// === impl Format ===

impl Format {
    /// Returns the format that a file name tells: TOML for `.toml`, else YAML.
    pub fn of_name(name: &str) -> Self {
        if name.ends_with(".toml") { Self::Toml } else { Self::Yaml }
    }
}

// === impl PolicyError ===

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, diagnostic) in self.diagnostics.iter().enumerate() {
            let newline = if place == 0 { "" } else { "\n" };
            write!(f, "{newline}{diagnostic}")?;
        }
        Ok(())
    }
}

// === impl LastGood ===

impl LastGood {
    /// Starts with a policy. There is no holder without one: no valid file, no service.
    pub fn new(first: Loaded) -> Self {
        Self(Arc::new(first))
    }

    /// Returns the policy in force. Who holds it keeps it, whatever is offered later.
    pub fn current(&self) -> Arc<Loaded> {
        self.0.clone()
    }

    /// Puts a file in force if it loads, and keeps the last good policy if not.
    pub fn offer(&mut self, source: &[u8], format: Format, name: &str) -> Reload {
        let old = self.0.version;
        match load(source, format, name) {
            Ok(loaded) => {
                let new = loaded.version;
                self.0 = Arc::new(loaded);
                Reload::Accepted { old, new }
            }
            Err(error) => Reload::Refused { kept: old, offered: Digest::of_bytes(source), error },
        }
    }
}
