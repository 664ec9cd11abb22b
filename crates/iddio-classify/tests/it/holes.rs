//! Text for a shell of which the walk knows only a part when another shell gets it.

use iddio_classify::command::{Ambient, Inner, Judged, judge, shell_line};
use iddio_core::text::RawText;

use crate::kit::raw;

fn tier(line: &str) -> u8 {
    shell_line(&RawText::from(line), &Ambient::default()).tier().number()
}

/// Judges what a gateway starts itself, in an environment of its own making.
fn started(words: &[&str]) -> Judged {
    judge(&raw(words), &Ambient { inner: Inner::Unprepared, ..Ambient::default() })
}

fn check(rows: &[(u8, &str)], tier: impl Fn(&str) -> u8) {
    let wrong = rows.iter().map(|(wanted, line)| (*wanted, tier(line), *line));
    let wrong: Vec<_> = wrong.filter(|(wanted, seen, _)| wanted != seen).collect();
    assert!(wrong.is_empty(), "wanted, judged, line: {wrong:#?}");
}

#[test]
fn counts_and_days_are_letters_to_the_next_shell() {
    check(
        &[
            (2, "ssh h \"mkdir -p /backup/$(date +%F)\""),
            (2, "ssh h \"echo $(date +%s)\""),
            (2, "ssh h \"echo '$(date +%F)'\""),
            (2, "ssh h \"bash -c 'echo $(date +%F)'\""),
            (2, "n=3; ssh h \"sleep $((n * 2))\""),
            (2, "for i in $(seq 1 5); do ssh \"web$i\" \"uptime; echo $i\"; done"),
            (2, "for i in {1..200}; do ssh h \"echo $i\"; done"),
            (0, "bash -c \"seq 1 $(nproc)\""),
            (0, "sh -c \"echo $$ $? $#\""),
            (0, "bash -c \"ls /var/log/$(date +%Y)/\""),
            (0, "bash -c \"echo \\\"$(id -u)\\\"\""),
            (0, "eval \"x=$((1+2))\"; echo $x"),
            (2, "sudo sh -c \"echo $(whoami)\""),
        ],
        tier,
    );
}

#[test]
fn values_that_the_text_itself_gives_are_known_to_the_next_shell() {
    check(
        &[
            (2, "for s in web db cache; do ssh h \"systemctl restart $s\"; done"),
            (0, "if true; then d=/var/log; else d=/tmp; fi; bash -c \"ls $d\""),
            (0, "set -- a b; bash -c \"echo $1\""),
            (0, "f() { bash -c \"ls $1\"; }; f /tmp"),
            (4, "for c in ls 'x; rm -rf /'; do ssh h \"ls $c\"; done"),
        ],
        tier,
    );
}

#[test]
fn what_may_hold_a_mark_of_a_shell_stays_break_glass() {
    for line in [
        "ssh h \"ls $x\"",
        "ssh h \"ls '$x'\"",
        "ssh h \"ls $USER\"",
        "ssh h \"ls $HOSTNAME\"",
        "ssh h \"ls $1\"",
        "ssh h \"ls $(cat f)\"",
        "bash -c \"ls $LANG\"",
        "read -r x; ssh h \"ls $x\"",
        "for f in *; do bash -c \"cat $f\"; done",
        "ssh h \"echo $(date +%c)\"",
        "ssh h \"echo $(date '+;reboot;')\"",
        "ssh h \"echo $(date -d +%F)\"",
        "ssh h \"echo $(pgrep -a x)\"",
        "ssh h \"echo $(git rev-parse --abbrev-ref HEAD)\"",
        "ssh h \"echo $(git rev-parse $x HEAD)\"",
        "ssh h \"echo $(date -f x +%F)\"",
        "ssh h \"echo $(grep -c x *)\"",
        "ssh h \"echo $(grep -c -r x .)\"",
        "n=$(nproc); n+='; rm -rf /'; ssh h \"ls $n\"",
        "x=1; while :; do ssh h \"ls $x\"; x=\"$x; rm -rf /\"; done",
        "x=1; for i in *; do ssh h \"ls $x\"; x=$i; done",
        "declare -A m=(['; rm -rf /']=1); for k in \"${!m[@]}\"; do ssh h \"ls $k\"; done",
    ] {
        assert_eq!(tier(line), 4, "{line}");
    }
}

#[test]
fn a_tame_stretch_that_is_part_of_a_mark_stays_break_glass() {
    for line in [
        "ssh h \"$(nproc)\"",
        "ssh h \"sh$(nproc)\"",
        "ssh h \"echo \\$$(nproc)\"",
        "ssh h \"cat $(nproc)<f\"",
        "ssh h \"ls \\${$(nproc)}\"",
        "ssh h \"ls ~$(whoami)\"",
        "ssh h \"echo {1..$(nproc)}\"",
        "ssh h \"echo {$(nproc)..9}\"",
        "ssh h \"echo $(nproc)>f\"",
        "bash -c \"x$(nproc)=1 ls\"",
        "bash -c \"echo IDDIO_TAME $(nproc); \\$IDDIO_TAME\"",
        "bash -c 'ls $IDDIO_TAME; bash -c \"$IDDIO_TAME\"'",
        "eval \"$(date +%F)\"",
        "bash -c \"x=rm; \\$x -rf /; echo $(nproc)\"",
    ] {
        assert_eq!(tier(line), 4, "{line}");
    }
}

#[test]
fn a_shell_that_the_gateway_starts_has_no_variables_but_those_it_gets() {
    let tier = |text: &str| started(&["bash", "-c", text]).tier().number();
    check(
        &[
            // Tier 3 is what a client of another machine is that nobody prepares.
            (3, "ssh h \"systemctl restart $SVC\""),
            (3, "ssh h \"ls ${x:-/tmp}\""),
            (3, "ssh h \"ls $1\""),
            (0, "sh -c \"ls $x\""),
            (4, "rm -rf \"$DIR/\""),
            (4, "ssh h \"rm -rf /$x\""),
            // What it gets, or sets, or reads, it does have.
            (4, "ssh h \"ls $USER\""),
            (4, "ssh h \"ls $LC_ALL\""),
            (4, "ssh h \"ls $HOSTNAME\""),
            (4, "read x; ssh h \"ls $x\""),
            // The shell within has what this one hands on.
            (4, "export x=';id'; bash -c 'ssh h \"ls $x\"'"),
            (4, "ssh h 'ssh g \"ls $x\"'"),
        ],
        tier,
    );
    for words in [
        ["bash", "-lc", "ssh h \"ls $x\""],
        ["bash", "-ic", "ssh h \"ls $x\""],
        ["zsh", "-c", "ssh h \"ls $x\""],
        ["ksh", "-c", "ssh h \"ls $x\""],
    ] {
        assert_eq!(started(&words).tier().number(), 4, "{words:?}");
    }
}

#[test]
fn what_an_outer_text_sets_is_no_variable_of_nobody_within() {
    for line in [
        "x='a -rf /' bash -c 'rm repo:$x'",
        "export x='a -rf /'; bash -c 'rm repo:$x'",
        "env x='a -rf /' bash -c 'rm repo:$x'",
        "export x='; rm -rf /'; bash -c 'ssh h \"ls $x\"'",
        "RANDOM='; rm -rf /' sh -c 'ssh h \"ls $RANDOM\"'",
        "export PPID='; rm -rf /'; dash -c 'ssh h \"ls $PPID\"'",
        "for i in 1 2; do bash -c 'rm repo:$x'; export x='a -rf /'; done",
    ] {
        assert_eq!(tier(line), 4, "{line}");
    }
}
