//! Catalogs hold what they promise.

use iddio_classify::{
    catalog::{Catalog, Sample},
    command::{Ambient, Judged, judge_by},
};

use crate::kit::{judged, raw, written};

#[test]
fn every_built_in_catalog_can_be_read() {
    let broken: Vec<_> = Catalog::built_in()
        .filter_map(|catalog| catalog.err().map(|(name, error)| format!("{name}.toml:{error}")))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// What is built in is packed without being checked, so that nothing of it is checked at each start.
#[test]
fn every_built_in_catalog_is_sound() {
    let broken: Vec<_> = Catalog::sources()
        .filter_map(|(name, source)| Some((name, Catalog::parse(source).err()?)))
        .map(|(name, error)| format!("{name}.toml:{error}"))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_catalog_is_found_by_each_of_its_programs_and_no_other() {
    for catalog in Catalog::built_in() {
        let catalog = catalog.unwrap();
        for program in catalog.programs() {
            assert_eq!(Catalog::for_program(program).unwrap().name(), catalog.name());
        }
    }
    assert!(Catalog::for_program("terraform2").is_none());
    assert!(Catalog::for_program("").is_none());
}

#[test]
fn every_example_of_every_catalog_holds() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for (name, source) in Catalog::sources() {
        let samples = Catalog::samples(source).unwrap();
        seen += samples.len();
        wrong.extend(samples.iter().flat_map(|sample| faults(name, sample, &judged(&sample.argv))));
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen > 150, "only {seen}");
}

#[test]
fn the_example_of_the_documentation_holds() {
    let text = include_str!("../../../../docs/catalog.md");
    let (_, rest) = text.split_once("```toml\n").unwrap();
    let (source, _) = rest.split_once("```").unwrap();
    let catalog = Catalog::parse(source).unwrap();
    for sample in Catalog::samples(source).unwrap() {
        let judged = judge_by(&catalog, &raw(&sample.argv), &Ambient::default());
        let wrong = faults("docs", &sample, &judged);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn a_mistake_in_a_catalog_is_named_with_its_place() {
    let sound = include_str!("../../../../docs/catalog.md");
    let (_, rest) = sound.split_once("```toml\n").unwrap();
    let (sound, _) = rest.split_once("```").unwrap();
    let table = [
        ("protocol = \"command\"", "protocol = \"shell\"", "unknown protocol `shell`"),
        ("timeout_seconds = 60", "timeout = 60", "unknown field `timeout`"),
        ("tier = 2\nwhy = \"changes", "tier = 5\nwhy = \"changes", "`5` is no tier"),
        ("tier = 2\nwhy = \"changes", "tier = 4\nwhy = \"changes", "tier 4 needs a `class`"),
        (
            "tier = 2\nwhy = \"changes",
            "tier = 2\nclass = \"session\"\nwhy = \"changes",
            "only tier 4 has a `class`",
        ),
        ("why = \"changes the light\"", "why = \"\"", "needs a `why`"),
        ("flags = [\"timing\"]", "flags = [\"other\"]", "flag set that is not there"),
        ("aliases = [\"turn\"]", "aliases = [\"show\"]", "a name that is taken"),
        ("\"--all -a\"", "\"all\"", "a name starts with `-`"),
        ("\"--all -a\"", "\"--wait\"", "the flag `--wait` twice"),
        ("unknown_command = { tier = 3", "unknown_command = { tier = 1", "tier 2 or more"),
    ];
    for (from, to, message) in table {
        assert!(sound.contains(from), "{from}");
        let error = Catalog::parse(&sound.replacen(from, to, 1)).unwrap_err();
        assert!(error.message.contains(message), "{to}: {error}");
        assert!(error.line >= 1 && error.column >= 1);
    }
    let error =
        Catalog::parse(&sound.replacen("timeout_seconds = 60", "timeout = 60", 1)).unwrap_err();
    assert_eq!((error.line, error.column), (5, 1));
}

#[test]
fn lists_are_sorted_so_that_they_can_be_searched() {
    let list = include_str!("../../../../policies/catalog/aws-read-parameters.txt");
    let names: Vec<_> = list.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(names.windows(2).all(|pair| pair.first() < pair.last()));
}

/// Says what does not hold of a sample.
fn faults(name: &str, sample: &Sample, judged: &Judged) -> Vec<String> {
    let operations = judged.operations();
    let operation = &judged.operation;
    let place = format!("{name}.toml:{}: `{}`", sample.line, sample.argv.join(" "));
    let mut wrong = Vec::new();
    let tier = judged.tier();
    if tier != sample.tier {
        let why: Vec<_> = operations
            .iter()
            .flat_map(|operation| &operation.reasons)
            .map(|reason| format!("    T{} {} {}", reason.tier.number(), reason.rule, reason.text))
            .collect();
        wrong.push(format!("{place}: {tier}, not {}\n{}", sample.tier, why.join("\n")));
    }
    if let Some(class) = &sample.class
        && operations.worst().native_class().name() != class
    {
        wrong.push(format!("{place}: class {}", operations.worst().native_class().name()));
    }
    if let Some(rule) = &sample.rule
        && !operations.iter().flat_map(|one| &one.reasons).any(|reason| reason.rule == *rule)
    {
        wrong.push(format!("{place}: no rule `{rule}`"));
    }
    let scopes = written(&operation.scopes);
    for (key, names) in &sample.scopes {
        if !scopes.iter().any(|(other, found)| other == key && found == names) {
            wrong.push(format!("{place}: scopes {scopes:?}"));
        }
    }
    wrong
}
