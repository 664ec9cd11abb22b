//! From the record of a decision to what may be certified: pure.
//!
//! A client names a record and hands in a public key. Everything else comes from here: the record must
//! be the one the log has, be about the action the client names, have been allowed, and have been
//! stated by the very user who asks; then it says who, as whom, from where, to do what.
//!
//! INVARIANT: what a record does not say plainly is refused, never guessed: text that is not UTF-8, a
//! secret taken out, several operations in one.

use iddio_core::{
    audit::verify::{Event, scan},
    digest::Digest,
    json::Value,
    time::Timestamp,
};
use iddio_mint::{ApproverPublic, signer::wire::Warranted};

/// A record that allows something, of the user who asks.
#[derive(Clone, Debug)]
pub struct Allowed {
    record: Value,
    /// Its number.
    pub seq: u64,
    /// The digest of the action.
    pub action: Digest,
    /// The Unix user whose process stated it.
    pub uid: u32,
}

/// What an SSH user certificate says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SshConstraints {
    /// `iddio:<agent>:<host>`.
    pub key_id: String,
    /// The one user it is for.
    pub principal: String,
    /// The one command it is for.
    pub force_command: Option<String>,
    /// What it may do besides.
    pub extensions: &'static [&'static str],
}

/// What a client certificate says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct X509Constraints {
    /// The agent, as the common name.
    pub agent: String,
    /// `spiffe://<trust domain>/agent/<agent>`.
    pub uri: String,
}

/// What an approver's registry entry says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Enrolment {
    /// Whose.
    pub operator: String,
    /// The public key, as OpenSSH writes it.
    pub key: String,
    /// The groups.
    pub groups: Vec<String>,
}

/// Whether an approver's signature stands behind an enrolment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Vouched {
    /// One does.
    ByKey,
    /// None does.
    ByNobody,
}

/// Why nothing is certified. The words are for people.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Unwarranted(pub String);

// === impl Allowed ===

impl Allowed {
    /// Reads the record that `line` is, for the user `uid` who asks at `now`.
    ///
    /// # Errors
    ///
    /// When it is not a record that allows just that, to this user, just now.
    pub fn read(
        line: &[u8],
        wanted: Warranted,
        uid: u32,
        now: Timestamp,
    ) -> Result<Self, Unwarranted> {
        let Warranted { seq, action } = wanted;
        let scanned = scan(line).map_err(|_| no("it is not a record of the log"))?;
        if scanned.seq != seq {
            return Err(no("it is another record"));
        }
        if scanned.event != Event::Allowed {
            return Err(no("the record allows nothing"));
        }
        let record = Value::read(line).map_err(|_| no("it is not a record of the log"))?;
        let own = Self { record, seq, action, uid };
        if own.text("action_digest")? != action.to_hex() {
            return Err(no("the record is about another action"));
        }
        let stated = own.record.member("peer").and_then(|peer| peer.member("uid")?.as_int());
        if stated != Some(u64::from(uid)) {
            return Err(no("the record was not stated by who asks"));
        }
        if !matches!(own.text("proof")?, "certificate" | "token" | "unix-user") {
            return Err(no("nobody proved who the caller is"));
        }
        // A record names its time in a form that sorts by time.
        let stamp = own.text("timestamp")?;
        let early = Timestamp(now.0.saturating_sub(RECORD_AGE_MICROS_MAX)).to_string();
        let late = Timestamp(now.0.saturating_add(CLOCK_SKEW_MICROS_MAX)).to_string();
        if stamp < early.as_str() || late.as_str() < stamp {
            return Err(no("the record is too old, or of a later time"));
        }
        if own.record.member("operations").is_some() {
            return Err(no("the record is about several operations"));
        }
        Ok(own)
    }

