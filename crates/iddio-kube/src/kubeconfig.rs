//! A kubeconfig as the description of a cluster: one context of it, read strictly where it matters.
//!
//! Members that mean nothing to the gateway are passed over, as every client does; members that would
//! have it do something else than connect and show one credential are refused.

use std::path::{Path, PathBuf};

use iddio_core::audit::line::stated::of_base64;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{
    cluster::{Found, Own, Pem, Server, secret},
    config::ConfigError,
};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    current_context: String,
    #[serde(default)]
    contexts: Vec<Named<ContextOf>>,
    #[serde(default)]
    clusters: Vec<Named<ClusterOf>>,
    #[serde(default)]
    users: Vec<Named<UserOf>>,
}

/// A list of these stands for a map.
#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "context", alias = "cluster", alias = "user")]
    what: T,
}

#[derive(Deserialize)]
struct ContextOf {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterOf {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    tls_server_name: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
    proxy_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct UserOf {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
    username: Option<serde::de::IgnoredAny>,
    password: Option<serde::de::IgnoredAny>,
    #[serde(rename = "as")]
    act_as: Option<serde::de::IgnoredAny>,
    as_uid: Option<serde::de::IgnoredAny>,
    as_groups: Option<serde::de::IgnoredAny>,
    as_user_extra: Option<serde::de::IgnoredAny>,
}

/// Reads one context of the kubeconfig at `path`, the current one unless it is named. The file holds a
/// credential, so it must be private.
pub(crate) fn read(path: &Path, context: Option<&str>) -> Result<Found, ConfigError> {
    let wrong = |reason: String| ConfigError::Text { path: path.to_owned(), reason };
    let bytes = secret(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    let file: File = serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let context = context.unwrap_or(&file.current_context);
    let ContextOf { cluster, user } =
        one(file.contexts, context).ok_or_else(|| wrong(format!("no context `{context}`")))?;
    let cluster = one(file.clusters, &cluster)
        .ok_or_else(|| wrong(format!("no cluster `{cluster}`, or more than one")))?;
    let user = one(file.users, &user)
        .ok_or_else(|| wrong(format!("no user `{user}`, or more than one")))?;
    let base = path.parent().unwrap_or(Path::new("/"));
    found(base, cluster, user).map_err(|error| match error {
        Wrong::Here(reason) => wrong(reason.to_owned()),
        Wrong::Elsewhere(error) => error,
    })
}

/// What is wrong, and where.
enum Wrong {
    Here(&'static str),
    Elsewhere(ConfigError),
}

fn found(base: &Path, cluster: ClusterOf, user: UserOf) -> Result<Found, Wrong> {
    if cluster.insecure_skip_tls_verify {
        return Err(Wrong::Here(
            "`insecure-skip-tls-verify`: somebody has to vouch for the server",
        ));
    }
    if cluster.proxy_url.is_some_and(|proxy| !proxy.is_empty()) {
        return Err(Wrong::Here("`proxy-url`: the gateway connects to the server itself"));
    }
    let authority = match (cluster.certificate_authority_data, cluster.certificate_authority) {
        (Some(data), _) => Pem::Text(decoded(&data)?),
        (None, Some(file)) => Pem::File(base.join(file)),
        (None, None) => return Err(Wrong::Here("it does not say who vouches for the server")),
    };
    Ok(Found {
        server: Server::parse(&cluster.server).map_err(Wrong::Elsewhere)?,
        tls_name: cluster.tls_server_name,
        authority,
        own: own(base, user)?,
    })
}

fn own(base: &Path, user: UserOf) -> Result<Own, Wrong> {
    if user.exec.is_some() || user.auth_provider.is_some() {
        return Err(Wrong::Here("`exec` and `auth-provider`: the gateway starts no program"));
    }
    if user.username.is_some() || user.password.is_some() {
        return Err(Wrong::Here("`username` and `password` are no credential of an API server"));
    }
    let acts = [&user.act_as, &user.as_uid, &user.as_groups, &user.as_user_extra];
    if acts.iter().any(|acts| acts.is_some()) {
        return Err(Wrong::Here("`as`: the gateway acts as itself alone"));
    }
    let certificate = match (user.client_certificate_data, user.client_certificate) {
        (Some(data), _) => Some(decoded(&data)?),
        (None, Some(file)) => {
            let read = Pem::File(base.join(file)).read();
            Some(read.map_err(|_| Wrong::Here("its client certificate cannot be read"))?)
        }
        (None, None) => None,
    };
    let key = match (user.client_key_data, user.client_key) {
        (Some(data), _) => Some(Zeroizing::new(decoded(&Zeroizing::new(data))?)),
        (None, Some(file)) => Some(secret(&base.join(file)).map_err(Wrong::Elsewhere)?),
        (None, None) => None,
    };
    match (certificate, key, user.token_file, user.token) {
        (Some(certificate), Some(key), None, None) => Ok(Own::Certificate(certificate, key)),
        // Clients prefer the file where both are there.
        (None, None, Some(file), _) => Ok(Own::TokenFile(base.join(file))),
        (None, None, None, Some(token)) => Ok(Own::Token(Zeroizing::new(token))),
        _ => Err(Wrong::Here("its user has no credential, or more than one")),
    }
}

fn one<T>(list: Vec<Named<T>>, name: &str) -> Option<T> {
    let mut found = list.into_iter().filter(|named| named.name == name);
    let first = found.next()?;
    found.next().is_none().then_some(first.what)
}

fn decoded(text: &str) -> Result<Vec<u8>, Wrong> {
    of_base64(text.trim()).ok_or(Wrong::Here("its data are no base64"))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    const WHOLE: &str = "\
apiVersion: v1
kind: Config
current-context: prod
preferences: {}
contexts:
- name: prod
  context: {cluster: a, user: u, namespace: n}
- name: other
  context: {cluster: a, user: nobody}
clusters:
- name: a
  cluster:
    server: https://10.0.0.1:6443
    certificate-authority: ca.pem
    tls-server-name: kubernetes
users:
- name: u
  user:
    token: abc
";

    fn check(text: &str, context: Option<&str>) -> Result<Found, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        read(&path, context)
    }

    #[test]
    fn a_context_is_a_server_an_authority_and_a_credential() {
        let found = check(WHOLE, None).unwrap();
        assert_eq!(found.server.to_string(), "10.0.0.1:6443");
        assert_eq!(found.tls_name.as_deref(), Some("kubernetes"));
        assert!(matches!(found.authority, Pem::File(path) if path.ends_with("ca.pem")));
        assert!(matches!(found.own, Own::Token(token) if *token == "abc"));
        assert!(check(WHOLE, Some("prod")).is_ok());
        let data =
            WHOLE.replace("certificate-authority: ca.pem", "certificate-authority-data: YWJj");
        assert_eq!(check(&data, None).unwrap().authority, Pem::Text(b"abc".to_vec()));
        let both = "client-certificate-data: YWJj\n    client-key-data: YWJj";
        let pair = check(&WHOLE.replace("token: abc", both), None).unwrap();
        assert!(matches!(pair.own, Own::Certificate(..)));
        let file = check(&WHOLE.replace("token: abc", "tokenFile: /t"), None).unwrap();
        assert!(matches!(file.own, Own::TokenFile(path) if path == Path::new("/t")));
    }

    #[test]
    fn what_would_do_more_than_connect_is_refused() {
        for (from, to) in [
            ("token: abc", "exec: {command: sh}"),
            ("token: abc", "token: abc\n    exec: {command: sh}"),
            ("token: abc", "auth-provider: {name: gcp}"),
            ("token: abc", "username: a\n    password: b"),
            ("token: abc", "token: abc\n    as: admin"),
            ("token: abc", "token: abc\n    as-groups: [a]"),
            ("token: abc", "{}"),
            ("token: abc", "token: abc\n    client-certificate-data: YWJj"),
            ("token: abc", "token: abc\n    token: def"),
            ("certificate-authority: ca.pem", "insecure-skip-tls-verify: true"),
            ("certificate-authority: ca.pem", "certificate-authority-data: '!'"),
            ("    certificate-authority: ca.pem\n", ""),
            ("tls-server-name: kubernetes", "proxy-url: http://p"),
            ("https://10", "http://10"),
            ("current-context: prod", "current-context: none"),
            ("current-context: prod", "current-context: other"),
            ("users:\n", "users:\n- {name: u, user: {token: d}}\n"),
        ] {
            assert!(check(&WHOLE.replace(from, to), None).is_err(), "{to}");
        }
    }

    #[test]
    fn a_kubeconfig_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        fs::write(&path, WHOLE).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&path, None).is_err());
    }
}
