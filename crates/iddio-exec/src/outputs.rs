//! What a run declares that it writes: only that comes back from a copy of its caller's tree.
//!
//! Three may declare: the words of the command (`-out=plan`, `> file`, `rm old`), the catalog of its tool
//! (`.terraform/**`), and the caller, by name, for this one run. INVARIANT: a program declares nothing by
//! what it does. What it changes besides is named and left behind, so that no provider, plugin or script
//! puts into somebody's tree what nobody asked it for.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use iddio_classify::command::{Extent, Written};
use iddio_core::{
    digest::{Canonical, Encoder},
    text::RawText,
};

/// Paths that a run may leave in its caller's tree, as its caller calls them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outputs(Vec<Written>);

/// Whether a path was declared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Declared {
    /// It was not: it stays behind.
    No,
    /// It was: it comes back.
    Yes,
}

/// Why something cannot be declared.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// It leads up.
    #[error("`{0}` is no path or pattern of paths: it has `..` or nothing in it")]
    Path(String),
    /// There are too many.
    #[error("more than {DECLARED_MAX} outputs are declared")]
    Many,
}

// === impl Outputs ===

impl Outputs {
    /// Takes what the words and the catalog declare, of a tool that works in `directory`.
    pub fn of(writes: &[Written], directory: &Path) -> Self {
        let mut outputs = Self::default();
        writes.iter().for_each(|written| outputs.add(written, directory));
        outputs
    }

    /// Reads what a caller in `directory` declares: paths, each with everything below it, or patterns.
    ///
    /// # Errors
    ///
    /// When there are too many, or one is no path.
    pub fn declared(named: &[OsString], directory: &Path) -> Result<Self, OutputError> {
        if DECLARED_MAX < named.len() {
            return Err(OutputError::Many);
        }
        let mut outputs = Self::default();
        for name in named {
            let path = Path::new(name);
            let up = path.components().any(|part| part == Component::ParentDir);
            if up || path.as_os_str().is_empty() || PATH_BYTES_MAX < name.len() {
                return Err(OutputError::Path(name.to_string_lossy().into_owned()));
            }
            let is_pattern = name.as_bytes().contains(&b'*');
            let extent = if is_pattern { Extent::Pattern } else { Extent::Below };
            outputs.add(&Written { path: RawText::new(name.as_bytes()), extent }, directory);
        }
        Ok(outputs)
    }

    /// Adds everything that `other` declares.
    pub fn join(&mut self, other: &Self) {
        for written in &other.0 {
            if !self.0.contains(written) {
                self.0.push(written.clone());
            }
        }
    }

    /// Whether a path, as the caller calls it, was declared.
    pub fn declare(&self, path: &Path) -> Declared {
        let is_covered = |written: &Written| {
            let declared = Path::new(OsStr::from_bytes(written.path.as_bytes()));
            match written.extent {
                Extent::Below => path.starts_with(declared),
                Extent::Pattern => covers(declared, path),
            }
        };
        if self.0.iter().any(is_covered) { Declared::Yes } else { Declared::No }
    }

    fn add(&mut self, written: &Written, directory: &Path) {
        let path = directory.join(OsStr::from_bytes(written.path.as_bytes()));
        // Written in one way only: `.` says nothing.
        let path: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
        let written =
            Written { path: RawText::new(path.as_os_str().as_bytes()), extent: written.extent };
        if !self.0.contains(&written) {
            self.0.push(written);
        }
    }
}

impl Canonical for Outputs {
    fn encode(&self, encoder: &mut Encoder) {
        let Self(all) = self;
        encoder.int(all.len() as u128);
        for Written { path, extent } in all {
            encoder.bytes(path.as_bytes());
            encoder.tag(match extent {
                Extent::Below => 1,
                Extent::Pattern => 2,
            });
        }
    }
}

