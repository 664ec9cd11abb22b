//! Kubernetes: a kubeconfig whose helper gives a token out. The token is the one that was configured, or one
//! of a service account, for the run alone.
//!
//! The second is bound to an object that is made for the run: the API server takes no such token once the
//! object is gone, and it goes with the run.

use std::path::PathBuf;

use iddio_runtime::clock::draw_id;
use iddio_spawn::sandbox::{Content, Place};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{
    Loan, MintError, http,
    value::{Answers, From, Value},
};

/// A cluster that runs reach.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Its name, and that of the context.
    pub name: String,
    /// Where its API is.
    pub server: String,
    /// The authority its certificate is from.
    pub ca_file: Option<PathBuf>,
    /// The namespace of the context.
    pub namespace: Option<String>,
    /// The token: what runs get, or where an account is named, what theirs is asked for with.
    pub token: From,
    /// Whose token runs get.
    pub account: Option<Account>,
}

/// A service account whose tokens runs get, each for itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How long a token is taken at most.
    #[serde(default = "shortest")]
    pub seconds: u32,
}

/// An object that a token is bound to.
#[derive(Debug)]
pub(super) struct Bound {
    account: String,
    url: String,
    token: Value,
    ca_file: Option<PathBuf>,
    seconds: u32,
}

// === impl Cluster ===

impl Cluster {
    /// Returns the token that a run gets, and adds what is to be taken back for it.
    pub(super) fn token(
        &self,
        answers: &mut Answers,
        loans: &mut Vec<Loan>,
    ) -> Result<Value, MintError> {
        let own = self.token.value(answers, loans)?;
        match &self.account {
            None => Ok(own),
            Some(account) => self.lend(account, own, loans),
        }
    }

    /// Asks for a token that is bound to an object of the run's own.
    fn lend(
        &self,
        account: &Account,
        own: Value,
        loans: &mut Vec<Loan>,
    ) -> Result<Value, MintError> {
        let Account { namespace, name, seconds } = account;
        let seconds = (*seconds).max(SECONDS_MIN);
        let id = draw_id().map_err(|error| MintError::Random(error.to_string()))?;
        let object = format!("iddio-run-{id}");
        let below = format!("{}/api/v1/namespaces/{namespace}", self.server.trim_end_matches('/'));
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": object, "labels": {"app.kubernetes.io/managed-by": "iddio"}},
        });
        let made = self.ask("POST", &format!("{below}/secrets"), &own, &secret)?;
        // From here on there is something to take back, whatever follows.
        loans.push(Loan::Bound(Bound {
            account: format!("{namespace}/{name}"),
            url: format!("{below}/secrets/{object}"),
            token: own.clone(),
            ca_file: self.ca_file.clone(),
            seconds,
        }));
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "expirationSeconds": seconds,
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "name": object,
                    "uid": self.part(&made, "/metadata/uid")?,
                },
            },
        });
        let url = format!("{below}/serviceaccounts/{name}/token");
        let given = self.ask("POST", &url, &own, &request)?;
        self.part(&given, "/status/token").map(|token| Value::new(token.to_owned()))
    }

    fn ask(&self, method: &str, url: &str, own: &Value, body: &Json) -> Result<Json, MintError> {
        let body = body.to_string().into_bytes();
        let answer = request(method, url, own, body, self.ca_file.as_deref());
        let answer =
            answer.map_err(|source| MintError::Http { from: self.server.clone(), source })?;
        serde_json::from_slice(&answer).map_err(|_| self.missing("answer"))
    }

    fn part<'j>(&self, answer: &'j Json, place: &str) -> Result<&'j str, MintError> {
        let part = answer.pointer(place).and_then(Json::as_str).filter(|part| !part.is_empty());
        part.ok_or_else(|| self.missing(place))
    }

    fn missing(&self, what: &str) -> MintError {
        MintError::Missing { from: self.server.clone(), what: what.to_owned() }
    }

    /// Returns the kubeconfig, and the helper that it names, which gives the token out.
    pub(super) fn places(&self, token: &Value) -> Result<Vec<Place>, MintError> {
        let Self { name, server, ca_file, namespace, .. } = self;
        let mut cluster = serde_json::Map::from_iter([("server".into(), server.as_str().into())]);
        if let Some(path) = ca_file {
            let read = std::fs::read(path);
            let ca = read.map_err(|source| MintError::File { path: path.clone(), source })?;
            cluster.insert("certificate-authority-data".into(), http::base64(&ca).into());
        }
        let context = [("cluster".into(), name.as_str().into()), ("user".into(), "iddio".into())];
        let mut context = serde_json::Map::from_iter(context);
        if let Some(namespace) = namespace {
            context.insert("namespace".into(), namespace.as_str().into());
        }
        let exec = serde_json::json!({
            "apiVersion": EXEC_VERSION,
            "command": HELPER,
            "interactiveMode": "Never",
        });
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": cluster}],
            "contexts": [{"name": name, "context": context}],
            "users": [{"name": "iddio", "user": {"exec": exec}}],
        });
        let credential = serde_json::json!({
            "apiVersion": EXEC_VERSION,
            "kind": "ExecCredential",
            "status": {"token": token.expose()},
        });
        let helper = format!("#!/bin/sh\ncat <<'IDDIO'\n{credential}\nIDDIO\n");
        let file = |at: &str, bytes: Vec<u8>, mode| Place::new(at, Content::File { bytes, mode });
        Ok(vec![
            file(CONFIG, config.to_string().into_bytes(), 0o444),
            file(HELPER, helper.into_bytes(), 0o555),
        ])
    }
}

// === impl Bound ===

impl Bound {
    /// Removes the object, and says what became of the token.
    pub(super) fn revoke(&self) -> String {
        let Self { account, url, token, ca_file, seconds } = self;
        match request("DELETE", url, token, Vec::new(), ca_file.as_deref()) {
            Ok(_) => format!("the token of `{account}` was revoked"),
            Err(error) => format!(
                "the token of `{account}` could not be revoked ({error}) and runs out within {seconds} s"
            ),
        }
    }
}

fn request(
    method: &str,
    url: &str,
    token: &Value,
    body: Vec<u8>,
    ca_file: Option<&std::path::Path>,
) -> Result<zeroize::Zeroizing<Vec<u8>>, http::HttpError> {
    let bearer = Value::new(format!("Bearer {}", token.expose()));
    let json = |name: &str| (name.to_owned(), Value::new("application/json".to_owned()));
    let headers = vec![("Authorization".to_owned(), bearer), json("Accept"), json("Content-Type")];
    http::Request { method, url, headers, body, ca_file }.send()
}

fn shortest() -> u32 {
    SECONDS_MIN
}

/// The API server gives no shorter ones.
const SECONDS_MIN: u32 = 600;

/// Where a run finds it.
pub(super) const CONFIG: &str = "/run/iddio/kubeconfig";
const HELPER: &str = "/run/iddio/kubernetes-credential";
const EXEC_VERSION: &str = "client.authentication.k8s.io/v1";
