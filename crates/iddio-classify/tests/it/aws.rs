//! Every operation of the AWS CLI: the table, the people who checked it, and the CLI itself.

use std::{collections::BTreeMap, path::Path, process::Command};

use iddio_classify::catalog::Catalog;

use crate::kit::{line, tier};

#[test]
fn hand_checked_operations_agree() {
    let checked = read("tests/vectors/aws-reviewed-200.tsv");
    let rows: Vec<_> = checked
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .collect();
    assert!(200 <= rows.len(), "only {} operations are checked by hand", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let [operation, by_hand, why] = row.as_slice() else { panic!("{row:?}: three fields") };
        let ours = tier(&format!("aws {operation}"));
        if ours.to_string() != *by_hand {
            wrong.push(format!("{operation}: {ours}, by hand {by_hand} ({why})"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_operation_is_judged_as_the_table_says() {
    let table = table();
    assert!(18_000 < table.len(), "{} operations", table.len());
    for (path, (tier, class)) in &table {
        let judged = line(&format!("aws {path}"));
        let rule = format!("aws:{path}");
        let reasons = &judged.operation.reasons;
        // A group shows its subcommands, and a first word of two is no operation by itself.
        let lone = !path.contains(' ');
        assert!(lone || reasons.iter().any(|reason| reason.rule == rule), "{path}: {reasons:?}");
        let found = judged.operation.tier.number();
        assert_eq!(found, (*tier).max(found.min(*tier)), "{path}: {reasons:?}");
        if *tier == 4 && !lone {
            assert_eq!(judged.operation.class.name(), class, "{path}");
        }
    }
}

#[test]
fn the_numbers_of_the_documentation_are_those_of_the_table() {
    let text = include_str!("../../../../docs/catalog-aws.md");
    let table = table();
    for wanted in [0, 2, 3, 4] {
        let count = table.values().filter(|(tier, _)| *tier == wanted).count();
        let row = format!("| tier {wanted} | {},{:03} |", count / 1000, count % 1000);
        let row = row.replace("| 0,", "| ");
        assert!(text.contains(&row), "docs/catalog-aws.md does not say: {row}");
    }
}

#[test]
fn no_operation_is_an_observation_by_its_name_alone() {
    let names = ["get", "describe", "list", "batch-get", "head", "search"];
    for name in names {
        for service in ["ec2", "iam", "no-such-service"] {
            let operation = format!("aws {service} {name}-what-nobody-published");
            assert!(3 <= tier(&operation), "{operation}");
        }
    }
}

#[test]
fn parameters_raise_what_they_change() {
    let cases = [
        ("aws ec2 describe-instances --instance-ids i-1 i-2 --max-items 5 --query Reservations", 0),
        ("aws ec2 describe-instances --instance i-1", 0),
        ("aws ec2 describe-instances --no-such-parameter x", 2),
        ("aws ec2 describe-instances --cli-input-json file://x", 3),
        ("aws ec2 describe-instances --debug", 3),
        ("aws ec2 describe-instances --endpoint-url http://x.example", 4),
        ("aws ec2 run-instances --image-id ami-1 --count 1", 2),
        ("aws ec2 run-instances --image-id ami-1 --user-data file://x", 3),
        ("aws ec2 run-instances --image-id ami-1 --user file://x", 3),
        ("aws ec2 run-instances --iam-instance-profile Name=admin", 3),
        ("aws rds modify-db-instance --db-instance-identifier x --allocated-storage 9", 2),
        ("aws rds modify-db-instance --db-instance-identifier x --publicly-accessible", 3),
        ("aws s3api put-object --bucket b --key k --body f", 2),
        ("aws s3api put-object --bucket b --key k --acl public-read", 3),
        ("aws ecs run-task --cluster c --task-definition t", 2),
        ("aws ecs run-task --cluster c --task-definition t --overrides {}", 3),
        ("aws ssm get-parameter --name x --with-decryption", 3),
        ("aws eks update-cluster-config --name x --logging clusterLogging=[{enabled=false}]", 4),
    ];
    for (text, expected) in cases {
        assert_eq!(tier(text), expected, "{text}");
    }
}

#[test]
fn a_file_that_an_answer_goes_to_is_judged() {
    let cases = [
        ("aws lambda invoke --function-name f out.json", 2),
        ("aws lambda invoke --function-name /x out.json", 2),
        ("aws lambda invoke --function-name f /etc/cron.d/x", 3),
        ("aws lambda invoke /etc/cron.d/x --function-name f", 3),
        ("aws s3api get-object --bucket b --key /k out.txt", 2),
        ("aws s3api get-object --bucket b --key k ../.bashrc", 3),
        ("aws polly synthesize-speech --output-format mp3 --text x --voice-id y ../.profile", 3),
        ("aws iot create-certificate-from-csr --certificate-signing-request x", 3),
    ];
    for (text, at_least) in cases {
        let found = tier(text);
        let exact = at_least == 2;
        assert!(if exact { found == 2 } else { at_least <= found }, "{text}: {found}");
    }
}

/// The provisioned CLI says what it can run; the table has every one of them.
#[test]
fn every_command_of_the_cli_is_in_the_table() {
    let python = cli().with_file_name("python");
    let script = root("xtask/src/catalogs/facts.py");
    let told = Command::new(python)
        .args(["-B".as_ref(), script.as_os_str(), "paths".as_ref()])
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env_remove("AWS_DATA_PATH")
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told = String::from_utf8(told.stdout).unwrap();
    let table = table();
    let absent: Vec<_> = told.lines().filter(|path| !table.contains_key(*path)).collect();
    assert!(18_000 < told.lines().count(), "the CLI told {} commands", told.lines().count());
    assert!(absent.is_empty(), "{} commands have no tier: {absent:?}", absent.len());
}

#[test]
fn the_catalog_names_the_tables_it_was_made_with() {
    assert!(Catalog::for_program("aws").is_some());
}

/// The generated table: tier and class by command.
fn table() -> BTreeMap<String, (u8, String)> {
    read("policies/catalog/aws-operations.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.split('\t');
            let (command, tier) = (fields.next().unwrap(), fields.next().unwrap());
            let (tier, class) = tier.split_once(':').unwrap_or((tier, ""));
            (command.to_owned(), (tier.parse().unwrap(), class.to_owned()))
        })
        .collect()
}

fn cli() -> std::path::PathBuf {
    if let Some(path) = std::env::var_os("IDDIO_TEST_AWS") {
        return path.into();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root("target"), Into::into);
    let path = target.join("tools/aws/bin/aws");
    assert!(path.is_file(), "no AWS CLI; run `cargo xtask provision`");
    path
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root(path)).unwrap()
}

fn root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
