//! What agents of some kind need: data, compiled in, or written by the owner of a home.
//!
//! Every profile stands on the same base, which says what is never shown. INVARIANT: a profile adds; nothing that the
//! base hides or protects can be taken from it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use iddio_net::Destination;
use serde::Deserialize;

/// What an agent of some kind needs, the base included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What it is for, in a few words.
    pub summary: String,
    /// Programs that run through iddio.
    pub tools: Vec<String>,
    /// Below the home: to be read.
    pub read: Vec<PathBuf>,
    /// Below the home: to be read and written.
    pub write: Vec<PathBuf>,
    /// Below the home: to be read only, within what may be written.
    pub protect_home: Vec<PathBuf>,
    /// Below the home: never shown.
    pub hidden: Vec<PathBuf>,
    /// Of the host: never shown.
    pub hidden_system: Vec<PathBuf>,
    /// Below the workspace: to be read only.
    pub protect_workspace: Vec<PathBuf>,
    /// Variables of the caller's that it gets.
    pub pass: Vec<String>,
    /// Variables that it gets; a `~` in front stands for the home.
    pub set: BTreeMap<String, String>,
    /// What it may connect to.
    pub network: Vec<Destination>,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// There is none of that name.
    #[error("there is no profile `{}`: there are {known}", name.escape_debug())]
    Unknown {
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// It cannot be read.
    #[error("profile `{}`: {source}", path.display())]
    Io {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It does not say what a profile says.
    #[error("profile `{name}`: {reason}")]
    Text {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A profile as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    summary: String,
    #[serde(default)]
    programs: Vec<String>,
    #[serde(default)]
    tools: Vec<String>,
    #[serde(default)]
    home: WrittenHome,
    #[serde(default)]
    system: WrittenSystem,
    #[serde(default)]
    workspace: WrittenWorkspace,
    #[serde(default)]
    environment: WrittenEnvironment,
    #[serde(default)]
    network: WrittenNetwork,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenHome {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    protect: Vec<PathBuf>,
    hidden: Vec<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenSystem {
    hidden: Vec<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenWorkspace {
    protect: Vec<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenEnvironment {
    pass: Vec<String>,
    set: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenNetwork {
    allow: Vec<String>,
}

// === impl Profile ===

impl Profile {
    /// Returns the profile called `name`, from `directory` if there is one, or else compiled in.
    ///
    /// # Errors
    ///
    /// When there is none, or it does not say what a profile says.
    pub fn named(name: &str, directory: &Path) -> Result<Self, ProfileError> {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let plain = !name.is_empty() && name.bytes().all(sound);
        let own = directory.join(format!("{name}.toml"));
        if plain {
            match fs::read_to_string(&own) {
                Ok(text) => return Self::of(name, &text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(ProfileError::Io { path: own, source }),
            }
        }
        match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::of(name, text),
            None => Err(ProfileError::Unknown { name: name.to_owned(), known: known() }),
        }
    }

    /// Returns the profile that fits a program of this name; the plain one, if none does.
    ///
    /// # Errors
    ///
    /// When it does not say what a profile says.
    pub fn for_program(program: &str, directory: &Path) -> Result<Self, ProfileError> {
        let fits = |(name, text): &&(&str, &str)| {
            read(name, text).is_ok_and(|written| written.programs.iter().any(|p| p == program))
        };
        let name = BUILT_IN.iter().find(fits).map_or(PLAIN, |(name, _)| *name);
        Self::named(name, directory)
    }

    /// Reads a profile, and puts the base under it.
    fn of(name: &str, text: &str) -> Result<Self, ProfileError> {
        let (base, own) = (read("base", BASE)?, read(name, text)?);
        let wrong = |reason: String| ProfileError::Text { name: name.to_owned(), reason };
        let join = |base: Vec<PathBuf>, own: Vec<PathBuf>| -> Result<Vec<PathBuf>, ProfileError> {
            let all: Vec<_> = base.into_iter().chain(own).collect();
            match all.iter().find(|path| !is_below(path)) {
                Some(path) => Err(wrong(format!("`{}` leads elsewhere", path.display()))),
                None => Ok(all),
            }
        };
        let words = |base: Vec<String>, own: Vec<String>| base.into_iter().chain(own).collect();
        let tools: Vec<String> = words(base.tools, own.tools);
        if let Some(tool) = tools.iter().find(|tool| !is_program(tool)) {
            return Err(wrong(format!("`{}` is no name of a program", tool.escape_debug())));
        }
        let network = own.network.allow.iter().map(|text| text.parse());
        let mut set = base.environment.set;
        set.extend(own.environment.set);
        Ok(Self {
            name: name.to_owned(),
            summary: own.summary,
            tools,
            read: join(base.home.read, own.home.read)?,
            write: join(base.home.write, own.home.write)?,
            protect_home: join(base.home.protect, own.home.protect)?,
            hidden: join(base.home.hidden, own.home.hidden)?,
            hidden_system: {
                let all: Vec<_> = base.system.hidden.into_iter().chain(own.system.hidden).collect();
                if let Some(path) = all.iter().find(|path| !path.is_absolute()) {
                    return Err(wrong(format!("`{}` is no full path", path.display())));
                }
                all
            },
            protect_workspace: join(base.workspace.protect, own.workspace.protect)?,
            pass: words(base.environment.pass, own.environment.pass),
            set,
            network: network
                .collect::<Result<_, _>>()
                .map_err(|error: iddio_net::DestinationError| wrong(error.to_string()))?,
        })
    }
}

/// Returns the names of the profiles that are compiled in.
pub fn known() -> String {
    BUILT_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn read(name: &str, text: &str) -> Result<Written, ProfileError> {
    toml::from_str(text)
        .map_err(|error| ProfileError::Text { name: name.to_owned(), reason: error.to_string() })
}

/// Whether a name stays below what it is relative to.
fn is_below(path: &Path) -> bool {
    let plain = |component| matches!(component, Component::Normal(_));
    path.components().next().is_some() && path.components().all(plain)
}

fn is_program(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.bytes().all(sound)
}

/// The profile of a program that no other fits.
pub const PLAIN: &str = "shell";

const BASE: &str = include_str!("../../../policies/run/base.toml");

const BUILT_IN: [(&str, &str); 5] = [
    ("aider", include_str!("../../../policies/run/aider.toml")),
    ("claude", include_str!("../../../policies/run/claude.toml")),
    ("codex", include_str!("../../../policies/run/codex.toml")),
    ("gemini", include_str!("../../../policies/run/gemini.toml")),
    (PLAIN, include_str!("../../../policies/run/shell.toml")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_that_is_compiled_in_reads_and_hides_what_the_base_hides() {
        let nowhere = Path::new("/nonexistent");
        for (name, _) in BUILT_IN {
            let profile = Profile::named(name, nowhere).unwrap();
            for hidden in [".aws", ".kube", ".ssh", ".gnupg", ".config/gcloud", ".docker", ".iddio"]
            {
                assert!(
                    profile.hidden.iter().any(|path| path == Path::new(hidden)),
                    "{name} {hidden}"
                );
            }
            for shown in profile.read.iter().chain(&profile.write) {
                let covered = profile.hidden.iter().any(|hidden| shown.starts_with(hidden));
                assert!(!covered, "{name} shows {}", shown.display());
            }
            for tool in ["terraform", "kubectl", "helm", "aws", "ssh"] {
                assert!(profile.tools.iter().any(|known| known == tool), "{name} {tool}");
            }
        }
        assert_eq!(Profile::for_program("claude", nowhere).unwrap().name, "claude");
        assert_eq!(Profile::for_program("bash", nowhere).unwrap().name, "shell");
    }

    #[test]
    fn a_profile_that_leads_elsewhere_or_says_something_else_is_none() {
        for text in [
            "summary = 'x'\n[home]\nread = ['../other']\n",
            "summary = 'x'\n[home]\nwrite = ['/etc']\n",
            "summary = 'x'\n[home]\nwrite = ['']\n",
            "summary = 'x'\n[workspace]\nprotect = ['a/../../b']\n",
            "summary = 'x'\ntools = ['../sh']\n",
            "summary = 'x'\n[network]\nallow = ['everything']\n",
            "summary = 'x'\nunknown = 1\n",
            "",
        ] {
            assert!(Profile::of("x", text).is_err(), "{text}");
        }
        assert!(Profile::named("../shell", Path::new("/")).is_err());
    }
}
