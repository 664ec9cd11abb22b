//! Commands of ed and ex: which files they read and write, and whether they run anything.
//!
//! One reader for both, and for vim's `-c`: what is a command in one of them counts, and of vim only
//! what ed has too is known. Text that is put in is data, up to the line with a single dot.

use super::effect::Effect;
use crate::catalog::format::PathUse;

/// Returns what a list of commands does besides editing the buffer.
pub(crate) fn read(text: &[u8]) -> Vec<Effect> {
    let mut found = Vec::new();
    let understood = std::str::from_utf8(text).is_ok_and(|text| lines(text, &mut found).is_some());
    if !understood {
        found.push(Effect::unread(text, &RUNS));
    }
    found
}

fn lines(text: &str, found: &mut Vec<Effect>) -> Option<()> {
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut rest = line;
        loop {
            match command(rest, found)? {
                Next::Command(more) => rest = more,
                Next::Line => break,
                Next::Text => {
                    // Up to the dot, or to the end.
                    lines.by_ref().find(|line| *line == ".");
                    break;
                }
            }
        }
    }
    Some(())
}

/// What follows a command.
enum Next<'a> {
    /// Another in the same line.
    Command(&'a str),
    /// The next line.
    Line,
    /// Lines of text.
    Text,
}

/// Reads a command; `None` if it is not known.
fn command<'a>(line: &'a str, found: &mut Vec<Effect>) -> Option<Next<'a>> {
    let line = addresses(line.trim_start_matches([' ', '\t', ':']))?;
    let Some(letter) = line.chars().next() else { return Some(Next::Line) };
    if letter == '!' {
        shell(line.get(1..)?, found);
        return Some(Next::Line);
    }
    let (word, rest) = line
        .split_at(line.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(line.len()));
    match word {
        "a" | "i" | "c" if rest.is_empty() => Some(Next::Text),
        "s" => substitution(rest),
        "g" | "v" => {
            let mut letters = rest.chars();
            let quote = letters.next().filter(char::is_ascii_punctuation)?;
            let rest = part(letters.as_str(), quote)?;
            // The commands of a list go on in the next line behind a backslash.
            (!rest.ends_with('\\')).then_some(Next::Command(rest))
        }
        "e" | "E" | "r" | "edit" | "read" => file(rest, PathUse::Read, found),
        "f" | "file" if rest.trim().is_empty() => Some(Next::Line),
        "w" | "W" | "wq" | "write" | "x" | "xit" | "update" | "wa" | "wqa" | "xa" => {
            file(rest, PathUse::Write, found)
        }
        "q" | "Q" | "qa" | "quit" | "quitall" | "qall" => {
            let rest = rest.strip_prefix('!').unwrap_or(rest);
            after(rest)
        }
        "h" | "H" | "P" | "p" | "n" | "l" | "d" | "j" | "u" | "z" | "dn" | "pn" | "delete"
        | "print" | "undo" | "join" => after(rest),
        "k" | "m" | "t" | "mark" | "copy" | "move" => {
            let plain = |letter: char| {
                letter.is_ascii_alphanumeric()
                    || matches!(letter, '.' | '$' | '+' | '-' | ' ' | '\'')
            };
            rest.chars().all(plain).then_some(Next::Line)
        }
        "" if letter == '=' => after(line.get(1..)?),
        "" if letter == '#' || letter == '"' => Some(Next::Line),
        _ => None,
    }
}

/// Skips the addresses before a command.
fn addresses(line: &str) -> Option<&str> {
    let mut rest = line;
    loop {
        let mut letters = rest.chars();
        match letters.next() {
            Some('0'..='9' | '.' | '$' | ',' | ';' | '%' | '+' | '-' | ' ' | '\t') => {
                rest = letters.as_str();
            }
            Some('\'') => {
                letters.next()?;
                rest = letters.as_str();
            }
            Some(quote @ ('/' | '?')) => {
                // A pattern for an address alone may end with the line.
                match part(letters.as_str(), quote) {
                    Some(behind) => rest = behind,
                    None => return (!letters.as_str().contains('|')).then_some(""),
                }
            }
            _ => return Some(rest),
        }
    }
}

/// Reads to `quote` and returns what is behind it.
fn part(text: &str, quote: char) -> Option<&str> {
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '\\' => {
                letters.next()?;
            }
            letter if letter == quote => return Some(letters.as_str()),
            _ => {}
        }
    }
}

fn substitution(rest: &str) -> Option<Next<'_>> {
    let mut letters = rest.chars();
    let quote = letters.next().filter(|quote| quote.is_ascii_punctuation() && *quote != '\\')?;
    let replacement = part(letters.as_str(), quote)?;
    // vim evaluates what stands behind `\=`; a bar ends the command for it, within or without.
    (!replacement.starts_with("\\=") && !rest.contains('|')).then_some(())?;
    let flags = part(replacement, quote).unwrap_or("");
    let known = |letter: char| letter.is_ascii_digit() || "gpnlciI&e ".contains(letter);
    flags.chars().all(known).then_some(Next::Line)
}

/// Reads the file, or the command, of `r`, `w` and their like.
fn file<'a>(rest: &'a str, usage: PathUse, found: &mut Vec<Effect>) -> Option<Next<'a>> {
    let name = rest.strip_prefix('!').unwrap_or(rest);
    if name.len() < rest.len() && !name.is_empty() && !name.starts_with(' ') {
        // `w!cmd` is a command for some.
        shell(name, found);
        return Some(Next::Line);
    }
    let name = name.trim_start();
    if let Some(command) = name.strip_prefix('!') {
        shell(command, found);
        return Some(Next::Line);
    }
    let name = name.strip_prefix(">>").map_or(name, str::trim_start);
    match name {
        "" => Some(Next::Line),
        // vim expands these.
        _ if name.contains(['|', '`', '$', '*', '%', '#']) => None,
        _ => {
            found.push(Effect::file(name.as_bytes(), usage));
            Some(Next::Line)
        }
    }
}

/// Has a shell run `command`. The editors put names of files in place of some letters.
fn shell(command: &str, found: &mut Vec<Effect>) {
    let command = command.trim();
    match command.is_empty() || command.contains(['%', '#', '!', '\\']) {
        true => found.push(Effect::unknown_command()),
        false => found.extend(Effect::command(command.as_bytes().to_vec())),
    }
}

fn after(rest: &str) -> Option<Next<'_>> {
    let rest = rest.trim_start_matches([' ', '\t', 'p', 'n', 'l']);
    match rest.strip_prefix('|') {
        Some(more) => Some(Next::Command(more)),
        None => rest.is_empty().then_some(Next::Line),
    }
}

/// What commands that are not understood must not hold to count for less than an unknown command.
const RUNS: [&str; 9] = ["!", "|", "system", "term", "py", "perl", "lua", "ruby", "exe"];
