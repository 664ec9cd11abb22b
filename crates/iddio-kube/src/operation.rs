//! A request of the Kubernetes API as an action: what it is comes from `classify::kube`, and what it
//! is bound by are its bytes.

use std::sync::Arc;

use bytes::Bytes;
use iddio_classify::kube::{
    Call, Current, Malformed, Raw, discovery::Discovered, listing::Listing,
};
use iddio_core::{
    digest::{Canonical, Digest, Encoder},
    operation::{Action, Context, Effect, Input, Operation, Operations, Reason},
    text::RawText,
    tier::{Class, Tier},
};

use crate::{
    request::Head,
    upgrade::wish::{Wish, Wished},
};

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
    /// What the connection is to become.
    wished: Wished,
    /// What was seen of the object that it changes.
    seen: Option<Digest>,
    /// Whose wish it is.
    purpose: Purpose,
}

/// Whose wish a request is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// The caller's.
    Asked = 1,
    /// The gateway's, so that a request of the caller's can be judged.
    ToJudge = 2,
}

/// Why a request is not forwarded, whoever allows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Carried {
    /// It can be.
    Yes,
    /// It has no one reading.
    Malformed(Malformed),
    /// It asks for a stream that nobody here can take apart.
    NotYet,
    /// It can be, as a stream.
    Stream,
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
        let wished =
            reading.as_ref().map_or(Ok(Wished::None), |call| Wish::read(call, &head.upgrade));
        let (reading, wished) = match wished {
            Ok(Wished::Stream(_)) if !body.is_empty() => {
                (Err(Malformed::Header("an upgrade with a body")), Wished::None)
            }
            Ok(wished) => (reading, wished),
            Err(what) => (Err(Malformed::Header(what)), Wished::None),
        };
        let (seen, purpose) = (None, Purpose::Asked);
        Self { cluster, server, head, body, reading, wished, seen, purpose }
    }

    /// Makes a request whose body nobody read, since it is too long.
    pub fn too_long(cluster: Arc<str>, server: Arc<str>, head: Head) -> Self {
        let (reading, wished) = (Err(Malformed::Long), Wished::None);
        let (seen, purpose) = (None, Purpose::Asked);
        Self { cluster, server, head, body: Bytes::new(), reading, wished, seen, purpose }
    }

    /// Makes the request that reads the object this changes, where what results has to be judged.
    pub fn look(&self) -> Option<Self> {
        let target = self.call()?.changes()?.to_owned();
        Some(self.of_ours(target))
    }

    /// Makes the request that lists what this deletes, where it deletes a collection.
    pub fn list(&self) -> Option<Self> {
        let target = self.call()?.deletes()?;
        Some(self.of_ours(target))
    }

    /// Returns group and version of a resource that is not built in, and the request that asks for what
    /// the server says of them.
    pub fn unknown(&self) -> Option<((String, String), Self)> {
        let (group, version) = self.call()?.unknown()?;
        let look = self.of_ours(format!("/apis/{group}/{version}"));
        Some(((group.to_owned(), version.to_owned()), look))
    }

    /// A read of ours, of the same cluster.
    fn of_ours(&self, target: String) -> Self {
        let json = ("accept".to_owned(), b"application/json".to_vec());
        let head = Head {
            method: "GET".to_owned(),
            target,
            headers: vec![json],
            stripped: Vec::new(),
            upgrade: Vec::new(),
            fault: None,
        };
        let look = Self::new(self.cluster.clone(), self.server.clone(), head, Bytes::new());
        Self { purpose: Purpose::ToJudge, ..look }
    }

    /// Judges what results from a change to this object, too.
    pub fn resulting(&mut self, current: Current<'_>) {
        self.seen = match current {
            Current::Absent | Current::Unread => None,
            Current::Object(bytes) => Some(Digest::of_bytes(bytes)),
        };
        if let Ok(call) = &mut self.reading {
            call.resulting(current);
        }
    }

    /// Takes what the collection holds that this deletes.
    pub fn listed(&mut self, listing: Option<Listing>) {
        if let Ok(call) = &mut self.reading {
            call.listed(listing);
        }
    }

    /// Takes what the server says of a resource that is not built in.
    pub fn discovered(&mut self, names: &Discovered) {
        if let Ok(call) = &mut self.reading
            && let Err(malformed) = call.discovered(names)
        {
            self.reading = Err(malformed);
        }
    }

    /// Returns what it was judged to be, and what people were told.
    pub fn judged(&self) -> (Tier, Vec<String>) {
        (self.operation().tier, self.effects().into_iter().map(|effect| effect.text).collect())
    }

    /// Whether it can be forwarded at all.
    pub fn carried(&self) -> Carried {
        match &self.reading {
            Err(malformed) => Carried::Malformed(malformed.clone()),
            Ok(_) => match self.wished {
                Wished::None => Carried::Yes,
                Wished::Stream(_) => Carried::Stream,
                Wished::Unknown => Carried::NotYet,
            },
        }
    }

    /// What the connection is to become.
    pub fn wished(&self) -> &Wished {
        &self.wished
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
        if self.purpose == Purpose::ToJudge
            && let Some(command) = &mut operation.description.command
        {
            command.push_str(", so that another request can be judged");
        }
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
        if self.seen.is_some() {
            inputs.push(Input { name: RawText::from("the object before"), digest: self.seen });
        }
        Context { inputs, ..Context::default() }
    }
}

