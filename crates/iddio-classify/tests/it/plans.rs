//! Run plans: what a runner is told.

use iddio_classify::command::{
    Ambient, Binding, EnvironmentValue, FactSource, InputKind, Need, Part, Pin, Program, StdinRole,
    Terminal, judge,
};
use iddio_core::{
    operation::{Names, Reason, ScopeKey, Scopes},
    tier::{Class, Tier},
};

use crate::kit::{line, raw};

fn knowing(scopes: &[(ScopeKey, &str)]) -> Ambient {
    let mut known = Scopes::default();
    for (key, name) in scopes {
        known.add_name(*key, *name);
    }
    Ambient { scopes: known, ..Ambient::default() }
}

#[test]
fn a_bare_apply_runs_as_a_plan_and_then_that_plan() {
    let words = [
        "terraform",
        "-chdir=x",
        "apply",
        "-auto-approve",
        "-var",
        "a=b",
        "-lock=true",
        "-backup=b",
    ];
    let judged = judge(&raw(&words), &Ambient::default());
    let staged = judged.plan.staged.unwrap();
    assert!(judged.plan.needs.contains(&Need::BareApply));
    assert_eq!(judged.plan.directory, Some("x".into()));
    assert_eq!(
        staged.preview,
        [
            Part::Original(0),
            Part::Original(1),
            Part::Text("plan".to_owned()),
            Part::FileBehind("-out=".to_owned()),
            Part::Original(4),
            Part::Original(5),
            Part::Original(6),
        ]
    );
    assert_eq!(
        staged.run,
        [
            Part::Original(0),
            Part::Original(1),
            Part::Text("apply".to_owned()),
            Part::Original(6),
            Part::Original(7),
            Part::File,
        ]
    );
    let destroy = line("terraform destroy -target=a.b").plan.staged.unwrap();
    assert!(destroy.preview.contains(&Part::Text("-destroy".to_owned())));
}

#[test]
fn a_saved_plan_is_an_input_that_decides() {
    let judged = line("terraform -chdir=x apply -input=false p.tfplan");
    let [input] = judged.plan.inputs.as_slice() else { panic!("one input") };
    assert_eq!((input.word, input.start, input.end), (4, 0, 8));
    assert_eq!((input.kind, input.binding), (InputKind::SavedPlan, Binding::File));
    assert!(judged.plan.needs.contains(&Need::SavedPlan(0)));
    assert_eq!(judged.plan.staged, None);
}

#[test]
fn inputs_are_named_by_word_and_place() {
    let table = [
        ("terraform plan -var-file=a.tfvars", (2, 10, InputKind::Variables, Binding::File)),
        ("terraform plan -var-file a.tfvars", (3, 0, InputKind::Variables, Binding::File)),
        ("kubectl apply -f a.yaml", (3, 0, InputKind::Manifest, Binding::FileOrDirectory)),
        ("kubectl apply -f -", (3, 0, InputKind::Manifest, Binding::Stdin)),
        ("kubectl apply -f https://x.example/a", (3, 0, InputKind::Manifest, Binding::Unbound)),
        ("kubectl apply -f /dev/fd/3", (3, 0, InputKind::Manifest, Binding::Unbound)),
        ("kubectl create cm x --from-file=k=a", (4, 14, InputKind::Data, Binding::FileOrDirectory)),
        ("helm template ./c", (2, 0, InputKind::Chart, Binding::FileOrDirectory)),
        ("helm upgrade w bitnami/x", (3, 0, InputKind::Chart, Binding::Unbound)),
        ("helm upgrade w ./c -f v.yaml", (5, 0, InputKind::Values, Binding::File)),
        ("helm upgrade w ./c --set-file k=a", (5, 2, InputKind::Data, Binding::File)),
        ("aws lambda invoke --payload file://p o", (4, 7, InputKind::Data, Binding::File)),
        ("aws kms encrypt --plaintext=fileb://p", (3, 20, InputKind::Data, Binding::File)),
        ("aws s3 cp a s3://b/a", (3, 0, InputKind::Data, Binding::FileOrDirectory)),
    ];
    for (text, expected) in table {
        let judged = line(text);
        let found = judged
            .plan
            .inputs
            .iter()
            .any(|input| (input.word, input.start, input.kind, input.binding) == expected);
        assert!(found, "{text}: {:?}", judged.plan.inputs);
    }
}

#[test]
fn what_cannot_be_bound_is_sensitive() {
    for text in [
        "kubectl apply -f https://x.example/a",
        "helm upgrade w bitnami/x",
        "helm upgrade w ./c -f https://x.example/v",
        "aws sns publish --message http://x.example",
        "terraform show /dev/fd/3",
    ] {
        assert!(line(text).operation.tier >= Tier::Sensitive, "{text}");
    }
}

#[test]
fn standard_input_that_decides_is_an_input() {
    assert_eq!(line("kubectl apply -f -").plan.stdin, StdinRole::Input);
    assert_eq!(line("terraform console").plan.stdin, StdinRole::Program);
    assert_eq!(line("python3").plan.stdin, StdinRole::Program);
    assert_eq!(line("cat").plan.stdin, StdinRole::Data);
    assert_eq!(line("aws s3 cp - s3://b/a").plan.stdin, StdinRole::Data);
}

