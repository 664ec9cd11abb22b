//! What programs for database clients have in common: a shell behind a mark, files, whole words.

use iddio_core::{
    text::RawText,
    tier::{Class, Tier},
};

use super::Findings;
use crate::{
    catalog::format::PathUse,
    command::line::{Feed, Judging, Term},
    paths, shell,
};

/// Reads every word that is known whole; what only the run knows is break-glass.
pub(super) fn each(words: &[Term], mut read: impl FnMut(&str, &mut Findings)) -> Findings {
    let mut findings = Findings::default();
    for word in words {
        match word.as_str() {
            Some(text) if text.len() <= TEXT_BYTES_MAX => read(text, &mut findings),
            Some(_) => findings.join(Findings::unread("a program longer than the limit")),
            None => findings.join(Findings::unread("a program that only the run knows")),
        }
    }
    findings
}

/// A client has a shell run this text.
pub(super) fn shell(text: &str, judging: &Judging<'_>, findings: &mut Findings) {
    if text.trim().is_empty() {
        let why = "an interactive shell";
        return findings.add(Tier::BreakGlass, Class::Session, "client:shell", why);
    }
    let why = "a database client runs a program";
    findings.add(Tier::Sensitive, Class::Session, "client:shell", why);
    match judging.within() {
        Some(inner) => {
            findings.within.extend(shell::judge_text(
                text.as_bytes(),
                &Feed::Inherited,
                &inner,
                None,
            ));
        }
        None => findings.join(Findings::unread("programs within programs, more than the limit")),
    }
}

/// A client reads or writes this file.
pub(super) fn file(name: &str, usage: PathUse, judging: &Judging<'_>, findings: &mut Findings) {
    let path = Term::whole(RawText::from(name.trim_matches(['\'', '"'])));
    if usage != PathUse::Read {
        findings.add(Tier::Modify, Class::Unknown, "client:file", "writes a file");
    }
    findings.found.extend(paths::judge(usage, &path, judging.directory.as_ref(), judging.ambient));
}

/// The longest program that is read.
const TEXT_BYTES_MAX: usize = 64 * 1024;
