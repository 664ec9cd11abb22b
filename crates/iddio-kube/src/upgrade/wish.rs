//! What a client wishes a connection to become, and what an API server makes of it.
//!
//! Of what a client offers only what is spoken here goes on, under a key of the gateway's own; what
//! the server chooses must be among that. Extensions are never agreed on.

use base64ct::{Base64, Encoding};
use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};
use iddio_classify::kube::{Call, Method, Upgrade};
use tungstenite::handshake::derive_accept_key;

use super::{channels::Version, relay::Speech, streams::Purpose};

/// What a client wishes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wish {
    purpose: Purpose,
    by: By,
    /// What it offers and is spoken here, in its order.
    offered: Vec<&'static str>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum By {
    Spdy,
    WebSocket {
        /// The client's key.
        key: String,
    },
}

/// What is made of an upgrade.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wished {
    /// None is wished for.
    None,
    /// One that is carried.
    Stream(Wish),
    /// One that is not.
    Unknown,
}

/// A wish as it goes on to the server.
#[derive(Clone, Debug)]
pub struct Offer {
    wish: Wish,
    /// The gateway's own key.
    key: String,
}

// === impl Wish ===

impl Wish {
    /// Reads a wish from a call and from the headers that are about upgrades.
    ///
    /// # Errors
    ///
    /// When it is not one that an API server would take.
    pub fn read(call: &Call, headers: &[(String, Vec<u8>)]) -> Result<Wished, &'static str> {
        let about = call.info.resource.as_ref();
        let pod = about.filter(|about| about.resource == "pods" && about.group.is_empty());
        let purpose = match pod.map(|about| about.subresource.as_str()) {
            Some("attach" | "exec") => Purpose::Command,
            Some("portforward") => Purpose::Ports,
            _ => match call.upgrade {
                Upgrade::None => return Ok(Wished::None),
                Upgrade::Other | Upgrade::Spdy | Upgrade::WebSocket => return Ok(Wished::Unknown),
            },
        };
        let (by, header, spoken) = match call.upgrade {
            Upgrade::None => return Ok(Wished::None),
            Upgrade::Other => return Ok(Wished::Unknown),
            Upgrade::Spdy => (By::Spdy, STREAM_PROTOCOL, spoken_by_spdy(purpose)),
            Upgrade::WebSocket if call.method != Method::Get => {
                return Err("a WebSocket is asked for by GET");
            }
            Upgrade::WebSocket => {
                if one(headers, "sec-websocket-version") != Some("13") {
                    return Err("a WebSocket of another version");
                }
                let key = one(headers, "sec-websocket-key").map(str::to_owned);
                let key = key.filter(|key| {
                    Base64::decode_vec(key).is_ok_and(|bytes| bytes.len() == KEY_BYTES)
                });
                let key = key.ok_or("a WebSocket without a key")?;
                (By::WebSocket { key }, SOCKET_PROTOCOL, spoken_by_websocket(purpose))
            }
        };
        let offered = listed(headers, header);
        let known = |name: &str| spoken.iter().find(|own| **own == name).copied();
        let offered: Vec<_> = offered.filter_map(known).collect();
        match offered.is_empty() {
            true => Err("an upgrade to no protocol of streams that is spoken here"),
            false => Ok(Wished::Stream(Self { purpose, by, offered })),
        }
    }

    /// Makes it ready to go on, or returns nothing where there are no random numbers.
    pub fn offer(self) -> Option<Offer> {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).ok()?;
        Some(Offer { wish: self, key: Base64::encode_string(&key) })
    }
}

// === impl Offer ===

