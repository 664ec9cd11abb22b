//! Which names say that the value beside them is secret.
//!
//! A name is split into words at punctuation and at changes of case, so that `dbPassword`,
//! `DB_PASSWORD` and `db.password` are one. A last word that speaks about a secret rather than
//! holding one (`token_ttl`, `secretName`, `password-file`) makes the name plain.

use super::{Kind, part};

/// Returns what sort of secret a field called `name` holds, if it holds one.
pub(super) fn kind_of(name: &[u8]) -> Option<Kind> {
    if !tells(Joined::of(name).as_bytes()) {
        return None;
    }
    let name = Name::parse(name);
    let (last, before_last) = name.last_two();
    if name.joined.ends_with("secretid") {
        return Some(Kind::Token);
    }
    if ABOUT.contains(&last) || (last == "token" && PAGING.contains(&before_last)) {
        return None;
    }
    let words = name.words.iter().map(String::as_str);
    words.filter_map(word_kind).next().or_else(|| compound_kind(&name.joined))
}

/// Returns what sort of secret a header called `name` holds, if it holds one.
pub(super) fn header_kind(name: &[u8]) -> Option<Kind> {
    let lower = name.to_ascii_lowercase();
    match lower.as_slice() {
        b"authorization" | b"proxy-authorization" => Some(Kind::Token),
        b"cookie" | b"set-cookie" => Some(Kind::Cookie),
        b"x-amz-signature" | b"x-slack-signature" | b"x-hub-signature-256" => Some(Kind::Signature),
        _ => kind_of(name),
    }
}

/// Whether `name` names a header whose value runs to the end of its line.
pub(super) fn is_whole_line(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    let names: [&[u8]; 4] = [b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"];
    names.contains(&lower.as_slice())
}

/// Returns the length of the authentication scheme that `value` begins with, space included.
pub(super) fn scheme_len(value: &[u8]) -> usize {
    let lead = value.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let rest = value.get(lead..).unwrap_or_default();
    let fits = |scheme: &&&[u8]| {
        let head = rest.get(..scheme.len()).unwrap_or_default();
        head.eq_ignore_ascii_case(scheme) && rest.get(scheme.len()) == Some(&b' ')
    };
    SCHEMES.iter().find(fits).map_or(0, |scheme| lead + scheme.len() + 1)
}

/// Whether `value` is no secret although its name is one: a switch, a reference, a place.
pub(super) fn is_exempt(name: &[u8], value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    let lower = lower.as_slice();
    if SWITCHES.contains(&lower) || lower.iter().all(|byte| *byte == b'*') {
        return true;
    }
    if lower.starts_with(b"arn:aws") || is_reference(value) {
        return true;
    }
    let parsed = Name::parse(name);
    let (last, _) = parsed.last_two();
    let counted = last == "tokens" && value.iter().all(u8::is_ascii_digit);
    let directory = matches!(parsed.joined.as_str(), "pwd" | "oldpwd") && value.starts_with(b"/");
    let holds_path = last.ends_with("key") || last.starts_with("credential");
    counted || directory || (holds_path && is_path(value))
}

/// Whether `value` has the length and look of a token, where a weak name alone decides nothing.
pub(super) fn is_weighty(value: &[u8]) -> bool {
    let login = value.contains(&b':') && 6 < value.len();
    login || (16 <= value.len() && value.iter().any(u8::is_ascii_digit))
}

/// Returns the kind of a name that means a secret only beside a weighty value.
pub(super) fn weak_kind(name: &[u8], in_query: InQuery) -> Option<Kind> {
    let joined = Joined::of(name);
    if !WEAK.iter().any(|weak| joined.as_bytes().ends_with(weak)) {
        return None;
    }
    let name = Name::parse(name);
    let (last, _) = name.last_two();
    match (last, in_query) {
        ("sig" | "signature", _) => Some(Kind::Signature),
        ("auth", _) => Some(Kind::Token),
        ("code" | "assertion" | "ticket", InQuery::Yes) => Some(Kind::Token),
        ("key", InQuery::Yes) => Some(Kind::Key),
        _ => None,
    }
}

/// Whether a name stands in the query of a URL.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum InQuery {
    No,
    Yes,
}

/// The small letters and digits of a name, without what stands between its words.
struct Joined {
    bytes: [u8; NAME_BYTES_MAX],
    len: usize,
}

/// A name, split into lower-case words.
struct Name {
    words: Vec<String>,
    joined: String,
}

// === impl Joined ===

impl Joined {
    fn of(name: &[u8]) -> Self {
        let start = name.len().saturating_sub(NAME_BYTES_MAX);
        let name = part(name, start..name.len());
        match name.contains(&b'%') {
            true => Self::of_decoded(&percent_decoded(name)),
            false => Self::of_decoded(name),
        }
    }

