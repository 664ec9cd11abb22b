//! The clusters behind the gateway, and which of them a request is for.
//!
//! A client says it in its path: `/clusters/NAME/…`, which is what the server in its kubeconfig ends
//! with, and everything after it is the path as the API server knows it. Where there is one cluster,
//! its paths need no such beginning.
//!
//! INVARIANT: a request is for one cluster, by its own words, or for none. The name stands there as it
//! is configured, letter for letter; what follows begins with `/`.

use std::{collections::BTreeMap, sync::Arc};

use iddio_core::time::Clock;

use crate::{
    cluster::{Cluster, Own},
    mint::Minter,
    upstream::{Upstream, UpstreamError},
};

/// One cluster.
pub struct Behind {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Its API server, as configured.
    pub(crate) server: Arc<str>,
    /// The connections to it.
    pub(crate) upstream: Arc<Upstream>,
    /// Where tokens for it come from.
    pub(crate) minter: Arc<Minter>,
}

/// All of them.
pub struct Clusters(BTreeMap<Box<str>, Arc<Behind>>);

// === impl Clusters ===

impl Clusters {
    /// Prepares them. No connection is made.
    ///
    /// # Errors
    ///
    /// When one is not described.
    pub fn new(clusters: &[Cluster], clock: &Arc<dyn Clock>) -> Result<Self, UpstreamError> {
        let mut all = BTreeMap::new();
        for cluster in clusters {
            let upstream = Arc::new(Upstream::new(cluster)?);
            let own = match cluster.own {
                Own::Certificate(..) => Arc::new(Upstream::own(cluster)?),
                Own::Token(_) | Own::TokenFile(_) => upstream.clone(),
            };
            let minter = Arc::new(Minter::new(cluster, own, clock.clone()));
            let server = format!("https://{}", cluster.server).into();
            let name = cluster.name.as_str().into();
            let behind = Behind { name, server, upstream, minter };
            let _ = all.insert(cluster.name.as_str().into(), Arc::new(behind));
        }
        Ok(Self(all))
    }

    /// Returns the cluster that a target names, and the target as that cluster knows it.
    pub(crate) fn of<'a>(&self, target: &'a str) -> Option<(Arc<Behind>, &'a str)> {
        let Some(rest) = target.strip_prefix(PREFIX) else {
            let only = self.0.values().next().filter(|_| self.0.len() == 1)?;
            return Some((only.clone(), target));
        };
        let end = rest.find('/')?;
        let (name, rest) = rest.split_at_checked(end)?;
        self.0.get(name).map(|behind| (behind.clone(), rest))
    }

    /// Every cluster, by its name.
    pub fn each(&self) -> impl Iterator<Item = &Arc<Behind>> {
        self.0.values()
    }
}

/// What the path of a client begins with that says which cluster it means.
const PREFIX: &str = "/clusters/";

/// What stands in records for a cluster that nobody configured. No cluster is called that.
pub(crate) const NONE: &str = "-";

#[cfg(test)]
mod tests {
    use iddio_runtime::clock::SystemClock;

    use super::*;
    use crate::cluster::{Pem, Server};

    fn clusters(names: &[&str]) -> Clusters {
        let dir = tempfile::tempdir().unwrap();
        let authority = dir.path().join("ca.pem");
        let own = iddio_mint::ca::Authority::open_or_make(
            dir.path().join("tls").as_path(),
            iddio_core::time::Timestamp(1_790_000_000_000_000),
        );
        std::fs::write(&authority, own.unwrap().authority().certificate()).unwrap();
        let described = names.iter().map(|name| Cluster {
            name: (*name).to_owned(),
            server: Server::parse("https://127.0.0.1:6443").unwrap(),
            tls_name: None,
            authority: Pem::File(authority.clone()),
            own: Own::TokenFile("token".into()),
            namespace: "iddio".to_owned(),
        });
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Clusters::new(&described.collect::<Vec<_>>(), &clock).unwrap()
    }

    fn check(names: &[&str], target: &str, expected: Option<(&str, &str)>) {
        let clusters = clusters(names);
        let found = clusters.of(target);
        let found = found.as_ref().map(|(behind, rest)| (&*behind.name, *rest));
        assert_eq!(found, expected, "{target}");
    }

    #[test]
    fn a_path_names_its_cluster_letter_for_letter() {
        let two = ["prod", "staging"];
        check(&two, "/clusters/prod/api/v1/pods?a=/b", Some(("prod", "/api/v1/pods?a=/b")));
        check(&two, "/clusters/staging/", Some(("staging", "/")));
        // What follows is read as it is, and refused by whoever reads it.
        check(&two, "/clusters/prod//api", Some(("prod", "//api")));
        check(&two, "/clusters/prod/../staging/api", Some(("prod", "/../staging/api")));
        check(&two, "/clusters/prod/clusters/staging/api", Some(("prod", "/clusters/staging/api")));
        for target in [
            "/api/v1/pods",
            "/",
            "",
            "/clusters",
            "/clusters/",
            "/clusters/prod",
            "/clusters/prod?x",
            "/clusters/prod?/api",
            "/clusters//api",
            "/clusters/Prod/api",
            "/clusters/pro%64/api",
            "/clusters/prod%2fapi",
            "/clusters/other/api",
            "/clusters/-/api",
            "//clusters/prod/api",
            "/Clusters/prod/api",
            "https://prod/clusters/prod/api",
        ] {
            check(&two, target, None);
        }
    }

    #[test]
    fn the_only_cluster_needs_no_name_and_may_have_it() {
        check(&["prod"], "/api/v1/pods", Some(("prod", "/api/v1/pods")));
        check(&["prod"], "/clusters/prod/api/v1/pods", Some(("prod", "/api/v1/pods")));
        check(&["prod"], "/clusters/other/api/v1/pods", None);
    }
}
