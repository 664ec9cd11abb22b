//! Recordings: their reader, what is taken out on the way in, and what is shown on the way out.

use iddio_core::recording::Channel;
use iddio_record::{
    cast::{Cast, Version},
    format::{Frame, MAGIC},
    read::{Reader, contents_of},
    redacted_body,
    safe::{Plain, RESET, Screen},
};

/// Blocks are believed if their links say so, and whatever they are, the reader comes to an end.
pub(crate) fn recording(bytes: &[u8]) {
    let whole = [MAGIC.as_slice(), bytes].concat();
    let Ok(mut reader) = Reader::new(whole.as_slice()) else { return };
    let Ok(contents) = contents_of(&mut reader) else { return };
    let told: u64 = contents.tracks.iter().map(|track| track.bytes).sum();
    assert!(told <= bytes.len() as u64, "told of bytes that are not there");
}

/// What is recorded of a body does not depend on the pieces in which it comes.
pub(crate) fn body(bytes: &[u8]) {
    for kind in ["application/json", "text/plain", "application/yaml"] {
        for resource in ["pods", "secrets/db", "configmaps"] {
            let whole = redacted_body(resource, kind, [bytes]);
            if kind == "application/json" {
                let pieces = redacted_body(resource, kind, bytes.chunks(3));
                assert_eq!(whole, pieces, "pieces of {kind} make a difference");
            }
        }
    }
}

/// What is shown holds no control byte but those that draw, whatever was sent.
pub(crate) fn shown(bytes: &[u8]) {
    let (mut screen, mut out) = (Screen::default(), Vec::new());
    bytes.chunks(7).for_each(|piece| screen.push(piece, &mut out));
    screen.finish(&mut out);
    let drawn = out.strip_suffix(RESET).unwrap_or(&out);
    let text = String::from_utf8_lossy(drawn);
    assert_eq!(text.as_bytes(), drawn, "what is shown is no text");
    let control = |char: &char| char.is_control() && !"\n\r\t\u{8}\u{b}\u{c}\u{1b}".contains(*char);
    assert!(!text.chars().any(|char| control(&char)), "a control character came through");
    let opens =
        |pair: &[u8]| pair == b"\x1b]" || pair == b"\x1bP" || pair == b"\x1b_" || pair == b"\x1bX";
    assert!(!drawn.windows(2).any(opens), "a string for the terminal came through");
    let (mut plain, mut text) = (Plain::default(), String::new());
    bytes.chunks(5).for_each(|piece| plain.push(piece, &mut text));
    plain.finish(&mut text);
    let control = |char: char| char.is_control() && char != '\n' && char != '\t';
    assert!(!text.chars().any(control), "a control character is in plain text");
    let mut cast = Cast::new(Version::Two, "fuzz", 0);
    let mut out = Vec::new();
    for (micros, piece) in (0..).zip(bytes.chunks(11)) {
        cast.frame(Frame { micros, channel: Channel::Stdout, bytes: piece }, &mut out);
    }
    cast.finish(&mut out);
    let cast = String::from_utf8_lossy(&out);
    assert_eq!(cast.as_bytes(), out, "a cast is no text");
    assert!(cast.lines().all(|line| line.starts_with(['{', '['])), "a line of a cast is broken");
}
