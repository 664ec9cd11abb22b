//! Plans that are kept as files, so that reading them is tested without terraform.
//!
//! They were made by terraform 1.11.4 with `terraform_data` alone.

use iddio_classify::terraform::{judge, plan};

use crate::kit::{lines, nobody, vector};

#[test]
fn kept_plans_are_judged_as_before() {
    let table: [(&str, u8, &str, &[&str]); 4] = [
        (
            "create.tfplan",
            3,
            "3 to add, 0 to change, 0 to destroy",
            &[
                "3 ! terraform_data.b local-exec",
                "2 + module.m.terraform_data.z host.file",
                "2 + terraform_data.a host.file",
                "2 + terraform_data.b host.file",
                "2 + output.o output",
            ],
        ),
        (
            "delete.tfplan",
            3,
            "1 to add, 1 to change, 2 to destroy",
            &[
                "3 - module.m.terraform_data.z host.file",
                "3 -/+ terraform_data.b host.file",
                "2 ~ terraform_data.a host.file",
                "2 -/+ terraform_data.b host.file",
                "2 - output.o output",
            ],
        ),
        (
            "destroy.tfplan",
            4,
            "0 to add, 0 to change, 3 to destroy",
            &[
                "4 -  destroy-all",
                "3 - module.m.terraform_data.z host.file",
                "3 - terraform_data.a host.file",
                "3 - terraform_data.b host.file",
                "2 - output.o output",
            ],
        ),
        ("nothing.tfplan", 2, "0 to add, 0 to change, 0 to destroy", &[]),
    ];
    for (name, tier, summary, expected) in table {
        let facts = plan::read(&vector(name)).unwrap();
        let judgement = judge::plan(&facts, &nobody());
        assert_eq!(judgement.tier.number(), tier, "{name}");
        assert_eq!(judgement.summary, summary, "{name}");
        let mut lines = lines(&judgement);
        lines.sort_by(|a, b| b[..1].cmp(&a[..1]));
        let mut expected: Vec<_> = expected.to_vec();
        lines.sort_unstable();
        expected.sort_unstable();
        assert_eq!(lines, expected, "{name}");
    }
}
