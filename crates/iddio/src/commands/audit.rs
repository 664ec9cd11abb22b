//! `iddio audit`: the log, read and checked. Readers take no lock.

use std::{
    fs,
    io::{self, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use iddio_audit::{
    Health, Log, Options, Repaired, Room, Status,
    commitments::{self, Erased},
    query::{Filter, Record},
    verify::{Report, Standing},
};
use iddio_core::{
    audit::{
        AdminEvent, Field,
        checkpoint::{Checkpoint, Note},
        tree,
        verify::Oddity,
    },
    digest::Digest,
    operation::OperationId,
    time::Clock,
};
use iddio_mint::checkpoint::CheckpointKey;
use iddio_runtime::clock::SystemClock;
use serde_json::{Value, json};

mod recordings;
mod source;

use self::source::{Source, source};
use crate::{
    cli::{AuditVerb, QueryArgs},
    commands,
    exit::{DONE, Ended, Failure},
    output::{self, Paint, Voice, foreign},
};

/// Whether recordings are checked as well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Recordings {
    Checked,
    Unread,
}

pub(crate) fn run(verb: AuditVerb, voice: Voice) -> Ended {
    match verb {
        AuditVerb::Checkpoint { output, json } => checkpoint(output.as_deref(), json, voice),
        AuditVerb::Forget { day, json } => forget(&day, json, voice),
        AuditVerb::Prove { seq } => prove(seq),
        AuditVerb::Query(arguments) => run_query(arguments),
        AuditVerb::Repair(json) => repair(json.json),
        AuditVerb::Show { id, json } => show(&id, json),
        AuditVerb::Status(json) => run_status(json.json),
        AuditVerb::Tail { last, no_follow, json } => tail(last, no_follow, json),
        AuditVerb::Verify { log, recordings, checkpoint, json } => {
            let recordings = if recordings { Recordings::Checked } else { Recordings::Unread };
            run_verify(log, recordings, checkpoint, json, voice)
        }
    }
}

fn run_verify(
    log: Option<PathBuf>,
    recordings: Recordings,
    checkpoint: Option<PathBuf>,
    json: bool,
    voice: Voice,
) -> Ended {
    let source = log.map_or_else(source, |log| Ok(Source::Directory(log)))?;
    let note = match &checkpoint {
        Some(path) => Some(commands::text(path)?),
        None => source.checkpoint()?,
    };
    let note = match &note {
        Some(note) => Some(Note::read(note).ok_or_else(|| {
            Failure::usage("the checkpoint is not one")
                .hint("it is the C2SP form, as `iddio audit checkpoint` writes it")
        })?),
        None => None,
    };
    let report = source.verify(note.as_ref())?;
    let found = match recordings {
        Recordings::Checked => Some(recordings::check(&source)?),
        Recordings::Unread => None,
    };
    let sound = is_sound(&report);
    match json {
        true => {
            let mut value = value(&report, sound);
            if let (Some(found), Some(members)) = (&found, value.as_object_mut()) {
                members.insert("recordings".to_owned(), recordings::value(found));
            }
            output::json(&value)?;
        }
        false => {
            tell(&report, sound, voice)?;
            found.as_ref().map_or(Ok(()), |found| recordings::tell(found, voice))?;
        }
    }
    let sound = sound && found.is_none_or(|found| found.is_sound());
    if sound { Ok(DONE) } else { Err(Failure::No) }
}

/// Whether nothing is wrong. An operation that is open now is not wrong: it may be running.
fn is_sound(report: &Report) -> bool {
    let wrong = |what: Oddity| !matches!(what, Oddity::Open | Oddity::AskOpen);
    report.bad.is_none()
        && !report.story.findings.iter().any(|finding| wrong(finding.what))
        && matches!(report.checkpoint, None | Some(Standing::Holds))
}

fn tell(report: &Report, sound: bool, voice: Voice) -> io::Result<()> {
    let story = &report.story;
    let allowed = story.decided - story.denied;
    let closed = story.closed;
    let word = if sound { voice.paint(Paint::Green, "ok") } else { voice.paint(Paint::Red, "BAD") };
    let checkpoint = match report.checkpoint {
        None => "no checkpoint yet".to_owned(),
        Some(standing) => format!("checkpoint {}", standing_name(standing)),
    };
    let records = story.records;
    output::line(format_args!(
        "{word}  {records} records, {closed} of {allowed} operations closed, {} refused, {checkpoint}",
        story.denied
    ))?;
    if let Some(bad) = &report.bad {
        output::line(format_args!(
            "  record {}: {} (segment {}, byte {})",
            bad.seq, bad.why, bad.segment, bad.offset
        ))?;
    }
    for finding in &story.findings {
        output::line(format_args!("  record {}: {} ({})", finding.seq, finding.what, finding.id))?;
    }
    if 0 < report.unfinished {
        output::line(format_args!(
            "  {} bytes after the last record: an append in progress or cut short; the next one sets them aside",
            report.unfinished
        ))?;
    }
    Ok(())
}

fn value(report: &Report, sound: bool) -> Value {
    let story = &report.story;
    let bad = report.bad.as_ref().map(|bad| {
        json!({"seq": bad.seq, "why": bad.why.to_string(), "segment": bad.segment, "offset": bad.offset})
    });
    let findings = story.findings.iter().map(|finding| {
        json!({"seq": finding.seq, "what": finding.what.to_string(), "id": finding.id.to_string()})
    });
    json!({
        "ok": sound,
        "records": story.records,
        "decided": story.decided,
        "denied": story.denied,
        "closed": story.closed,
        "abandoned": story.abandoned,
        "closed_late": story.closed_late,
        "withdrawn": story.withdrawn,
        "log_id": report.log_id,
        "head": report.head.map(|head| head.to_hex()),
        "checkpoint": report.checkpoint.map(standing_name),
        "unfinished_bytes": report.unfinished,
        "bad": bad,
        "findings": findings.collect::<Vec<_>>(),
    })
}

fn standing_name(standing: Standing) -> &'static str {
    match standing {
        Standing::Broken => "broken: the chain breaks before its end",
        Standing::Cut => "cut: records it signed for are gone",
        Standing::Holds => "holds",
        Standing::OtherLog => "of another log",
        Standing::Rewritten => "rewritten: it signed for other records",
        Standing::Unsigned => "not signed with the log's key",
    }
}

