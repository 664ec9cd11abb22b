//! The store of agents: names, hashed tokens, on whose behalf.
//!
//! A token is shown once and stored only as a hash. Revoking takes effect on the next look.

use std::{collections::HashMap, fs, io, os::unix::fs::DirBuilderExt, path::Path};

use iddio_core::{digest::Digest, principal::PrincipalId};
use iddio_mint::token::{Token, TokenHash, TokenMatch};
use serde::{Deserialize, Serialize};

use crate::{
    home::Home,
    store::{self, StoreError},
};

/// An agent that was registered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its name, as policy's `agents:` has it.
    pub name: String,
    /// The hash of its token, hexadecimal.
    pub token: String,
    /// On whose behalf it acts: who registered it.
    pub on_behalf_of: String,
    /// The groups and roles policy may name.
    #[serde(default)]
    pub groups: Vec<String>,
    /// When it was registered, RFC 3339.
    pub since: String,
    /// The certificate that is good for it. Any other is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<AgentCertificate>,
    /// When it was revoked, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

/// The agents who are not revoked, as their store had them: found by what a token hashes to.
#[derive(Debug, Default)]
pub struct Roll {
    agents: Vec<(TokenHash, Agent)>,
    by_hash: HashMap<u64, Vec<usize>>,
    version: Option<Digest>,
}

/// What is known of an agent's certificate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AgentCertificate {
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// When it ends, RFC 3339.
    pub until: String,
}

/// Why an agent could not be registered, rotated or revoked.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The name is taken.
    #[error("agent `{0}` exists already")]
    Exists(String),
    /// The token could not be put where the agent finds it.
    #[error("token of `{name}`: {source}")]
    Handover {
        /// Which agent.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// The name cannot be one.
    #[error(
        "`{0}` is no agent name: use 1 to 64 of a-z A-Z 0-9 . _ -, beginning with a letter or digit"
    )]
    Name(String),
    /// The kernel gave no random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such agent, or it was revoked.
    #[error("no agent `{0}`")]
    Unknown(String),
}

/// The agents of a home.
#[derive(Debug)]
pub struct Agents<'a> {
    home: &'a Home,
}

// === impl Agent ===

impl Agent {
    /// Whether `token` is this agent's, compared in constant time.
    fn verifies(&self, token: &Token) -> bool {
        let stored = TokenHash::from_hex(&self.token);
        stored.is_some_and(|stored| stored.matches(token) == TokenMatch::Same)
    }
}

// === impl Roll ===

impl Roll {
    /// Reads the store at `path`; one that is not there is empty.
    ///
    /// # Errors
    ///
    /// With the reason why nobody can be told from anybody.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let Some(bytes) = store::read_bytes(path).map_err(|error| error.to_string())? else {
            return Ok(Self::default());
        };
        let damaged = |error| format!("`{}` is damaged: {error}", path.display());
        let stored: Stored = serde_json::from_slice(&bytes).map_err(damaged)?;
        let live = stored.agents.into_iter().filter(|agent| agent.revoked.is_none());
        let mut roll = Self { version: Some(Digest::of_bytes(&bytes)), ..Self::default() };
        for agent in live {
            let Some(hash) = TokenHash::from_hex(&agent.token) else { continue };
            roll.by_hash.entry(hash.shelf()).or_default().push(roll.agents.len());
            roll.agents.push((hash, agent));
        }
        Ok(roll)
    }

    /// Returns the agent whose token this is.
    pub fn bearer(&self, token: &Token) -> Option<&Agent> {
        let hash = token.hash();
        let shelf = self.by_hash.get(&hash.shelf()).into_iter().flatten();
        let mut known = shelf.filter_map(|index| self.agents.get(*index));
        known.find(|(known, _)| known.is(&hash) == TokenMatch::Same).map(|(_, agent)| agent)
    }

    /// Returns the agent of this name.
    pub fn named(&self, name: &str) -> Option<&Agent> {
        self.agents.iter().map(|(_, agent)| agent).find(|agent| agent.name == name)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.agents.len()
    }

    /// The digest of the store.
    pub fn version(&self) -> Digest {
        self.version.unwrap_or_else(|| Digest::of_bytes(b""))
    }
}

// === impl Agents ===

impl<'a> Agents<'a> {
    /// Takes the agents of `home`.
    pub fn of(home: &'a Home) -> Self {
        Self { home }
    }

