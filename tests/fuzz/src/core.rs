//! The core's own readers: records, names, and what is shown and taken out.

use iddio_audit::wire::{Call, Reply, frame};
use iddio_core::{
    audit::{
        chain::Head,
        checkpoint::Note,
        line::{
            Fragment,
            stated::{Stamp, Stated},
        },
        verify::Verifier,
    },
    digest::Digest,
    json::Value,
    operation::OperationId,
    principal::PrincipalId,
    redact::{self, Kind, Piece, Redacted},
    sanitise,
    text::RawText,
    time::Timestamp,
};

/// Canonical JSON reads back as itself, and nothing else is read.
pub(crate) fn json(bytes: &[u8]) {
    if let Ok(value) = Value::read(bytes) {
        assert_eq!(value.to_canonical(), bytes, "read something that is not canonical");
    }
}

/// A log is believed up to its first bad line, and an opening record can be closed.
pub(crate) fn audit_log(bytes: &[u8]) {
    let mut verifier = Verifier::new();
    let mut believed = 0;
    for line in bytes.split(|byte| *byte == b'\n') {
        if verifier.feed(line).is_err() {
            break;
        }
        believed += 1;
        let _closing = Fragment::closing(line, Timestamp(0), "fuzz");
    }
    assert_eq!(verifier.head().seq(), believed, "counted something it did not believe");
    assert_eq!(verifier.finish().records, believed, "told of something it did not believe");
}

/// A call to the log service is read as what it is written as, and a statement in it becomes a record
/// that says who wrote it, or none.
pub(crate) fn log_call(bytes: &[u8]) {
    if let Ok(Some((body, used))) = frame(bytes) {
        assert!(body.len() < used && used <= bytes.len(), "a frame that is not there");
    }
    let Ok(call) = Call::read(bytes) else { return };
    assert_eq!(&**call.to_bytes(), bytes, "a call has two texts");
    let Call::Append(statement) = call else { return };
    let Ok(stated) = Stated::of(statement.record) else { return };
    let stamp = Stamp { at: Timestamp(0), uid: 7, writer: "fuzz", request: 1 };
    let Ok(fragment) = stated.fragment(None, &stamp) else { return };
    let mut line = Vec::new();
    let hash = fragment.seal(&Head::GENESIS, &mut line);
    line.pop();
    let mut verifier = Verifier::new();
    assert!(verifier.feed(&line).is_ok(), "a record that does not verify");
    let record = Value::read(&line).ok();
    let text = |name| record.as_ref().and_then(|record| record.member(name)?.as_text());
    assert_eq!(text("writer"), Some("fuzz"), "a writer of the client's own");
    assert_eq!(text("hash"), Some(&*hash.to_hex()), "a hash of the client's own");
}

/// An answer of the log service is read as what it is written as.
pub(crate) fn log_reply(bytes: &[u8]) {
    if let Ok(reply) = Reply::read(bytes) {
        assert_eq!(reply.to_bytes(), bytes, "an answer has two texts");
    }
}

/// A checkpoint note is read or not.
pub(crate) fn audit_checkpoint(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(note) = Note::read(text)
    {
        let _named = note.names(&[0; 32]);
    }
}

/// Names that are read are written as they were.
pub(crate) fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let same = |written: Option<String>| {
        if let Some(written) = written {
            assert_eq!(written, text, "a name has two spellings");
        }
    };
    same(PrincipalId::new(text).map(|id| id.to_string()));
    same(OperationId::from_hex(text).map(|id| id.to_string()));
    same(Digest::from_hex(text).map(Digest::to_hex));
}

/// What is shown decodes back, and draws nothing but itself.
pub(crate) fn sanitise(bytes: &[u8]) {
    for shown in [sanitise::line(bytes), sanitise::text(bytes)] {
        let back = sanitise::unescape(&shown);
        assert_eq!(back.as_deref(), Some(bytes), "shown otherwise than it is");
        assert!(!shown.chars().any(|char| char.is_control() && char != '\n'), "{shown:?}");
    }
    assert!(!sanitise::line(bytes).contains('\n'), "a line of two lines");
    let limits = sanitise::Limits { lines: 3, columns: 17 };
    for clipped in [sanitise::clip_line(bytes, 17), sanitise::clip_text(bytes, limits)] {
        let back = sanitise::unescape(&clipped.text).unwrap_or_default();
        assert_eq!(back.len() + clipped.omitted, bytes.len(), "something was cut silently");
        assert!(bytes.starts_with(&back), "shown otherwise than it is");
    }
    let _odd = sanitise::confusables(bytes);
    let words = super::words(bytes);
    let shown = sanitise::words(&words);
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    if let Ok(shown) = std::str::from_utf8(bytes) {
        let _unescaped = sanitise::unescape(shown);
    }
}

/// Nothing is lost from a command line but what is told apart as secret.
pub(crate) fn redact_argv(bytes: &[u8]) {
    let words = super::words(bytes);
    let redacted = redact::argv(&words);
    assert_eq!(redacted.len(), words.len(), "a word was lost");
    for (redacted, word) in redacted.iter().zip(&words) {
        whole(redacted, word.as_bytes());
    }
}

/// Nothing is lost from text but what is told apart as secret.
pub(crate) fn redact_text(bytes: &[u8]) {
    whole(&redact::text(bytes), bytes);
    whole(&redact::assignment(bytes), bytes);
    let (name, value) = match bytes.iter().position(|byte| *byte == b':') {
        Some(colon) => bytes.split_at(colon),
        None => (bytes, bytes),
    };
    whole(&redact::header(name, value), value);
    whole(&redact::named(name, value), value);
}

fn whole(redacted: &Redacted, input: &[u8]) {
    let mut plain = Vec::new();
    let mut pieces = redacted.pieces().iter();
    // The commitment is the secret itself here, so that what is rendered must be the input.
    let mut commit = |_: Kind, secret: &[u8]| match std::str::from_utf8(secret) {
        Ok(text) => text.to_owned(),
        Err(_) => String::new(),
    };
    let rendered = redacted.render(&mut commit);
    if std::str::from_utf8(input).is_ok() {
        assert_eq!(rendered, RawText::new(input), "bytes were lost");
    }
    pieces.by_ref().for_each(|piece| match piece {
        Piece::Plain(text) => plain.extend_from_slice(text.as_bytes()),
        Piece::Secret(_, secret) => assert_eq!(format!("{secret:?}"), "***", "a secret is shown"),
    });
    assert!(plain.len() <= input.len(), "bytes were added");
}
