//! Short ways to judge a line.

use iddio_classify::command::{Ambient, Judged, judge};
use iddio_core::{
    operation::{Names, Scopes},
    text::RawText,
};

/// Judges words.
pub(crate) fn judged<W: AsRef<str>>(words: &[W]) -> Judged {
    judge(&raw(words), &Ambient::default())
}

/// Judges a line of words parted by spaces.
pub(crate) fn line(line: &str) -> Judged {
    judged(&line.split_whitespace().collect::<Vec<_>>())
}

/// Returns the tier of a line with all it runs, overrides held against it.
pub(crate) fn tier(text: &str) -> u8 {
    line(text).tier().number()
}

pub(crate) fn raw<W: AsRef<str>>(words: &[W]) -> Vec<RawText> {
    words.iter().map(|word| RawText::from(word.as_ref())).collect()
}

/// Returns scopes as a catalog's examples write them.
pub(crate) fn written(scopes: &Scopes) -> Vec<(String, Vec<String>)> {
    scopes
        .iter()
        .map(|(key, names)| {
            let names = match names {
                Names::Every => vec!["*".to_owned()],
                Names::Known(names) => names.clone(),
                Names::Unknown => vec!["?".to_owned()],
            };
            (key.name().to_owned(), names)
        })
        .collect()
}