impl Canonical for KubeAction {
    fn encode(&self, encoder: &mut Encoder) {
        // What it was read as follows from the rest.
        let Self { cluster, server, head, body, reading: _, wished: _, seen, purpose } = self;
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
        encoder.bytes(seen.as_ref().map_or(&[], |seen| seen.as_bytes().as_slice()));
        encoder.tag(*purpose as u8);
    }
}

/// Why a stream is refused.
pub(crate) const NOT_YET: &str = "a stream of a kind that cannot be recorded";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::UPGRADING;

    fn action(target: &str, headers: &[(&str, &str)], body: &str) -> KubeAction {
        let pairs = |wanted: bool| {
            let upgrade = |name: &str| UPGRADING.contains(&name);
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
    fn k01_k02_a_stream_is_a_session_whatever_the_method_and_unknown_ones_pass_no_policy() {
        let socket = |protocol: &'static str| {
            vec![
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("sec-websocket-protocol", protocol),
            ]
        };
        let spdy = |protocol: &'static str| {
            vec![
                ("connection", "upgrade"),
                ("upgrade", "SPDY/3.1"),
                ("x-stream-protocol-version", protocol),
            ]
        };
        let exec = "/api/v1/namespaces/n/pods/x/exec?command=id";
        let forward = "/api/v1/namespaces/n/pods/x/portforward";
        let proxy = "/api/v1/namespaces/n/pods/x/proxy/a";
        let table = [
            (exec, socket("v5.channel.k8s.io"), Carried::Stream, "exec"),
            (exec, socket("base64.channel.k8s.io, v4.channel.k8s.io"), Carried::Stream, "exec"),
            (exec, spdy("v4.channel.k8s.io"), Carried::Stream, "exec"),
            (forward, socket("SPDY/3.1+portforward.k8s.io"), Carried::Stream, "portforward"),
            (forward, spdy("portforward.k8s.io"), Carried::Stream, "portforward"),
            (proxy, socket("v5.channel.k8s.io"), Carried::NotYet, "proxy"),
        ];
        for (target, headers, carried, verb) in table {
            let action = action(target, &headers, "");
            assert_eq!(action.carried(), carried, "{headers:?}");
            let operation = action.operation();
            let class = match carried {
                Carried::Stream => Class::Session,
                _ => Class::Unknown,
            };
            assert_eq!((operation.tier, operation.class), (Tier::BreakGlass, class));
            assert_eq!(operation.description.method.as_deref(), Some(verb));
        }
        let malformed = [
            (exec, socket("base64.channel.k8s.io")),
            (exec, spdy("portforward.k8s.io")),
            (forward, socket("v5.channel.k8s.io")),
            (exec, socket("v5.channel.k8s.io").into_iter().take(3).collect()),
        ];
        for (target, headers) in malformed {
            let carried = action(target, &headers, "").carried();
            assert!(matches!(carried, Carried::Malformed(_)), "{headers:?}: {carried:?}");
        }
    }
}
