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

#[test]
fn doctor_names_what_is_wrong_with_an_installation() {
    let root = TempDir::new().unwrap();
    iddio(root.path(), &["install", "--system"]).ok();
    let loose = root.path().join("etc/iddio/log.toml");
    fs::set_permissions(&loose, fs::Permissions::from_mode(0o666)).unwrap();
    let unit = root.path().join("etc/systemd/system/iddio-signer.socket");
    fs::remove_file(unit).unwrap();
    let key = root.path().join("etc/iddio/signer.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = iddio(root.path(), &["install", "--system", "--check"]);
    for wrong in ["log.toml", "iddio-signer.socket is missing", "signer.key may be read"] {
        assert!(said.stdout.contains(wrong), "no `{wrong}` in {said:?}");
    }
    assert_eq!(said.code, 1);
}

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
