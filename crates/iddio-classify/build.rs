//! Puts every catalog under `policies/catalog` into the crate.
//!
//! A catalog is added by adding its file. A table of all programs says which
//! catalog each has, so that nothing is parsed for a program that is not asked about.

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../policies/catalog");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files: Vec<_> = fs::read_dir(&root)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut catalogs = String::new();
    let mut programs = BTreeMap::new();
    let mut count = 0;
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "toml")) {
        let head: toml::Table = toml::from_str(&fs::read_to_string(file)?)?;
        // A table that is no catalog: what another file refers to.
        let Some(names) = head.get("programs").and_then(toml::Value::as_array) else { continue };
        let name = head.get("name").and_then(toml::Value::as_str).unwrap_or_default();
        if file.file_stem().and_then(|stem| stem.to_str()) != Some(name) {
            return Err(format!("{}: its name is `{name}`", file.display()).into());
        }
        for program in names.iter().filter_map(toml::Value::as_str) {
            if programs.insert(program.to_owned(), count).is_some() {
                return Err(format!("{}: `{program}` has a catalog", file.display()).into());
            }
        }
        let path = file.canonicalize()?.display().to_string();
        writeln!(catalogs, "    built_in!({name:?}, {path:?}),")?;
        count += 1;
    }
    let mut table = format!("static BUILT_IN: [BuiltIn; {count}] = [\n{catalogs}];\n");
    writeln!(table, "static PROGRAMS: [(&str, usize); {}] = [", programs.len())?;
    for (program, place) in &programs {
        writeln!(table, "    ({program:?}, {place}),")?;
    }
    table.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("catalogs.rs"), table)?;
    Ok(())
}
