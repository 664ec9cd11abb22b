//! Signals without a terminal.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use rustix::process::Signal;

use crate::kit::{number_in, read_until, run, send, state, until};

#[test]
fn a_signal_sent_to_the_wrapper_reaches_the_child_once() {
    let cases = [
        (Signal::TERM, "TERM"),
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::ALARM, "ALRM"),
        (Signal::WINCH, "WINCH"),
        (Signal::CONT, "CONT"),
    ];
    for (signal, name) in cases {
        // A second signal, sent once the first was heard, ends it: the first was heard once.
        let last = if name == "TERM" { "HUP" } else { "TERM" };
        let script = format!(
            "trap 'echo heard' {name}; trap 'echo end; exit 7' {last}; echo up; while :; do sleep 0.02; done"
        );
        let mut child = run().args(["--", "sh", "-c", &script]).spawn().unwrap();
        read_until(&mut child, "up");
        send(child.id(), signal);
        read_until(&mut child, "heard");
        send(child.id(), if last == "HUP" { Signal::HUP } else { Signal::TERM });
        assert_eq!(read_until(&mut child, "end"), "end\n", "{name}");
        assert_eq!(child.wait().unwrap().code(), Some(7), "{name}");
    }
}

#[test]
fn a_child_that_signals_its_group_is_not_told_again() {
    let script = "trap 'echo heard' TERM; trap 'echo end; exit 7' WINCH; kill -TERM 0; while :; do sleep 0.02; done";
    // A group of its own, lest the signal reach the tests.
    let home = tempfile::tempdir().unwrap();
    let pid = home.path().join("pid");
    let mut command = std::process::Command::new("setsid");
    command.arg("--wait").arg(crate::kit::run_path()).args(["--pid-file", pid.to_str().unwrap()]);
    command.args(["--", "sh", "-c", script]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    read_until(&mut child, "heard");
    // Signals are passed on in the order of their numbers, so a second telling would come first.
    send(parent(number_in(&pid)), Signal::WINCH);
    assert_eq!(read_until(&mut child, "end"), "end\n");
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn an_untrapped_signal_ends_the_child_and_is_told_as_such() {
    for (signal, code) in
        [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129), (Signal::USR1, 138)]
    {
        let mut child = run().args(["--", "sh", "-c", "echo up; exec sleep 1000"]).spawn().unwrap();
        read_until(&mut child, "up");
        send(child.id(), signal);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal:?}");
    }
}

#[test]
fn signals_act_by_default_once_nothing_is_supervised() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1] {
        let mut child =
            run().args(["--linger", "yes", "--", "true"]).stdin(Stdio::piped()).spawn().unwrap();
        read_until(&mut child, "idle");
        send(child.id(), signal);
        assert_eq!(child.wait().unwrap().signal(), Some(signal.as_raw()), "{signal:?}");
    }
}

#[test]
fn without_a_terminal_the_wrapper_stays_awake_and_continues_a_stopped_child() {
    let home = tempfile::tempdir().unwrap();
    let (pid, flag) = (home.path().join("pid"), home.path().join("flag"));
    let script =
        format!("echo up; while ! test -e '{}'; do sleep 0.02; done; exit 9", flag.display());
    // A session of its own has no terminal, wherever the tests run.
    let mut command = std::process::Command::new("setsid");
    command.arg("--wait").arg(crate::kit::run_path());
    command.args(["--pid-file", pid.to_str().unwrap(), "--", "sh", "-c", &script]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    read_until(&mut child, "up");
    let main = number_in(&pid);
    let wrapper = parent(main);
    send(main, Signal::STOP);
    until("the stop", || state(main) == Some('T'));
    fs::write(&flag, "").unwrap();
    assert_ne!(state(wrapper), Some('T'));
    send(wrapper, Signal::CONT);
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

fn parent(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}
