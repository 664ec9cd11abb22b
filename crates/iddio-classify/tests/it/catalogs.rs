//! Catalogs hold what they promise.

use iddio_classify::catalog::Catalog;

use crate::kit::{judged, written};

#[test]
fn every_built_in_catalog_can_be_read() {
    let broken: Vec<_> = Catalog::built_in()
        .filter_map(|catalog| catalog.err().map(|(name, error)| format!("{name}.toml:{error}")))
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
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (name, source) in Catalog::sources() {
        for sample in Catalog::samples(source).unwrap() {
            seen += 1;
            let judged = judged(&sample.argv);
            let operation = &judged.operation;
            let place = format!("{name}.toml:{}: `{}`", sample.line, sample.argv.join(" "));
            let tier = operation.native_tier();
            if tier != sample.tier {
                let why: Vec<_> = operation
                    .reasons
                    .iter()
                    .map(|reason| {
                        format!("    T{} {} {}", reason.tier.number(), reason.rule, reason.text)
                    })
                    .collect();
                wrong.push(format!("{place}: {tier}, not {}\n{}", sample.tier, why.join("\n")));
            }
            if let Some(class) = &sample.class
                && operation.native_class().name() != class
            {
                wrong.push(format!("{place}: class {}", operation.native_class().name()));
            }
            if let Some(rule) = &sample.rule
                && !operation.reasons.iter().any(|reason| reason.rule == *rule)
            {
                wrong.push(format!("{place}: no rule `{rule}`"));
            }
            let scopes = written(&operation.scopes);
            for (key, names) in &sample.scopes {
                if !scopes.iter().any(|(other, found)| other == key && found == names) {
                    wrong.push(format!("{place}: scopes {scopes:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 40);
}
