//! What no text may hold, whatever it says: too many bytes, control characters, bytes that are not
//! UTF-8, characters that hide or reorder what is shown, white space that shells do not know
//! (invariant I5).

use super::{Span, SyntaxError, TEXT_BYTES_MAX};

/// Checks a text before it is read.
pub(super) fn text(text: &[u8]) -> Result<(), SyntaxError> {
    if TEXT_BYTES_MAX < text.len() {
        return Err(error(TEXT_BYTES_MAX, 1, "more bytes than the limit"));
    }
    if text.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n')) {
        return Ok(());
    }
    let letters = match std::str::from_utf8(text) {
        Ok(letters) => letters,
        Err(fault) => return Err(error(fault.valid_up_to(), 1, "a byte that is not UTF-8")),
    };
    let mut before = '\0';
    for (at, letter) in letters.char_indices() {
        if let Some(message) = unfit(letter, before) {
            return Err(error(at, letter.len_utf8(), message));
        }
        before = letter;
    }
    Ok(())
}

/// Returns why a character may not stand in a text, if it may not.
fn unfit(letter: char, before: char) -> Option<&'static str> {
    Some(match letter {
        '\t' | '\n' | ' '..='~' => return None,
        '\0' => "a zero byte",
        '\r' => "a carriage return",
        '\u{1b}' => "an escape character",
        _ if letter.is_control() => "a control character",
        _ if letter.is_whitespace() => "white space that is not ASCII",
        // Behind a symbol it asks for a picture and hides nothing.
        '\u{fe0f}' if '\u{2000}' <= before => return None,
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{13430}'..='\u{1345f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => "a character that hides or reorders what is shown",
        _ => return None,
    })
}

fn error(at: usize, len: usize, message: &'static str) -> SyntaxError {
    let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    SyntaxError { at: Span { start: place(at), end: place(at + len) }, message }
}
