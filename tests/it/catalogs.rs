//! Catalogs that an installation adds: they raise, and lower only what somebody trusted.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use iddio_tests::{World, real};

use crate::kit::{KUBECTL, of, only};

/// Reads run; all else is refused.
const READS: &str = "\
agents:
  local:root:
    rules:
      - {protocol: command, tiers: {0: allow, 1: deny, 2: deny, 3: deny, 4: deny}}
      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 1: deny, 2: deny, 3: deny, 4: deny}}
";

const KUBECTL_CATALOG: &str = "\
name = \"kubectl-here\"
summary = \"What kubectl may not even look at here.\"
programs = [\"kubectl\"]
protocol = \"kubernetes\"
[syntax]
style = \"pflag\"
bare = { tier = 0, why = \"shows help\" }
[command.get]
tier = 3
why = \"reads a cluster with customers' data in its object names\"
args = [{ name = \"TYPE\", rest = true }]
[[example]]
run = \"kubectl get pods\"
tier = 3
";

const LAMP_CATALOG: &str = "\
name = \"lampctl\"
summary = \"A lamp that can be looked at and turned.\"
programs = [\"lampctl\"]
protocol = \"command\"
[syntax]
style = \"pflag\"
bare = { tier = 0, why = \"shows help\" }
[command.show]
tier = 0
why = \"shows the light\"
[command.set]
tier = 2
why = \"changes the light\"
args = [{ name = \"STATE\" }]
[[example]]
run = \"lampctl show\"
tier = 0
";

/// Adds a catalog to a world's home and returns its path.
fn add(world: &World, name: &str, source: &str) -> PathBuf {
    let directory = world.home().join("catalogs");
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    fs::write(&path, source).unwrap();
    path
}

/// A world in which `lampctl` is a trusted program.
fn lamp() -> World {
    let world = World::with_policy(READS);
    let program = world.file("lampctl", "#!/bin/sh\necho the light is on\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    world.iddio(["tool", "trust", program.to_str().unwrap()]).ok();
    world
}

#[test]
fn an_added_catalog_raises_what_it_lists_and_nothing_else() {
    let Some(_) = real("kubectl", KUBECTL) else { return };
    let world = World::with_policy(READS);
    add(&world, "kubectl.toml", KUBECTL_CATALOG);
    world.iddio(["exec", "--", "kubectl", "get", "pods"]).exits(77).says("T3").says("customers");
    world.iddio(["exec", "--", "kubectl", "version", "--client"]).ok().prints("Client Version");
    // It never lowers: its T3 for `get` is no word about what the built-in catalog says is worse.
    let json =
        world.json(["classify", "--json", "--", "kubectl", "get", "pods", "--server=https://x"]);
    assert_eq!(json["tier"], 4);
    world.iddio(["catalog", "list"]).ok().prints("added, raises");
    world.verify();
}

#[test]
fn an_added_catalog_of_an_unknown_tool_counts_once_it_is_trusted() {
    let world = lamp();
    let show = ["exec", "--", "lampctl", "show"];
    world.iddio(show).exits(77).says("T2");
    let catalog = add(&world, "lampctl.toml", LAMP_CATALOG);
    world.iddio(show).exits(77).says("T2");
    world.iddio(["catalog", "list"]).ok().prints("added, not trusted");
    world.iddio(["catalog", "trust", catalog.to_str().unwrap()]).ok();
    world.iddio(show).ok().prints("the light is on");
    world.iddio(["exec", "--", "lampctl", "set", "off"]).exits(77).says("T2");
    world.iddio(["catalog", "list"]).ok().prints("added, trusted");
    let lint = world.iddio(["policy", "lint"]).ok();
    assert!(lint.stdout.contains("lowers `lampctl show` from 3 to 0"), "{lint:#?}");
    // Another content is not trusted.
    add(&world, "lampctl.toml", &format!("{LAMP_CATALOG}# one more line\n"));
    world.iddio(show).exits(77).says("T2");
    let records = world.records();
    let trusted = only(&records, "catalog.trusted");
    assert!(trusted["path"].as_str().is_some_and(|path| path.ends_with("lampctl.toml")));
    // The catalogs are in what was decided on: the same words are another action.
    let digests: Vec<_> =
        of(&records, "decided").iter().map(|record| record["action_digest"].clone()).collect();
    assert_ne!(digests.first(), digests.get(1));
    world.verify();
}

#[test]
fn a_catalog_under_the_name_of_a_shell_or_of_iddio_lowers_nothing() {
    let world = World::with_policy(READS);
    let table =
        [("bash", ["bash", "show"]), ("iddio", ["iddio", "show"]), ("sudo", ["sudo", "show"])];
    for (program, line) in table {
        let before = world.json(["classify", "--json", "--"].iter().chain(&line))["tier"].as_u64();
        let source = LAMP_CATALOG.replace("lampctl", program);
        let catalog = add(&world, "x.toml", &source);
        world.iddio(["catalog", "trust", catalog.to_str().unwrap()]).ok();
        let after = world.json(["classify", "--json", "--"].iter().chain(&line))["tier"].as_u64();
        assert!(before <= after && after.is_some(), "{program}: {before:?} {after:?}");
    }
}

#[test]
fn one_broken_catalog_refuses_everything_with_its_place() {
    let world = lamp();
    add(&world, "lampctl.toml", LAMP_CATALOG);
    add(&world, "other.toml", "name = \"other\"\nsumary = \"a typing error\"\n");
    let said = world.iddio(["exec", "--", "lampctl", "show"]).exits(77).says("T4");
    assert!(said.stderr.contains("other.toml:2:1: unknown field `sumary`"), "{said:#?}");
    let lint = world.iddio([
        "catalog",
        "lint",
        world.home().join("catalogs/other.toml").to_str().unwrap(),
    ]);
    assert_eq!(lint.code, 1);
    assert!(lint.stdout.contains("other.toml:2:1: error:"), "{lint:#?}");
    assert_eq!(of(&world.records(), "decided").len(), 1, "the refusal is on record");
    fs::remove_file(world.home().join("catalogs/other.toml")).unwrap();
    world.iddio(["exec", "--", "lampctl", "show"]).exits(77).says("T2");
    world.verify();
}

#[test]
fn two_catalogs_for_one_program_are_refused() {
    let world = World::with_policy(READS);
    add(&world, "a.toml", LAMP_CATALOG);
    add(&world, "b.toml", LAMP_CATALOG);
    world.iddio(["catalog", "list"]).exits(69).says("`lampctl` has another catalog");
}
