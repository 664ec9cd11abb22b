//! Holds recordings against the closed records that vouch for them.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::Path,
};

use iddio_core::{operation::OperationId, recording::Sealed};

use crate::{
    read::{self, Contents, End, Matches, ReadError},
    store,
};

/// A closed record that names a recording.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Named {
    /// The operation.
    pub operation: OperationId,
    /// What the record says of its recording.
    pub sealed: Sealed,
}

/// What was found, of every recording that is there or should be.
#[derive(Debug, Default)]
pub struct Findings {
    /// Operations whose recording is what was sealed, byte for byte.
    pub sound: u64,
    /// How many bytes those take.
    pub bytes: u64,
    /// Operations whose recording is another one, and what is wrong with it.
    pub changed: Vec<(Named, String)>,
    /// Operations whose recording is not there.
    pub missing: Vec<Named>,
    /// What no record vouches for: it is being made, or whoever made it was killed. The operation, its
    /// recording, and how it ends.
    pub unsealed: Vec<(OperationId, OperationId, String)>,
}

/// Reads every recording in `dir` whole, and holds it against the records.
///
/// # Errors
///
/// When the directory cannot be read. A file that cannot be is a finding.
pub fn check(dir: &Path, named: &[Named]) -> io::Result<Findings> {
    let mut by_file: HashMap<OperationId, Vec<Named>> = HashMap::new();
    for named in named {
        by_file.entry(named.sealed.recording).or_default().push(*named);
    }
    let mut findings = Findings::default();
    for (recording, ..) in store::list(dir)? {
        let wanted = by_file.remove(&recording).unwrap_or_default();
        let contents = read::contents(&store::path(dir, recording));
        findings.file(recording, &wanted, contents);
    }
    findings.missing = by_file.into_values().flatten().collect();
    findings.missing.sort_by_key(|named| named.operation.0);
    Ok(findings)
}

// === impl Findings ===

impl Findings {
    /// Whether every recording that a record names is what was sealed.
    pub fn is_sound(&self) -> bool {
        self.changed.is_empty() && self.missing.is_empty()
    }

    fn file(
        &mut self,
        recording: OperationId,
        wanted: &[Named],
        contents: Result<Contents, ReadError>,
    ) {
        let contents = match contents {
            Ok(contents) => contents,
            Err(error) => {
                let changed = wanted.iter().map(|named| (*named, error.to_string()));
                self.changed.extend(changed);
                if wanted.is_empty() {
                    self.unsealed.push((recording, recording, error.to_string()));
                }
                return;
            }
        };
        let tracks: HashMap<_, _> =
            contents.tracks.iter().map(|track| (track.operation, track)).collect();
        for named in wanted {
            match tracks.get(&named.operation) {
                Some(track) if track.is(&named.sealed) == Matches::Yes => {
                    self.sound += 1;
                    self.bytes += track.bytes;
                }
                Some(track) => {
                    let how = match &track.end {
                        End::Broken(error) => error.to_string(),
                        End::Sealed(_) => "it was sealed otherwise".to_owned(),
                        End::Unsealed => "its end is missing".to_owned(),
                    };
                    self.changed.push((*named, how));
                }
                None => self.changed.push((*named, "the operation is not in it".to_owned())),
            }
        }
        let vouched: HashSet<_> = wanted.iter().map(|named| named.operation).collect();
        for track in contents.tracks.iter().filter(|track| !vouched.contains(&track.operation)) {
            let how = match &track.end {
                End::Broken(error) => error.to_string(),
                End::Sealed(_) => "it ends, and no record vouches for it".to_owned(),
                End::Unsealed => "it does not end".to_owned(),
            };
            self.unsealed.push((track.operation, recording, how));
        }
        if let Some((at, error)) = contents.fault {
            self.unsealed.push((recording, recording, format!("from byte {at} on: {error}")));
        }
    }
}
