//! Opening programs: where they are looked for, which are refused, what is known about them.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use iddio_spawn::{
    Exposure, HashError, OpenError, Program, ToolPath, ToolPathError, Unfit, Writer,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use sha2::{Digest, Sha256};

#[test]
fn a_bare_name_is_looked_up_in_the_tool_path_alone() {
    let home = tempfile::tempdir().unwrap();
    for directory in ["first", "second", "elsewhere"] {
        fs::create_dir(home.path().join(directory)).unwrap();
    }
    let unfit = put(&home.path().join("first/tool"), "#!/bin/sh\n", 0o644);
    let tool = put(&home.path().join("second/tool"), "#!/bin/sh\n", 0o755);
    let hidden = put(&home.path().join("elsewhere/hidden"), "#!/bin/sh\n", 0o755);
    let tools = ToolPath::new(vec![home.path().join("first"), home.path().join("second")]).unwrap();

    assert_eq!(tools.find(OsStr::new("tool")).unwrap().path(), tool.canonicalize().unwrap());
    assert!(matches!(tools.find(OsStr::new("hidden")), Err(OpenError::NotFound(_))));
    assert_eq!(tools.find(hidden.as_os_str()).unwrap().path(), hidden.canonicalize().unwrap());
    fs::remove_file(tool).unwrap();
    let error = tools.find(OsStr::new("tool")).unwrap_err();
    assert!(matches!(&error, OpenError::NotExecutable { path, .. } if *path == unfit), "{error}");
}

#[test]
fn a_tool_path_holds_full_paths_only() {
    let relative = PathBuf::from("bin");
    let refused = ToolPath::new(vec![PathBuf::from("/bin"), relative.clone()]);
    assert_eq!(refused, Err(ToolPathError::NotAbsolute(relative)));
}

#[test]
fn what_cannot_be_executed_is_refused_with_the_code_of_env() {
    let home = tempfile::tempdir().unwrap();
    let fifo = home.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o755), 0).unwrap();
    let long = format!("#!/bin/sh {}\n", "a".repeat(300));
    let cases = [
        (home.path().join("missing"), 127, None),
        (home.path().join("missing/deeper"), 127, None),
        (put(&home.path().join("plain"), "text", 0o755).join("below"), 127, None),
        (home.path().to_owned(), 126, Some(Unfit::NotRegular)),
        (PathBuf::from("/dev/null"), 126, Some(Unfit::NotRegular)),
        (fifo, 126, Some(Unfit::NotRegular)),
        (put(&home.path().join("data"), "text", 0o644), 126, Some(Unfit::NoExecuteBit)),
        (
            put(&home.path().join("relative"), "#!sh\n", 0o755),
            126,
            Some(Unfit::InterpreterRelative),
        ),
        (put(&home.path().join("empty"), "#!\n", 0o755), 126, Some(Unfit::InterpreterLine)),
        (put(&home.path().join("long"), &long, 0o755), 126, Some(Unfit::InterpreterLine)),
    ];
    for (path, code, unfit) in cases {
        let error = Program::open(&path).unwrap_err();
        let reason = match &error {
            OpenError::NotExecutable { reason, .. } => Some(*reason),
            _ => None,
        };
        assert_eq!((error.exit_code(), reason), (code, unfit), "{}", path.display());
    }
    for relative in ["./tool", "bin/tool", "../tool"] {
        let error = ToolPath::system().find(OsStr::new(relative)).unwrap_err();
        assert!(matches!(error, OpenError::NotAbsolute(_)), "{relative}: {error}");
    }
    for name in ["", ".", ".."] {
        let error = ToolPath::system().find(OsStr::new(name)).unwrap_err();
        assert!(matches!(error, OpenError::NotFound(_)), "{name}: {error}");
    }
}

#[test]
fn an_opened_program_is_known_by_its_file() {
    let home = tempfile::tempdir().unwrap();
    let tool = put(&home.path().join("tool-1.2"), "#!/usr/bin/env -S sh -e\n:\n", 0o750);
    let link = home.path().join("tool");
    symlink(&tool, &link).unwrap();
    let program = Program::open(&link).unwrap();
    let metadata = fs::metadata(&tool).unwrap();

    assert_eq!(program.path(), tool.canonicalize().unwrap());
    assert_eq!(
        (program.identity().device, program.identity().inode),
        (metadata.dev(), metadata.ino())
    );
    assert_eq!((program.identity().size, program.mode()), (metadata.size(), 0o750));
    assert_eq!((program.owner(), program.group()), (metadata.uid(), metadata.gid()));
    let interpreter = program.interpreter().unwrap();
    assert_eq!(interpreter.path(), Path::new("/usr/bin/env"));
    assert_eq!(interpreter.argument(), Some(OsStr::new("-S sh -e")));
    assert!(Program::open(Path::new("/bin/sh")).unwrap().interpreter().is_none());
}

#[test]
fn the_hash_is_of_the_opened_file_or_there_is_none() {
    let home = tempfile::tempdir().unwrap();
    let content = "x".repeat(1_000_000);
    let tool = put(&home.path().join("tool"), &content, 0o755);
    let expected: [u8; 32] = Sha256::digest(&content).into();

    // Renamed over, the file loses its name and keeps its content.
    let swapped = Program::open(&tool).unwrap();
    fs::rename(put(&home.path().join("other"), "other", 0o755), &tool).unwrap();
    assert_eq!(swapped.sha256().unwrap(), expected);

    let tool = put(&home.path().join("tool"), &content, 0o755);
    let program = Program::open(&tool).unwrap();
    assert_eq!(program.sha256().unwrap(), expected);
    assert_eq!(program.sha256().unwrap(), expected);

    let program = Program::open(&tool).unwrap();
    put(&tool, &"y".repeat(1_000_000), 0o755);
    assert!(matches!(program.sha256(), Err(HashError::Changed(_))));

    let program = Program::open(&tool).unwrap();
    program.recall_sha256([7; 32]);
    assert_eq!(program.sha256().unwrap(), [7; 32]);
}

#[test]
fn who_could_change_a_program_is_told() {
    let home = tempfile::tempdir().unwrap();
    let above = home.path().join("above");
    fs::create_dir(&above).unwrap();
    let tool = put(&above.join("tool"), "", 0o755);
    let group = fs::metadata(&tool).unwrap().gid();
    let guarded = Program::open(&tool).unwrap().exposure().unwrap();
    let cases = [
        (0o755, 0o755, None),
        (0o757, 0o755, Some((&tool, Writer::Everyone))),
        (0o755, 0o777, Some((&above, Writer::Everyone))),
        (0o755, 0o1777, None),
    ];
    for (mode, mode_above, exposed) in cases {
        fs::set_permissions(&tool, Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(&above, Permissions::from_mode(mode_above)).unwrap();
        let expected = exposed.map_or(guarded.clone(), |(path, by)| Exposure::Writable {
            path: path.canonicalize().unwrap(),
            by,
        });
        assert_eq!(
            Program::open(&tool).unwrap().exposure().unwrap(),
            expected,
            "{mode:o} {mode_above:o}"
        );
    }
    fs::set_permissions(&above, Permissions::from_mode(0o775)).unwrap();
    let by_group = Program::open(&tool).unwrap().exposure().unwrap();
    // The group of root is root.
    let expected =
        Exposure::Writable { path: above.canonicalize().unwrap(), by: Writer::Group(group) };
    assert_eq!(by_group, if group == 0 { guarded } else { expected });
}

/// Writes an executable.
pub(crate) fn put(path: &Path, content: &str, mode: u32) -> PathBuf {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    path.to_owned()
}
