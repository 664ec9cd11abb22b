//! Runs the real terraform, and gives names to what tests say often.

use std::{
    io::{Cursor, Read as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use iddio_classify::terraform::{
    judge::{PlanJudgement, Trust},
    plan::{self, PlanFacts},
};

/// A directory with a configuration, and terraform to run in it.
pub(crate) struct Workspace {
    directory: tempfile::TempDir,
    terraform: PathBuf,
}

/// Returns a workspace, or nothing where the machine is said to have no terraform.
pub(crate) fn workspace(test: &str, files: &[(&str, &str)]) -> Option<Workspace> {
    let without = std::env::var("IDDIO_TEST_WITHOUT").unwrap_or_default();
    if without.split([',', ' ']).any(|name| name == "terraform") {
        println!("WITHOUT terraform: {test}");
        return None;
    }
    let places = ["/usr/local/bin/terraform", "/usr/bin/terraform", "/bin/terraform"];
    let found = places.iter().map(PathBuf::from).find(|path| path.is_file());
    let terraform = found.expect(
        "this test needs terraform in /usr/local/bin or /usr/bin: \
         install it, or set IDDIO_TEST_WITHOUT=terraform",
    );
    let workspace = Workspace { directory: tempfile::tempdir().unwrap(), terraform };
    workspace.write(files);
    workspace.run(&["init"]);
    Some(workspace)
}

/// Trusts nothing but what is built in.
pub(crate) fn nobody() -> Trust {
    Trust { providers: Vec::new() }
}

/// Returns tier number, symbol, address and rule of each effect.
pub(crate) fn lines(judgement: &PlanJudgement) -> Vec<String> {
    let line = |effect: &iddio_classify::terraform::judge::Effect| {
        let (tier, symbol) = (effect.tier.number(), effect.symbol);
        format!("{tier} {symbol} {} {}", effect.address, effect.rule)
    };
    judgement.effects.iter().map(line).collect()
}

impl Workspace {
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn write(&self, files: &[(&str, &str)]) {
        for (name, content) in files {
            let path = self.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
    }

    /// Runs terraform and returns what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        // The flag goes behind the command, which is of two words here.
        let words = if arguments[0] == "workspace" { 2 } else { 1 };
        let output = Command::new(&self.terraform)
            .args(&arguments[..words])
            .arg("-no-color")
            .args(&arguments[words..])
            .current_dir(self.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.path())
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_IN_AUTOMATION", "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "terraform {arguments:?}: {text}{errors}");
        text
    }

    /// Makes a plan and returns it with what terraform printed.
    pub(crate) fn plan(&self, arguments: &[&str]) -> (Vec<u8>, String) {
        let mut all = vec!["plan", "-out=saved"];
        all.extend(arguments);
        let text = self.run(&all);
        (std::fs::read(self.path().join("saved")).unwrap(), text)
    }

    pub(crate) fn facts(&self, arguments: &[&str]) -> (PlanFacts, String) {
        let (bytes, text) = self.plan(arguments);
        (plan::read(&bytes).unwrap(), text)
    }

    pub(crate) fn apply(&self) {
        self.run(&["apply", "-auto-approve"]);
    }
}

/// Returns the entries of an archive, in order.
pub(crate) fn unzip(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        entries.push((file.name().unwrap().into_owned(), content));
    }
    entries
}

/// Makes an archive of entries, as someone who edits a plan by hand would.
pub(crate) fn rezip(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Replaces the content of one entry.
pub(crate) fn edit(bytes: &[u8], name: &str, change: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut entries = unzip(bytes);
    let entry = entries.iter_mut().find(|entry| entry.0 == name).expect("the entry exists");
    entry.1 = change(&entry.1);
    rezip(&entries)
}

/// Returns the plan that is kept as a vector.
pub(crate) fn vector(name: &str) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/terraform");
    std::fs::read(directory.join(name)).unwrap()
}

/// A change of a plan that is written by hand.
pub(crate) struct Crafted<'a> {
    pub(crate) address: &'a str,
    pub(crate) provider: &'a str,
    pub(crate) action: u8,
    /// The planned value, as text members of an object.
    pub(crate) after: &'a [(&'a str, &'a str)],
}

/// Makes a plan of these changes, on an empty state.
pub(crate) fn crafted(changes: &[Crafted<'_>]) -> Vec<u8> {
    crafted_on("local", &[], changes)
}

/// Makes a plan whose state lives elsewhere.
pub(crate) fn crafted_on(
    backend: &str,
    settings: &[(&str, &str)],
    changes: &[Crafted<'_>],
) -> Vec<u8> {
    edit(&vector("create.tfplan"), "tfplan", |_| {
        let mut plan = vec![0x08, 3];
        for change in changes {
            let value = field(2, &field(1, &object(change.after)));
            // An update has the value before it first.
            let before = if change.action == 1 { Vec::new() } else { field(2, &field(1, &[0xc0])) };
            let body = [vec![0x08, change.action], before, value].concat();
            let provider = format!("provider[\"{}\"]", change.provider);
            let parts = [
                field(8, provider.as_bytes()),
                field(9, &body),
                field(13, change.address.as_bytes()),
            ];
            plan.extend(field(3, &parts.concat()));
        }
        let settings = field(1, &object(settings));
        let parts = [field(1, backend.as_bytes()), field(2, &settings), field(3, b"production")];
        plan.extend(field(13, &parts.concat()));
        plan
    })
}

fn object(members: &[(&str, &str)]) -> Vec<u8> {
    let mut value = vec![0x80 | u8::try_from(members.len()).unwrap()];
    for text in members.iter().flat_map(|(name, text)| [name, text]) {
        value.extend([0xd9, u8::try_from(text.len()).unwrap()]);
        value.extend(text.as_bytes());
    }
    value
}

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let length = match u8::try_from(length).unwrap_or(u8::MAX) {
        short @ 0..=0x7f => vec![short],
        _ => vec![(length & 0x7f) as u8 | 0x80, u8::try_from(length >> 7).unwrap()],
    };
    [vec![number << 3 | 2], length, content.to_vec()].concat()
}