fn checkpoint(copy: Option<&Path>, json: bool, voice: Voice) -> Ended {
    let runtime = commands::runtime(voice)?;
    let key =
        CheckpointKey::open(&runtime.home().checkpoint_key()).map_err(Failure::unavailable)?;
    let note = runtime.checkpoint(&key).map_err(Failure::unavailable)?;
    if let Some(path) = copy {
        fs::write(path, &note).map_err(|error| commands::named(path, &error))?;
    }
    match json {
        true => output::json(&json!({"checkpoint": note}))?,
        false => {
            io::stdout().write_all(note.as_bytes())?;
            if copy.is_none() {
                voice.say("keep this somewhere else: it proves what the log was");
            }
        }
    }
    Ok(DONE)
}

fn forget(day: &str, json: bool, voice: Voice) -> Ended {
    own_log(&format!("iddio-logd forget {day}"))?;
    let runtime = commands::runtime(voice)?;
    let caller = commands::human(runtime.home())?;
    let now = runtime.clock().now().wall.to_string();
    if !is_day(day) {
        return Err(Failure::usage(format!("`{day}` is no day")).hint("2026-11-20"));
    }
    if now.get(..DAY_CHARS).is_none_or(|today| today <= day) {
        return Err(Failure::usage(format!("`{day}` is not over in UTC"))
            .hint("its key is still in use; come back tomorrow"));
    }
    // Recorded first: a key that is gone without a record would look like an accident.
    let event = AdminEvent {
        event: "commitments.erased",
        principal: Some(caller.principal().clone()),
        fields: vec![("day", Field::Text(day.into()))],
    };
    let _recorded = runtime.record(event).map_err(Failure::unavailable)?;
    let erased = commitments::erase(&runtime.home().log(), day).map_err(Failure::unavailable)?;
    let word = match erased {
        Erased::Absent => "there was no key of that day",
        Erased::Now => "erased",
    };
    match json {
        true => output::json(&json!({"day": day, "erased": erased == Erased::Now}))?,
        false => output::line(format_args!("{day}  {word}"))?,
    }
    Ok(DONE)
}

/// Whether the log is the home's own to change. The host's is its keeper's.
fn own_log(instead: &str) -> Result<(), Failure> {
    match source()? {
        Source::Directory(_) => Ok(()),
        Source::Service(_) => {
            let why = "the log service keeps the log, and the keys of its commitments";
            Err(Failure::refused(why).hint(format!("as the service's own user: {instead}")))
        }
    }
}