/// Whether a path fits a pattern, name by name: `*` stands for any run within a name, `**` for any number of
/// names.
///
/// It takes no longer than the product of both lengths, whatever the pattern: of two `**` only the later
/// one is ever tried again.
#[must_use]
pub fn covers(pattern: &Path, path: &Path) -> bool {
    let fits = |part: &&[u8], name: &&[u8]| run(part, name, |byte| *byte == b'*', |a, b| a == b);
    run(&parts(pattern), &parts(path), |part| *part == b"**".as_slice(), fits)
}

fn parts(path: &Path) -> Vec<&[u8]> {
    path.components().map(|part| part.as_os_str().as_bytes()).collect()
}

/// Whether `text` fits `pattern`, in which some items stand for any run.
fn run<T>(
    pattern: &[T],
    text: &[T],
    any: impl Fn(&T) -> bool,
    same: impl Fn(&T, &T) -> bool,
) -> bool {
    let (mut at, mut read, mut again) = (0, 0, None);
    while let Some(item) = text.get(read) {
        match pattern.get(at) {
            Some(part) if any(part) => {
                again = Some((at, read));
                at += 1;
            }
            Some(part) if same(part, item) => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((star, from)) = again else { return false };
                again = Some((star, from + 1));
                at = star + 1;
                read = from + 1;
            }
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(any)
}

/// The most outputs that a caller declares: more than a command line with room for them has reason to.
pub const DECLARED_MAX: usize = 256;

/// The longest path the kernel takes.
const PATH_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(names: &[&str]) -> Outputs {
        let names: Vec<OsString> = names.iter().map(OsString::from).collect();
        Outputs::declared(&names, Path::new("/home/ada/work")).unwrap()
    }

    #[test]
    fn what_is_declared_comes_back_and_nothing_beside_it() {
        for (name, path, comes) in [
            ("plan", "plan", Declared::Yes),
            ("plan", "plan/below/it", Declared::Yes),
            ("plan", "planned", Declared::No),
            ("plan", "sub/plan", Declared::No),
            ("./plan", "plan", Declared::Yes),
            ("/home/ada/work/plan", "plan", Declared::Yes),
            ("/home/ada", "anything", Declared::Yes),
            (".", "anything/at/all", Declared::Yes),
            ("*.tfstate", "a.tfstate", Declared::Yes),
            ("*.tfstate", "b/a.tfstate", Declared::No),
            ("**/*.tfstate", "a.tfstate", Declared::Yes),
            ("**/*.tfstate", "b/c/a.tfstate", Declared::Yes),
            ("**/*.tfstate", "a.tfstate.sh", Declared::No),
            (".terraform/**", ".terraform/providers/x", Declared::Yes),
            (".terraform/**", ".terraformer", Declared::No),
            ("a*b*c", "axxbxbxc", Declared::Yes),
            ("a*b*c", "axxbxbx", Declared::No),
            ("**", "x", Declared::Yes),
            ("*", "x/y", Declared::No),
        ] {
            let found = declared(&[name]).declare(&Path::new("/home/ada/work").join(path));
            assert_eq!(found, comes, "{name} {path}");
        }
        assert_eq!(Outputs::default().declare(Path::new("/home/ada/work/x")), Declared::No);
    }

    #[test]
    fn what_leads_up_or_is_nothing_is_not_declared() {
        for name in ["../x", "a/../b", ""] {
            assert!(Outputs::declared(&[name.into()], Path::new("/w")).is_err(), "{name}");
        }
        let many = vec![OsString::from("x"); DECLARED_MAX + 1];
        assert!(Outputs::declared(&many, Path::new("/w")).is_err());
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let pattern = "*a".repeat(1000);
        let path = "a".repeat(999) + "b";
        assert_eq!(
            declared(&[&pattern]).declare(Path::new("/home/ada/work").join(path).as_path()),
            Declared::No
        );
        let deep = ["**", "a"].repeat(200).join("/");
        let path = vec!["a"; 199].join("/") + "/b";
        assert_eq!(
            declared(&[&deep]).declare(Path::new("/home/ada/work").join(path).as_path()),
            Declared::No
        );
    }
}
