//! Terminals: interactive programs keep theirs, and whoever owns one is no approver above T2.

use std::{fs, process::Command, thread, time::Duration};

use iddio_tests::{World, binary, real};
use tempfile::TempDir;

use crate::kit::OPEN;

/// A tmux server of its own, in a world.
struct Tmux<'a> {
    world: &'a World,
    socket: TempDir,
}

impl Tmux<'_> {
    fn start<'a>(world: &'a World, command: &str) -> Tmux<'a> {
        let tmux = Tmux { world, socket: TempDir::with_prefix("iddio-tmux-").unwrap() };
        let words = ["new-session", "-d", "-x", "100", "-y", "30", command];
        assert!(tmux.command(&words).output().unwrap().status.success());
        tmux
    }

    fn command(&self, words: &[&str]) -> Command {
        let socket = self.socket.path().join("s");
        let tmux = real("tmux", "apt-get install tmux").unwrap();
        let mut command = self.world.within([tmux.to_str().unwrap(), "-S"]);
        command.arg(socket).args(words);
        command
    }

    fn keys(&self, keys: &[&str]) {
        let words: Vec<_> = ["send-keys"].into_iter().chain(keys.iter().copied()).collect();
        assert!(self.command(&words).output().unwrap().status.success());
    }

    fn screen(&self) -> String {
        let output = self.command(&["capture-pane", "-p"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until the screen shows `text`. Only a hang takes long.
    #[track_caller]
    fn until(&self, text: &str) -> String {
        for _ in 0..1_200 {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("no `{text}` on\n{}", self.screen());
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        let _ = self.command(&["kill-server"]).output();
    }
}

#[test]
fn vim_edits_a_file_in_its_own_terminal() {
    let Some(vim) = real("vim", "apt-get install vim") else { return };
    let world = World::with_policy(OPEN);
    let command = format!(
        "sh -c '{} exec -- {} -u NONE note.txt; echo ended $?; sleep 600'",
        binary().display(),
        vim.display()
    );
    let tmux = Tmux::start(&world, &command);
    tmux.until("note.txt");
    tmux.keys(&["i", "written in vim", "Escape"]);
    tmux.until("written in vim");
    tmux.keys(&[":wq", "Enter"]);
    tmux.until("ended 0");
    assert_eq!(fs::read_to_string(world.work().join("note.txt")).unwrap(), "written in vim\n");
}

#[test]
fn control_z_stops_the_command_and_the_wrapper_and_fg_continues_both() {
    let world = World::with_policy(OPEN);
    let tmux = Tmux::start(&world, "bash --norc --noprofile");
    tmux.until("bash-");
    tmux.keys(&[&format!("{} exec -- cat", binary().display()), "Enter"]);
    tmux.keys(&["one", "Enter"]);
    tmux.until("one\none");
    tmux.keys(&["C-z"]);
    tmux.until("Stopped");
    tmux.keys(&["fg", "Enter"]);
    tmux.keys(&["two", "Enter"]);
    tmux.until("two\ntwo");
    tmux.keys(&["C-d"]);
    tmux.keys(&["echo code $?", "Enter"]);
    tmux.until("code 0");
}

#[test]
fn e05_whoever_owns_the_terminal_answers_t2_with_assurance_none_and_t3_not_at_all() {
    let world = World::with_policy(
        "agents:\n  local:root:\n    rules:\n      - {protocol: command, tiers: {0: allow, 2: allow, 3: escalate}, timeout: 3s}\n",
    );
    // The agent makes itself a terminal and has the yes typed ahead.
    let command = format!(
        "sh -c '{} exec -- sh -c \"touch ran; rm -f gone\"; echo ended $?; sleep 600'",
        binary().display()
    );
    let tmux = Tmux::start(&world, &command);
    tmux.keys(&["y", "Enter", "y", "Enter"]);
    tmux.until("waiting for approval");
    tmux.keys(&["y", "Enter"]);
    tmux.until("ended 77");
    assert!(!world.work().join("ran").exists());
}

#[test]
fn e05_a_yes_typed_before_the_question_is_no_answer() {
    let Some(_) = real("terraform", "install terraform 1.4 or newer into /usr/local/bin") else {
        return;
    };
    let world = World::with_policy(
        "agents:\n  local:root:\n    rules:\n      - {protocol: terraform, tiers: {0: allow, 1: allow, 2: escalate}, timeout: 5s}\n",
    );
    world.example("hello");
    let command = format!(
        "sh -c 'sleep 1; {} exec -- terraform -chdir=hello apply; echo ended $?; sleep 600'",
        binary().display()
    );
    let tmux = Tmux::start(&world, &command);
    // Buffered before anything asks: the prompt throws it away.
    tmux.keys(&["y", "Enter", "y", "Enter", "y", "Enter"]);
    tmux.until("ended 77");
    assert!(!world.work().join("hello/terraform.tfstate").exists());
}

#[test]
fn the_prompt_on_the_callers_own_terminal_answers_t2() {
    let Some(_) = real("terraform", "install terraform 1.4 or newer into /usr/local/bin") else {
        return;
    };
    let world = World::with_policy(crate::kit::ASKING);
    world.example("hello");
    let command = format!(
        "sh -c '{} exec -- terraform -chdir=hello apply; echo ended $?; sleep 600'",
        binary().display()
    );
    let tmux = Tmux::start(&world, &command);
    tmux.until("[y/N]");
    // Keys are ignored for a moment after the question is drawn.
    thread::sleep(Duration::from_millis(700));
    tmux.keys(&["y", "Enter"]);
    tmux.until("ended 0");
    let records = world.records();
    let closed = crate::kit::of(&records, "closed");
    let apply = closed.iter().find(|record| record["tier"] == 2).unwrap();
    assert_eq!(apply["approval_assurance"], "none");
}

#[test]
fn watch_shows_the_queue_and_answers_by_id() {
    let world = World::with_policy(crate::kit::ASKING);
    world.set_policy(
        "agents:\n  local:root:\n    rules:\n      - {protocol: terraform, tiers: {0: allow, 1: allow, 2: escalate}}\n",
    );
    let Some(_) = real("terraform", "install terraform 1.4 or newer into /usr/local/bin") else {
        return;
    };
    world.example("hello");
    let mut apply = world.start(["exec", "--", "terraform", "-chdir=hello", "apply"]);
    let id = apply.until_asked();
    let tmux = Tmux::start(&world, &format!("{} approvals watch", binary().display()));
    tmux.until(&id);
    tmux.keys(&["q"]);
    world.iddio(["approvals", "deny", &id]).ok();
    apply.end().exits(77);
}
