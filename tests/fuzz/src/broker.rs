//! What a client of the exec broker says, and the broker says to it: frames, trees, and what of a tree stays at
//! home.

use std::{fs, path::Path};

use iddio_execd::{
    tree::{Ignored, Packed, lay, look, take_back},
    wire::{Ask, LENGTH_BYTES, Say},
};
use rustix::fs::FileType;

/// What a client says is read in one way only.
pub(crate) fn exec_ask(bytes: &[u8]) {
    if let Ok(ask) = Ask::read(bytes) {
        let again = ask.frame().ok();
        let again = again.as_deref().and_then(|frame| frame.get(LENGTH_BYTES..));
        assert_eq!(again, Some(bytes), "what is asked has two texts");
    }
}

/// What a broker says is read in one way only.
pub(crate) fn exec_say(bytes: &[u8]) {
    if let Ok(say) = Say::read(bytes) {
        let again = say.frame().ok();
        let again = again.as_deref().and_then(|frame| frame.get(LENGTH_BYTES..));
        assert_eq!(again, Some(bytes), "what is said has two texts");
    }
}

/// A tree that arrives, whatever it is, lies where it was laid and nowhere else; and so does what comes back.
pub(crate) fn exec_tree(bytes: &[u8]) {
    let Ok(place) = tempfile::tempdir() else { return };
    let (root, back) = (place.path().join("root"), place.path().join("back"));
    for directory in [&root, &back] {
        let made = fs::create_dir(directory);
        assert!(made.is_ok(), "there is no place for a tree");
    }
    if let Ok(laid) = lay(bytes, &root) {
        let changes = look(&root, &laid);
        assert_eq!(changes.ok(), Some(Default::default()), "what was laid out is what lies there");
    }
    if let Ok(top) = fs::File::open(&back) {
        let _ = take_back(bytes, std::os::fd::AsFd::as_fd(&top), &Packed::default());
    }
    let count = fs::read_dir(place.path()).map(Iterator::count).unwrap_or_default();
    assert_eq!(count, 2, "something lies beside the trees");
    let outside = leads_out(&root, place.path()) || leads_out(&back, place.path());
    assert!(!outside, "a link leads out of a tree");
}

/// Whether a link below `at` leads out of `root`.
fn leads_out(at: &Path, root: &Path) -> bool {
    let Ok(real) = root.canonicalize() else { return true };
    let entries = fs::read_dir(at).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        let kind = fs::symlink_metadata(&path).map(|found| found.file_type());
        match kind {
            Ok(kind) if kind.is_dir() => leads_out(&path, root),
            Ok(kind) if kind.is_symlink() => {
                path.canonicalize().is_ok_and(|leads| !leads.starts_with(&real))
            }
            _ => false,
        }
    })
}

/// Whatever a tree says of itself, its top is there and its version control is not.
pub(crate) fn exec_ignore(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(ignored) = Ignored::parse(text) else { return };
    assert!(ignored.leaves_out(Path::new(".git"), FileType::Directory), "version control travels");
    let lines =
        text.lines().filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
    if lines.count() == 0 {
        assert!(
            !ignored.leaves_out(Path::new("main.tf"), FileType::RegularFile),
            "by nobody's word"
        );
    }
    let deep = vec!["a"; 64].join("/");
    let _ = ignored.leaves_out(Path::new(&deep), FileType::RegularFile);
}
