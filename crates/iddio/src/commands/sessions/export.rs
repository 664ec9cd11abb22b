//! `iddio sessions export`: a recording in another form.

use std::io::{self, IsTerminal, Write};

use base64ct::{Base64, Encoding};
use iddio_core::{json::Value as Told, recording::Channel};
use iddio_record::{
    cast::{Cast, Version},
    format::Frame,
    read::{self, Track},
    safe::Plain,
};
use serde_json::{Value, json};

use super::{
    directory,
    find::{self, Picked},
    play::heading,
    reading, unreadable,
};
use crate::{
    cli::{ExportArgs, ExportFormat},
    commands,
    exit::{DONE, Ended, Failure},
    output::Voice,
};

/// Writes to stdout what was recorded, in the form that is asked for.
pub(super) fn run(arguments: &ExportArgs, _: Voice) -> Ended {
    let ExportArgs { id, format } = arguments;
    if *format == ExportFormat::Raw && io::stdout().is_terminal() {
        return Err(Failure::usage("what is raw does not go to a terminal unasked")
            .hint("iddio sessions replay --raw"));
    }
    let home = commands::home_there()?;
    let Picked { recording, path, tracks } = find::pick(&directory(&home), id)?;
    let cast = matches!(format, ExportFormat::Asciicast | ExportFormat::Asciicast3);
    if cast && 1 < tracks.len() {
        return Err(Failure::usage("requests and their answers are no terminal")
            .hint("iddio sessions export --format text"));
    }
    reading(home, "export", &[recording])?;
    let mut stdout = io::stdout().lock();
    for track in &tracks {
        let mut reader = read::open(&path).map_err(unreadable)?;
        let mut form = Form::new(*format, track);
        let mut out = form.begin(track);
        let end = read::frames(&mut reader, track.operation, track.offset, |frame| {
            form.frame(frame, &mut out);
            stdout.write_all(&out)?;
            out.clear();
            Ok(())
        });
        let _end = end.map_err(unreadable)?;
        form.finish(&mut out);
        stdout.write_all(&out)?;
    }
    stdout.flush()?;
    Ok(DONE)
}

/// What frames become.
enum Form {
    Cast(Box<Cast>),
    Json,
    Raw,
    Text(Option<Channel>, Plain),
}

// === impl Form ===

impl Form {
    fn new(format: ExportFormat, track: &Track) -> Self {
        let cast = |version| {
            let began = track.title.member("at").and_then(Told::as_int).unwrap_or_default();
            Self::Cast(Box::new(Cast::new(version, &super::about(&track.title), began / 1_000_000)))
        };
        match format {
            ExportFormat::Asciicast => cast(Version::Two),
            ExportFormat::Asciicast3 => cast(Version::Three),
            ExportFormat::Json => Self::Json,
            ExportFormat::Raw => Self::Raw,
            ExportFormat::Text => Self::Text(None, Plain::default()),
        }
    }

    fn begin(&self, track: &Track) -> Vec<u8> {
        match self {
            Self::Text(..) => format!("=== {}\n", heading(track)).into_bytes(),
            Self::Cast(_) | Self::Json | Self::Raw => Vec::new(),
        }
    }

    fn frame(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) {
        let Frame { micros, channel, bytes } = frame;
        match self {
            Self::Cast(cast) => cast.frame(frame, out),
            Self::Json => {
                out.extend_from_slice(line(micros, channel, bytes).to_string().as_bytes());
                out.push(b'\n');
            }
            Self::Raw if matches!(channel, Channel::Resize { .. } | Channel::Exit) => {}
            Self::Raw => out.extend_from_slice(bytes),
            Self::Text(last, plain) => {
                let mut text = String::new();
                if *last != Some(channel) {
                    plain.finish(&mut text);
                    if last.is_some() {
                        text.push('\n');
                    }
                    text.push_str(&format!("--- {} {}\n", micros / 1_000_000, named(channel)));
                    (*last, *plain) = (Some(channel), Plain::default());
                }
                plain.push(bytes, &mut text);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Cast(cast) => cast.finish(out),
            Self::Json | Self::Raw => {}
            Self::Text(_, plain) => {
                let mut text = String::new();
                plain.finish(&mut text);
                text.push('\n');
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

/// A frame as JSON. Bytes that are no text are base64, as in the log.
fn line(micros: u64, channel: Channel, bytes: &[u8]) -> Value {
    let data = match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({"base64": Base64::encode_string(bytes)}),
    };
    let mut value = json!({"micros": micros, "channel": channel.name(), "data": data});
    let more = match channel {
        Channel::Data { port, connection, .. } => json!({"port": port, "connection": connection}),
        Channel::Resize { columns, rows } => json!({"columns": columns, "rows": rows}),
        _ => Value::Null,
    };
    if let (Some(members), Value::Object(more)) = (value.as_object_mut(), more) {
        members.extend(more);
    }
    value
}

fn named(channel: Channel) -> String {
    match channel {
        Channel::Data { port, connection, .. } => format!("{} {port} {connection}", channel.name()),
        Channel::Resize { columns, rows } => format!("resize {columns}x{rows}"),
        channel => channel.name().to_owned(),
    }
}
