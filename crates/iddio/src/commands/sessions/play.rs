//! `iddio sessions replay` and `search`: what flowed, for people to look at.

use std::{
    collections::HashMap,
    io::{self, IsTerminal, Write},
    thread,
    time::Duration,
};

use iddio_core::recording::Channel;
use iddio_record::{
    format::Frame,
    read::{self, Track},
    safe::{Plain, Screen},
};
use serde_json::json;

use super::{
    directory,
    find::{self, Found, Picked},
    reading, unreadable,
};
use crate::{
    cli::{ReplayArgs, SearchArgs},
    commands,
    exit::{DONE, Ended, Failure},
    output::{self, Voice, foreign},
};

/// Shows what a terminal was sent, in its time.
pub(super) fn run(arguments: &ReplayArgs, voice: Voice) -> Ended {
    let ReplayArgs { id, speed, idle, raw } = arguments;
    if !(speed.is_finite() && *speed > 0.0) {
        return Err(Failure::usage("the speed is above 0").hint("--speed 4"));
    }
    if *raw && !io::stdout().is_terminal() {
        return Err(Failure::usage("what is raw goes to a terminal alone")
            .hint("iddio sessions export --format raw"));
    }
    let home = commands::home_there()?;
    let Picked { recording, path, tracks } = find::pick(&directory(&home), id)?;
    reading(home, if *raw { "replay --raw" } else { "replay" }, &[recording])?;
    if *raw {
        voice.tell("raw: whatever was sent to that terminal is sent to yours");
    }
    let mut left_out = 0;
    for track in &tracks {
        left_out += play(&path, track, *speed, *idle, *raw)?;
    }
    if 0 < left_out {
        voice.say(format_args!(
            "{left_out} control sequences were left out: iddio sessions export --format text shows them"
        ));
    }
    Ok(DONE)
}

/// Shows one operation, and returns how many sequences were left out.
fn play(
    path: &std::path::Path,
    track: &Track,
    speed: f64,
    idle: u64,
    raw: bool,
) -> Result<u64, Failure> {
    let mut reader = read::open(path).map_err(unreadable)?;
    let mut screen = Screen::default();
    let mut stdout = io::stdout().lock();
    let mut last = 0;
    let end = read::frames(&mut reader, track.operation, track.offset, |frame| {
        let Frame { micros, channel, bytes } = frame;
        if !is_shown(channel) {
            return Ok(());
        }
        let pause = Duration::from_micros(micros.saturating_sub(last)).div_f64(speed);
        thread::sleep(pause.min(Duration::from_secs(idle)));
        last = micros;
        let mut out = Vec::new();
        match raw {
            true => out.extend_from_slice(bytes),
            false => screen.push(bytes, &mut out),
        }
        stdout.write_all(&out)?;
        stdout.flush()
    });
    let mut out = Vec::new();
    screen.finish(&mut out);
    // The screen is put in order also where the recording broke off.
    if stdout.is_terminal() {
        stdout.write_all(&out)?;
    }
    stdout.write_all(b"\n")?;
    stdout.flush()?;
    let _end = end.map_err(unreadable)?;
    Ok(screen.left_out())
}

/// Whether somebody who was there saw it.
fn is_shown(channel: Channel) -> bool {
    matches!(
        channel,
        Channel::Stdout
            | Channel::Stderr
            | Channel::RequestHead
            | Channel::Request
            | Channel::ResponseHead
            | Channel::Response
            | Channel::Data { .. }
    )
}

/// Lines of one stream, as they come.
#[derive(Default)]
struct Lines {
    plain: Plain,
    line: String,
    since: u64,
}

/// Looks for text in all that was typed, shown and sent.
pub(super) fn search(arguments: &SearchArgs, _: Voice) -> Ended {
    let SearchArgs { text, agent, json } = arguments;
    let home = commands::home_there()?;
    let mut found = find::all(&directory(&home))?;
    if let Some(agent) = agent {
        let of =
            |track: &Track| track.title.member("agent").and_then(|a| a.as_text()) == Some(agent);
        found.iter_mut().for_each(|found| found.contents.tracks.retain(of));
        found.retain(|found| !found.contents.tracks.is_empty());
    }
    let ids: Vec<_> = found.iter().map(|found| found.recording).collect();
    reading(home, "search", &ids)?;
    let wanted = text.to_lowercase();
    let mut hits = 0;
    for Found { path, contents, .. } in &found {
        for track in &contents.tracks {
            let mut reader = read::open(path).map_err(unreadable)?;
            let mut streams: HashMap<Channel, Lines> = HashMap::new();
            let mut tell = |channel: Channel, micros: u64, line: &str| {
                if line.to_lowercase().contains(&wanted) {
                    hits += 1;
                    hit(track, channel, micros, line, *json)?;
                }
                Ok(())
            };
            let end = read::frames(&mut reader, track.operation, track.offset, |frame| {
                let Frame { micros, channel, bytes } = frame;
                if matches!(channel, Channel::Resize { .. }) {
                    return Ok(());
                }
                let lines = streams.entry(channel).or_default();
                lines.push(micros, bytes, &mut |at, line| tell(channel, at, line))
            });
            let _end = end.map_err(unreadable)?;
            for (channel, mut lines) in streams {
                lines.finish(&mut |at, line| tell(channel, at, line))?;
            }
        }
    }
    if hits == 0 { Err(Failure::No) } else { Ok(DONE) }
}

fn hit(track: &Track, channel: Channel, micros: u64, line: &str, json: bool) -> io::Result<()> {
    let line: String = line.chars().take(LINE_CHARS_MAX).collect();
    if json {
        return output::json(&json!({
            "operation": track.operation.to_string(),
            "channel": channel.name(),
            "micros": micros,
            "line": line,
        }));
    }
    let (seconds, tenths) = (micros / 1_000_000, micros / 100_000 % 10);
    // The line went through the filter; what is ours stays plain.
    output::line(format_args!(
        "{}  {seconds}.{tenths}s  {}: {line}",
        track.operation,
        channel.name()
    ))
}

// === impl Lines ===

impl Lines {
    fn push(
        &mut self,
        micros: u64,
        bytes: &[u8],
        each: &mut dyn FnMut(u64, &str) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.line.is_empty() {
            self.since = micros;
        }
        self.plain.push(bytes, &mut self.line);
        while let Some((line, rest)) = self.line.split_once('\n') {
            each(self.since, line)?;
            self.line = rest.to_owned();
            self.since = micros;
        }
        Ok(())
    }

    fn finish(&mut self, each: &mut dyn FnMut(u64, &str) -> io::Result<()>) -> io::Result<()> {
        self.plain.finish(&mut self.line);
        for line in self.line.lines() {
            each(self.since, line)?;
        }
        Ok(())
    }
}

/// Names a stream for people.
pub(super) fn heading(track: &Track) -> String {
    foreign(&format!("{} {}", track.operation, super::about(&track.title)))
}

/// How much of a line that holds what was looked for is shown.
const LINE_CHARS_MAX: usize = 400;
