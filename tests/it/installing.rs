//! `iddio install --system`: twice, dry, removed, and put back; and what systemd says of the units.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use iddio_tests::{Said, keepers::service, real, repository};
use tempfile::TempDir;

/// What brings systemd's programs.
const SYSTEMD: &str = "apt-get install systemd";

fn iddio(root: &Path, words: &[&str]) -> Said {
    // The services lie beside it, so that they are copied too.
    let program = service("iddio");
    let mut command = Command::new(program);
    command.args(words).arg("--root").arg(root);
    Said::of(command.output().unwrap())
}

/// Every file under a directory: path, mode, owner, content.
fn tree(root: &Path) -> Vec<(PathBuf, u32, u32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                waiting.push(path.clone());
            }
            let content = if metadata.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            found.push((path, metadata.mode(), metadata.uid(), content));
        }
    }
    found.sort();
    found
}

#[test]
fn installing_twice_is_installing_once_and_a_dry_run_is_nothing() {
    real("systemd-sysusers", SYSTEMD).unwrap();
    let root = TempDir::new().unwrap();
    let dry = iddio(root.path(), &["install", "--system", "--dry-run"]).ok();
    assert!(dry.stdout.lines().all(|line| line.starts_with("would  ")), "{dry:?}");
    assert_eq!(tree(root.path()), []);
    let said = iddio(root.path(), &["install", "--system"]).ok();
    assert_eq!(said.stdout, dry.stdout.replace("would  ", "did  "));
    let first = tree(root.path());
    let again = iddio(root.path(), &["install", "--system"]).ok().says("nothing to do");
    assert_eq!(again.stdout, "");
    assert_eq!(tree(root.path()), first);
    let place = |path: &str| fs::symlink_metadata(root.path().join(path)).unwrap();
    for (path, mode) in [
        ("etc/iddio/log.toml", 0o644),
        ("etc/iddio/signer.key", 0o600),
        ("usr/bin/iddio-logd", 0o755),
        ("usr/bin/iddio-signer", 0o755),
        ("var/lib/iddio", 0o700),
        ("var/lib/iddio-signer", 0o700),
        ("run/iddio", 0o755),
    ] {
        assert_eq!(place(path).mode() & 0o7777, mode, "{path}");
    }
    let passwd = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    for (user, directory) in [("iddio-log", "iddio"), ("iddio-signer", "iddio-signer")] {
        let line = passwd.lines().find(|line| line.starts_with(&format!("{user}:"))).unwrap();
        let uid: u32 = line.split(':').nth(2).unwrap().parse().unwrap();
        assert_eq!(place(&format!("var/lib/{directory}")).uid(), uid, "{user}");
        assert!(line.ends_with("/nologin"), "{line}");
    }
    assert!(place("etc/systemd/system/sockets.target.wants/iddio-signer.socket").is_symlink());
}

#[test]
fn what_somebody_changed_is_mended_or_kept_and_removing_keeps_what_was_recorded() {
    real("systemd-sysusers", SYSTEMD).unwrap();
    let root = TempDir::new().unwrap();
    let path = |name: &str| root.path().join(name);
    iddio(root.path(), &["install", "--system"]).ok();
    let first = tree(root.path());
    // A configuration is the administrator's; a unit is ours.
    let own = "user = \"iddio-log\"\ngateways = [\"iddio-kube\"]\n";
    fs::write(path("etc/iddio/log.toml"), own).unwrap();
    fs::write(path("etc/systemd/system/iddio-signer.service"), "[Service]\nUser=root\n").unwrap();
    fs::remove_file(path("etc/systemd/system/sockets.target.wants/iddio-logd.socket")).unwrap();
    let said = iddio(root.path(), &["install", "--system"]).ok();
    assert_eq!(said.stdout.lines().count(), 2, "{said:?}");
    assert_eq!(fs::read_to_string(path("etc/iddio/log.toml")).unwrap(), own);
    // Where a unit was replaced by a link, the link goes and what it leads to stays.
    let target = path("target");
    fs::write(&target, "whole").unwrap();
    fs::remove_file(path("etc/systemd/system/iddio-logd.service")).unwrap();
    std::os::unix::fs::symlink(&target, path("etc/systemd/system/iddio-logd.service")).unwrap();
    iddio(root.path(), &["install", "--system"]).ok();
    assert_eq!(fs::read_to_string(&target).unwrap(), "whole");
    assert!(
        !fs::symlink_metadata(path("etc/systemd/system/iddio-logd.service")).unwrap().is_symlink()
    );
    fs::remove_file(&target).unwrap();

    let key = fs::read(path("etc/iddio/signer.key")).unwrap();
    fs::write(path("var/lib/iddio/record"), "kept").unwrap();
    iddio(root.path(), &["uninstall", "--system", "--dry-run"]).ok();
    assert!(path("etc/systemd/system/iddio-logd.service").exists());
    iddio(root.path(), &["uninstall", "--system"]).ok().says("kept: the log and the keys");
    for gone in [
        "etc/iddio/log.toml",
        "etc/systemd/system/iddio-logd.service",
        "etc/systemd/system/sockets.target.wants/iddio-logd.socket",
        "usr/bin/iddio-signer",
    ] {
        assert!(fs::symlink_metadata(path(gone)).is_err(), "{gone}");
    }
    assert_eq!(fs::read(path("etc/iddio/signer.key")).unwrap(), key);
    assert_eq!(fs::read_to_string(path("var/lib/iddio/record")).unwrap(), "kept");
    iddio(root.path(), &["uninstall", "--system"]).ok();
    iddio(root.path(), &["install", "--system"]).ok();
    assert_eq!(fs::read_to_string(path("etc/iddio/log.toml")).unwrap(), own);
    fs::remove_file(path("var/lib/iddio/record")).unwrap();
    let names = |tree: &[(PathBuf, u32, u32, Vec<u8>)]| {
        tree.iter().map(|(path, ..)| path.clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&tree(root.path())), names(&first));
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    real("systemd-analyze", SYSTEMD).unwrap();
    let dir = TempDir::new().unwrap();
    // Programs that are there, in the place of ours that are not.
    let mut paths = Vec::new();
    for (name, text) in units() {
        let words = text.lines().map(|line| match line.split_once("=/usr/bin/iddio-") {
            Some((key, _)) => format!("{key}=/usr/bin/true\n"),
            None => format!("{line}\n"),
        });
        let path = dir.path().join(name);
        fs::write(&path, words.collect::<String>()).unwrap();
        paths.push(path);
    }
    let verified = Command::new("systemd-analyze").arg("verify").args(&paths).output().unwrap();
    let said = Said::of(verified);
    assert!(said.code == 0 && !said.stderr.contains("iddio"), "{said:?}");
}

