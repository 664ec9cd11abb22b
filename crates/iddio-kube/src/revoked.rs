//! Ends an agent's tokens at the API servers once the agent is revoked.
//!
//! Its tokens never left the gateway, and its requests are refused from the moment of the revocation;
//! this is the second fence: the Secret that all of them are bound to is deleted, so that the API
//! server itself takes none of them any more. Somebody who revoked an agent while no gateway ran is
//! heard when one starts. What cannot be ended is on record, and tried again.

use std::{collections::BTreeSet, future::poll_fn, sync::Arc, time::Duration};

use iddio_core::{
    audit::{AdminEvent, Field},
    text::RawText,
};
use iddio_runtime::{agents::Agents, assemble::Runtime};
use iddio_serve::changes::Changes;
use tokio::time;

use crate::{
    clusters::{Behind, Clusters},
    mint::Ended,
};

/// What was done, by cluster and agent.
#[derive(Default)]
struct Done {
    ended: BTreeSet<(Arc<str>, String)>,
    failed: BTreeSet<(Arc<str>, String)>,
}

/// Looks at who is revoked now, and again whenever that may have changed, for as long as it is polled.
pub(crate) async fn watch(runtime: Arc<Runtime>, clusters: Arc<Clusters>, changes: Changes) {
    let mut heard = changes.listen();
    let mut done = Done::default();
    loop {
        done.look(&runtime, &clusters).await;
        let changed = async {
            while heard.take().is_none() {
                poll_fn(|context| heard.wakes(context)).await;
            }
        };
        match done.failed.is_empty() {
            true => changed.await,
            // Ready or not, it is looked at again.
            false => drop(time::timeout(AGAIN, changed).await),
        }
    }
}

/// Returns the agents that are revoked and have no namesake that lives.
fn revoked(runtime: &Runtime) -> Option<BTreeSet<String>> {
    // Who cannot be read cannot call either: nothing is ended on a guess.
    let agents = Agents::of(runtime.home()).list().ok()?;
    let (gone, live): (Vec<_>, Vec<_>) =
        agents.into_iter().partition(|agent| agent.revoked.is_some());
    let live: BTreeSet<_> = live.into_iter().map(|agent| agent.name).collect();
    Some(gone.into_iter().map(|agent| agent.name).filter(|name| !live.contains(name)).collect())
}

// === impl Done ===

impl Done {
    async fn look(&mut self, runtime: &Arc<Runtime>, clusters: &Clusters) {
        let reading = runtime.clone();
        let read = tokio::task::spawn_blocking(move || revoked(&reading)).await;
        let Ok(Some(revoked)) = read else { return };
        // Whoever is registered again may be revoked again.
        self.ended.retain(|(_, agent)| revoked.contains(agent));
        self.failed.retain(|(_, agent)| revoked.contains(agent));
        for behind in clusters.each() {
            for agent in &revoked {
                let key = (behind.name.clone(), agent.clone());
                if !self.ended.contains(&key) {
                    self.end(runtime, behind, key).await;
                }
            }
        }
    }

    async fn end(&mut self, runtime: &Arc<Runtime>, behind: &Behind, key: (Arc<str>, String)) {
        let (_, agent) = &key;
        let (event, why) = match behind.minter.end(agent).await {
            // There were none: nothing happened that anybody has to know.
            Ok(Ended::Already) => {
                let _ = self.failed.remove(&key);
                let _new = self.ended.insert(key);
                return;
            }
            Ok(Ended::Now) => ("kube.tokens_ended", None),
            Err(error) => ("kube.tokens_not_ended", Some(error.to_string())),
        };
        if why.is_some() && self.failed.contains(&key) {
            return;
        }
        let text = |text: &str| Field::Text(RawText::from(text));
        let mut fields = vec![("subject", text(agent)), ("cluster", text(&behind.name))];
        fields.extend(why.as_deref().map(|why| ("reason", text(why))));
        let (runtime, event) = (runtime.clone(), AdminEvent { event, principal: None, fields });
        let recorded = tokio::task::spawn_blocking(move || runtime.record(event)).await;
        if let Ok(Err(error)) = recorded {
            tracing::error!(%error, "unrecorded");
        }
        let done = if why.is_some() { &mut self.failed } else { &mut self.ended };
        let _new = done.insert(key.clone());
        if why.is_none() {
            let _ = self.failed.remove(&key);
        }
    }
}

/// How long until what could not be ended is tried again.
const AGAIN: Duration = Duration::from_secs(10);
