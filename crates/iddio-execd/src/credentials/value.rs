//! One secret value, and where it comes from.

use std::{collections::HashMap, fmt, fs::File, io::Read, path::PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Loan, MintError, aws, http};

/// A secret on its way to a run.
#[derive(Clone, Eq, PartialEq)]
pub struct Value(Zeroizing<String>);

/// Where a value comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum From {
    /// A variable of the broker's own.
    Environment(String),
    /// A file that the broker may read, without the end of its last line.
    File(PathBuf),
    /// AWS Secrets Manager.
    SecretsManager(aws::Stored),
    /// Vault's key-value store.
    Vault(Vault),
}

/// A value in Vault.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// Where Vault is: `https://vault.example.com:8200`.
    pub address: String,
    /// Where in it the secret is, as its interface has it: `secret/data/web`.
    pub path: String,
    /// Which field of it.
    pub field: String,
    /// The broker's own token.
    pub token_file: PathBuf,
    /// The authorities that the server's certificate may be from, where they are not the system's.
    pub ca_file: Option<PathBuf>,
}

/// What Vault has said in one run: a credential that is made for whoever asks has its parts from one answer.
#[derive(Default)]
pub(super) struct Answers(HashMap<(String, String), serde_json::Value>);

/// What Vault lent for a while, and takes back.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    address: String,
    id: String,
    seconds: u64,
    token: Value,
    ca_file: Option<PathBuf>,
}

// === impl Value ===

impl Value {
    /// Takes a secret.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Lends it to whoever hands it on.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

// === impl From ===

impl From {
    /// Fetches the value, and adds what is to be given back for it.
    pub(super) fn value(
        &self,
        answers: &mut Answers,
        loans: &mut Vec<Loan>,
    ) -> Result<Value, MintError> {
        match self {
            Self::Environment(name) => {
                let missing = || MintError::Missing {
                    from: "the broker's environment".to_owned(),
                    what: format!("`{name}`"),
                };
                std::env::var(name).map(Value::new).map_err(|_| missing())
            }
            Self::File(path) => file(path),
            Self::SecretsManager(stored) => stored.value(),
            Self::Vault(vault) => vault.value(answers, loans),
        }
    }
}

// === impl Vault ===

impl Vault {
    fn value(&self, answers: &mut Answers, loans: &mut Vec<Loan>) -> Result<Value, MintError> {
        let Self { address, path, field, .. } = self;
        let key = (address.clone(), path.clone());
        let answer = match answers.0.get(&key) {
            Some(answer) => answer,
            None => {
                let answer = self.ask(loans)?;
                answers.0.entry(key).or_insert(answer)
            }
        };
        let missing =
            || MintError::Missing { from: address.clone(), what: format!("`{field}` at `{path}`") };
        // The second version of the store keeps the data one level deeper.
        let data = answer.get("data");
        let deeper = data.and_then(|data| data.get("data"));
        let field = |data: &serde_json::Value| {
            data.get(field).and_then(serde_json::Value::as_str).map(str::to_owned)
        };
        deeper.and_then(field).or(data.and_then(field)).map(Value::new).ok_or_else(missing)
    }

    fn ask(&self, loans: &mut Vec<Loan>) -> Result<serde_json::Value, MintError> {
        let Self { address, path, token_file, ca_file, .. } = self;
        let token = file(token_file)?;
        let url = format!("{}/v1/{}", address.trim_end_matches('/'), path.trim_matches('/'));
        let asked = http::Request {
            method: "GET",
            url: &url,
            headers: vec![("X-Vault-Token".to_owned(), token.clone())],
            body: Vec::new(),
            ca_file: ca_file.as_deref(),
        };
        let from = || address.clone();
        let answer = asked.send().map_err(|source| MintError::Http { from: from(), source })?;
        let missing = |_| MintError::Missing { from: from(), what: format!("answer for `{path}`") };
        let answer: serde_json::Value = serde_json::from_slice(&answer).map_err(missing)?;
        let seconds = answer.get("lease_duration").and_then(serde_json::Value::as_u64);
        let lent = answer.get("lease_id").and_then(serde_json::Value::as_str);
        // What is only kept there is not lent.
        let lent = lent.filter(|id| !id.is_empty()).map(|id| Lease {
            address: address.clone(),
            id: id.to_owned(),
            seconds: seconds.unwrap_or_default(),
            token,
            ca_file: ca_file.clone(),
        });
        loans.extend(lent.map(Loan::Lease));
        Ok(answer)
    }
}

// === impl Lease ===

impl Lease {
    /// Takes it back, and says what became of it.
    pub(super) fn revoke(&self) -> String {
        let Self { address, id, seconds, token, ca_file } = self;
        let url = format!("{}/v1/sys/leases/revoke", address.trim_end_matches('/'));
        let asked = http::Request {
            method: "PUT",
            url: &url,
            headers: vec![("X-Vault-Token".to_owned(), token.clone())],
            body: serde_json::json!({"lease_id": id}).to_string().into_bytes(),
            ca_file: ca_file.as_deref(),
        };
        match asked.send() {
            Ok(_) => format!("a lease of `{address}` was revoked"),
            Err(error) => format!(
                "a lease of `{address}` could not be revoked ({error}) and runs out within {seconds} s"
            ),
        }
    }
}

/// Reads a secret from a file.
pub(super) fn file(path: &PathBuf) -> Result<Value, MintError> {
    let failed = |source| MintError::File { path: path.clone(), source };
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).map_err(failed)?;
    file.take(VALUE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(Value::new(text.strip_suffix('\n').unwrap_or(&text).to_owned()))
}

/// The most bytes of a secret: a certificate with its key, and no more.
const VALUE_BYTES_MAX: u64 = 64 * 1024;