#[test]
fn every_unit_is_ok_or_better_and_every_exposed_line_has_its_reason() {
    real("systemd-analyze", SYSTEMD).unwrap();
    let document = fs::read_to_string(repository().join("docs/installing.md")).unwrap();
    let mut looked = 0;
    for (name, _) in units().into_iter().filter(|(name, _)| name.ends_with(".service")) {
        let mut command = Command::new("systemd-analyze");
        // 5.0 is the end of OK.
        command.args([
            "security",
            "--offline=true",
            "--threshold=49",
            "--no-pager",
            "--json=short",
        ]);
        let said =
            Said::of(command.arg(repository().join("dist/systemd").join(&name)).output().unwrap())
                .ok();
        assert!(!said.stderr.contains("Unknown"), "{said:?}");
        let lines: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        let heading = format!("### {name}");
        let part = document
            .split("\n### ")
            .find(|part| heading.ends_with(part.lines().next().unwrap_or("?")));
        let part = part.unwrap_or_else(|| panic!("no part `{heading}`"));
        for line in lines.as_array().unwrap() {
            let exposed = line["exposure"].as_str().is_some_and(|exposure| exposure != "0.0");
            if line["set"] == false && exposed {
                let field = line["name"].as_str().unwrap();
                assert!(
                    part.contains(&format!("| `{field}` |")),
                    "{name}: `{field}` has no reason"
                );
                looked += 1;
            }
        }
    }
    assert!(20 < looked, "{looked}");
}

