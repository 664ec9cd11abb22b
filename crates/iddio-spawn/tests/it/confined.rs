//! A confined child: what it gets, what it does not, and when nothing starts.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::kit::{finish, until};

/// The example that confines, as an ordinary user: this one, or one that nobody is.
fn confine(words: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if rustix::process::geteuid().is_root() {
        command.uid(UID).gid(UID);
    }
    command
}

/// The example, where everybody can execute it.
fn program() -> PathBuf {
    static COPY: std::sync::OnceLock<(TempDir, PathBuf)> = std::sync::OnceLock::new();
    let made = || {
        let tests = std::env::current_exe().unwrap();
        let built = tests.parent().unwrap().parent().unwrap().join("examples/confine");
        let directory = TempDir::with_prefix("iddio-confine-").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let copy = directory.path().join("confine");
        fs::copy(built, &copy).unwrap();
        (directory, copy)
    };
    COPY.get_or_init(made).1.clone()
}

/// A directory of the user who is confined.
fn own_directory() -> TempDir {
    let directory = TempDir::with_prefix("iddio-own-").unwrap();
    if rustix::process::geteuid().is_root() {
        chown(directory.path(), Some(UID), Some(UID)).unwrap();
    }
    directory
}

/// Runs `sh -c script` confined and returns its exit code and standard output.
fn sh(options: &[&str], script: &str) -> (i32, String) {
    let words: Vec<_> = options.iter().copied().chain(["--", "sh", "-c", script]).collect();
    finish(&mut confine(&words))
}

/// Confines and returns what went wrong.
#[track_caller]
fn fails(options: &[&str]) -> String {
    let words: Vec<_> = options.iter().copied().chain(["--", "true"]).collect();
    let output = confine(&words).env("RUST_BACKTRACE", "0").output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_tree_holds_what_is_named_and_nothing_else() {
    let (code, listed) = sh(&[], "ls -A /; ls -A /tmp");
    assert_eq!(code, 0);
    for name in listed.lines() {
        let known = [
            "bin", "dev", "etc", "gnu", "lib", "lib32", "lib64", "libx32", "nix", "opt", "proc",
            "sbin", "sys", "tmp", "usr",
        ];
        assert!(known.contains(&name), "{name}");
    }
}

#[test]
fn places_are_read_written_private_or_hidden_as_they_are_named() {
    let directory = own_directory();
    let path = directory.path().to_str().unwrap();
    fs::write(directory.path().join("file"), "content").unwrap();
    let inner = format!("{path}/file");
    assert_eq!(sh(&["--read", path], &format!("cat {inner}; echo x > {inner}")).1, "content");
    assert_eq!(fs::read_to_string(&inner).unwrap(), "content");
    let (code, _) = sh(&["--write", path, "--in", path], "echo new > made; mkdir d; mv made d/");
    assert_eq!(code, 0);
    assert_eq!(fs::read_to_string(directory.path().join("d/made")).unwrap(), "new\n");
    assert_eq!(sh(&["--write", path, "--hide", &inner], &format!("cat {inner}")).0, 1);
    assert_eq!(
        sh(&["--private", path], &format!("ls -A {path}; echo x > {inner}")),
        (0, String::new())
    );
    assert_eq!(fs::read_to_string(&inner).unwrap(), "content");
}

#[test]
fn nothing_starts_where_a_place_is_missing_or_could_leave_the_tree() {
    assert!(fails(&["--read", "/nonexistent/x"]).contains("opening `/nonexistent/x`"));
    for path in ["relative", "/a/../b", "/etc/./x/.."] {
        assert!(fails(&["--private", path]).contains("no plain full path"), "{path}");
    }
    assert!(fails(&["--in", "/nonexistent"]).contains("starting the program"));
    // No place is made in what is the host's.
    let directory = own_directory();
    let path = directory.path().to_str().unwrap();
    let below = format!("{path}/a/b");
    assert!(fails(&["--write", path, "--private", &below]).contains("nothing of that name"));
    assert!(!Path::new(&below).parent().unwrap().exists());
}

#[test]
fn a_link_in_a_place_is_no_way_to_cover_something_else() {
    let directory = own_directory();
    let path = directory.path().to_str().unwrap();
    std::os::unix::fs::symlink("/etc", directory.path().join("link")).unwrap();
    let through = format!("{path}/link/hostname");
    assert!(fails(&["--write", path, "--private", &through]).contains("showing"));
}

#[test]
fn the_program_is_the_one_that_was_opened() {
    assert_eq!(sh(&["--held"], "exit 3").0, 3);
    assert_eq!(sh(&[], "exit 4").0, 4);
    // A program that the tree does not show runs only by the descriptor that is held.
    let directory = own_directory();
    let program = directory.path().join("true");
    fs::copy("/bin/true", &program).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = program.to_str().unwrap();
    assert_eq!(finish(&mut confine(&["--held", "--", path])).0, 0);
    let output = confine(&["--", path]).output().unwrap();
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("looking for the program in the tree")
    );
}