#[test]
fn a_scope_nobody_named_is_asked_for_and_then_pinned() {
    let judged = line("terraform plan");
    let [fact] = judged.plan.facts.as_slice() else { panic!("one fact") };
    assert_eq!(fact.scope, ScopeKey::Workspaces);
    assert_eq!(fact.sources.len(), 3);
    assert_eq!(fact.sources.first(), Some(&FactSource::Variable("TF_WORKSPACE".to_owned())));
    assert_eq!(judged.operation.scopes.names(ScopeKey::Workspaces), Some(&Names::Unknown));

    let ambient = knowing(&[(ScopeKey::Workspaces, "staging")]);
    let judged = judge(&raw(&["terraform", "plan"]), &ambient);
    assert!(judged.plan.facts.is_empty());
    assert_eq!(judged.operation.description.workspace.as_deref(), Some("staging"));
    let [Pin::Variable { name, value, .. }] = judged.plan.pins.as_slice() else {
        panic!("one pin")
    };
    assert_eq!((name.as_str(), value.as_str()), ("TF_WORKSPACE", "staging"));

    // Pinning would make these fail.
    let judged = judge(&raw(&["terraform", "workspace", "select", "prod"]), &ambient);
    assert!(judged.plan.pins.is_empty());
    assert_eq!(judged.operation.description.workspace.as_deref(), Some("prod"));
}

#[test]
fn kubectl_is_pinned_by_words_behind_its_name() {
    let ambient = knowing(&[(ScopeKey::Clusters, "prod"), (ScopeKey::Namespaces, "web")]);
    let argv = raw(&["kubectl", "get", "pods"]);
    let pinned = judge(&argv, &ambient).plan.pinned_arguments(&argv);
    assert_eq!(pinned, raw(&["kubectl", "--context", "prod", "--namespace", "web", "get", "pods"]));
    let argv = raw(&["kubectl", "get", "pods", "-n", "db"]);
    let pinned = judge(&argv, &ambient).plan.pinned_arguments(&argv);
    assert_eq!(pinned, raw(&["kubectl", "--context", "prod", "get", "pods", "-n", "db"]));
}

#[test]
fn the_environment_is_an_allow_list_with_the_dangerous_part_fixed() {
    let aws = line("aws s3 ls").plan.environment;
    let set = |name: &str| aws.set.iter().find(|(other, _)| other == name).map(|(_, value)| value);
    assert_eq!(set("HOME"), Some(&EnvironmentValue::PrivateHome));
    assert_eq!(set("PATH"), Some(&EnvironmentValue::ToolPath));
    assert_eq!(
        set("AWS_CONFIG_FILE"),
        Some(&EnvironmentValue::BelowHome(".aws/config".to_owned()))
    );
    let never = [
        "LD_PRELOAD",
        "PATH",
        "BASH_ENV",
        "TF_CLI_ARGS",
        "TF_CLI_ARGS_apply",
        "TF_REATTACH_PROVIDERS",
        "TF_LOG",
        "TF_DATA_DIR",
        "TF_PLUGIN_CACHE_DIR",
        "AWS_ENDPOINT_URL",
        "AWS_CA_BUNDLE",
        "AWS_DATA_PATH",
        "HTTPS_PROXY",
        "https_proxy",
        "KUBECTL_EXTERNAL_DIFF",
        "KUBE_EDITOR",
        "EDITOR",
        "PYTHONPATH",
        "GIT_SSH_COMMAND",
        "HELM_PLUGINS",
        "HELM_KUBEAPISERVER",
        "IDDIO_HOME",
        "PAGER",
        "AWS_PAGER",
        "GODEBUG",
        "TF_CLI_CONFIG_FILE",
    ];
    for tool in ["terraform plan", "helm list", "aws s3 ls", "kubectl get pods", "unknown"] {
        let keep = line(tool).plan.environment.keep.clone();
        for name in never {
            let kept = keep.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => pattern == name,
            });
            assert!(!kept, "{tool} keeps {name}");
        }
    }
}

#[test]
fn every_tool_says_what_its_low_tiers_depend_on() {
    for text in ["terraform plan", "helm list", "aws s3 ls", "kubectl get pods"] {
        let plan = line(text).plan;
        let installed = plan.needs.iter().any(|need| matches!(need, Need::Installed { .. }));
        assert!(installed || !plan.neutralise.is_empty(), "{text}");
        assert!(plan.neutralise.iter().all(|item| item.otherwise >= Tier::Sensitive));
        assert!(plan.timeout_seconds > 0);
        assert!(matches!(plan.program, Program::Tool(_)));
    }
}

#[test]
fn what_the_runner_finds_only_raises() {
    let reason = |tier| Reason {
        tier,
        rule: "exec:neutralise".to_owned(),
        text: "a plugin directory".to_owned(),
        word: None,
        at: None,
    };
    let mut judged = line("terraform plan");
    judged.raise(reason(Tier::Sensitive), Class::Unknown);
    assert_eq!(judged.operation.tier, Tier::Sensitive);
    assert_eq!(judged.decisive().unwrap().rule, "exec:neutralise");
    judged.raise(reason(Tier::Observe), Class::Unknown);
    assert_eq!(judged.operation.tier, Tier::Sensitive);
    judged.raise(reason(Tier::BreakGlass), Class::Destroy);
    judged.raise(reason(Tier::BreakGlass), Class::Session);
    assert_eq!(judged.operation.class, Class::Destroy);
}

#[test]
fn what_talks_to_a_terminal_says_so() {
    for text in [
        "terraform console",
        "kubectl edit deploy web",
        "kubectl exec -it x -- sh",
        "aws configure",
    ] {
        assert_eq!(line(text).plan.terminal, Terminal::Interactive, "{text}");
    }
    assert_eq!(line("terraform plan").plan.terminal, Terminal::Prints);
}

#[test]
fn init_may_have_to_fetch() {
    assert!(line("terraform init").plan.needs.contains(&Need::Fetch(Tier::Operate)));
    assert!(line("terraform plan").plan.needs.contains(&Need::Configuration));
}