    fn of_decoded(name: &[u8]) -> Self {
        let mut bytes = [0; NAME_BYTES_MAX];
        let mut len = 0;
        for byte in name.iter().filter(|byte| byte.is_ascii_alphanumeric()) {
            if let Some(slot) = bytes.get_mut(len) {
                *slot = byte.to_ascii_lowercase();
                len += 1;
            }
        }
        Self { bytes, len }
    }

    fn as_bytes(&self) -> &[u8] {
        part(&self.bytes, 0..self.len)
    }
}

// === impl Name ===

impl Name {
    fn parse(name: &[u8]) -> Self {
        let start = name.len().saturating_sub(NAME_BYTES_MAX);
        let name = percent_decoded(part(name, start..name.len()));
        let mut words: Vec<String> = Vec::new();
        let mut word = String::new();
        let mut end_word = |word: &mut String| {
            if !word.is_empty() {
                words.push(std::mem::take(word));
            }
        };
        let mut bytes = name.iter().copied().peekable();
        let mut last = b' ';
        while let Some(byte) = bytes.next() {
            let next_is_small = bytes.peek().is_some_and(u8::is_ascii_lowercase);
            let hump = byte.is_ascii_uppercase()
                && (last.is_ascii_lowercase() || (last.is_ascii_uppercase() && next_is_small));
            if hump || !byte.is_ascii_alphanumeric() {
                end_word(&mut word);
            }
            if byte.is_ascii_alphanumeric() {
                word.push(char::from(byte.to_ascii_lowercase()));
            }
            last = byte;
        }
        end_word(&mut word);
        let joined = words.concat();
        Self { words, joined }
    }

    fn last_two(&self) -> (&str, &str) {
        let mut words = self.words.iter().rev().map(String::as_str);
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }
}

/// Whether a name may say secret: whether it holds a part that every name has which [`word_kind`] or
/// [`compound_kind`] knows. Most words of a command line hold none, and need not be split.
fn tells(joined: &[u8]) -> bool {
    let mut rest = joined;
    while let [_, tail @ ..] = rest {
        match rest {
            [b'p', b'w', ..]
            | [b'k', b'e', b'y', ..]
            | [b'j', b'w', b't', ..]
            | [b'o', b't', b'p', ..]
            | [b'p', b'a', b's', b's', ..]
            | [b'c', b'r', b'e', b'd', ..]
            | [b't', b'o', b'k', b'e', b'n', ..]
            | [b's', b'e', b'c', b'r', b'e', b't', ..]
            | [b'b', b'e', b'a', b'r', b'e', b'r', ..]
            | [b'c', b'o', b'o', b'k', b'i', b'e', ..]
            | [b'm', b'n', b'e', b'm', b'o', b'n', b'i', b'c', ..] => return true,
            [b'a' | b'c' | b'r' | b's', ..]
                if LONG_PARTS.iter().any(|part| rest.starts_with(part)) =>
            {
                return true;
            }
            _ => rest = tail,
        }
    }
    false
}

fn word_kind(word: &str) -> Option<Kind> {
    match word {
        "pass" | "pw" | "pwd" | "passwd" | "password" | "passwords" | "passphrase" | "passcode"
        | "sshpass" => Some(Kind::Password),
        "token" | "tokens" | "jwt" | "bearer" | "otp" | "totp" => Some(Kind::Token),
        "cookie" | "cookies" => Some(Kind::Cookie),
        "secret" | "secrets" | "credential" | "credentials" | "creds" | "mnemonic" => {
            Some(Kind::Value)
        }
        _ if PASSING.contains(&word) => None,
        _ if word.ends_with("pass") || word.ends_with("pwd") => Some(Kind::Password),
        _ => None,
    }
}

fn compound_kind(joined: &str) -> Option<Kind> {
    let holds = |parts: &[&str]| parts.iter().any(|part| joined.contains(part));
    if holds(&["password", "passwd", "passphrase"]) {
        return Some(Kind::Password);
    }
    if holds(KEYS) {
        return Some(Kind::Key);
    }
    if holds(&["secret", "credential", "connectionstring", "clientkeydata"]) {
        return Some(Kind::Value);
    }
    let token = joined.contains("token") && !joined.contains("tokeniz");
    let access = joined.contains("sharedaccesssignature") || joined.ends_with("rediscliauth");
    (token || access || joined.contains("authorization")).then_some(Kind::Token)
}

fn is_reference(value: &[u8]) -> bool {
    let inside = value.strip_prefix(b"${").and_then(|rest| rest.strip_suffix(b"}"));
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.".contains(byte);
    inside.is_some_and(|name| name.iter().all(is_name))
}

fn is_path(value: &[u8]) -> bool {
    let beside = [b"./".as_slice(), b"../", b"~/"];
    if beside.iter().any(|lead| value.starts_with(lead)) {
        return true;
    }
    let mut parts = value.split(|byte| *byte == b'/');
    let absolute = parts.next() == Some(b"".as_slice());
    let root = parts.next().unwrap_or_default();
    absolute && ROOTS.contains(&root) && parts.next().is_some()
}

fn percent_decoded(name: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => {
                    out.push(high * 16 + low);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(*byte),
        }
    }
    out
}

