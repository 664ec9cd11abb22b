//! What find does with what it finds.

use crate::kit::judged;

fn tier(line: &str) -> u8 {
    judged(&line.split(' ').collect::<Vec<_>>()).tier().number()
}

fn check(table: &[(&str, u8)]) {
    let wrong: Vec<_> = table
        .iter()
        .map(|(line, expected)| (line, tier(line), expected))
        .filter(|(_, found, expected)| found != *expected)
        .map(|(line, found, expected)| format!("`{line}`: T{found}, not T{expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn looking_is_free_wherever_it_looks() {
    check(&[
        ("find", 0),
        ("find /", 0),
        ("find /etc -name shadow", 0),
        ("find . -name *.rs -newer Cargo.toml -print0", 0),
        ("find -H -O3 -D tree . -maxdepth 1", 0),
        ("find . ( -name a -o -name b ) -prune -o -type f -print", 0),
        ("find . ! -user root -ls", 0),
        ("find . -newermt 2026-01-01 -printf %p", 0),
        ("find . -name -delete", 0),
        ("find . -name rm -o -iname -exec", 0),
    ]);
}

#[test]
fn what_a_command_does_with_what_is_found_counts() {
    check(&[
        ("find . -type f -exec grep -l needle {} +", 0),
        ("find . -name *.log -exec wc -l {} ;", 0),
        ("find . -name *.sh -exec chmod 755 {} +", 2),
        ("find . -name *.pyc -exec rm {} ;", 3),
        ("find . -name node_modules -exec rm -rf {} +", 3),
        ("find . -exec rm -rf {} +", 4),
        ("find / -exec rm {} ;", 4),
        ("find /srv -exec rm -rf {} ;", 4),
        ("find . -name x -exec true {} ; -exec rm -rf / ;", 4),
        ("find . -name x -exec true ; -ok rm -rf / ;", 4),
        ("find . -execdir rm -rf /srv/data ;", 4),
        ("find /etc -name shadow -exec cat {} ;", 3),
        ("find / -type f -exec cat {} +", 3),
        ("find . -exec {} ;", 4),
        ("find . -exec frobnicate {} ;", 3),
        ("find . -exec rm", 4),
        ("find . -exec", 4),
        ("find . -exec find / -delete ; -print", 4),
    ]);
}

#[test]
fn a_deletion_counts_by_where_it_starts_and_what_narrows_it() {
    check(&[
        ("find . -delete", 4),
        ("find -delete", 4),
        ("find / -delete", 4),
        ("find /srv/data -delete", 4),
        ("find /srv/data -type f -delete", 4),
        ("find /var/log/app -name *.gz -mtime +30 -delete", 3),
        ("find /tmp/build -delete", 3),
        ("find . -name *.pyc -delete", 3),
        ("find . -name * -delete", 4),
        ("find / -name *.log -delete", 4),
        ("find /usr/ -size +1M -delete", 4),
        ("find /usr/../ -size +1M -delete", 4),
        ("find . -name *.pyc -o -delete", 4),
        ("find . ! -name *.pyc -delete", 4),
        ("find a b / -delete", 4),
        ("find -files0-from list -delete", 4),
    ]);
}

#[test]
fn what_it_writes_is_held_to_the_path_catalog() {
    check(&[
        ("find . -fprint out", 2),
        ("find . -fprintf out %p", 2),
        ("find . -fls /etc/cron.d/x", 3),
        ("find . -fprint0 /dev/sda", 4),
        ("find . -fprintf /root/.ssh/authorized_keys %p", 4),
        ("find . -files0-from /etc/shadow", 3),
    ]);
}

#[test]
fn what_is_not_known_is_no_observation() {
    check(&[("find . -frobnicate", 2), ("find . --delete", 2), ("find . -name x -x", 2)]);
}
