//! The tree a Terraform run works in: copied first, judged from the copy, run in the copy.
//!
//! The copy reaches as far up as the configuration does (`../modules`), so that relative paths mean
//! what they mean in the original. State is linked, never copied: it must be written where it lies.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use iddio_classify::terraform::{
    ProviderAddress, ProviderOrigin,
    config::{self, ConfigFacts, Fact, Finding, Position, Source, Text},
};
use serde_json::Value;

use crate::{
    facts,
    reach::{Found, Reach},
    snapshot::{Apart, Snapshot, SnapshotError},
};

/// A copied tree, and where in it the root module lies.
#[derive(Debug)]
pub struct Tree {
    /// The copy.
    pub snapshot: Snapshot,
    /// The root module, relative to the copy.
    pub module: PathBuf,
}

/// Why a tree was not copied.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The configuration reaches up to where everything is.
    #[error("the configuration reaches above its tree")]
    Above,
    /// There is no private directory to copy it to.
    #[error("a private directory could not be made: {0}")]
    Place(io::Error),
    /// It could not be copied.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// Copies the tree that the root module at `module` needs to `to`.
///
/// # Errors
///
/// When the tree is too large or reaches too far up.
pub fn copy(module: &Path, user_home: &Path, to: &Path, within: &Reach) -> Result<Tree, TreeError> {
    let module = within
        .real(module)
        .and_then(|module| module.canonicalize())
        .map_err(|source| SnapshotError::Io { path: module.to_owned(), source })?;
    let levels = reach(&module, within);
    let root = module.ancestors().nth(levels).ok_or(TreeError::Above)?;
    // Neither the file system nor a whole home directory is a tree of configuration.
    let too_much = root.parent().is_none() || (0 < levels && user_home.starts_with(root));
    if REACH_MAX < levels || too_much {
        return Err(TreeError::Above);
    }
    within.real(root).map_err(|_| TreeError::Above)?;
    let below = module.strip_prefix(root).map(Path::to_owned).unwrap_or_default();
    let snapshot = Snapshot::take(root, to, &apart(root, &below))?;
    Ok(Tree { snapshot, module: below })
}

// === impl Tree ===

impl Tree {
    /// Where the copy of the root module is.
    pub fn directory(&self) -> PathBuf {
        self.snapshot.root().join(&self.module)
    }

    /// Whether `init` would find nothing to fetch: no provider but the built-in one, no module from
    /// elsewhere, no backend or cloud to prepare.
    pub fn is_complete(&self) -> bool {
        let facts = self.facts();
        let elsewhere = |fact: &Fact| match fact {
            Fact::Module(Text::Literal(source)) => !source.starts_with('.'),
            Fact::Module(Text::Expression(_)) | Fact::Cloud | Fact::Unreadable(_) => true,
            Fact::Backend(kind) => kind != "local",
            _ => false,
        };
        let built_in = |address: &ProviderAddress| address.origin() == ProviderOrigin::BuiltIn;
        facts.provider_addresses().iter().all(built_in)
            && !facts.findings.iter().any(|finding| elsewhere(&finding.fact))
    }

    /// Reads what the configuration of the copy does: the root module, every module it calls, and
    /// the templates they render.
    pub fn facts(&self) -> ConfigFacts {
        let mut directories = BTreeSet::from([self.module.clone()]);
        let mut away = BTreeSet::new();
        for directory in self.fetched() {
            match directory {
                Ok(directory) => drop(directories.insert(directory)),
                Err(path) => drop(away.insert(path)),
            }
        }
        let mut templates = BTreeSet::new();
        loop {
            let facts = self.scan(&directories, &templates, &mut away);
            let (count, seen) = (directories.len(), templates.len());
            for finding in &facts.findings {
                let directory = Path::new(&finding.path).parent().unwrap_or(Path::new(""));
                match &finding.fact {
                    Fact::Module(Text::Literal(source)) if source.starts_with('.') => {
                        match resolve(directory, source) {
                            Some(directory) => drop(directories.insert(directory)),
                            None => drop(away.insert(directory.join(source))),
                        }
                    }
                    Fact::UnseenTemplate(path) => {
                        templates.insert(PathBuf::from(path));
                    }
                    _ => {}
                }
            }
            if directories.len() == count && templates.len() == seen {
                return self.with_links(facts, away);
            }
        }
    }

