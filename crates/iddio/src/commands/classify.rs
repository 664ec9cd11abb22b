//! `iddio classify`: how dangerous something is, without running it and without a home.

use std::{
    ffi::OsString,
    io::{self, BufRead, Read, Write},
    os::unix::ffi::OsStrExt,
};

use iddio_classify::{
    command::{Ambient, Judged, judge, shell_line},
    explain::{self, Subject},
};
use iddio_core::{text::RawText, tier::Tier};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    cli::ClassifyArgs,
    commands,
    exit::{DONE, Ended, Failure},
    output::{self, Voice, tier_paint},
};

pub(crate) fn run(arguments: ClassifyArgs, voice: Voice) -> Ended {
    let ClassifyArgs { line, shell, jsonl, json, command } = arguments;
    let ambient = commands::ambient()?;
    if jsonl {
        return lines(&mut io::stdin().lock(), &mut io::stdout().lock(), &ambient);
    }
    let asked = match line.or(shell) {
        Some(text) => Asked::Shell(RawText::new(text.as_bytes())),
        None => Asked::of_words(&command),
    };
    let judged = asked.judged(&ambient);
    if json {
        output::json(&value(&judged, &asked)?)?;
        return Ok(DONE);
    }
    let mut lines = explain::text(&judged, asked.subject()).into_iter();
    if let Some(head) = lines.next() {
        output::line(voice.paint(tier_paint(judged.tier()), head))?;
    }
    for line in lines {
        output::line(line)?;
    }
    Ok(DONE)
}

/// What somebody asks about.
enum Asked {
    Shell(RawText),
    Words(Vec<RawText>),
}

impl Asked {
    fn of_words(words: &[OsString]) -> Self {
        Self::Words(words.iter().map(|word| RawText::new(word.as_bytes())).collect())
    }

    fn judged(&self, ambient: &Ambient) -> Judged {
        match self {
            Self::Shell(text) => shell_line(text, ambient),
            Self::Words(words) => judge(words, ambient),
        }
    }

    fn subject(&self) -> Subject<'_> {
        match self {
            Self::Shell(text) => Subject::Shell(text),
            Self::Words(words) => Subject::Words(words),
        }
    }
}

/// One line of `--jsonl`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    cmd: Option<String>,
    #[serde(default)]
    argv: Option<Vec<String>>,
}

/// Answers every line, in order. What cannot be read is break-glass, with the reason.
fn lines(input: &mut impl BufRead, output: &mut impl Write, ambient: &Ambient) -> Ended {
    let mut line = Vec::new();
    while read_line(input, &mut line)? {
        let answer = match read(&line) {
            Ok(asked) => value(&asked.judged(ambient), &asked)?,
            Err(why) => json!({
                "tier": Tier::UNKNOWN.number(),
                "reasons": [{"tier": Tier::UNKNOWN.number(), "rule": "jsonl:unreadable", "text": why, "decides": true}],
            }),
        };
        writeln!(output, "{answer}")?;
    }
    output.flush()?;
    Ok(DONE)
}

fn read(line: &[u8]) -> Result<Asked, String> {
    if LINE_BYTES_MAX <= line.len() {
        return Err(format!("the line is longer than {LINE_BYTES_MAX} bytes"));
    }
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    match line {
        Line { cmd: Some(text), argv: None } => Ok(Asked::Shell(RawText::from(text))),
        Line { cmd: None, argv: Some(words) } => {
            Ok(Asked::Words(words.into_iter().map(RawText::from).collect()))
        }
        Line { .. } => Err("expected one of `cmd` and `argv`".to_owned()),
    }
}

/// Reads up to the next newline; of a line that is too long only the beginning is kept.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let count = input.by_ref().take(limit).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if LINE_BYTES_MAX <= count {
        input.skip_until(b'\n')?;
    }
    Ok(0 < count)
}

fn value(judged: &Judged, asked: &Asked) -> Result<Value, Failure> {
    serde_json::to_value(explain::explanation(judged, asked.subject()))
        .map_err(Failure::unavailable)
}

/// The longest line: the most the kernel takes as arguments, and as much again for escapes.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
