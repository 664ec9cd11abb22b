//! The endpoint on a run's loopback that gives its AWS credentials out, as containers have it.
//!
//! INVARIANT: only who knows the run's token is answered, and only the run can connect: the loopback is
//! its own.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use iddio_runtime::clock::draw_id;
use subtle::ConstantTimeEq;

use super::{MintError, Value};

/// What the endpoint gives out, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    token: Value,
    credentials: Credentials,
}

/// AWS credentials for a while.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(super) id: Value,
    pub(super) secret: Value,
    pub(super) session: Value,
    /// As AWS writes it.
    pub(super) expiration: String,
}

// === impl Offer ===

impl Offer {
    /// Draws a token for one run.
    pub(super) fn of(credentials: Credentials) -> Result<Self, MintError> {
        let draw = || draw_id().map_err(|error| MintError::Random(error.to_string()));
        let token = Value::new(format!("{}{}", draw()?, draw()?));
        Ok(Self { token, credentials })
    }

    pub(super) fn values(&self) -> Vec<Value> {
        let Credentials { id, secret, session, .. } = &self.credentials;
        vec![self.token.clone(), id.clone(), secret.clone(), session.clone()]
    }

    pub(super) fn variables(&self) -> Vec<(String, Value)> {
        let text = |text: String| Value::new(text);
        vec![
            (
                "AWS_CONTAINER_CREDENTIALS_FULL_URI".into(),
                text(format!("http://127.0.0.1:{PORT}{PATH}")),
            ),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN".into(), self.token.clone()),
            ("AWS_EC2_METADATA_DISABLED".into(), text("true".into())),
        ]
    }
}

/// Answers one connection.
pub(crate) fn answer(mut client: TcpStream, offer: &Offer) {
    let _ = client.set_read_timeout(Some(TIME_MAX));
    let _ = client.set_write_timeout(Some(TIME_MAX));
    let answer = match head(&mut client) {
        Some(head) if is_asked(&head, offer) => {
            let Credentials { id, secret, session, expiration } = &offer.credentials;
            let body = serde_json::json!({
                "AccessKeyId": id.expose(),
                "SecretAccessKey": secret.expose(),
                "Token": session.expose(),
                "Expiration": expiration,
            });
            response("200 OK", &body.to_string())
        }
        Some(_) => response("401 Unauthorized", "{\"message\":\"not with this token\"}"),
        None => response("400 Bad Request", "{\"message\":\"no request\"}"),
    };
    // Whoever breaks off wanted none.
    let _ = client.write_all(answer.as_bytes());
}

/// Whether a request is for the credentials, and by whom they are for.
fn is_asked(head: &str, offer: &Offer) -> bool {
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let asked = first == format!("GET {PATH} HTTP/1.1") || first == format!("GET {PATH} HTTP/1.0");
    let shown = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("authorization").then(|| value.trim())
    });
    let known = |shown: &str| shown.as_bytes().ct_eq(offer.token.expose().as_bytes()).into();
    asked && shown.is_some_and(known)
}

fn head(client: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0; 1024]);
    while head.len() <= HEAD_BYTES_MAX {
        let count = client.read(&mut byte).ok().filter(|count| 0 < *count)?;
        head.extend_from_slice(byte.get(..count)?);
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            head.truncate(end);
            return String::from_utf8(head).ok();
        }
    }
    None
}

fn response(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Where it listens.
pub(crate) const PORT: u16 = 3129;
const PATH: &str = "/v1/credentials";

/// A client that is there asks at once.
const TIME_MAX: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    #[test]
    fn only_who_knows_the_token_is_answered() {
        let value = |text: &str| Value::new(text.to_owned());
        let credentials = Credentials {
            id: value("AKIDEXAMPLE"),
            secret: value("canary-secret"),
            session: value("canary-session"),
            expiration: "2030-01-01T00:00:00Z".to_owned(),
        };
        let offer = Offer::of(credentials).unwrap();
        let token = offer.token.expose().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        let asks = [
            (format!("GET {PATH} HTTP/1.1\r\nAuthorization: {token}\r\n\r\n"), true),
            (format!("GET {PATH} HTTP/1.1\r\nauthorization:{token}\r\n\r\n"), true),
            (format!("GET {PATH} HTTP/1.1\r\nAuthorization: {}\r\n\r\n", &token[1..]), false),
            (format!("GET {PATH} HTTP/1.1\r\nX: {token}\r\n\r\n"), false),
            (format!("GET /other HTTP/1.1\r\nAuthorization: {token}\r\n\r\n"), false),
            (format!("POST {PATH} HTTP/1.1\r\nAuthorization: {token}\r\n\r\n"), false),
            ("x".repeat(HEAD_BYTES_MAX + 2048), false),
        ];
        let count = asks.len();
        let serving = thread::spawn(move || {
            listener.incoming().take(count).for_each(|client| answer(client.unwrap(), &offer));
        });
        for (ask, given) in asks {
            let mut client = TcpStream::connect(place).unwrap();
            let _ = client.write_all(ask.as_bytes());
            let mut said = Vec::new();
            let _ = client.read_to_end(&mut said);
            assert_eq!(
                String::from_utf8_lossy(&said).contains("canary-secret"),
                given,
                "{ask:.80}"
            );
        }
        serving.join().unwrap();
    }
}