    /// The directories of modules that `init` fetched, from its own list of them; as errors what in
    /// it leads out of the tree. The tool believes the list, so it is read to the letter: whatever
    /// could be a directory to it, in whatever case, is one here.
    fn fetched(&self) -> Vec<Result<PathBuf, PathBuf>> {
        let list = self.module.join(".terraform/modules/modules.json");
        let text = match Reach::Everywhere.read(&self.snapshot.root().join(&list)) {
            Found::Missing => return Vec::new(),
            Found::Text(text) => text,
            Found::Unreadable => return vec![Err(list)],
        };
        if self.within(&list).is_none() {
            return vec![Err(list)];
        }
        let Some(value) = facts::yaml(&text) else { return vec![Err(list)] };
        let mut named = Vec::new();
        directories_in(&value, &mut named);
        let place = |directory: String| {
            let away = || Path::new("modules.json").join(directory.trim_start_matches('/'));
            resolve(&self.module, &directory).ok_or_else(away)
        };
        named.into_iter().map(place).collect()
    }

    fn scan(
        &self,
        directories: &BTreeSet<PathBuf>,
        templates: &BTreeSet<PathBuf>,
        away: &mut BTreeSet<PathBuf>,
    ) -> ConfigFacts {
        let listed = directories.iter().flat_map(|directory| self.configuration(directory, away));
        let mut wanted: BTreeSet<PathBuf> = listed.collect();
        let copied = self.snapshot.files().filter(|path| templates.contains(*path));
        wanted.extend(copied.map(Path::to_owned));
        let files: Vec<(String, Vec<u8>)> = wanted
            .into_iter()
            .map(|path| {
                // What cannot be read is handed over as what cannot be parsed.
                let bytes = self.snapshot.read(&path).unwrap_or_else(|_| vec![0]);
                (path.to_string_lossy().into_owned(), bytes)
            })
            .collect();
        let sources: Vec<Source<'_>> =
            files.iter().map(|(path, bytes)| Source { path, bytes }).collect();
        config::scan_within(&self.module.to_string_lossy(), &sources, None)
    }

    /// Returns the configuration files of a directory as the tool would find them: through links.
    /// What leads out of the copy is not read but noted.
    fn configuration(&self, directory: &Path, away: &mut BTreeSet<PathBuf>) -> Vec<PathBuf> {
        let Some(real) = self.within(directory) else {
            away.insert(directory.to_owned());
            return Vec::new();
        };
        let Ok(entries) = fs::read_dir(real) else { return Vec::new() };
        let paths = entries.filter_map(|entry| Some(directory.join(entry.ok()?.file_name())));
        let named = paths.filter(|path| is_configuration(path) && !is_ignored(path));
        let (inside, outside): (Vec<_>, Vec<_>) =
            named.partition(|path| self.within(path).is_some());
        away.extend(outside);
        inside
    }

    /// Returns where a path of the copy really leads, if that is in the copy.
    fn within(&self, path: &Path) -> Option<PathBuf> {
        let root = self.snapshot.root().canonicalize().ok()?;
        let real = root.join(path).canonicalize().ok()?;
        real.starts_with(&root).then_some(real)
    }

    /// Adds what leads out of the copy: nobody has looked there, and it may change before it is
    /// read. Links that no module lies behind count where the configuration reads files.
    fn with_links(&self, mut facts: ConfigFacts, mut away: BTreeSet<PathBuf>) -> ConfigFacts {
        if facts.findings.iter().any(|f| matches!(f.fact, Fact::FileFunction { .. })) {
            let linked = apart(self.snapshot.root(), &self.module).linked;
            let own = |path: &&Path| !linked.iter().any(|linked| linked == path);
            let links = self.snapshot.links().filter(own);
            away.extend(links.filter(|path| self.within(path).is_none()).map(Path::to_owned));
        }
        let finding = |path: PathBuf| {
            let path = path.to_string_lossy().into_owned();
            Finding {
                at: Position { line: 0, column: 0 },
                address: String::new(),
                fact: Fact::FileFunction {
                    function: "what leads out of the tree, ".to_owned(),
                    path: Text::Literal(path.clone()),
                    reach: config::Reach::Outside,
                },
                path,
            }
        };
        facts.findings.extend(away.into_iter().map(finding));
        facts
    }
}

