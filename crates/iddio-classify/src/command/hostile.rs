//! Words that mislead or that reach for iddio itself (invariant I5, threat E07).

use iddio_core::{
    text::RawText,
    tier::{Class, Tier},
};

use super::{ARGV_BYTES_MAX, ARGV_WORDS_MAX, Ambient, Found, WORD_BYTES_MAX, line::Term};
use crate::paths;

/// There is no command.
pub(super) fn empty() -> Found {
    Found { word: None, ..unknown("argv:empty", "there is no command", 0) }
}

/// Returns why the words cannot be read at all, if they cannot.
pub(super) fn unreadable(argv: &[Term]) -> Option<Found> {
    let length = |word: &Term| word.text.as_bytes().len();
    let bytes = argv.iter().map(length).sum::<usize>();
    let whole = |rule, text| Some(Found { word: None, ..unknown(rule, text, 0) });
    if argv.is_empty() {
        return Some(empty());
    }
    if argv.len() > ARGV_WORDS_MAX {
        return whole("argv:limit", "more words than the limit");
    }
    if bytes > ARGV_BYTES_MAX {
        return whole("argv:limit", "more bytes than the limit");
    }
    if let Some(word) = argv.iter().position(|word| WORD_BYTES_MAX < length(word)) {
        return Some(unknown("argv:limit", "a word longer than the limit", word));
    }
    let zero = argv.iter().position(|word| word.text.as_bytes().contains(&0));
    zero.map(|word| unknown("argv:nul", "a word holds a zero byte", word))
}

/// Returns why a command cannot be judged that the steps that are left do not suffice for.
pub(super) fn unaffordable(afforded: Option<()>) -> Option<Found> {
    let text = "following the text takes more steps than the limit";
    match afforded {
        Some(()) => None,
        None => Some(Found { word: None, ..unknown("shell:limit", text, 0) }),
    }
}

/// Returns why the program's name is unfit, if it is.
pub(super) fn program(name: &RawText) -> Option<Found> {
    let fail = |rule, text| Some(unknown(rule, text, 0));
    let Some(text) = name.as_str() else {
        return fail("program:utf8", "the program's name is not UTF-8");
    };
    if text.is_empty() || text.ends_with('/') {
        return fail("program:empty", "the program has no name");
    }
    if text.chars().any(char::is_control) {
        return fail("program:control", "the program's name holds a control character");
    }
    if text.contains(|letter: char| letter.is_whitespace()) {
        return fail("program:space", "the program's name holds white space");
    }
    let file = text.rsplit('/').next().unwrap_or(text);
    if !file.is_ascii() {
        return fail("program:script", "the program's name could be taken for another");
    }
    if file.contains('=') {
        return fail("program:assignment", "an assignment stands where the program should");
    }
    if file.starts_with('-') {
        return fail("program:dash", "an option stands where the program should");
    }
    None
}

/// Returns what is wrong with the words behind the program.
pub(super) fn words(argv: &[Term], ambient: &Ambient) -> Vec<Found> {
    let mut found = Vec::new();
    for (word, raw) in argv.iter().map(|term| &term.text).enumerate() {
        let text = raw.as_str();
        if text.is_none() && word > 0 {
            let text = "a word is not UTF-8";
            let utf8 = Found::new(Tier::Sensitive, Class::Unknown, "argv:utf8", text);
            found.push(utf8.word(word));
        }
        if text.is_some_and(|text| !is_printable(text) && text.contains(misleads)) {
            found.push(evasion("argv:hidden", "a word hides or reorders what is shown", word));
        }
        if reaches_own(raw, ambient) {
            found.push(evasion("iddio:own-path", "a word names a file of iddio itself", word));
        }
    }
    found.truncate(FINDINGS_MAX);
    found
}

/// Whether a text is nothing but printable ASCII: what nearly every word is.
fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether a letter steers a terminal or reorders, hides or fakes text.
pub(crate) fn misleads(letter: char) -> bool {
    matches!(letter,
        '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether a word names one of iddio's own paths: as it stands, tidied, or from the working
/// directory.
fn reaches_own(raw: &RawText, ambient: &Ambient) -> bool {
    if ambient.own_paths.is_empty() {
        return false;
    }
    let word = raw.as_bytes();
    let own = |text: &[u8]| {
        ambient.own_paths.iter().any(|path| {
            let path = path.as_bytes();
            !path.is_empty() && text.windows(path.len()).any(|window| window == path)
        })
    };
    if own(word) {
        return true;
    }
    // A path may stand behind `=`, `:`, `,` or `@`, and may take detours.
    word.split(|byte| matches!(byte, b'=' | b',' | b'@' | b':')).any(|part| {
        let directory = ambient.working_directory.as_ref().map_or(&b""[..], RawText::as_bytes);
        let path = match part {
            [b'/', ..] => paths::absolute(part, None),
            [] => return false,
            relative => paths::absolute(&[directory, b"/", relative].concat(), None),
        };
        own(&path)
    })
}

fn unknown(rule: &'static str, text: &'static str, word: usize) -> Found {
    Found::new(Tier::UNKNOWN, Class::Unknown, rule, text).word(word)
}

fn evasion(rule: &'static str, text: &'static str, word: usize) -> Found {
    Found::new(Tier::BreakGlass, Class::Evasion, rule, text).word(word)
}

/// The most findings that are kept; one is enough to decide, and a record must stay readable.
const FINDINGS_MAX: usize = 64;