#[test]
fn a_script_finds_itself_where_it_lies() {
    let directory = own_directory();
    let script = directory.path().join("script");
    fs::write(&script, "#!/bin/sh\necho \"$0\" \"$1\"\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let (path, top) = (script.to_str().unwrap(), directory.path().to_str().unwrap());
    let (code, said) = finish(&mut confine(&["--read", top, "--", path, "word"]));
    assert_eq!((code, said), (0, format!("{path} word\n")));
}

#[test]
fn no_capability_no_privilege_no_descriptor_and_no_variable_is_left() {
    let script = "grep -E '^Cap|NoNewPrivs|^Groups' /proc/self/status; ls /proc/self/fd; env";
    let mut command = confine(&["--env", "A=b", "--", "sh", "-c", script]);
    let (_, said) = finish(command.env("SECRET", "x").env("LD_LIBRARY_PATH", "/tmp"));
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(said.contains(&format!("{set}:\t0000000000000000")), "{said}");
    }
    assert!(said.contains("NoNewPrivs:\t1"), "{said}");
    // The three streams, and the directory that is listed.
    assert!(said.contains("\n0\n1\n2\n3\n") && !said.contains("\n4\n"), "{said}");
    assert!(said.contains("A=b") && !said.contains("SECRET") && !said.contains("LD_"), "{said}");
}

#[test]
fn a_sealed_input_is_read_under_its_number_and_not_written() {
    let (code, said) = sh(&["--input", "approved"], "cat $INPUT; echo x > $INPUT || cat $INPUT");
    assert_eq!((code, said.as_str()), (0, "approvedapproved"));
}

#[test]
fn what_is_left_in_the_background_ends_with_the_program() {
    let word = format!("8{:06}", std::process::id());
    let (code, _) = sh(&[], &format!("setsid sleep {word} & sleep 0.1; exit 5"));
    assert_eq!(code, 5);
    assert!(!lives(&word));
}

#[test]
fn a_caller_that_is_killed_takes_the_run_with_it() {
    let word = format!("9{:06}", std::process::id());
    let mut child =
        confine(&["--", "sh", "-c", &format!("setsid sleep {word} & wait")]).spawn().unwrap();
    until("the run", || lives(&word));
    child.kill().unwrap();
    child.wait().unwrap();
    until("its end", || !lives(&word));
}

#[test]
fn signals_and_exit_codes_of_the_program_are_told() {
    assert_eq!(sh(&[], "exit 77").0, 77);
    assert_eq!(sh(&[], "kill -TERM $$").0, 143);
    assert_eq!(sh(&[], "kill -KILL $$").0, 137);
}

#[test]
fn a_terminal_is_the_childs_own_and_has_a_name() {
    let (code, said) =
        finish(&mut confine(&["--terminal", "--", "sh", "-c", "tty; stty size; ps -o tty= -p $$"]));
    assert_eq!(code, 0);
    assert!(said.contains("/dev/pts/0\r\n33 111\r\n") && said.contains("pts/0"), "{said}");
}

#[test]
fn the_network_is_nothing_or_what_listens_outside() {
    let connect = |port: u16| format!("bash -c 'cat </dev/tcp/127.0.0.1/{port}'");
    assert_ne!(sh(&[], &connect(3128)).0, 0);
    assert_eq!(sh(&["--listen", "3128"], &connect(3128)), (0, "outside\n".to_owned()));
    assert_ne!(sh(&["--listen", "3128"], &connect(3129)).0, 0);
    // The host's own network, where it is asked for: one port, and no other.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || while listener.accept().is_ok() {});
    let (named, other) = (port.to_string(), "1".to_owned());
    assert_eq!(sh(&["--host-port", &named], &connect(port)).0, 0);
    assert_ne!(sh(&["--host-port", &other], &connect(port)).0, 0);
}

#[test]
fn root_is_confined_as_somebody_else_or_not_at_all() {
    if !rustix::process::geteuid().is_root() {
        assert!(fails(&["--as", "3"]).contains("only root"));
        return;
    }
    assert!(fails(&["--as", "3"]).contains("only root"), "an ordinary user becomes nobody else");
    let mut command = Command::new(program());
    let output = command.args(["--", "true"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("not confined as root"));
    let mut command = Command::new(program());
    command.args([
        "--as",
        "60323",
        "--",
        "sh",
        "-c",
        "id -u; id -G; grep CapBnd /proc/self/status; touch /tmp/x",
    ]);
    let (code, said) = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    assert_eq!((code, said.as_str()), (0, "60323\n60323\nCapBnd:\t0000000000000000\n"));
}

#[test]
fn a_stage_that_is_called_by_hand_does_nothing() {
    for words in [["__stage", "outer"], ["__stage", "inner"], ["__stage", "else"]] {
        let mut command = confine(&words);
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(!child.wait().unwrap().success());
        assert_eq!(said, "");
    }
}

fn lives(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| line.split(|byte| *byte == 0).any(|part| part == word.as_bytes()))
}

/// A user that nobody is.
const UID: u32 = 60_322;
