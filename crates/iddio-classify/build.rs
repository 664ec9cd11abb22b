//! Puts every catalog under `policies/catalog` into the crate, parsed and packed.
//!
//! A catalog is added by adding its file. A table of all programs says which
//! catalog each has, so that nothing is unpacked for a program that is not asked about. What
//! `src/catalog/packed.rs` reads is written here; a catalog that is not sound is found by a test.

use std::{collections::BTreeMap, env, error::Error, fmt::Write as _, fs, path::Path};

use iddio_core::digest::Digest;
use toml::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let policies = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../policies");
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let root = policies.join("catalog");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files: Vec<_> = fs::read_dir(&root)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut catalogs = String::new();
    let mut programs = BTreeMap::new();
    let mut count = 0;
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "toml")) {
        let source = fs::read_to_string(file)?;
        let mut head: toml::Table = toml::from_str(&source)?;
        // A table that is no catalog: what another file refers to.
        let Some(names) = head.get("programs").and_then(Value::as_array) else { continue };
        let name = head.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if file.file_stem().and_then(|stem| stem.to_str()) != Some(&name) {
            return Err(format!("{}: its name is `{name}`", file.display()).into());
        }
        for program in names.iter().filter_map(Value::as_str) {
            if programs.insert(program.to_owned(), count).is_some() {
                return Err(format!("{}: `{program}` has a catalog", file.display()).into());
            }
        }
        let digest = identity(&root, &source, &head)?;
        // Examples are for tests and for people, who read them in the source.
        head.remove("example");
        let packed = out.join(format!("{name}.packed"));
        fs::write(&packed, pack(&Value::Table(head))?)?;
        let (path, packed) = (file.canonicalize()?, packed.display().to_string());
        let path = path.display().to_string();
        writeln!(catalogs, "    built_in!({name:?}, {path:?}, {packed:?}, {digest:?}),")?;
        count += 1;
    }
    let mut table = format!("static BUILT_IN: [BuiltIn; {count}] = [\n{catalogs}];\n");
    writeln!(table, "static PROGRAMS: [(&str, usize); {}] = [", programs.len())?;
    for (program, place) in &programs {
        writeln!(table, "    ({program:?}, {place}),")?;
    }
    table.push_str("];\n");
    fs::write(out.join("catalogs.rs"), table)?;
    let paths = policies.join("paths.toml");
    println!("cargo::rerun-if-changed={}", paths.display());
    let paths: toml::Table = toml::from_str(&fs::read_to_string(paths)?)?;
    fs::write(out.join("paths.packed"), pack(&Value::Table(paths))?)?;
    Ok(())
}

/// The digest of a source and of the tables it refers to, as `Catalog::digest` says.
fn identity(root: &Path, source: &str, head: &toml::Table) -> Result<[u8; 32], Box<dyn Error>> {
    let mut digests = Digest::of_bytes(source.as_bytes()).as_bytes().to_vec();
    let values = head.get("values").and_then(Value::as_table);
    for key in ["operations", "outfiles", "read_parameters"] {
        if let Some(table) = values.and_then(|values| values.get(key)).and_then(Value::as_str) {
            let text = fs::read(root.join(format!("{table}.txt")))?;
            digests.extend_from_slice(Digest::of_bytes(&text).as_bytes());
        }
    }
    Ok(match <[u8; 32]>::try_from(digests.as_slice()) {
        Ok(own) => own,
        Err(_) => *Digest::of_bytes(&digests).as_bytes(),
    })
}

/// A tag, then what belongs to it.
fn pack(value: &Value) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    match value {
        Value::Boolean(false) => bytes.push(0),
        Value::Boolean(true) => bytes.push(1),
        Value::Integer(integer) => {
            bytes.push(2);
            number(&mut bytes, u64::try_from(*integer)?);
        }
        Value::String(string) => {
            bytes.push(3);
            text(&mut bytes, string)?;
        }
        Value::Array(array) => {
            bytes.push(4);
            number(&mut bytes, u64::try_from(array.len())?);
            for value in array {
                bytes.extend(pack(value)?);
            }
        }
        Value::Table(table) => {
            bytes.push(5);
            number(&mut bytes, u64::try_from(table.len())?);
            for (key, value) in table {
                text(&mut bytes, key)?;
                bytes.extend(pack(value)?);
            }
        }
        Value::Float(_) | Value::Datetime(_) => return Err("a kind of value without a tag".into()),
    }
    Ok(bytes)
}

fn text(bytes: &mut Vec<u8>, text: &str) -> Result<(), Box<dyn Error>> {
    number(bytes, u64::try_from(text.len())?);
    bytes.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Seven bits at a time, the least first.
fn number(bytes: &mut Vec<u8>, mut number: u64) {
    while 0x7f < number {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
