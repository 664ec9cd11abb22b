//! The real programs that tests drive: found, or installed by the package managers that have them.
//!
//! Debian packages come by name from apt, Python programs by pinned version from PyPI, each into an
//! environment of its own under the target directory; so do the packages that the check of the
//! generated catalogs reads, which then needs no network. What is there already costs a look, nothing
//! more. Where something cannot be installed the answer is the command that would install it.
//!
//! Tests learn where things are from the variables in [`Tools`], which also stand in
//! `tools/paths.json` under the target directory, for whoever runs `cargo test` alone.
//!
//! What it does not do: fetch from any address itself, or replace a program that is missing by
//! something that behaves like it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::process::{self, Workspace};

/// Where the real programs are, as environment variables for the tests.
#[derive(Debug, Default)]
pub(crate) struct Tools(Vec<(&'static str, PathBuf)>);

/// A program that a Debian package has.
struct Debian {
    package: &'static str,
    proof: Proof,
}

/// What shows that a package is there.
enum Proof {
    /// A program on the path.
    Program(&'static str),
    /// A module that Python can import.
    PythonModule(&'static str),
}

/// A program that PyPI has.
struct Python {
    requirement: &'static str,
    program: &'static str,
    variable: &'static str,
}

/// Finds or installs what the tests need.
pub(crate) fn run(workspace: &Workspace) -> Result<Tools> {
    debian(workspace, &FOR_TESTS)?;
    let mut found = Vec::new();
    for wanted in &PYTHON {
        found.push((wanted.variable, python(workspace, wanted)?));
    }
    catalogs(workspace)?;
    let kubectl = system(&["kubectl"]);
    if kubectl.is_none() {
        apt(workspace, &["kubernetes-client"])?;
    }
    for (program, variable) in OPTIONAL {
        match system(&[program]) {
            Some(path) => found.push((variable, path)),
            None => eprintln!("{program}: absent; tests that need it fail unless left out by name"),
        }
    }
    found.sort();
    let tools = Tools(found);
    tools.save(&workspace.target().join("tools/paths.json"))?;
    Ok(tools)
}

/// Finds or installs what the generated catalogs are made from: the Python that the AWS CLI runs in,
/// and the directory with the packages that carry AWS's access levels.
pub(crate) fn catalogs(workspace: &Workspace) -> Result<(PathBuf, PathBuf)> {
    let aws = PYTHON.iter().find(|wanted| wanted.program == "aws").context("no AWS CLI")?;
    let python = python(workspace, aws)?.with_file_name("python");
    let home = workspace.target().join("tools/aws-levels");
    let wanted = fs::read_to_string(workspace.path(LEVELS)).context(LEVELS)?;
    let stamp = home.join("installed.txt");
    if !fs::read_to_string(&stamp).is_ok_and(|pinned| pinned == wanted) {
        eprintln!("installing the packages of {LEVELS} from PyPI");
        if home.exists() {
            fs::remove_dir_all(&home)?;
        }
        let mut pip = workspace.command(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--require-hashes", "--requirement", LEVELS, "--target"]).arg(&home);
        process::output(&mut pip)?;
        fs::write(&stamp, wanted)?;
    }
    Ok((python, home))
}

/// Finds or installs what the benchmarks need: the programs we are compared with.
pub(crate) fn references(workspace: &Workspace) -> Result<()> {
    debian(workspace, &FOR_BENCH)
}

// === impl Tools ===

impl Tools {
    /// Returns the variables that tests read.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.0.iter().map(|(name, path)| (*name, path.as_path()))
    }

    fn save(&self, path: &Path) -> Result<()> {
        let pairs =
            self.variables().map(|(name, at)| (name.to_owned(), at.to_string_lossy().into()));
        let json = serde_json::Value::Object(pairs.collect());
        let text = format!("{json:#}\n");
        if fs::read_to_string(path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        let directory = path.parent().context("a file has a directory")?;
        fs::create_dir_all(directory)?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Installs those of `wanted` that are absent.
fn debian(workspace: &Workspace, wanted: &[Debian]) -> Result<()> {
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|debian| !debian.proof.holds(workspace))
        .map(|debian| debian.package)
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => apt(workspace, &missing),
    }
}

fn apt(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    let by_hand = format!("apt-get update && apt-get install -y {}", packages.join(" "));
    if process::which("apt-get").is_none() {
        bail!("not installed: {}; on Debian: `{by_hand}`", packages.join(", "));
    }
    if process::output(workspace.command("id").arg("-u"))?.trim() != "0" {
        bail!("not installed: {}; as root: `{by_hand}`", packages.join(", "));
    }
    eprintln!("installing {}", packages.join(" "));
    let apt_get = || {
        let mut command = workspace.command("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        command
    };
    process::run(apt_get().arg("update")).with_context(|| format!("try `{by_hand}`"))?;
    let mut install = apt_get();
    install.args(["install", "-y", "--no-install-recommends"]).args(packages);
    process::output(&mut install).with_context(|| format!("try `{by_hand}`")).map(|_| ())
}

/// Returns the program, installed into an environment of its own at the pinned version.
fn python(workspace: &Workspace, wanted: &Python) -> Result<PathBuf> {
    let Python { requirement, program, variable: _ } = wanted;
    let home = workspace.target().join("tools").join(program);
    let path = home.join("bin").join(program);
    let stamp = home.join("installed.txt");
    let installed = fs::read_to_string(&stamp).is_ok_and(|pinned| pinned == *requirement);
    if installed && path.is_file() {
        return Ok(path);
    }
    eprintln!("installing {requirement} from PyPI");
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("cannot clear {}", home.display()))?;
    }
    let by_hand = format!("pip install '{requirement}'");
    let python = python3().context("no python3; on Debian: `apt-get install -y python3`")?;
    process::output(workspace.command(python).args(["-m", "venv"]).arg(&home))
        .context("on Debian: `apt-get install -y python3-venv`")?;
    let mut pip = workspace.command(home.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]);
    process::output(&mut pip).with_context(|| format!("try `{by_hand}`"))?;
    if !path.is_file() {
        bail!("`{requirement}` installed no program `{program}`");
    }
    fs::write(&stamp, requirement)?;
    Ok(path)
}

/// Returns the system's Python, whose `venv` the Debian package completes, or else another.
fn python3() -> Option<PathBuf> {
    system(&["python3"]).or_else(|| process::which("python3"))
}

/// Returns the first of `names` in the system's program directories, where iddio looks for tools.
fn system(names: &[&str]) -> Option<PathBuf> {
    let places = SYSTEM_DIRECTORIES.iter().flat_map(|dir| names.iter().map(move |n| (dir, n)));
    places.map(|(directory, name)| Path::new(directory).join(name)).find(|path| path.is_file())
}

// === impl Proof ===

impl Proof {
    fn holds(&self, workspace: &Workspace) -> bool {
        match self {
            Self::Program(name) => process::which(name).is_some(),
            Self::PythonModule(name) => python3().is_some_and(|python| {
                let script = format!("import {name}");
                process::output(workspace.command(python).args(["-c", &script])).is_ok()
            }),
        }
    }
}

/// The directories that a Linux system keeps its programs in.
const SYSTEM_DIRECTORIES: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What the tests drive. `python3-venv` shows itself by the module that Debian splits off.
const FOR_TESTS: [Debian; 7] = [
    Debian { package: "openssh-client", proof: Proof::Program("ssh-keygen") },
    Debian { package: "python3", proof: Proof::Program("python3") },
    Debian { package: "python3-kubernetes", proof: Proof::PythonModule("kubernetes") },
    Debian { package: "python3-venv", proof: Proof::PythonModule("ensurepip") },
    Debian { package: "strace", proof: Proof::Program("strace") },
    Debian { package: "tmux", proof: Proof::Program("tmux") },
    Debian { package: "vim", proof: Proof::Program("vim") },
];

/// What the benchmarks compare with, and measure by.
const FOR_BENCH: [Debian; 6] = [
    Debian { package: "curl", proof: Proof::Program("curl") },
    Debian { package: "nginx-light", proof: Proof::Program("nginx") },
    Debian { package: "openssl", proof: Proof::Program("openssl") },
    Debian { package: "strace", proof: Proof::Program("strace") },
    Debian { package: "sudo", proof: Proof::Program("sudo") },
    Debian { package: "valgrind", proof: Proof::Program("valgrind") },
];

/// Separate environments, because the two disagree about the versions of what they share.
const PYTHON: [Python; 2] = [
    Python { requirement: "awscli==1.45.11", program: "aws", variable: "IDDIO_TEST_AWS" },
    Python {
        requirement: "moto[server]==5.2.5",
        program: "moto_server",
        variable: "IDDIO_TEST_MOTO_SERVER",
    },
];

/// The packages that carry AWS's access levels, each with the hash of its file.
const LEVELS: &str = "xtask/src/catalogs/requirements.txt";

/// Programs that are used where they are, and the variable that tells the tests.
const OPTIONAL: [(&str, &str); 3] = [
    ("helm", "IDDIO_TEST_HELM"),
    ("kubectl", "IDDIO_TEST_KUBECTL"),
    ("terraform", "IDDIO_TEST_TERRAFORM"),
];
