//! What `echo` and `printf` write, where their words are known.

use super::text::{Chunk, Text};

/// Decodes the escapes of `echo -e`, `printf` and `${x@E}`.
pub(super) fn escapes(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let [letter, tail @ ..] = rest else {
            out.push(b'\\');
            break;
        };
        rest = tail;
        match letter {
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'e' | b'E' => out.push(27),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'\\' => out.push(b'\\'),
            b'"' | b'\'' | b'?' => out.push(*letter),
            b'x' => rest = digits(rest, 16, 2, &mut out, letter),
            b'u' => rest = digits(rest, 16, 4, &mut out, letter),
            b'U' => rest = digits(rest, 16, 8, &mut out, letter),
            b'0' => rest = digits(rest, 8, 3, &mut out, letter),
            b'1'..=b'7' => {
                let from = bytes.len() - rest.len() - 1;
                rest = digits(bytes.get(from..).unwrap_or_default(), 8, 3, &mut out, letter);
            }
            _ => out.extend_from_slice(&[b'\\', *letter]),
        }
    }
    out
}

fn digits<'a>(rest: &'a [u8], radix: u32, most: usize, out: &mut Vec<u8>, letter: &u8) -> &'a [u8] {
    let digit = |byte: &&u8| char::from(**byte).is_digit(radix);
    let length = rest.iter().take(most).take_while(digit).count();
    let (number, tail) = rest.split_at(length);
    let text = std::str::from_utf8(number).unwrap_or_default();
    let value = u32::from_str_radix(text, radix).unwrap_or(0);
    match letter {
        b'u' | b'U' => {
            let mut buffer = [0; 4];
            let letter = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
        }
        // A byte, as the shell cuts it.
        _ => out.push(u8::try_from(value & 0xff).unwrap_or_default()),
    }
    tail
}

/// Returns what `echo` writes.
pub(super) fn echo(words: &[Text]) -> Text {
    let mut words = words;
    let (mut decode, mut line_end) = (false, true);
    while let [first, rest @ ..] = words {
        let Some([b'-', letters @ ..]) = first.as_bytes() else { break };
        if letters.is_empty() || !letters.iter().all(|letter| b"neE".contains(letter)) {
            break;
        }
        line_end &= !letters.contains(&b'n');
        for letter in letters {
            decode = match letter {
                b'e' => true,
                b'E' => false,
                _ => decode,
            };
        }
        words = rest;
    }
    let mut text = Text::default();
    for (place, word) in words.iter().enumerate() {
        if place > 0 {
            text.push(Chunk::Bytes(b" ".to_vec()));
        }
        for chunk in &word.0 {
            text.push(match chunk {
                Chunk::Bytes(bytes) if decode => Chunk::Bytes(escapes(bytes)),
                chunk => chunk.clone(),
            });
        }
    }
    if line_end {
        text.push(Chunk::Bytes(b"\n".to_vec()));
    }
    text
}

/// Returns what `printf` writes; `None` for formats that are not folded.
pub(super) fn printf(format: &[u8], words: &[Text]) -> Option<Text> {
    let mut text = Text::default();
    let mut words = words.iter();
    for _ in 0..ROUNDS_MAX {
        let left = words.len();
        let mut rest = format;
        while let Some(place) = rest.iter().position(|byte| *byte == b'%') {
            let (before, tail) = rest.split_at(place);
            text.push(Chunk::Bytes(escapes(before)));
            let (letter, tail) = tail.get(1..)?.split_first()?;
            rest = tail;
            match letter {
                b'%' => text.push(Chunk::Bytes(b"%".to_vec())),
                b's' | b'd' | b'i' => text.extend(words.next().cloned().unwrap_or_default()),
                b'b' => {
                    let word = words.next().cloned().unwrap_or_default();
                    text.push(Chunk::Bytes(escapes(word.as_bytes()?)));
                }
                _ => return None,
            }
        }
        text.push(Chunk::Bytes(escapes(rest)));
        // The format is used again while words are left.
        if words.len() == 0 || words.len() == left {
            return Some(text);
        }
    }
    None
}

/// The most times a format is used again.
const ROUNDS_MAX: usize = 256;
