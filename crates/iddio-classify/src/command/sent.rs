//! Standard input that goes to another machine: `openssl s_client`.
//!
//! Nothing, white space and the letter that ends the conversation say nothing to anybody. Any other
//! text is a request; a file is given away; and a terminal is a conversation that nobody reads.

use iddio_core::tier::{Class, Tier};

use super::{
    judge::Sum,
    line::{Feed, Judging},
    parse::Parsed,
};
use crate::{
    catalog::format::{Command, PathUse, Stdin},
    paths,
};

/// Adds what is sent, where the catalog says that standard input is.
pub(super) fn judge(
    parsed: &Parsed<'_>,
    command: Option<&Command>,
    feed: &Feed,
    judging: &Judging<'_>,
    sum: &mut Sum,
) {
    if command.is_none_or(|command| command.stdin != Stdin::Sent) {
        return;
    }
    let rule = format!("{}:sends", parsed.rule);
    let mut add = |tier, class, text| sum.add(tier, class, &rule, text, None);
    match feed {
        Feed::Nothing => {}
        Feed::Text(text) if says_nothing(text.as_bytes()) => {}
        Feed::Text(_) => add(Tier::Modify, Class::Unknown, "sends what it is given"),
        Feed::File(file) => {
            let directory = judging.directory.as_ref();
            let found = paths::judge(PathUse::Read, file, directory, judging.ambient);
            match found.is_some_and(|found| Tier::Sensitive <= found.tier) {
                true => add(Tier::BreakGlass, Class::Identity, "sends a secret file away"),
                false => add(Tier::Sensitive, Class::Unknown, "sends a file away"),
            }
        }
        Feed::Inherited | Feed::Unknown => {
            let text = "sends whatever comes in, which nobody reads before";
            add(Tier::Modify, Class::Unknown, text);
        }
    }
}

/// Whether a text is no request: white space, or what makes `s_client` end.
fn says_nothing(text: &[u8]) -> bool {
    matches!(text.trim_ascii(), b"" | b"Q" | b"QUIT" | b"quit")
}
