//! Secrets that are known by their shape alone: prefixed tokens, JWTs, private keys, AWS keys.
//!
//! A shape must begin where a word begins. Hexadecimal runs are never a shape by themselves:
//! digests and commit names are hexadecimal, and are worth reading.

use super::{Kind, Spans, at, before, part, run_end};

/// Finds every shape in `text`.
pub(super) fn scan(text: &[u8], spans: &mut Spans) {
    // Every shape is longer than most words, and holds a capital, a digit or an equals sign.
    if text.len() < SHAPE_LEN_MIN {
        return;
    }
    let seen = text.iter().fold(0, |seen, byte| seen | class(*byte));
    let (capital, marked) = (seen & CAPITAL != 0, seen & (CAPITAL | DIGIT) != 0);
    if marked {
        prefixed(text, spans);
    }
    // Where two overlap exactly, the first says of which kind they are.
    if capital {
        private_keys(text, spans);
    }
    if seen & SPACE != 0 && seen & (DIGIT | EQUALS) != 0 {
        after_bearer(text, spans);
    }
    if capital {
        aws_secret_keys(text, spans);
        web_tokens(text, spans);
    }
}

/// Finds the tokens that a prefix gives away.
fn prefixed(text: &[u8], spans: &mut Spans) {
    let mut place = 0;
    while place + SHAPE_LEN_MIN <= text.len() {
        let found = match begins_word(text, place) && may_begin(part(text, place..place + 3)) {
            true => shape_at(text, place),
            false => None,
        };
        match found {
            Some((start, end, kind)) => {
                spans.push(start..end, kind);
                place = end;
            }
            None => place += 1,
        }
    }
}

/// Whether `run` looks drawn at random: long, of three classes of characters, and changing often.
pub(super) fn is_random(run: &[u8], len_min: usize) -> bool {
    let holds = |class: fn(&u8) -> bool| run.iter().any(class);
    let mixed = holds(u8::is_ascii_uppercase) && holds(u8::is_ascii_lowercase);
    len_min <= run.len() && mixed && holds(u8::is_ascii_digit) && run.len() / 4 <= changes(run)
}

/// Whether `byte` may stand in base64, of either alphabet.
pub(super) fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/_-=".contains(&byte)
}

/// Returns the bit of the class that matters here, if `byte` is in one.
fn class(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => CAPITAL,
        b'0'..=b'9' => DIGIT,
        b'=' => EQUALS,
        b' ' => SPACE,
        _ => 0,
    }
}

/// Whether some prefix may begin with these three bytes: a filter that passes too much, never too
/// little.
fn may_begin(lead: &[u8]) -> bool {
    let [first, second, third] = lead else { return true };
    let bit = lead_bit(*first, *second, *third);
    LEADS.get(bit / 64).is_none_or(|word| word >> (bit % 64) & 1 == 1)
}

/// Returns the bit of [`LEADS`] for three bytes.
const fn lead_bit(first: u8, second: u8, third: u8) -> usize {
    let mixed = (first as usize) * 0x9e5 + (second as usize) * 0x6b7 + (third as usize) * 0x1f3;
    (mixed ^ (mixed >> 7)) % (64 * LEAD_WORDS)
}

/// Marks the first three bytes of every prefix.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks the place")]
const fn leads() -> [u64; LEAD_WORDS] {
    let mut marks = [0; LEAD_WORDS];
    let mut rest = PREFIXES;
    while let [(prefix, ..), tail @ ..] = rest {
        assert!(3 <= prefix.len(), "a prefix has three bytes at least");
        if let [first, second, third, ..] = prefix.as_bytes() {
            let bit = lead_bit(*first, *second, *third);
            marks[bit / 64] |= 1 << (bit % 64);
        }
        rest = tail;
    }
    marks
}

/// Returns the length of the shortest shape.
const fn shortest() -> usize {
    // A web token: a run of twelve, a dot, and four more.
    let mut least = 17;
    let mut rest = PREFIXES;
    while let [(prefix, _, behind, _), tail @ ..] = rest {
        let length = prefix.len() + *behind;
        if length < least {
            least = length;
        }
        rest = tail;
    }
    least
}

/// What may follow a prefix.
#[derive(Clone, Copy)]
enum Tail {
    /// Letters, digits, `_`, `-`.
    Token,
    /// The same, and `.`.
    Dotted,
    /// The same, and `/` and `:`. The prefix is an address and stays visible.
    Path,
    /// Capital letters and digits, exactly as many.
    Exact,
    /// The alphabet of base64.
    Base64,
    /// Letters and digits.
    Plain,
}