/// The most bytes of a name that are looked at, from its end. Names are short; attackers are not.
pub(super) const NAME_BYTES_MAX: usize = 128;

/// The longer parts that [`tells`] looks for.
const LONG_PARTS: &[&[u8]] =
    &[b"authorization", b"connectionstring", b"rediscliauth", b"sharedaccesssignature"];

/// The last words that [`weak_kind`] looks at.
const WEAK: &[&[u8]] = &[b"assertion", b"auth", b"code", b"key", b"sig", b"signature", b"ticket"];

/// Last words of names that speak about a secret and hold none.
const ABOUT: &[&str] = &[
    "algorithm",
    "alg",
    "arn",
    "budget",
    "class",
    "command",
    "count",
    "digest",
    "dir",
    "directory",
    "enabled",
    "endpoint",
    "env",
    "expiration",
    "expires",
    "expiry",
    "file",
    "fingerprint",
    "format",
    "helper",
    "hint",
    "id",
    "ids",
    "kind",
    "label",
    "length",
    "lifetime",
    "limit",
    "manager",
    "max",
    "min",
    "mode",
    "mount",
    "name",
    "names",
    "namespace",
    "path",
    "policy",
    "prompt",
    "provider",
    "ref",
    "refs",
    "required",
    "review",
    "rotation",
    "size",
    "source",
    "stdin",
    "store",
    "ttl",
    "type",
    "types",
    "uri",
    "url",
    "usage",
    "version",
    "versions",
];

/// Words before `token` that make it a place in a list, or a name for a retry.
const PAGING: &[&str] = &[
    "client",
    "continuation",
    "continue",
    "next",
    "page",
    "pagination",
    "request",
    "starting",
    "sync",
];

/// Words that end like a password and are none.
const PASSING: &[&str] =
    &["bypass", "compass", "encompass", "overpass", "surpass", "trespass", "underpass"];

/// Names of keys that are secret. `key` alone is anything; `public key` is public.
const KEYS: &[&str] = &[
    "accesskey",
    "accountkey",
    "apikey",
    "authkey",
    "consumerkey",
    "deploykey",
    "encryptionkey",
    "functionskey",
    "hmackey",
    "licensekey",
    "masterkey",
    "privatekey",
    "secretkey",
    "servicekey",
    "sessionkey",
    "sharedkey",
    "signingkey",
    "storagekey",
    "subscriptionkey",
    "unsealkey",
];

/// Values that switch something and reveal nothing.
const SWITCHES: &[&[u8]] = &[
    b"",
    b"true",
    b"false",
    b"yes",
    b"no",
    b"on",
    b"off",
    b"null",
    b"nil",
    b"none",
    b"undefined",
    b"~",
    b"[redacted]",
    b"<redacted>",
    b"<nil>",
    b"optional",
    b"required",
];

/// Authentication schemes, which stay visible.
const SCHEMES: &[&[u8]] = &[
    b"aws4-hmac-sha256",
    b"apikey",
    b"basic",
    b"bearer",
    b"bot",
    b"digest",
    b"dpop",
    b"geniekey",
    b"hawk",
    b"negotiate",
    b"ntlm",
    b"ssws",
    b"token",
];

/// First directories of absolute paths. Base64 may begin with a slash too; not with these.
const ROOTS: &[&[u8]] = &[
    b"Users",
    b"data",
    b"dev",
    b"etc",
    b"home",
    b"mnt",
    b"opt",
    b"proc",
    b"root",
    b"run",
    b"secrets",
    b"srv",
    b"tmp",
    b"usr",
    b"var",
    b"vault",
    b"workspace",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_look_passes_over_no_name_that_says_secret() {
        let words = [
            "pass",
            "pw",
            "pwd",
            "passwd",
            "password",
            "passwords",
            "passphrase",
            "passcode",
            "sshpass",
            "token",
            "tokens",
            "jwt",
            "bearer",
            "otp",
            "totp",
            "cookie",
            "cookies",
            "secret",
            "secrets",
            "credential",
            "credentials",
            "creds",
            "mnemonic",
            "dbpass",
            "rootpwd",
            "connectionstring",
            "clientkeydata",
            "sharedaccesssignature",
            "rediscliauth",
            "authorization",
            "secretid",
        ];
        let mut said = 0;
        for name in words.iter().chain(KEYS) {
            assert!(tells(name.as_bytes()), "{name}");
            let spread = name.chars().flat_map(|char| ['-', char.to_ascii_uppercase()]);
            let forms =
                [name.to_string(), format!("x_{name}"), name.to_uppercase(), spread.collect()];
            said += forms.iter().filter(|form| kind_of(form.as_bytes()).is_some()).count();
        }
        assert!(150 < said, "{said}");
        for name in ["terraform", "apply", "limit", "namespace", "", "=", "%"] {
            assert!(!tells(Joined::of(name.as_bytes()).as_bytes()), "{name}");
        }
    }
}
