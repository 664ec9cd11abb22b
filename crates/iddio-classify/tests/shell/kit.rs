//! Dice, and shells that run a text in a directory of its own.

use std::{
    cell::Cell,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// Seeded dice.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    /// One of `choices`.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let at = self.below(choices.len());
        *choices.get(at).unwrap()
    }
}

/// How often a random test is repeated.
pub(crate) fn times(base: u64) -> u64 {
    let torture = std::env::var("IDDIO_TORTURE").ok().and_then(|times| times.parse().ok());
    base * torture.unwrap_or(1u64)
}

/// A directory to run texts in, where the programs `m0` to `m9` note that they ran.
pub(crate) struct Playground {
    dir: TempDir,
    runs: Cell<u64>,
}

impl Playground {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for number in 0..10 {
            let program = bin.join(format!("m{number}"));
            fs::write(&program, format!("#!/bin/sh\necho m{number} >> \"$NOTE\"\n")).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::create_dir(dir.path().join("here")).unwrap();
        Self { dir, runs: Cell::new(0) }
    }

    /// Runs a text with `shell` and returns the programs that ran.
    pub(crate) fn ran(&self, shell: &str, text: &str) -> Vec<String> {
        let path = |name: &str| self.dir.path().join(name);
        self.runs.set(self.runs.get() + 1);
        let note = path(&format!("note{}", self.runs.get()));
        let mut child = Command::new("/usr/bin/timeout")
            .args(["-k", "1", "2", shell, "-c", text])
            .current_dir(path("here"))
            .env_clear()
            .env("PATH", path("bin"))
            .env("FUNCNEST", "8")
            .env("NOTE", &note)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let group = format!("-{}", child.id());
        let _status = child.wait().unwrap();
        // What it left in the background goes with it; `timeout` made a group of its own.
        let _none = Command::new("/bin/kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        self.clean();
        let notes = fs::read_to_string(&note).unwrap_or_default();
        let mut ran: Vec<_> = notes.lines().map(str::to_owned).collect();
        ran.sort();
        ran.dedup();
        ran
    }

    fn clean(&self) {
        let here = self.dir.path().join("here");
        for entry in fs::read_dir(Path::new(&here)).unwrap() {
            let _gone = fs::remove_file(entry.unwrap().path());
        }
    }
}