fn begins_word(text: &[u8], place: usize) -> bool {
    before(text, place).is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

fn shape_at(text: &[u8], place: usize) -> Option<(usize, usize, Kind)> {
    let rest = text.get(place..)?;
    let first = rest.first()?;
    PREFIXES.iter().find_map(|(prefix, tail, least, kind)| {
        let fits = prefix.as_bytes().first() == Some(first) && rest.starts_with(prefix.as_bytes());
        if !fits {
            return None;
        }
        let start = place + prefix.len();
        // Only so much is looked at before it is known to be a token: a run is walked once.
        let head = part(text, start..start + least);
        let marked = head.iter().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        if head.len() < *least || !marked || !head.iter().all(|byte| tail.holds(*byte)) {
            return None;
        }
        let end = run_end(text, start, |byte| tail.holds(byte));
        match tail {
            Tail::Exact => (end - start == *least).then_some((place, end, *kind)),
            Tail::Path => Some((start, end, *kind)),
            Tail::Base64 | Tail::Dotted | Tail::Plain | Tail::Token => Some((place, end, *kind)),
        }
    })
}

// === impl Tail ===

impl Tail {
    fn holds(self, byte: u8) -> bool {
        let word = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        match self {
            Self::Base64 => is_base64(byte),
            Self::Dotted => word || byte == b'.',
            Self::Exact | Self::Plain => byte.is_ascii_alphanumeric(),
            Self::Path => word || byte == b'/' || byte == b':' || byte == b'.',
            Self::Token => word,
        }
    }
}

/// `-----BEGIN … PRIVATE KEY-----` up to its end line, or to the end where that is missing.
fn private_keys(text: &[u8], spans: &mut Spans) {
    let mut from = 0;
    while let Some(start) = find(text, b"-----BEGIN ", from) {
        let title = part(text, start..(start + TITLE_BYTES_MAX).min(text.len()));
        from = start + 1;
        if find(title, b"PRIVATE KEY", 0).is_none() {
            continue;
        }
        let end = match find(text, b"-----END ", start) {
            Some(last) => {
                let title_end = run_end(text, last + 5, |byte| byte != b'-' && byte != b'\n');
                run_end(text, title_end, |byte| byte == b'-')
            }
            None => text.len(),
        };
        spans.push(start..end, Kind::PrivateKey);
        from = end;
    }
}

/// `Bearer …` and `Basic …` outside a header whose name would have said so.
fn after_bearer(text: &[u8], spans: &mut Spans) {
    let schemes = [(b"bearer ".as_slice(), 16), (b"basic ", 12)];
    let mut place = 0;
    while place < text.len() {
        if !matches!(at(text, place), Some(b'B' | b'b')) {
            place += 1;
            continue;
        }
        let head =
            |scheme: &[u8]| part(text, place..place + scheme.len()).eq_ignore_ascii_case(scheme);
        let scheme = schemes.iter().find(|(scheme, _)| head(scheme));
        let Some((scheme, least)) = scheme.filter(|_| begins_word(text, place)) else {
            place += 1;
            continue;
        };
        let start = place + scheme.len();
        let end = run_end(text, start, |byte| is_base64(byte) || byte == b'.' || byte == b'~');
        let token = part(text, start..end);
        let marked = token.iter().any(|byte| byte.is_ascii_digit() || *byte == b'=');
        if *least <= token.len() && marked {
            spans.push(start..end, Kind::Token);
        }
        place = end;
    }
}

/// Forty characters of base64 that look drawn at random: the secret half of an AWS key.
fn aws_secret_keys(text: &[u8], spans: &mut Spans) {
    if text.len() < AWS_SECRET_LEN {
        return;
    }
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let mut place = 0;
    while place < text.len() {
        let end = run_end(text, place, inside);
        let run = part(text, place..end);
        let mixed =
            run.iter().any(u8::is_ascii_uppercase) && run.iter().any(u8::is_ascii_lowercase);
        if run.len() == AWS_SECRET_LEN && mixed && AWS_SECRET_CHANGES_MIN <= changes(run) {
            spans.push(place..end, Kind::Key);
        }
        place = end + 1;
    }
}

/// `eyJ….….…`: a JSON object in base64, a dot, and more.
fn web_tokens(text: &[u8], spans: &mut Spans) {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let mut place = 0;
    while place < text.len() {
        let end = run_end(text, place, inside);
        let run = part(text, place..end);
        if run.starts_with(b"eyJ") && 12 <= run.len() && at(text, end) == Some(b'.') {
            let last = run_end(text, end, |byte| inside(byte) || byte == b'.' || byte == b'=');
            if 4 < last - end {
                spans.push(place..last, Kind::Token);
            }
            place = last;
        }
        place = place.max(end) + 1;
    }
}

/// Counts how often neighbours are of different classes: small, capital, digit, other.
fn changes(run: &[u8]) -> usize {
    let class = |byte: &u8| match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    run.iter().zip(run.iter().skip(1)).filter(|(one, next)| class(one) != class(next)).count()
}

fn find(text: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let tail = text.get(from..)?;
    tail.windows(needle.len()).position(|window| window == needle).map(|place| from + place)
}

/// The bits of [`class`].
const CAPITAL: u8 = 1;
const DIGIT: u8 = 2;
const EQUALS: u8 = 4;
const SPACE: u8 = 8;

/// The length of the shortest shape.
const SHAPE_LEN_MIN: usize = shortest();

/// Which three bytes a prefix may begin with. A thousand bits for a hundred prefixes pass one word
/// in ten for nothing.
static LEADS: [u64; LEAD_WORDS] = leads();
const LEAD_WORDS: usize = 16;

/// How far the title of an armoured key is looked for.
const TITLE_BYTES_MAX: usize = 64;

/// The length of the secret half of an AWS key.
const AWS_SECRET_LEN: usize = 40;

/// How often a run of forty random characters changes class at least; paths and words do less.
const AWS_SECRET_CHANGES_MIN: usize = 12;

/// Prefixes that issuers put on their tokens so that they can be found; what may follow, and how
/// much of it must.
const PREFIXES: &[(&str, Tail, usize, Kind)] = &[
    ("1//0", Tail::Token, 20, Kind::Token),
    ("ABIA", Tail::Exact, 16, Kind::Key),
    ("ACCA", Tail::Exact, 16, Kind::Key),
    ("AGE-SECRET-KEY-1", Tail::Token, 20, Kind::PrivateKey),
    ("AIza", Tail::Token, 30, Kind::Key),
    ("AKIA", Tail::Exact, 16, Kind::Key),
    ("ASIA", Tail::Exact, 16, Kind::Key),
    ("ATATT3", Tail::Base64, 20, Kind::Token),
    ("ATBB", Tail::Token, 28, Kind::Token),
    ("ATCTT3", Tail::Base64, 20, Kind::Token),
    ("CFPAT-", Tail::Token, 20, Kind::Token),
    ("EZAK", Tail::Token, 40, Kind::Key),
    ("FlyV1 ", Tail::Base64, 20, Kind::Token),
    ("GOCSPX-", Tail::Token, 20, Kind::Key),
    ("LTAI", Tail::Token, 16, Kind::Key),
    ("NRAK-", Tail::Token, 20, Kind::Key),
    ("PMAK-", Tail::Token, 20, Kind::Key),
    ("SG.", Tail::Dotted, 40, Kind::Key),
    ("api.telegram.org/bot", Tail::Path, 20, Kind::Token),
    ("bkua_", Tail::Token, 20, Kind::Token),
    ("cio", Tail::Plain, 32, Kind::Token),
    ("dapi", Tail::Plain, 32, Kind::Token),
    ("dckr_oat_", Tail::Token, 20, Kind::Token),
    ("dckr_pat_", Tail::Token, 20, Kind::Token),
    ("discord.com/api/webhooks/", Tail::Path, 30, Kind::Token),
    ("discordapp.com/api/webhooks/", Tail::Path, 30, Kind::Token),
    ("doo_v1_", Tail::Token, 40, Kind::Token),
    ("dop_v1_", Tail::Token, 40, Kind::Token),
    ("dor_v1_", Tail::Token, 40, Kind::Token),
    ("figd_", Tail::Token, 20, Kind::Token),
    ("fm2_", Tail::Base64, 20, Kind::Token),
    ("fo1_", Tail::Token, 20, Kind::Token),
    ("gho_", Tail::Token, 20, Kind::Token),
    ("ghp_", Tail::Token, 20, Kind::Token),
    ("ghr_", Tail::Token, 20, Kind::Token),
    ("ghs_", Tail::Token, 20, Kind::Token),
    ("ghu_", Tail::Token, 20, Kind::Token),
    ("github_pat_", Tail::Token, 20, Kind::Token),
    ("glagent-", Tail::Dotted, 16, Kind::Token),
    ("glcbt-", Tail::Dotted, 16, Kind::Token),
    ("gldt-", Tail::Dotted, 16, Kind::Token),
    ("glffct-", Tail::Dotted, 16, Kind::Token),
    ("glft-", Tail::Dotted, 16, Kind::Token),
    ("glimt-", Tail::Dotted, 16, Kind::Token),
    ("gloas-", Tail::Dotted, 16, Kind::Token),
    ("glpat-", Tail::Dotted, 16, Kind::Token),
    ("glptt-", Tail::Dotted, 16, Kind::Token),
    ("glrt-", Tail::Dotted, 16, Kind::Token),
    ("glsa_", Tail::Token, 20, Kind::Token),
    ("glsoat-", Tail::Dotted, 16, Kind::Token),
    ("gsk_", Tail::Token, 30, Kind::Key),
    ("hf_", Tail::Token, 30, Kind::Token),
    ("hooks.slack.com/services/", Tail::Path, 20, Kind::Token),
    ("hooks.slack.com/workflows/", Tail::Path, 20, Kind::Token),
    ("hvb.", Tail::Token, 20, Kind::Token),
    ("hvr.", Tail::Token, 20, Kind::Token),
    ("hvs.", Tail::Token, 20, Kind::Token),
    ("iddio_", Tail::Token, 16, Kind::Token),
    ("key-", Tail::Plain, 32, Kind::Key),
    ("lin_api_", Tail::Token, 20, Kind::Key),
    ("nfp_", Tail::Token, 30, Kind::Token),
    ("npm_", Tail::Token, 30, Kind::Token),
    ("ntn_", Tail::Token, 30, Kind::Token),
    ("ops_eyJ", Tail::Base64, 20, Kind::Token),
    ("phx_", Tail::Token, 20, Kind::Key),
    ("pplx-", Tail::Token, 30, Kind::Key),
    ("pul-", Tail::Token, 40, Kind::Token),
    ("pypi-", Tail::Token, 50, Kind::Token),
    ("r8_", Tail::Token, 30, Kind::Token),
    ("rk_live_", Tail::Token, 16, Kind::Key),
    ("rk_test_", Tail::Token, 16, Kind::Key),
    ("rubygems_", Tail::Token, 40, Kind::Key),
    ("sbp_", Tail::Token, 30, Kind::Token),
    ("secret_", Tail::Token, 40, Kind::Token),
    ("shpat_", Tail::Token, 30, Kind::Token),
    ("shpca_", Tail::Token, 30, Kind::Token),
    ("shppa_", Tail::Token, 30, Kind::Token),
    ("shpss_", Tail::Token, 30, Kind::Token),
    ("sk-", Tail::Token, 32, Kind::Key),
    ("sk_live_", Tail::Token, 16, Kind::Key),
    ("sk_test_", Tail::Token, 16, Kind::Key),
    ("sntrys_", Tail::Base64, 20, Kind::Token),
    ("sntryu_", Tail::Token, 20, Kind::Token),
    ("sq0atp-", Tail::Token, 20, Kind::Token),
    ("sq0csp-", Tail::Token, 20, Kind::Token),
    ("tskey-", Tail::Token, 16, Kind::Key),
    ("whsec_", Tail::Base64, 16, Kind::Key),
    ("xai-", Tail::Token, 40, Kind::Key),
    ("xapp-", Tail::Token, 20, Kind::Token),
    ("xkeysib-", Tail::Token, 40, Kind::Key),
    ("xoxa-", Tail::Token, 10, Kind::Token),
    ("xoxb-", Tail::Token, 10, Kind::Token),
    ("xoxc-", Tail::Token, 10, Kind::Token),
    ("xoxd-", Tail::Base64, 10, Kind::Token),
    ("xoxe-", Tail::Token, 10, Kind::Token),
    ("xoxe.xoxp-", Tail::Token, 10, Kind::Token),
    ("xoxp-", Tail::Token, 10, Kind::Token),
    ("xoxr-", Tail::Token, 10, Kind::Token),
    ("xoxs-", Tail::Token, 10, Kind::Token),
    ("ya29.", Tail::Dotted, 20, Kind::Token),
];
