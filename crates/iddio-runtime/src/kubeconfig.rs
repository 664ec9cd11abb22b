//! The kubeconfig of an agent: where the gateway is, who vouches for it, and the agent's certificate
//! and key, all in one private file that can be carried to where the agent runs.

use std::path::PathBuf;

use iddio_core::audit::line::stated::to_base64;
use iddio_mint::ca::Issued;
use zeroize::Zeroizing;

use crate::{
    agents::KUBECONFIG_FILE,
    home::Home,
    store::{self, StoreError},
};

/// A cluster, as a client finds it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// What the client calls it.
    pub name: String,
    /// Its server: the gateway, and the path that names the cluster there.
    pub server: String,
}

/// Writes the kubeconfig of an agent and returns where it is. Where the gateway shows a certificate of
/// somebody else's, there is no `authority` to name, and clients believe whom their host believes.
///
/// # Errors
///
/// When it cannot be written.
pub fn write(
    home: &Home,
    agent: &str,
    authority: Option<&str>,
    issued: &Issued,
    places: &[Place],
) -> Result<PathBuf, StoreError> {
    let path = home.agent(agent).join(KUBECONFIG_FILE);
    store::write_bytes(&path, text(agent, authority, issued, places).as_bytes())?;
    Ok(path)
}

fn text(
    agent: &str,
    authority: Option<&str>,
    issued: &Issued,
    places: &[Place],
) -> Zeroizing<String> {
    let certificate = to_base64(issued.certificate.as_bytes());
    let key = Zeroizing::new(to_base64(issued.dangerous_reveal().as_bytes()));
    let current = places.first().map(|place| place.name.as_str()).unwrap_or_default();
    // Grown once, so that no half of a key is left behind.
    let room = 4096 + certificate.len() + key.len();
    let room = room + places.len() * (512 + authority.map_or(0, |pem| 2 * pem.len()));
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str("apiVersion: v1\nkind: Config\ncurrent-context: ");
    text.push_str(current);
    text.push_str("\nclusters:\n");
    for Place { name, server } in places {
        text.push_str(&format!("- name: {name}\n  cluster:\n    server: {server}\n"));
        if let Some(authority) = authority {
            let authority = to_base64(authority.as_bytes());
            text.push_str(&format!("    certificate-authority-data: {authority}\n"));
        }
    }
    text.push_str(&format!("users:\n- name: {agent}\n  user:\n"));
    text.push_str(&format!("    client-certificate-data: {certificate}\n    client-key-data: "));
    text.push_str(&key);
    text.push_str("\ncontexts:\n");
    for Place { name, .. } in places {
        text.push_str(&format!(
            "- name: {name}\n  context:\n    cluster: {name}\n    user: {agent}\n"
        ));
    }
    text
}