    /// Returns every agent, revoked ones too.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<Agent>, StoreError> {
        store::read::<Stored>(&self.home.agents()).map(|stored| stored.agents)
    }

    /// Returns the agent whose token this is, unless it was revoked.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn bearer(&self, token: &Token) -> Result<Option<Agent>, StoreError> {
        let live = |agent: &Agent| agent.revoked.is_none();
        let agents = self.list()?;
        Ok(agents.into_iter().find(|agent| live(agent) && agent.verifies(token)))
    }

    /// Notes the one certificate that is good for an agent from now on.
    ///
    /// # Errors
    ///
    /// When there is no such agent, or nothing can be stored.
    pub fn certify(&self, name: &str, certificate: AgentCertificate) -> Result<(), AgentError> {
        let _lock = store::lock(&self.lock_path())?;
        let mut stored: Stored = store::read(&self.home.agents())?;
        live(&mut stored.agents, name)?.certificate = Some(certificate);
        Ok(store::write(&self.home.agents(), &stored)?)
    }

    /// Registers an agent and returns its token. `now` is RFC 3339.
    ///
    /// # Errors
    ///
    /// When the name is unfit or taken, or nothing can be stored.
    pub fn add(&self, name: &str, groups: Vec<String>, now: &str) -> Result<Token, AgentError> {
        if !is_name(name) {
            return Err(AgentError::Name(name.to_owned()));
        }
        self.change(name, |agents| {
            if agents.iter().any(|agent| agent.name == name) {
                return Err(AgentError::Exists(name.to_owned()));
            }
            let token = draw()?;
            let on_behalf_of = format!("local:{}", self.home.user());
            let (name, since) = (name.to_owned(), now.to_owned());
            let hash = token.hash().to_hex();
            agents.push(Agent {
                name,
                token: hash,
                on_behalf_of,
                groups,
                since,
                certificate: None,
                revoked: None,
            });
            Ok(token)
        })
    }

    /// Gives an agent a new token; the old one ends at once, and so does its certificate.
    ///
    /// # Errors
    ///
    /// When there is no such agent, or nothing can be stored.
    pub fn rotate(&self, name: &str) -> Result<Token, AgentError> {
        self.change(name, |agents| {
            let token = draw()?;
            let agent = live(agents, name)?;
            agent.token = token.hash().to_hex();
            agent.certificate = None;
            Ok(token)
        })
    }

    /// Ends an agent. `now` is RFC 3339.
    ///
    /// # Errors
    ///
    /// When there is no such agent, or nothing can be stored.
    pub fn revoke(&self, name: &str, now: &str) -> Result<(), AgentError> {
        let _lock = store::lock(&self.lock_path())?;
        let mut stored: Stored = store::read(&self.home.agents())?;
        live(&mut stored.agents, name)?.revoked = Some(now.to_owned());
        store::write(&self.home.agents(), &stored)?;
        for file in [TOKEN_FILE, KUBECONFIG_FILE] {
            match fs::remove_file(self.home.agent(name).join(file)) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(AgentError::Handover { name: name.to_owned(), source });
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Reads the token that was left for an agent of this user.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn token(&self, name: &str) -> Result<Option<Token>, StoreError> {
        if !is_name(name) {
            return Ok(None);
        }
        let bytes = store::read_bytes(&self.home.agent(name).join(TOKEN_FILE))?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(text.and_then(|text| Token::parse(text.trim_end())))
    }

    fn change(
        &self,
        name: &str,
        edit: impl FnOnce(&mut Vec<Agent>) -> Result<Token, AgentError>,
    ) -> Result<Token, AgentError> {
        let _lock = store::lock(&self.lock_path())?;
        let mut stored: Stored = store::read(&self.home.agents())?;
        let token = edit(&mut stored.agents)?;
        let directory = self.home.agent(name);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|source| AgentError::Handover { name: name.to_owned(), source })?;
        store::write(&self.home.agents(), &stored)?;
        let line = format!("{}\n", token.dangerous_reveal());
        store::write_bytes(&directory.join(TOKEN_FILE), line.as_bytes())?;
        Ok(token)
    }

    fn lock_path(&self) -> std::path::PathBuf {
        self.home.root().join("agents.lock")
    }
}

/// The file.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    agents: Vec<Agent>,
}

fn live<'a>(agents: &'a mut [Agent], name: &str) -> Result<&'a mut Agent, AgentError> {
    let found = agents.iter_mut().find(|agent| agent.name == name && agent.revoked.is_none());
    found.ok_or_else(|| AgentError::Unknown(name.to_owned()))
}

fn draw() -> Result<Token, AgentError> {
    Token::draw().map_err(|error| AgentError::Random(error.to_string()))
}

/// A stricter charset than principals have: no `:`, which is kept for names iddio gives itself, and
/// no `/`, since the name is a directory.
fn is_name(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    begins
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(sound)
        && PrincipalId::new(name).is_some()
}

/// The longest name: it appears in certificates and file names.
const NAME_BYTES_MAX: usize = 64;

const TOKEN_FILE: &str = "token";

/// What a client of Kubernetes is given, in the agent's directory.
pub const KUBECONFIG_FILE: &str = "kubeconfig";
