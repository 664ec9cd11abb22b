//! Programs that a tool runs from a directory of its own: Terraform's providers.
//!
//! A package in `.terraform/` proves nothing by itself: whoever wrote the tree wrote it (threats E01,
//! E02). Each one counts as trusted only by its content, as `iddio tool trust` or the policy's
//! `trusted:` has it. Whatever cannot be looked at is not trusted.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use iddio_classify::terraform::judge::{Trust, TrustedProvider};
use iddio_core::digest::Digest;

use crate::reach::Reach;

/// What lies below some directories.
#[derive(Debug, Default)]
pub struct Installed {
    /// Files whose content is trusted.
    pub trusted: Vec<PathBuf>,
    /// The first that is not, if there is one.
    pub untrusted: Option<PathBuf>,
}

/// Looks at every file below `paths`, which are relative to `directory`.
pub fn look(directory: &Path, paths: &[String], trusted: &[Digest], reach: &Reach) -> Installed {
    let mut installed = Installed::default();
    let mut waiting: Vec<PathBuf> = paths.iter().map(|path| directory.join(path)).collect();
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        seen += 1;
        if FILES_MAX < seen {
            installed.untrusted.get_or_insert(path);
            return installed;
        }
        match reach.real(&path).and_then(fs::metadata) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {}
            Ok(metadata) if metadata.is_dir() => match children(&path, reach) {
                Some(children) => waiting.extend(children),
                None => drop(installed.untrusted.get_or_insert(path)),
            },
            // What cannot be executed is no program: licences, readmes.
            Ok(metadata) if metadata.is_file() && metadata.mode() & 0o111 == 0 => {}
            Ok(metadata) if metadata.is_file() && is_trusted(&path, trusted, reach) => {
                installed.trusted.push(path);
            }
            Ok(_) | Err(_) => drop(installed.untrusted.get_or_insert(path)),
        }
    }
    installed
}

/// Returns the providers whose installed program is trusted, so that the judge of plans and
/// configurations knows them. The source of a provider is where it lies:
/// `.terraform/providers/HOST/NAMESPACE/TYPE/VERSION/PLATFORM/`.
pub fn providers(directory: &Path, trusted: &[Digest], reach: &Reach) -> Trust {
    let root = directory.join(PROVIDERS);
    let installed = look(directory, &[PROVIDERS.to_owned()], trusted, reach);
    // One that is not trusted spoils them all: the lock file decides which one runs.
    let trusted = if installed.untrusted.is_none() { installed.trusted } else { Vec::new() };
    let source = |path: &PathBuf| {
        let parts: Vec<&OsStr> = path.strip_prefix(&root).ok()?.iter().take(3).collect();
        let parts: Option<Vec<&str>> = parts.into_iter().map(OsStr::to_str).collect();
        parts.filter(|parts| parts.len() == 3).map(|parts| parts.join("/"))
    };
    let providers = trusted.iter().filter_map(source);
    let provider = |source| TrustedProvider { source, hashes: Vec::new() };
    Trust { providers: providers.map(provider).collect() }
}

fn children(path: &Path, reach: &Reach) -> Option<Vec<PathBuf>> {
    fs::read_dir(reach.real(path).ok()?)
        .ok()?
        .map(|entry| entry.ok().map(|entry| entry.path()))
        .collect()
}

fn is_trusted(path: &Path, trusted: &[Digest], reach: &Reach) -> bool {
    !trusted.is_empty()
        && reach.real(path).and_then(hash).is_ok_and(|digest| trusted.contains(&digest))
}

fn hash(path: PathBuf) -> io::Result<Digest> {
    let mut bytes = Vec::new();
    File::open(path)?.take(PROGRAM_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Digest::of_bytes(&bytes))
}

/// Where Terraform installs providers.
const PROVIDERS: &str = ".terraform/providers";

/// The most files that are looked at: far more than any configuration has providers.
const FILES_MAX: usize = 10_000;

/// The largest program that is hashed; a larger one has another digest and is not trusted.
const PROGRAM_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn provider(directory: &Path, name: &str, content: &str) -> PathBuf {
        let path = directory.join(PROVIDERS).join(name).join("1.0.0/linux_amd64/provider");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_provider_is_trusted_by_its_content_and_one_stranger_spoils_them_all() {
        let directory = tempfile::tempdir().unwrap();
        let trusted = [Digest::of_bytes(b"good")];
        let paths = [PROVIDERS.to_owned()];
        assert!(look(directory.path(), &paths, &trusted, &Reach::Everywhere).untrusted.is_none());
        provider(directory.path(), "registry.terraform.io/hashicorp/good", "good");
        let sources =
            |trust: Trust| trust.providers.into_iter().map(|p| p.source).collect::<Vec<_>>();
        assert_eq!(
            sources(providers(directory.path(), &trusted, &Reach::Everywhere)),
            ["registry.terraform.io/hashicorp/good"]
        );
        let evil = provider(directory.path(), "registry.terraform.io/evil/evil", "evil");
        assert_eq!(
            look(directory.path(), &paths, &trusted, &Reach::Everywhere).untrusted,
            Some(evil)
        );
        assert!(sources(providers(directory.path(), &trusted, &Reach::Everywhere)).is_empty());
    }
}
