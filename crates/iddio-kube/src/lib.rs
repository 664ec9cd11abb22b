//! The Kubernetes gateway: unmodified clients on one side, an API server on the other, and every
//! request between them identified, judged, decided, recorded and given a credential of its own.
//!
//! A request takes the same way as everything else: [`request`] reads it, [`operation`] describes it,
//! the pipeline decides and records, [`mint`] gets a token for it and nothing else, [`forward`] sends
//! it and streams the answer, [`refuse`] words a denial. `admit` puts these together, for each request
//! of each `connection` that [`serve`] takes.
//!
//! INVARIANT: nothing of what a client says about itself reaches the API server: headers pass by a
//! list of those that may, and the credential is one that was minted for this request or for reads of
//! the same agent. What is forwarded is byte for byte what was judged.
//!
//! Streams into workloads are carried by [`upgrade`] and recorded in [`recordings`], where requests and
//! their answers go as well if policy wants it.

mod admit;
pub mod cluster;
pub mod clusters;
pub mod config;
mod connection;
mod escort;
pub mod forward;
pub mod front;
mod kubeconfig;
mod look;
pub mod meters;
pub mod mint;
pub mod operation;
pub mod recordings;
pub mod refuse;
pub mod request;
mod revoked;
pub mod serve;
pub mod socket;
mod strangers;
mod trust;
pub mod upgrade;
pub mod upstream;
