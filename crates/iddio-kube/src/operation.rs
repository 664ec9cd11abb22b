//! A request of the Kubernetes API as an action: what it is comes from `classify::kube`, and what it
//! is bound by are its bytes.

use std::sync::Arc;

use bytes::Bytes;
use iddio_classify::kube::{Call, Malformed, Raw, Upgrade};
use iddio_core::{
    digest::{Canonical, Digest, Encoder},
    operation::{Action, Context, Effect, Input, Operation, Operations, Reason},
    text::RawText,
    tier::{Class, Tier},
};

use crate::request::Head;

/// One request to one cluster.
#[derive(Debug)]
pub struct KubeAction {
    /// The cluster, as policy names it.
    pub cluster: Arc<str>,
    /// Its API server, as configured.
    pub server: Arc<str>,
    /// The head that goes on.
    pub head: Head,
    /// The body, whole.
    pub body: Bytes,
    /// What all of that is.
    reading: Result<Call, Malformed>,
}

/// Why a request is not forwarded, whoever allows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Carried {
    /// It can be.
    Yes,
    /// It has no one reading.
    Malformed(Malformed),
    /// It asks for a stream that could not be recorded.
    NotYet,
}

// === impl KubeAction ===

impl KubeAction {
    /// Reads a request.
    pub fn new(cluster: Arc<str>, server: Arc<str>, head: Head, body: Bytes) -> Self {
        let headers = head.headers.iter().chain(&head.upgrade);
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let target = head.target.as_bytes();
        let raw = Raw { method: &head.method, target, headers: &headers, body: &body };
        let reading = match head.fault {
            Some(fault) => Err(Malformed::Header(fault)),
            None => Call::read(&raw),
        };
        Self { cluster, server, head, body, reading }
    }

    /// Makes a request whose body nobody read, since it is too long.
    pub fn too_long(cluster: Arc<str>, server: Arc<str>, head: Head) -> Self {
        Self { cluster, server, head, body: Bytes::new(), reading: Err(Malformed::Long) }
    }

    /// Whether it can be forwarded at all.
    pub fn carried(&self) -> Carried {
        match &self.reading {
            Err(malformed) => Carried::Malformed(malformed.clone()),
            Ok(call) if call.upgrade != Upgrade::None => Carried::NotYet,
            Ok(_) => Carried::Yes,
        }
    }

    /// What the connection was to become.
    pub fn upgrade(&self) -> Upgrade {
        self.reading.as_ref().map_or(Upgrade::None, |call| call.upgrade)
    }

    /// The request, where it has one reading.
    pub fn call(&self) -> Option<&Call> {
        self.reading.as_ref().ok()
    }

    fn operation(&self) -> Operation {
        let mut operation = match &self.reading {
            Ok(call) => call.operation(&self.cluster),
            Err(malformed) => {
                let path = self.head.target.split('?').next().unwrap_or_default();
                malformed.operation(&self.cluster, &self.head.method, path)
            }
        };
        if self.carried() == Carried::NotYet {
            // Nobody is asked for what would be refused anyway: no policy lets this class through.
            operation.tier = Tier::UNKNOWN;
            operation.class = Class::Unknown;
            operation.reasons.push(Reason {
                tier: Tier::UNKNOWN,
                rule: "kube:stream".to_owned(),
                text: NOT_YET.to_owned(),
                word: None,
                at: None,
            });
        }
        operation
    }
}

impl Action for KubeAction {
    fn operations(&self) -> Operations {
        Operations::one(self.operation())
    }

    fn effects(&self) -> Vec<Effect> {
        self.call().map(Call::effects).unwrap_or_default()
    }

    fn context(&self) -> Context {
        let mut inputs = Vec::new();
        if !self.body.is_empty() {
            let digest = Some(Digest::of_bytes(&self.body));
            inputs.push(Input { name: RawText::from("body"), digest });
        }
        Context { inputs, ..Context::default() }
    }
}

impl Canonical for KubeAction {
    fn encode(&self, encoder: &mut Encoder) {
        // What it was read as follows from the rest.
        let Self { cluster, server, head, body, reading: _ } = self;
        // What is stripped goes nowhere.
        let Head { method, target, headers, stripped: _, upgrade, fault: _ } = head;
        encoder.text(cluster);
        encoder.text(server);
        encoder.text(method);
        encoder.text(target);
        for list in [headers, upgrade] {
            encoder.int(list.len() as u128);
            for (name, value) in list {
                encoder.text(name);
                encoder.bytes(value);
            }
        }
        encoder.bytes(body);
    }
}

/// Why a stream is refused.
pub(crate) const NOT_YET: &str = "streams into workloads are refused until they can be recorded";

#[cfg(test)]
mod tests {
    use super::*;

    fn action(target: &str, headers: &[(&str, &str)], body: &str) -> KubeAction {
        let pairs = |wanted: bool| {
            let upgrade = |name: &str| name == "connection" || name == "upgrade";
            let these = headers.iter().filter(|(name, _)| upgrade(name) == wanted);
            these.map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
        };
        let head = Head {
            method: if body.is_empty() { "GET" } else { "POST" }.to_owned(),
            target: target.to_owned(),
            headers: pairs(false),
            stripped: Vec::new(),
            upgrade: pairs(true),
            fault: None,
        };
        KubeAction::new("c".into(), "https://a".into(), head, Bytes::from(body.to_owned()))
    }

    #[test]
    fn every_byte_that_goes_on_is_bound() {
        let plain = || action("/api/v1/pods", &[], "{}");
        let digest = |action: &KubeAction| Digest::of(action);
        assert_eq!(digest(&plain()), digest(&plain()));
        let mut others =
            vec![action("/api/v1/pods?a=b", &[], "{}"), action("/api/v1/pods", &[], "{} ")];
        others.push(action("/api/v1/pods", &[("accept", "a")], "{}"));
        let mut elsewhere = plain();
        elsewhere.cluster = "d".into();
        others.push(elsewhere);
        let mut elsewhere = plain();
        elsewhere.server = "https://b".into();
        others.push(elsewhere);
        for other in &others {
            assert_ne!(digest(&plain()), digest(other), "{other:?}");
        }
    }

    #[test]
    fn a_stream_is_of_a_class_that_no_policy_lets_through() {
        let headers = [("connection", "upgrade"), ("upgrade", "websocket")];
        let action = action("/api/v1/namespaces/n/pods/x/exec?command=id", &headers, "");
        assert_eq!(action.carried(), Carried::NotYet);
        let operation = action.operation();
        assert_eq!((operation.tier, operation.class), (Tier::BreakGlass, Class::Unknown));
        assert_eq!(operation.description.method.as_deref(), Some("exec"));
    }
}