impl Offer {
    /// The headers that ask the server.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let Self { wish: Wish { by, offered, .. }, key } = self;
        let mut headers = vec![("connection", "Upgrade".to_owned())];
        match by {
            By::Spdy => {
                headers.push(("upgrade", "SPDY/3.1".to_owned()));
                headers.extend(offered.iter().map(|name| (STREAM_PROTOCOL, (*name).to_owned())));
            }
            By::WebSocket { .. } => headers.extend([
                ("upgrade", "websocket".to_owned()),
                ("sec-websocket-version", "13".to_owned()),
                ("sec-websocket-key", key.clone()),
                (SOCKET_PROTOCOL, offered.join(", ")),
            ]),
        }
        headers
    }

    /// Reads the headers of a 101: what is spoken from now on, and the headers that tell the client.
    ///
    /// # Errors
    ///
    /// When it is not what was asked for.
    pub fn taken(&self, headers: &HeaderMap) -> Result<(Speech, HeaderMap), &'static str> {
        let Self { wish: Wish { purpose, by, offered }, key } = self;
        let (upgrade, named) = match by {
            By::Spdy => ("SPDY/3.1", STREAM_PROTOCOL),
            By::WebSocket { .. } => ("websocket", SOCKET_PROTOCOL),
        };
        let value = |name: &str| sole(headers, name);
        if !value("upgrade").is_some_and(|value| value.eq_ignore_ascii_case(upgrade)) {
            return Err("it upgraded to something else");
        }
        let chosen = value(named).and_then(|name| offered.iter().find(|own| **own == name));
        let chosen = *chosen.ok_or("it chose a protocol that was not offered")?;
        let mut told = HeaderMap::new();
        let _ = told.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        let _ = told.insert(header::UPGRADE, HeaderValue::from_static(upgrade));
        let _ = told.insert(HeaderName::from_static(named), HeaderValue::from_static(chosen));
        if let By::WebSocket { key: client } = by {
            if value("sec-websocket-accept") != Some(derive_accept_key(key.as_bytes()).as_str()) {
                return Err("it did not take the key");
            }
            if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
                return Err("it agreed to an extension that nobody wished for");
            }
            let accept = HeaderValue::try_from(derive_accept_key(client.as_bytes()));
            let _ = told.insert(header::SEC_WEBSOCKET_ACCEPT, accept.map_err(|_| "a key")?);
        }
        let speech = match (by, purpose) {
            (By::Spdy, purpose) => Speech::Spdy(*purpose),
            (By::WebSocket { .. }, Purpose::Ports) => Speech::Tunnel(*purpose),
            (By::WebSocket { .. }, Purpose::Command) if chosen == V5 => {
                Speech::Channels(Version::Five)
            }
            (By::WebSocket { .. }, Purpose::Command) => Speech::Channels(Version::Four),
        };
        Ok((speech, told))
    }
}

/// Whether a protocol that a browser offers is a credential in disguise.
pub(crate) fn holds_credential(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut words = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    words.any(|word| {
        let word = word.trim_ascii();
        word.get(..BEARER.len()).is_some_and(|start| start.eq_ignore_ascii_case(BEARER))
    })
}

fn spoken_by_spdy(purpose: Purpose) -> &'static [&'static str] {
    match purpose {
        Purpose::Command => &[V5, V4],
        Purpose::Ports => &["portforward.k8s.io"],
    }
}

fn spoken_by_websocket(purpose: Purpose) -> &'static [&'static str] {
    match purpose {
        Purpose::Command => &[V5, V4],
        Purpose::Ports => &["SPDY/3.1+portforward.k8s.io"],
    }
}

/// The one value of a header, as text.
fn one<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a str> {
    let mut values = headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value);
    let first = values.next().filter(|_| values.next().is_none())?;
    std::str::from_utf8(first).ok().map(str::trim)
}

fn sole<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().filter(|_| values.next().is_none())?;
    first.to_str().ok().map(str::trim)
}

/// The words of a list that may stand in several headers.
fn listed<'a>(
    headers: &'a [(String, Vec<u8>)],
    name: &'static str,
) -> impl Iterator<Item = &'a str> {
    let values = headers.iter().filter(move |(own, _)| own == name);
    let texts = values.filter_map(|(_, value)| std::str::from_utf8(value).ok());
    texts.flat_map(|text| text.split(',')).map(str::trim).take(OFFERED_MAX)
}

const V5: &str = "v5.channel.k8s.io";
const V4: &str = "v4.channel.k8s.io";

/// The header that names protocols over SPDY.
const STREAM_PROTOCOL: &str = "x-stream-protocol-version";

/// The header that names protocols over WebSockets.
const SOCKET_PROTOCOL: &str = "sec-websocket-protocol";

/// How a browser hides a token among protocols.
const BEARER: &[u8] = b"base64url.bearer.authorization.k8s.io";

/// How long the key of a WebSocket is.
const KEY_BYTES: usize = 16;

/// The most protocols that are looked at: there are five.
const OFFERED_MAX: usize = 32;
