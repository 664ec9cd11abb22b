//! Seeded damage to an input: what libFuzzer does better, on any toolchain.

use iddio_testkit::Dice;

/// Returns `input` with some damage that follows from `dice`; `other` is another input to take
/// parts from.
pub fn mutate(input: &[u8], other: &[u8], dice: &Dice) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=dice.below(4) {
        let place = dice.index(bytes.len() + 1);
        let end = place + dice.index(bytes.len() + 1 - place);
        match dice.below(9) {
            0 => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            1 => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = *dice.pick(MARKS);
                }
            }
            2 => bytes.insert(place, *dice.pick(MARKS)),
            3 => bytes.truncate(place),
            4 => drop(bytes.drain(place..end)),
            5 => {
                let part: Vec<u8> = bytes.drain(place..end).collect();
                let times = if part.len() < 64 { 2 + dice.below(6) } else { 2 };
                let many = std::iter::repeat_n(part, usize::try_from(times).unwrap_or(2)).flatten();
                drop(bytes.splice(place..place, many.collect::<Vec<u8>>()));
            }
            6 => {
                let from = dice.index(other.len() + 1);
                let part = other.get(from..).unwrap_or_default();
                let len = dice.index(part.len() + 1);
                drop(bytes.splice(place..place, part.iter().copied().take(len)));
            }
            7 => drop(bytes.splice(place..place, dice.bytes(dice.index(9)))),
            _ => {
                let token = *dice.pick(TOKENS);
                drop(bytes.splice(place..end.min(place + 8), token.iter().copied()));
            }
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

/// Bytes that mean something to some parser.
const MARKS: &[u8] = b"\0\n\r\t \"'\\/:;,.=-+*?#%&|<>()[]{}$`@!~^_0aZ\x1b\x7f\x80\xc0\xff";

/// Runs of bytes that mean something to some parser.
const TOKENS: &[&[u8]] = &[
    b"--",
    b"..",
    b"//",
    b"%2e",
    b"\r\n",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"9007199254740993",
    b"18446744073709551616",
    b"-1",
    b"1e999",
    b"null",
    b"true",
    b"<<: *a",
    b"&a",
    b"!!str",
    b"${",
    b"<<EOT",
    b"\\u0000",
    b"\\ud800",
    b"[[",
    b"{{",
    b"\"\"\"",
];

/// The longest mutated input.
const BYTES_MAX: usize = 64 * 1024;