/// Collects the text of every member that Go would take for `Dir`, at any depth.
fn directories_in(value: &Value, named: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| match value {
            Value::String(text) if name.eq_ignore_ascii_case("dir") => named.push(text.clone()),
            value => directories_in(value, named),
        }),
        Value::Array(items) => items.iter().for_each(|item| directories_in(item, named)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether the tool leaves a file out that is named like configuration: hidden ones and editors'
/// leavings, but for its own lock file.
fn is_ignored(path: &Path) -> bool {
    let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    name != b".terraform.lock.hcl" && (name.starts_with(b".") || name.starts_with(b"#"))
}

/// Returns how many levels above the module the configuration reaches: the longest run of `../` in
/// any file of the module, taken as text. More than needed costs a larger copy, never less safety.
fn reach(module: &Path, within: &Reach) -> usize {
    let Ok(entries) = fs::read_dir(module) else { return 0 };
    let names = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let levels = names.filter(|path| is_configuration(path)).map(|path| {
        let Found::Text(text) = within.read(&path) else { return 0 };
        longest_ascent(text.as_bytes())
    });
    levels.max().unwrap_or(0)
}

fn longest_ascent(bytes: &[u8]) -> usize {
    let (mut longest, mut run, mut rest) = (0, 0, bytes);
    while let [_, tail @ ..] = rest {
        match rest.strip_prefix(b"../") {
            Some(after) => {
                run += 1;
                longest = longest.max(run);
                rest = after;
            }
            None => {
                run = 0;
                rest = tail;
            }
        }
    }
    longest
}

fn is_configuration(path: &Path) -> bool {
    let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    let ends = [".tf", ".tf.json", ".tofu", ".tofu.json", ".tfvars", ".tfvars.json", ".hcl"];
    ends.iter().any(|end| name.ends_with(end.as_bytes()))
}

/// Links what must not be copied, where it exists: provider packages, which are large and which
/// the tool checks against its lock file, and the states of workspaces, which are written in their
/// directory.
fn apart(root: &Path, module: &Path) -> Apart {
    let names = [".terraform/providers", "terraform.tfstate.d"];
    let present = names.iter().map(|name| module.join(name));
    let linked = present.filter(|path| root.join(path).is_dir()).collect();
    Apart { linked, omitted: vec![".git".into()] }
}

/// Returns where a relative path from `directory` leads inside the tree, if it stays there.
fn resolve(directory: &Path, path: &str) -> Option<PathBuf> {
    let mut parts: Vec<&OsStr> = directory.iter().collect();
    for component in Path::new(path).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part),
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.iter().collect())
}

/// How far up a configuration may reach and still be copied.
const REACH_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_ascent_is_counted_in_text() {
        let cases: [(&[u8], usize); 4] = [
            (b"source = \"./a\"", 0),
            (b"source = \"../a\"", 1),
            (b"\"../../a\" \"../b\"", 2),
            (b"a./b./", 0),
        ];
        for (text, levels) in cases {
            assert_eq!(longest_ascent(text), levels, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_module_beside_the_root_is_copied_and_read() {
        let home = tempfile::tempdir().unwrap();
        let work = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = work.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("envs/prod/main.tf", "module \"m\" { source = \"../../modules/m\" }\n");
        write("modules/m/main.tf", "data \"external\" \"x\" { program = [\"id\"] }\n");
        write("envs/other/main.tf", "data \"http\" \"x\" { url = \"http://x\" }\n");
        let to = home.path().join("tree");
        let tree = copy(
            &work.path().join("envs/prod"),
            Path::new("/nonexistent"),
            &to,
            &Reach::Everywhere,
        )
        .unwrap();
        assert_eq!(tree.module, Path::new("envs/prod"));
        let facts = tree.facts();
        let has = |wanted: fn(&Fact) -> bool| facts.findings.iter().any(|f| wanted(&f.fact));
        assert!(has(|fact| matches!(fact, Fact::External(_))), "{facts:?}");
        assert!(!has(|fact| matches!(fact, Fact::Http(_))), "an unrelated module is not read");
    }
}