/// What somebody does to a file of an installation.
enum Done {
    Removed,
    Owned(u32),
    Moded(u32),
    Said(&'static str),
    Linked(&'static str),
    Replaced(&'static str, &'static str),
}

impl Done {
    /// Does it to the file at `path`, and returns what undoes it.
    fn to(&self, path: &Path) -> impl FnOnce() + use<> {
        let (path, aside) = (path.to_owned(), path.with_extension("aside"));
        let before = fs::symlink_metadata(&path).unwrap();
        match self {
            Self::Owned(uid) => std::os::unix::fs::chown(&path, Some(*uid), None).unwrap(),
            Self::Moded(mode) => {
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
            }
            Self::Removed | Self::Said(_) | Self::Linked(_) | Self::Replaced(..) => {
                fs::rename(&path, &aside).unwrap();
            }
        }
        match self {
            Self::Said(text) => fs::write(&path, text).unwrap(),
            Self::Linked(target) => std::os::unix::fs::symlink(target, &path).unwrap(),
            Self::Replaced(one, other) => {
                let text = fs::read_to_string(&aside).unwrap();
                assert!(text.contains(one), "{text}");
                fs::write(&path, text.replace(one, other)).unwrap();
            }
            Self::Owned(_) | Self::Moded(_) | Self::Removed => {}
        }
        move || {
            if fs::symlink_metadata(&aside).is_ok() {
                // A link would not give way to a directory.
                let _ = fs::remove_file(&path);
                fs::rename(&aside, &path).unwrap();
            } else {
                std::os::unix::fs::chown(&path, Some(before.uid()), Some(before.gid())).unwrap();
                fs::set_permissions(&path, before.permissions()).unwrap();
            }
        }
    }
}

#[test]
fn doctor_names_everything_that_is_wrong_with_an_installation() {
    let root = TempDir::new().unwrap();
    iddio(root.path(), &["install", "--system"]).ok();
    let check = || iddio(root.path(), &["install", "--system", "--check"]);
    check().ok();
    let mut looked = 0;
    for (path, done, said) in DEVIATIONS {
        let undo = done.to(&root.path().join(path));
        let found = check();
        let first = found.stdout.lines().find(|line| line.contains(said));
        assert!(first.is_some_and(|line| line.starts_with("WRONG")), "{path}: {said}: {found:?}");
        assert_eq!(found.code, 1, "{path}");
        undo();
        looked += 1;
    }
    assert!(25 < looked, "{looked}");
    check().ok();
    // A service that waits for its configuration is no fault; one that has it must start.
    fs::write(root.path().join("etc/iddio/push.toml"), "url = 1\n").unwrap();
    check().exits(1).prints("iddio-push.service does not start with the machine");
    iddio(root.path(), &["install", "--system"]).ok();
    check().ok();
    let link = "etc/systemd/system/multi-user.target.wants/iddio-push.service";
    assert!(fs::symlink_metadata(root.path().join(link)).unwrap().is_symlink());
    // Where nothing is installed there is nothing wrong.
    let empty = TempDir::new().unwrap();
    iddio(empty.path(), &["install", "--system", "--check"]).ok();
}

/// What somebody may do to an installation, and what is said of it.
const DEVIATIONS: [(&str, Done, &str); 28] = [
    ("etc/iddio", Done::Moded(0o777), "/etc/iddio has mode 0777 and not 0755"),
    ("etc/iddio", Done::Owned(1), "/etc/iddio is uid 1's and not root's"),
    ("etc/iddio/log.toml", Done::Linked("/dev/null"), "/etc/iddio/log.toml is no file"),
    ("etc/iddio/log.toml", Done::Moded(0o666), "/etc/iddio/log.toml may be changed by others"),
    ("etc/iddio/log.toml", Done::Removed, "the configuration /etc/iddio/log.toml is missing"),
    ("etc/iddio/signer.toml", Done::Owned(7), "/etc/iddio/signer.toml is uid 7's and not root's"),
    ("etc/iddio/signer.key", Done::Moded(0o644), "/etc/iddio/signer.key may be read by others"),
    ("etc/iddio/signer.key", Done::Owned(7), "/etc/iddio/signer.key may be read by others"),
    ("etc/iddio/signer.key", Done::Linked("/dev/zero"), "/etc/iddio/signer.key is no file"),
    ("etc/iddio/signer.key", Done::Removed, "the signer's wrapping key is missing"),
    ("etc/passwd", Done::Replaced("iddio-log:", "iddio-lot:"), "there is no user iddio-log"),
    ("etc/passwd", Done::Said("iddio-log:x:0:0::/:/x\n"), "the user iddio-log is root"),
    (
        "etc/passwd",
        Done::Said("iddio-log:x:9:9::/:/x\neve:x:9:9::/:/x\n"),
        "eve and iddio-log are one user to the kernel (uid 9)",
    ),
    (
        "etc/systemd/system/iddio-execd.service",
        Done::Replaced("NoNewPrivileges=yes", "NoNewPrivileges=no"),
        "iddio-execd.service is not what was installed",
    ),
    (
        "etc/systemd/system/iddio-kube.service",
        Done::Owned(7),
        "iddio-kube.service is uid 7's and not root's",
    ),
    (
        "etc/systemd/system/iddio-logd.service",
        Done::Linked("/dev/null"),
        "iddio-logd.service is no file",
    ),
    (
        "etc/systemd/system/iddio-push.service",
        Done::Moded(0o664),
        "iddio-push.service may be changed by others",
    ),
    ("etc/systemd/system/iddio-signer.socket", Done::Removed, "iddio-signer.socket is missing"),
    (
        "etc/systemd/system/sockets.target.wants/iddio-logd.socket",
        Done::Removed,
        "iddio-logd.socket does not start with the machine",
    ),
    (
        "etc/sysusers.d/iddio.conf",
        Done::Said(""),
        "sysusers.d/iddio.conf is not what was installed",
    ),
    ("etc/tmpfiles.d/iddio.conf", Done::Removed, "iddio.conf is missing"),
    ("run/iddio", Done::Moded(0o777), "/run/iddio has mode 0777 and not 0755"),
    ("run/iddio", Done::Linked("/tmp"), "/run/iddio is no directory"),
    ("usr/bin/iddio-execd", Done::Moded(0o4755), "/usr/bin/iddio-execd has mode 4755 and not 0755"),
    ("usr/bin/iddio-logd", Done::Removed, "/usr/bin/iddio-logd is missing"),
    ("usr/bin/iddio-signer", Done::Moded(0o777), "/usr/bin/iddio-signer may be changed by others"),
    ("var/lib/iddio", Done::Moded(0o755), "/var/lib/iddio has mode 0755 and not 0700"),
    ("var/lib/iddio-exec", Done::Owned(7), "/var/lib/iddio-exec is uid 7's and not root's"),
];

fn units() -> Vec<(String, String)> {
    let mut units: Vec<(String, String)> = fs::read_dir(repository().join("dist/systemd"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    units.sort();
    assert_eq!(units.len(), 8);
    units
}
