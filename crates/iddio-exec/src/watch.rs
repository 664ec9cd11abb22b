//! What a run reads from where it lies: settings that were looked into, programs the tool keeps.
//!
//! They cannot be bound: settings name files beside them, programs are large. So they are part of
//! the digest as they were when the command was judged, and are looked at once more right before it
//! starts: what changed while a human thought does not run (A08, E20, E21).

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use iddio_classify::command::{Need, Neutralisation, RunPlan};
use iddio_core::digest::{Canonical, Digest, Encoder};

use crate::{facts::Surroundings, neutral};

/// Settings and programs, as they were.
#[derive(Debug)]
pub struct Watched {
    settings: Vec<Neutralisation>,
    programs: Vec<PathBuf>,
    directory: PathBuf,
    seen: Digest,
}

// === impl Watched ===

impl Watched {
    /// Looks at what a plan reads besides what is bound.
    pub fn look(plan: &RunPlan, around: &Surroundings<'_>) -> Self {
        let paths = plan.needs.iter().flat_map(|need| match need {
            Need::Installed { paths, .. } => paths.as_slice(),
            _ => &[],
        });
        let programs: Vec<PathBuf> = paths.map(|path| around.directory.join(path)).collect();
        let settings = plan.neutralise.to_vec();
        let seen = seen(&settings, &programs, around);
        Self { settings, programs, directory: around.directory.to_owned(), seen }
    }

    /// The directory the tool works in.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether everything is as it was.
    pub fn holds(&self, around: &Surroundings<'_>) -> bool {
        seen(&self.settings, &self.programs, around) == self.seen
    }
}

impl Canonical for Watched {
    fn encode(&self, encoder: &mut Encoder) {
        // The rest says where to look, and is in what was seen.
        let Self { settings: _, programs: _, directory: _, seen } = self;
        encoder.digest(*seen);
    }
}

fn seen(settings: &[Neutralisation], programs: &[PathBuf], around: &Surroundings<'_>) -> Digest {
    let mut text = Vec::new();
    let mut add = |part: &[u8]| {
        text.extend_from_slice(part.len().to_string().as_bytes());
        text.push(b':');
        text.extend_from_slice(part);
    };
    for part in neutral::state(settings, around) {
        add(&part);
    }
    let mut waiting = programs.to_vec();
    let mut count = 0;
    while let Some(path) = waiting.pop() {
        count += 1;
        let Ok(real) = around.reach.real(&path) else { continue };
        let Ok(metadata) = fs::metadata(&real) else { continue };
        add(path.as_os_str().as_bytes());
        // What nobody can set back: who writes a file changes the time of its change.
        let (inode, size) = (metadata.ino(), metadata.size());
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        let stamp = format!("{} {inode} {size} {changed:?}", metadata.dev());
        match metadata.is_dir() {
            true if count < FILES_MAX => {
                let entries = fs::read_dir(&real).into_iter().flatten().flatten();
                let mut names: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
                names.sort();
                waiting.extend(names);
            }
            true => {}
            false => add(stamp.as_bytes()),
        }
    }
    Digest::of_bytes(&text)
}

/// The most files that are looked at: more than count as trusted.
const FILES_MAX: usize = 10_000;