fn is_day(text: &str) -> bool {
    text.len() == DAY_CHARS
        && text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

fn prove(seq: u64) -> Ended {
    let source = source()?;
    let record = source.numbered(seq)?;
    let record = record.ok_or_else(|| {
        Failure::usage(format!("no record #{seq}")).hint("iddio audit tail --no-follow")
    })?;
    let hash = record.text("hash").and_then(Digest::from_hex);
    let hash = hash.ok_or_else(|| Failure::unavailable(format!("record #{seq} has no hash")))?;
    let (note, path) = source.prove(seq, hash)?;
    let damaged = || Failure::unavailable("the last checkpoint is damaged");
    let Checkpoint { size, root, .. } = Note::read(&note).ok_or_else(damaged)?.checkpoint;
    // Whoever is shown a proof checks it; so does whoever shows one.
    let leaf = tree::leaf(&hash);
    if tree::includes(leaf, seq, size, &path, &root) == tree::Proof::Fails {
        return Err(Failure::unavailable(format!(
            "record #{seq} is younger than the last checkpoint"
        ))
        .hint("iddio audit checkpoint"));
    }
    let path = path.iter().map(|sibling| sibling.to_hex());
    output::json(&json!({
        "seq": seq,
        "record_hash": hash.to_hex(),
        "size": size,
        "root": root.to_hex(),
        "path": path.collect::<Vec<_>>(),
        "checkpoint": note,
    }))?;
    Ok(DONE)
}

fn repair(json: bool) -> Ended {
    own_log("iddio-logd repair")?;
    let home = commands::home_there()?;
    let _human = commands::human(&home)?;
    let key = CheckpointKey::open(&home.checkpoint_key()).map_err(Failure::unavailable)?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // Not through the runtime: it records while it opens, which a closed log refuses.
    let clock = Arc::new(SystemClock::new());
    let log = Log::open(&home.log(), Options::of_home(clock, host, key.public()))
        .map_err(Failure::unavailable)?;
    let repaired = log.repair().map_err(Failure::unavailable)?;
    let bytes = match repaired {
        Repaired::Nothing => 0,
        Repaired::SetAside(bytes) => bytes,
    };
    match (json, repaired) {
        (true, _) => output::json(
            &json!({"repaired": repaired != Repaired::Nothing, "set_aside_bytes": bytes}),
        )?,
        (false, Repaired::Nothing) => output::line("nothing to repair")?,
        (false, Repaired::SetAside(bytes)) => output::line(format_args!(
            "the log takes records again; {bytes} bytes that may not have been synced were set aside"
        ))?,
    }
    Ok(DONE)
}

fn run_status(json: bool) -> Ended {
    if let Source::Service(remote) = source()? {
        let records = remote.head().map_err(Failure::unavailable)?;
        match json {
            true => output::json(&json!({"ok": true, "records": records, "kept_by": "service"}))?,
            false => output::line(format_args!(
                "{records} records, kept by the log service at {}; it takes records",
                remote.socket().display()
            ))?,
        }
        return Ok(DONE);
    }
    let home = commands::home_there()?;
    let Status { records, bytes, segments, room, health } =
        iddio_audit::status(&home.log(), None).map_err(Failure::unavailable)?;
    let (room_word, used) = match room {
        Room::Full => ("full", None),
        Room::Low(percent) => ("low", Some(percent)),
        Room::Plenty => ("plenty", None),
    };
    let sound = health == Health::Sound && room != Room::Full;
    if json {
        output::json(&json!({
            "ok": sound, "records": records, "bytes": bytes, "segments": segments,
            "room": room_word, "used_percent": used, "poisoned": health == Health::Poisoned,
        }))?;
    } else {
        output::line(format_args!("{records} records, {bytes} bytes, {segments} segments"))?;
        output::line(match room {
            Room::Full => "no room: everything is refused until there is some".to_owned(),
            Room::Low(percent) => format!("room is low: {percent} % are used"),
            Room::Plenty => "room is plenty".to_owned(),
        })?;
        output::line(match health {
            Health::Poisoned => {
                "CLOSED: a sync failed, so nothing is recorded and nothing is allowed: iddio audit repair"
            }
            Health::Sound => "it takes records",
        })?;
    }
    if sound { Ok(DONE) } else { Err(Failure::No) }
}

fn run_query(arguments: QueryArgs) -> Ended {
    let QueryArgs { agent, tier, decision, event, since, until, last, json } = arguments;
    for time in since.iter().chain(&until) {
        if !begins_a_time(time) {
            return Err(Failure::usage(format!("`{}` is no time", foreign(time))).hint(
                "RFC 3339 in UTC or the beginning of one: 2026-11-20T14:30:00Z, 2026-11-20",
            ));
        }
    }
    let source = source()?;
    let filter =
        Filter { agent, decision, event, since, tier_min: tier, until, ..Filter::default() };
    if let Some(count) = last {
        for record in &source.last(&filter, count)? {
            print(record, json)?;
        }
        return Ok(DONE);
    }
    let mut printed = Ok(());
    source.each(&filter, |record| {
        printed = print(&record, json);
        if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    printed?;
    Ok(DONE)
}

/// Whether `text` reads as a time of a record does, as far as it goes.
fn begins_a_time(text: &str) -> bool {
    let fits = |(byte, form): (u8, u8)| match form {
        b'0' => byte.is_ascii_digit() || (byte == b'Z' && text.ends_with('Z')),
        form => byte == form || (byte == b'Z' && text.ends_with('Z')),
    };
    YEAR_CHARS <= text.len()
        && text.len() <= TIME_FORM.len()
        && text.bytes().zip(TIME_FORM.bytes()).all(fits)
}

fn show(id: &str, json: bool) -> Ended {
    let records = story(&source()?, id)?;
    if records.is_empty() {
        let hint = match id.parse::<u64>() {
            Ok(number) => format!("the record with that number: iddio audit show '#{number}'"),
            Err(_) => "iddio audit query".to_owned(),
        };
        return Err(Failure::usage(format!("no record of `{id}`")).hint(hint));
    }
    for record in &records {
        match json {
            true => print(record, true)?,
            false => output::line(pretty(record))?,
        }
    }
    Ok(DONE)
}

/// Returns the records of an operation, of the operation an ask belongs to, or with a number.
fn story(source: &Source, id: &str) -> Result<Vec<Record>, Failure> {
    if let Some(number) = id.strip_prefix('#').and_then(|number| number.parse::<u64>().ok()) {
        return Ok(source.numbered(number)?.into_iter().collect());
    }
    let id = match id.starts_with("esc_") {
        true => {
            let clock = std::sync::Arc::new(iddio_runtime::clock::SystemClock::new());
            let queue = iddio_runtime::assemble::queue(&commands::home_there()?, clock);
            let entry = queue.and_then(|mut queue| queue.show(id)).map_err(Failure::unavailable)?;
            entry.ask.id.to_string()
        }
        false => id.to_owned(),
    };
    let filter = Filter { id_prefix: Some(id), ..Filter::default() };
    source.last(&filter, RECORDS_PER_OPERATION_MAX)
}

fn tail(last: usize, no_follow: bool, json: bool) -> Ended {
    let source = source()?;
    let mut following = source.follow()?;
    for record in source.last(&Filter::default(), last)? {
        print(&record, json)?;
    }
    if no_follow {
        return Ok(DONE);
    }
    loop {
        for record in following.next()? {
            print(&record, json)?;
        }
    }
}

/// Returns the records of an operation.
pub(crate) fn of_operation(id: OperationId) -> Result<Vec<Record>, Failure> {
    story(&source()?, &id.to_string())
}

/// Prints a record as a line for people.
pub(crate) fn print_record(record: &Record) -> io::Result<()> {
    print(record, false)
}

/// Prints a record: as stored, or as a line for people.
fn print(record: &Record, json: bool) -> io::Result<()> {
    if json {
        let mut stdout = io::stdout().lock();
        stdout.write_all(&record.line)?;
        return stdout.write_all(b"\n");
    }
    let text = |name: &str| foreign(record.text(name).unwrap_or_default());
    let int = |name: &str| record.int(name).map_or_else(String::new, |number| number.to_string());
    let tier = record.int("tier").map_or_else(String::new, |tier| format!("T{tier}"));
    let mut line = format!(
        "#{} {} {} {} {tier} {} {} {}",
        int("seq"),
        text("timestamp"),
        text("event"),
        text("agent"),
        text("command"),
        text("decision"),
        text("outcome"),
    );
    if record.int("exit_code").is_some() {
        line.push_str(&format!(" exit {}", int("exit_code")));
    }
    output::line(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Returns a record with one member a line.
fn pretty(record: &Record) -> String {
    let value: Value = serde_json::from_slice(&record.line).unwrap_or(Value::Null);
    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.lines().map(foreign).collect::<Vec<_>>().join("\n")
}

/// A time of a record, with 0 for any digit.
const TIME_FORM: &str = "0000-00-00T00:00:00.000000Z";

/// The shortest beginning of a time.
const YEAR_CHARS: usize = 4;

/// The characters of a date: `2026-11-20`.
const DAY_CHARS: usize = 10;

/// How many records one id may have in an answer: an operation has a handful.
const RECORDS_PER_OPERATION_MAX: usize = 10_000;
