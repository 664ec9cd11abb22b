//! The path catalog, by uses and paths.

use iddio_core::text::RawText;

use super::{entries, judge, subject::Subject};
use crate::{
    catalog::format::PathUse::{self, *},
    command::{
        Ambient,
        line::{Known, Term},
    },
};

fn tier(usage: PathUse, path: &Term) -> u8 {
    let directory = RawText::from("/home/ada/shop");
    let ambient = Ambient {
        own_paths: vec!["/home/ada/.iddio".into(), "/etc/iddio".into()],
        working_directory: Some(directory.clone()),
        ..Ambient::default()
    };
    judge(usage, path, Some(&directory), &ambient).map_or(0, |found| found.tier.number())
}

fn whole(path: &str) -> Term {
    Term::whole(RawText::from(path))
}

fn pattern(path: &str) -> Term {
    Term { known: Known::Pattern, ..whole(path) }
}

/// `…` stands for what only the run knows.
fn part(path: &str) -> Term {
    Term { known: Known::Prefix(path.find('…').unwrap()), ..whole(path) }
}

fn check(table: &[(PathUse, &[&str], u8)], term: impl Fn(&str) -> Term) {
    let mut wrong = Vec::new();
    for (usage, paths, expected) in table {
        for path in *paths {
            let tier = tier(*usage, &term(path));
            if tier != *expected {
                wrong.push(format!("{usage:?} {path}: T{tier}, not T{expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_catalog_can_be_read() {
    let read = entries::read(include_str!("../../../../policies/paths.toml")).unwrap();
    assert_eq!(format!("{read:?}"), format!("{:?}", entries::entries().unwrap()));
}

#[test]
fn a_use_of_a_file_is_worth_what_the_file_is() {
    check(WORTH, whole);
}

#[test]
fn a_tree_is_removed_at_its_price() {
    check(PRICES, whole);
    check(
        &[
            (RemoveTree, &["build/*", "*.pyc", "/tmp/*", "cache-*", "/var/lib/apt/lists/*"], 3),
            (
                RemoveTree,
                &["*", "./*", "/*", "/et*", ".*", "~/*", "/srv/*", "/???", "../*", "/home/*"],
                4,
            ),
            (
                Read,
                &["*", "*.log", "/var/log/*.gz", "/etc/*.conf", "src/*.rs", "*.txt", "/etc/host*"],
                0,
            ),
            (
                Read,
                &[
                    "/etc/sh*",
                    "/etc/s?adow",
                    "/etc/[s]hadow",
                    "~/.ssh/*",
                    "/proc/*/environ",
                    "~/.aws/*",
                    "*.pem.bak/.env",
                ],
                3,
            ),
            (Write, &["/etc/sudo*"], 4),
        ],
        pattern,
    );
}

#[test]
fn what_only_the_run_knows_is_the_worst_it_may_be() {
    check(
        &[
            (List, &["…", "/etc/…"], 0),
            (Read, &["…", "logs/…", "/var/log/…"], 2),
            (Read, &["/etc/…", "~/.ssh/…", "/etc/sh…"], 3),
            (Write, &["…"], 3),
            (Write, &["/tmp/out-…", "logs/…", "/etc/nginx/sites/…"], 2),
            (Write, &["/etc/…", "/dev/…"], 4),
            (Remove, &["…"], 3),
            (RemoveTree, &["…", "/…", "/srv/…", "build/…", "./…", "/tmp/…"], 4),
            (RemoveTree, &["build/x-…", "/tmp/x-…"], 3),
            (Run, &["…"], 4),
        ],
        part,
    );
}

#[test]
fn an_index_over_patterns_leaves_out_none_that_covers() {
    let names = [
        "etc",
        "shadow",
        "*",
        "home",
        "bob",
        ".ssh",
        "id_rsa",
        "id_*",
        "*.pem",
        "a.pem",
        "var",
        "run",
        "~",
        "..",
        ".",
        "",
        "proc",
        "1",
        "mem",
        "dev",
        "sda",
        "s*",
        "?",
        ".*",
        "[a-z]*",
        "docker.sock",
        ".env",
        ".env.local",
        ".aws",
        "credentials",
        "root",
        "usr",
        "bin",
        "sudoers.d",
        "tmp",
        ".git",
        "config",
        "terraform.tfstate",
        "@(a|b)",
        "kubeconfig",
        "boot",
        "authorized_keys",
        "cron.d",
    ];
    let usages = [
        PathUse::Read,
        PathUse::ReadTree,
        PathUse::Write,
        PathUse::WriteTree,
        PathUse::Remove,
        PathUse::RemoveTree,
        PathUse::LinkTarget,
        PathUse::Append,
        PathUse::AttributesTree,
        PathUse::List,
        PathUse::MoveFrom,
        PathUse::Run,
    ];
    let entries = entries::entries().unwrap();
    let mut seed = 7_u64;
    let mut dice = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let mut covered = 0;
    for round in 0..6_000 {
        let start = ["/", "", "~/", "./", "/home/bob/"][dice(5)];
        let count = dice(4);
        let chosen: Vec<_> = (0..count).map(|_| names[dice(names.len())]).collect();
        let text = [start, &chosen.join("/")].concat();
        let known = match dice(4) {
            0 => Known::Pattern,
            1 => Known::Prefix(text.len().saturating_sub(dice(3))),
            _ => Known::Whole,
        };
        let text = if round % 500 == 0 { format!("/etc/{}", "x".repeat(600)) } else { text };
        let term = Term { known, ..whole(&text) };
        let directory = (dice(3) == 0).then(|| RawText::from("/etc"));
        let subject = Subject::of(&term, directory.as_ref());
        let usage = usages[dice(usages.len())];
        let told = |found: Vec<(&entries::Entry, entries::How)>| -> Vec<_> {
            found.into_iter().map(|(entry, how)| (entry.name.clone(), how)).collect()
        };
        let found = told(entries.covering(&subject, usage));
        covered += usize::from(!found.is_empty());
        assert_eq!(found, told(entries.covering_slowly(&subject, usage)), "{text} {usage:?}");
    }
    assert!(1_500 < covered, "only {covered}");
}

/// Uses of files, each with its tier.
const WORTH: &[(PathUse, &[&str], u8)] = &[
    (List, &["/etc/shadow", "/root", "x"], 0),
    (
        Read,
        &[
            "/etc/os-release",
            "/var/log/auth.log",
            "notes.txt",
            "/etc/passwd",
            "/dev/null",
            "/proc/cpuinfo",
            "/proc/1/status",
            "~/.bashrc",
            "src/main.rs",
            "/etc/hosts",
            "/dev/stdin",
            "a.key.txt",
            ".github/x.yml",
        ],
        0,
    ),
    (
        Read,
        &[
            "/etc/shadow",
            "/etc/../etc/shadow",
            "//etc/./shadow",
            "../../../etc/shadow",
            "~/.aws/credentials",
            "/home/bob/.ssh/id_rsa",
            "/proc/self/environ",
            "/proc/1/environ",
            ".env",
            "app/.env",
            "terraform.tfstate",
            "/etc/kubernetes/pki/ca.key",
            "/root/.kube/config",
            "~/.docker/config.json",
            "/dev/sda",
            "/var/lib/kubelet/pods/x/volumes/y",
            "~bob/.netrc",
            "$HOME/.pgpass",
        ],
        3,
    ),
    (
        Read,
        &[
            "../.iddio/queue",
            "/etc/iddio/policy.yaml",
            "/var/run/docker.sock",
            "/dev/tcp/198.51.100.7/4444",
        ],
        4,
    ),
    (
        Write,
        &[
            "out.txt",
            "/tmp/x",
            "/etc/sysctl.d/99-swap.conf",
            "/etc/nginx/nginx.conf",
            "/etc/hosts",
            "/srv/www/index.html",
        ],
        2,
    ),
    (Write, &["/dev/null", "/dev/stderr", "/dev/tty"], 0),
    (
        Write,
        &[
            "/etc/cron.d/x",
            "~/.bashrc",
            "/etc/profile.d/x.sh",
            ".git/hooks/pre-commit",
            "/usr/local/bin/kubectl",
            "/etc/systemd/system/x.service",
            "/proc/sys/net/ipv4/ip_forward",
            "/sys/class/net/x",
            "/var/log/nginx/access.log",
        ],
        3,
    ),
    (
        Write,
        &[
            "~/.ssh/authorized_keys",
            "/root/.ssh/authorized_keys",
            "/home/*/.ssh/config",
            "/etc/sudoers",
            "/etc/sudoers.d/x",
            "/etc/passwd",
            "/etc/ld.so.preload",
            "/dev/sda",
            "/dev/nvme0n1p1",
            "/boot/vmlinuz",
            "/var/log/audit/audit.log",
            "/var/log/auth.log",
            "/etc/pam.d/sshd",
            "/var/lib/postgresql/16/main/global/pg_control",
            "/run/docker.sock",
            "~/.aws/config",
            "/proc/sysrq-trigger",
            "/etc/kubernetes/manifests/x.yaml",
        ],
        4,
    ),
    (Append, &["/var/log/audit/audit.log", "/etc/crontab", "~/.bash_history"], 3),
    (Append, &["/var/log/nginx/access.log", "/etc/hosts"], 2),
    (
        Remove,
        &[
            "x",
            "/tmp/x",
            "/srv/data/x.db",
            "/var/log/nginx/access.log",
            "/var/cache/x",
            "/etc/nginx/nginx.conf",
        ],
        3,
    ),
    (
        Remove,
        &[
            "/etc/shadow",
            "/var/log/audit/audit.log",
            "/usr/bin/ls",
            "~/.bash_history",
            "/etc/passwd",
        ],
        4,
    ),
    (LinkTarget, &["lib/x", "/usr/share/x"], 0),
    (LinkTarget, &["/etc/shadow", "/etc/sudoers"], 3),
    (LinkName, &["~/.ssh/authorized_keys"], 4),
    (MoveFrom, &["x", "/tmp/x", "/srv/data"], 2),
    (MoveFrom, &["/etc", "/usr", "/var/lib/mysql", "/etc/nginx", "/home"], 4),
    (Run, &["x.sh", "/tmp/x.sh"], 3),
];

/// Uses of trees, each with its tier.
const PRICES: &[(PathUse, &[&str], u8)] = &[
    (
        RemoveTree,
        &[
            "node_modules",
            "build/",
            "./dist",
            "target/debug",
            "/tmp/x",
            "/var/tmp/a/b",
            "/home/ada/shop/build",
            "/var/lib/apt/lists/partial",
            "/var/cache/apt",
        ],
        3,
    ),
    (
        RemoveTree,
        &[
            "/",
            "//",
            "/.",
            ".",
            "..",
            "../x",
            "~",
            "~/",
            "$HOME",
            "/etc",
            "/srv/data",
            "/home/ada/shop",
            "/home/ada",
            "/tmp",
            "/var/lib/mysql",
            "/opt/app",
            "",
            "./",
            "build/../..",
            "/tmp/../etc",
            "~bob",
            "/usr/share/doc",
        ],
        4,
    ),
    (AttributesTree, &["/var/www/html", "build", "/srv/app"], 2),
    (AttributesTree, &["/", "/etc", "/usr/lib", "/var", "/home/bob", "/etc/nginx"], 4),
    (WriteTree, &["/opt/app", "out", "/tmp"], 2),
    (WriteTree, &["/"], 4),
    (ReadTree, &["src", "/srv/www", "/usr/share"], 0),
    (ReadTree, &["/etc", "/", "~", "/root", "~/.ssh", "/home/ada"], 3),
];
