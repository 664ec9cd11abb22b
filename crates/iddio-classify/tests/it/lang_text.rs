//! Programs for awk, sed and editors, as they stand in command lines.

use crate::kit::judged;

fn check(table: &[(&[&str], u8)]) {
    let wrong: Vec<_> = table
        .iter()
        .map(|(words, expected)| (words, judged(words).tier().number(), expected))
        .filter(|(_, found, expected)| found != *expected)
        .map(|(words, found, expected)| format!("{words:?}: T{found}, not T{expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn programs_that_look_are_observations() {
    check(&[
        (&["awk", "{print $1}", "access.log"], 0),
        (&["awk", "-F:", "-v", "n=3", "$3 > n {print $1}", "/etc/passwd"], 0),
        (&["awk", "-F", "|", "/system\\(/ {n++} END {print n}", "x.c"], 0),
        (&["gawk", "--field-separator=,", "-e", "{print $2}", "x.csv"], 0),
        (&["sed", "-n", "/start/,/end/p", "x"], 0),
        (&["sed", "-E", "-e", "s/(a|b)/e/g", "-e", "$d", "x"], 0),
        (&["sed", "s/w/e/;s/e/w/", "x"], 0),
    ]);
}

#[test]
fn what_a_program_reads_and_writes_is_held_to_the_path_catalog() {
    check(&[
        (&["awk", "1", "/etc/shadow"], 3),
        (&["awk", "BEGIN{while((getline l < \"/etc/shadow\")>0) print l}"], 3),
        (&["awk", "{print > \"out\"}"], 2),
        (&["awk", "{print > \"/etc/cron.d/x\"}"], 3),
        (&["awk", "{print >> \"/root/.ssh/authorized_keys\"}"], 4),
        (&["awk", "{print > \"/dev/sda\"}"], 4),
        (&["sed", "-n", "w /etc/cron.d/x", "f"], 3),
        (&["sed", "r /etc/shadow", "f"], 3),
        (&["sed", "s/a/b/w /etc/sudoers", "f"], 4),
        (&["sed", "-i", "s/a/b/", "f"], 2),
        (&["sed", "-i.bak", "s/a/b/", "/etc/sudoers"], 4),
        (&["sed", "-ni", "p", "/etc/cron.d/x"], 3),
        (&["sed", "-e", "p", "/etc/shadow"], 3),
        (&["ex", "-s", "-c", "w /etc/sudoers", "f"], 4),
    ]);
}

#[test]
fn what_only_the_run_knows_is_unknown() {
    check(&[
        (&["awk", "{system($0)}"], 4),
        (&["awk", "{print | $1}"], 4),
        (&["awk", "-v", "c=id", "BEGIN{c | getline}"], 4),
        (&["sed", "e"], 4),
        (&["sed", "s/.*/&/e"], 4),
        (&["sed", "-f", "x.sed"], 3),
        (&["awk", "-f", "x.awk"], 3),
        (&["gawk", "-i", "inplace", "1", "x"], 3),
        (&["vim", "-c", "call system('id')", "f"], 4),
    ]);
}
