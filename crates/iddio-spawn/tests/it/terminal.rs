//! Runs on a terminal: it stays one, and what is typed acts as without a wrapper.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use crate::kit::{PROMPT, Pty, number_in, run_path, send, state, until};

#[test]
fn a_terminal_stays_a_terminal() {
    let script = "test -t 0 && test -t 1 && test -t 2 && tty && ps -o tpgid=,pgid= -p $$ >/dev/null; echo code $?";
    let (mut pty, mut child) = Pty::start(&run_path(), &["--", "sh", "-c", script]);
    let shown = pty.rest();
    assert!(shown.contains("/dev/pts/") && shown.contains("code 0"), "{shown}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_change_of_the_window_reaches_the_child() {
    let script = "trap 'stty size; exit 5' WINCH; stty size; echo up; while :; do sleep 0.02; done";
    let (mut pty, mut child) = Pty::start(&run_path(), &["--", "sh", "-c", script]);
    assert!(pty.expect("up").contains("24 80"));
    pty.resize(50, 132);
    pty.expect("50 132");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn ctrl_c_reaches_the_child_once_and_the_wrapper_survives_it() {
    let script = "trap 'echo heard' INT; echo up; while :; do if read line; then echo got $line; exit 6; fi; done";
    let (mut pty, mut child) = Pty::start(&run_path(), &["--", "sh", "-c", script]);
    pty.expect("up");
    pty.press("\x03");
    pty.expect("heard");
    pty.press("end\n");
    let shown = pty.expect("got end");
    assert!(!shown.contains("heard"), "{shown}");
    assert_eq!(child.wait().unwrap().code(), Some(6));
}

#[test]
fn ctrl_c_and_ctrl_backslash_end_a_child_that_does_not_mind() {
    for (key, code) in [("\x03", 130), ("\x1c", 131)] {
        let (mut pty, mut child) =
            Pty::start(&run_path(), &["--", "sh", "-c", "echo up; exec sleep 1000"]);
        pty.expect("up");
        pty.press(key);
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn ctrl_z_stops_both_and_the_shell_continues_both() {
    let (mut pty, mut shell) = Pty::shell();
    let script = "echo u''p; while read line; do echo got-$line; done; exit 4";
    pty.press(&format!("{} -- sh -c \"{}\"\n", run_path().display(), script.replace('$', "\\$")));
    pty.expect("up\r\n");
    for round in 0..3 {
        pty.press("\x1a");
        pty.expect("Stopped");
        pty.expect(PROMPT);
        pty.press("fg\n");
        // Answered by the child, so it runs and has the terminal.
        pty.press(&format!("{round}\n"));
        pty.expect(&format!("got-{round}"));
    }
    pty.press("\x04");
    pty.expect(PROMPT);
    pty.press("echo code $?\n");
    pty.expect("code 4");
    pty.press("exit\n");
    shell.wait().unwrap();
}

#[test]
fn a_stopped_run_continues_in_the_background() {
    let home = tempfile::tempdir().unwrap();
    let (gate, pid) = (gate(home.path()), home.path().join("pid"));
    let (mut pty, mut shell) = Pty::shell();
    let script = format!("echo u''p; read x <{}; echo flag''ged", gate.display());
    pty.press(&format!(
        "{} --pid-file {} -- sh -c \"{script}\"\n",
        run_path().display(),
        pid.display()
    ));
    pty.expect("up\r\n");
    let main = number_in(&pid);
    pty.press("\x1a");
    pty.expect("Stopped");
    until("the stop", || state(main) == Some('T'));
    pty.expect(PROMPT);
    pty.press("bg\n");
    pty.expect(PROMPT);
    let mut opened = OpenOptions::new().read(true).write(true).open(&gate).unwrap();
    opened.write_all(b"\n").unwrap();
    pty.expect("flagged");
    pty.press("wait; exit\n");
    shell.wait().unwrap();
}

#[test]
fn continuing_the_wrapper_alone_continues_the_child() {
    let home = tempfile::tempdir().unwrap();
    let (gate, pid) = (gate(home.path()), home.path().join("pid"));
    let (mut pty, mut shell) = Pty::shell();
    let script = format!("echo u''p; read x <{}; echo flag''ged", gate.display());
    pty.press(&format!(
        "{} --pid-file {} -- sh -c \"{script}\"\n",
        run_path().display(),
        pid.display()
    ));
    pty.expect("up\r\n");
    let main = number_in(&pid);
    pty.press("\x1a");
    pty.expect("Stopped");
    pty.expect(PROMPT);
    pty.press("echo wrapper $(jobs -p) end\n");
    pty.expect("wrapper ");
    pty.expect("wrapper ");
    let wrapper: u32 = pty.expect(" end").trim_end_matches(" end").parse().unwrap();
    assert_eq!((state(main), state(wrapper)), (Some('T'), Some('T')));
    let mut opened = OpenOptions::new().read(true).write(true).open(&gate).unwrap();
    opened.write_all(b"\n").unwrap();
    send(wrapper, Signal::CONT);
    pty.expect("flagged");
    pty.press("wait; exit\n");
    shell.wait().unwrap();
}

#[test]
fn the_reader_of_a_pipeline_keeps_the_terminal() {
    let (mut pty, mut shell) = Pty::shell();
    let reader = "sh -c 'read line </dev/tty; echo typed-$line; cat'";
    pty.press(&format!("{} -- echo from-child | {reader}\n", run_path().display()));
    pty.press("key\n");
    pty.expect("typed-key");
    pty.expect("from-child");
    pty.expect(PROMPT);
    pty.press("exit\n");
    shell.wait().unwrap();
}

#[test]
fn a_closed_terminal_hangs_the_child_up() {
    let home = tempfile::tempdir().unwrap();
    let report = home.path().join("report");
    let arguments =
        ["--report", report.to_str().unwrap(), "--", "sh", "-c", "echo up; exec sleep 1000"];
    let (mut pty, mut child) = Pty::start(&run_path(), &arguments);
    pty.expect("up");
    drop(pty);
    child.wait().unwrap();
    assert_eq!(std::fs::read_to_string(&report).unwrap(), "Signalled(1) 0 0");
}

/// Makes a pipe for a child to wait at.
///
/// A child that waits by starting programs may be stopped while it starts one, and then never stops itself.
fn gate(home: &Path) -> PathBuf {
    let path = home.join("gate");
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    path
}