    /// Returns what an SSH user certificate for this may say.
    ///
    /// The record is of protocol `ssh`; `resource` is `user@host`, `method` is `exec`, `shell`, `sftp`
    /// or `forward`, and `argv` are the words of an `exec`.
    ///
    /// # Errors
    ///
    /// When the record says less, or more.
    pub fn ssh(&self) -> Result<SshConstraints, Unwarranted> {
        self.is_of(&["ssh"])?;
        let resource = self.text("resource")?;
        let (principal, host) =
            resource.split_once('@').ok_or_else(|| no("`resource` is not `user@host`"))?;
        if !is_unix_name(principal) {
            return Err(no("`resource` names no Unix user"));
        }
        if !is_host(host) {
            return Err(no("`resource` names no host"));
        }
        let (force_command, extensions): (_, &'static [&'static str]) = match self.text("method")? {
            "exec" => (Some(self.command_line()?), &[]),
            "forward" => (Some("false".to_owned()), &["permit-port-forwarding"]),
            "sftp" => (Some("internal-sftp".to_owned()), &[]),
            "shell" => (None, &["permit-pty"]),
            _ => return Err(no("`method` is not one of exec, forward, sftp, shell")),
        };
        let key_id = format!("iddio:{}:{host}", self.text("agent")?);
        Ok(SshConstraints { key_id, principal: principal.to_owned(), force_command, extensions })
    }

    /// Returns what a client certificate for this may say, in `trust_domain`.
    ///
    /// # Errors
    ///
    /// When the record is not of an agent and a protocol that certificates are for.
    pub fn x509(&self, trust_domain: &str) -> Result<X509Constraints, Unwarranted> {
        self.is_of(&["https", "kubernetes", "mcp"])?;
        let agent = self.text("agent")?;
        if !is_plain_name(agent) {
            return Err(no("the caller is no agent by a plain name"));
        }
        let uri = format!("spiffe://{trust_domain}/agent/{agent}");
        Ok(X509Constraints { agent: agent.to_owned(), uri })
    }

    /// Returns what a registry entry for this may say, and whether a key vouches for it.
    ///
    /// The record is of the command `iddio operator enroll NAME --key LINE [--group NAME]…`.
    ///
    /// # Errors
    ///
    /// When the record says less, or more, or an approver enrols itself.
    pub fn registry(&self) -> Result<(Enrolment, Vouched), Unwarranted> {
        self.is_of(&["command"])?;
        let argv = self.argv()?;
        let ["iddio", "operator", "enroll", operator, "--key", key, groups @ ..] = argv.as_slice()
        else {
            return Err(no("the record is of no enrolment"));
        };
        if !is_plain_name(operator) {
            return Err(no("the operator has no plain name"));
        }
        let key = ApproverPublic::parse(key).map_err(|error| no(&error.to_string()))?.to_line();
        let mut names = Vec::new();
        for pair in groups.chunks(2) {
            match pair {
                ["--group", name] if is_plain_name(name) => names.push((*name).to_owned()),
                _ => return Err(no("the record is of no enrolment")),
            }
        }
        if self.approvers().iter().any(|name| names_operator(name, operator)) {
            return Err(no("nobody enrols themselves"));
        }
        let vouched = match self.record.member("approval_assurance").and_then(Value::as_text) {
            Some("hardware" | "passphrase") => Vouched::ByKey,
            Some(_) | None => Vouched::ByNobody,
        };
        let enrolment = Enrolment { operator: (*operator).to_owned(), key, groups: names };
        Ok((enrolment, vouched))
    }

    fn approvers(&self) -> Vec<&str> {
        match self.record.member("approved_by") {
            Some(Value::Text(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_text).collect(),
            Some(_) | None => Vec::new(),
        }
    }

    fn is_of(&self, protocols: &[&str]) -> Result<(), Unwarranted> {
        match protocols.contains(&self.text("protocol")?) {
            true => Ok(()),
            false => Err(no("the record is of another protocol")),
        }
    }

    /// Returns the words of the command, each in quotes, as one line for a shell.
    fn command_line(&self) -> Result<String, Unwarranted> {
        let argv = self.argv()?;
        let quoted = argv.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''")));
        let line = quoted.collect::<Vec<_>>().join(" ");
        match line.len() <= COMMAND_BYTES_MAX {
            true => Ok(line),
            false => Err(no("the command is too long for a certificate")),
        }
    }

    /// Returns the words of the command: all of them, and just as they were.
    fn argv(&self) -> Result<Vec<&str>, Unwarranted> {
        if self.record.member("commitments").is_some() {
            return Err(no("a secret was taken out of the record"));
        }
        let Some(Value::Array(words)) = self.record.member("argv") else {
            return Err(no("the record has no `argv`"));
        };
        let words: Option<Vec<&str>> = words.iter().map(Value::as_text).collect();
        let words = words.filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| no("the command is not text"))?;
        match words.iter().any(|word| word.chars().any(char::is_control)) {
            true => Err(no("the command holds control characters")),
            false => Ok(words),
        }
    }

    fn text(&self, name: &str) -> Result<&str, Unwarranted> {
        let text = self.record.member(name).and_then(Value::as_text);
        text.ok_or_else(|| no(&format!("the record has no `{name}`")))
    }
}

/// Whether `name`, as a record names an approver, is the operator.
fn names_operator(name: &str, operator: &str) -> bool {
    name.rsplit(':').next() == Some(operator)
}

/// Whether this is a name of a Unix user as everybody takes them.
fn is_unix_name(name: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let rest = |byte: u8| first(byte) || byte.is_ascii_digit() || byte == b'-';
    name.len() <= UNIX_NAME_BYTES_MAX
        && name.bytes().next().is_some_and(first)
        && name.bytes().all(rest)
}

/// Whether this is a name of a host or an address, as a key id may hold it.
fn is_host(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':');
    !name.is_empty()
        && name.len() <= HOST_BYTES_MAX
        && !name.starts_with(['-', '.'])
        && name.bytes().all(sound)
}

/// Whether this is a name that means itself everywhere: in a URI, a file name, a certificate.
fn is_plain_name(name: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let rest = |byte: u8| first(byte) || matches!(byte, b'.' | b'_' | b'-');
    name.len() <= PLAIN_NAME_BYTES_MAX
        && name.bytes().next().is_some_and(first)
        && name.bytes().all(rest)
        && !name.contains("..")
}

fn no(why: &str) -> Unwarranted {
    Unwarranted(why.to_owned())
}

/// How old a record may be: a credential is minted right after the decision.
const RECORD_AGE_MICROS_MAX: u64 = 300 * 1_000_000;

/// How far ahead of ours the clock of the log service may be. It is the same machine's.
const CLOCK_SKEW_MICROS_MAX: u64 = 2 * 1_000_000;

/// What `useradd` takes.
const UNIX_NAME_BYTES_MAX: usize = 32;

/// The longest name in the DNS.
const HOST_BYTES_MAX: usize = 253;

/// The longest common name of a certificate.
const PLAIN_NAME_BYTES_MAX: usize = 64;

/// The longest forced command: what a certificate holds comfortably.
const COMMAND_BYTES_MAX: usize = 8_192;

#[cfg(test)]
mod tests;
