//! Manifests of kubectl (threats K09 K10 K11 K13 K15 K25 E17 E20).

use iddio_classify::{
    command::{Ambient, Judged, ManifestFacts, judge},
    kube::{
        self,
        manifest::{Home, Usage},
    },
};
use iddio_core::{
    operation::{Names, ScopeKey},
    text::RawText,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::kit::{raw, written};

/// Judges `kubectl WORDS -f m.yaml` with this manifest.
fn judged(words: &str, text: &str) -> Judged {
    let line = format!("kubectl {words} -f m.yaml");
    let mut ambient = Ambient::default();
    ambient.scopes.add_name(ScopeKey::Namespaces, "here");
    let usage = match words.split(' ').next() {
        Some("create") => Usage::Create,
        Some("delete") => Usage::Delete,
        _ => Usage::Apply,
    };
    ambient.manifests.push((RawText::from("m.yaml"), ManifestFacts::of(text.as_bytes(), &usage)));
    judge(&raw(&line.split(' ').collect::<Vec<_>>()), &ambient)
}

fn applied(text: &str) -> u8 {
    judged("apply", text).operation.tier.number()
}

fn namespaces(text: &str) -> Vec<String> {
    let scopes = written(&judged("apply", text).operation.scopes);
    scopes.into_iter().find(|(key, _)| key == "namespaces").unwrap().1
}

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web, privileged: 'true'}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: default
      automountServiceAccountToken: false
      containers:
      - name: web
        image: web:1.2.3
        env: [{name: MODE, value: prod}]
        ports: [{containerPort: 80}]
        securityContext:
          runAsNonRoot: true
          runAsUser: 1000
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}
          seccompProfile: {type: RuntimeDefault}
";

/// A pod specification in everything that may hold one.
fn workloads(spec: &Value) -> Vec<Value> {
    let meta = json!({"name": "x"});
    let template = json!({"metadata": {}, "spec": spec});
    let object = |version: &str, kind: &str, spec: Value| json!({"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec});
    let job = json!({"template": template});
    let cron = json!({"schedule": "* * * * *", "jobTemplate": {"spec": job}});
    let pod = object("v1", "Pod", spec.clone());
    let argo =
        json!({"templates": [{"podSpecPatch": spec, "deep": [[{"podTemplate": template}]]}]});
    vec![
        pod.clone(),
        object("apps/v1", "Deployment", json!({"template": template})),
        object("apps/v1", "StatefulSet", json!({"template": template})),
        object("apps/v1", "DaemonSet", json!({"template": template})),
        object("apps/v1", "ReplicaSet", json!({"template": template})),
        object("v1", "ReplicationController", json!({"template": template})),
        object("batch/v1", "Job", job),
        object("batch/v1", "CronJob", cron),
        json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": meta, "template": template}),
        json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta, "data": {"spec": {"template": template}}}),
        object("argoproj.io/v1alpha1", "Workflow", argo),
        json!({"apiVersion": "v1", "kind": "List", "items": [pod]}),
        json!({"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": meta, "spec": spec}]}),
    ]
}

#[test]
fn a_harmless_manifest_is_a_plain_write() {
    assert_eq!(applied(DEPLOYMENT), 2);
    let table = [
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {hostPath: '1', FOO: a, foo: b}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}], selector: {app: a}}\n",
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec: {tls: [{secretName: a}]}\n",
        "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\"}\n{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\"}\n",
        "# nothing yet\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {generateName: a-}\nspec: {template: {spec: {restartPolicy: Never}}}\n---\n",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: &m {name: a}\nspec:\n  template: {metadata: *m, spec: {containers: []}}\n",
    ];
    for text in table {
        assert_eq!(applied(text), 2, "{text}");
    }
}

#[test]
fn a_pod_that_gets_the_host_is_found_in_every_workload() {
    let table = [
        (json!({"hostNetwork": true}), 4),
        (json!({"hostPID": true}), 4),
        (json!({"hostIPC": true}), 4),
        (json!({"HostPID": true}), 4),
        (json!({"hostPID": "yes"}), 4),
        (json!({"nodeName": "n1"}), 4),
        (json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), 4),
        (json!({"containers": [{"securityContext": {"privileged": true}}]}), 4),
        (json!({"initContainers": [{"securityContext": {"privileged": true}}]}), 4),
        (json!({"ephemeralContainers": [{"name": "x"}]}), 4),
        (json!({"containers": [{"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}), 4),
        (json!({"containers": [{"securityContext": {"capabilities": {"add": ["cap_all"]}}}]}), 4),
        (json!({"containers": [{"securityContext": {"procMount": "Unmasked"}}]}), 4),
        (json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}), 4),
        (json!({"containers": [{"securityContext": {"capabilities": {"add": ["MKNOD"]}}}]}), 3),
        (json!({"containers": [{"securityContext": {"runAsUser": 0}}]}), 3),
        (json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}), 3),
        (json!({"serviceAccountName": "admin"}), 3),
        (json!({"automountServiceAccountToken": true}), 3),
        (json!({"imagePullSecrets": [{"name": "r"}]}), 3),
        (json!({"volumes": [{"name": "v", "secret": {"secretName": "db"}}]}), 3),
        (json!({"volumes": [{"projected": {"sources": [{"secret": {"name": "db"}}]}}]}), 3),
        (json!({"containers": [{"envFrom": [{"secretRef": {"name": "db"}}]}]}), 3),
        (
            json!({"containers": [{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "db", "key": "k"}}}]}]}),
            3,
        ),
        (json!({"containers": [{"ports": [{"hostPort": 80}]}]}), 3),
    ];
    for (spec, tier) in table {
        for object in workloads(&spec) {
            assert_eq!(applied(&object.to_string()), tier, "{object}");
        }
    }
}

#[test]
fn control_objects_are_break_glass() {
    let table = [
        ("rbac.authorization.k8s.io/v1", "Role", 4),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", 4),
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", 4),
        ("apiregistration.k8s.io/v1", "APIService", 4),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", 4),
        ("v1", "Namespace", 4),
        ("v1", "PersistentVolume", 4),
        ("v1", "Node", 4),
        ("v1", "Binding", 4),
        ("scheduling.k8s.io/v1", "PriorityClass", 4),
        ("v1", "Secret", 3),
        ("v1", "ServiceAccount", 3),
        ("example.com/v1", "Widget", 3),
        ("v9", "Gadget", 3),
        ("evil.example/v1", "Deployment", 3),
        ("extensions/v1beta1", "Deployment", 3),
        ("v1", "ConfigMap", 2),
    ];
    for (version, kind, tier) in table {
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}});
        assert_eq!(applied(&object.to_string()), tier, "{version} {kind}");
    }
}

#[test]
fn what_two_readers_take_differently_is_break_glass() {
    let deep = format!("kind: Pod\nspec: {}{}\n", "[".repeat(10_000), "]".repeat(10_000));
    let bomb: String = (0..40)
        .map(|n| format!("a{}: &a{} [*a{n}, *a{n}, *a{n}, *a{n}, *a{n}, *a{n}]\n", n + 1, n + 1))
        .collect();
    let table = [
        "{\"kind\":\"ConfigMap\",\"kind\":\"ClusterRoleBinding\"}",
        "kind: ConfigMap\nkind: ClusterRoleBinding\n",
        "kind: ConfigMap\nKind: ClusterRoleBinding\n",
        "\u{feff}apiVersion: v1\nkind: ConfigMap\n",
        "kind: [ConfigMap]\n",
        "just text\n",
        "- kind: ConfigMap\n",
        "apiVersion: v1\nmetadata: {name: a}\n",
        "kind: ConfigMap\ndata: {a: \"unfinished\n",
        "kind: !custom ConfigMap\n",
        "kind: ConfigMap\nmetadata: [a]\n",
        &deep,
        &format!("kind: ConfigMap\na0: &a0 [1]\n{bomb}"),
    ];
    for text in table {
        let start: String = text.chars().take(60).collect();
        assert_eq!(applied(text), 4, "{start}");
    }
    assert!(kube::manifest(b"\xff\xfekind: Pod").is_err());
    assert!(kube::manifest(&vec![b' '; 9 * 1024 * 1024]).is_err());
}

#[test]
fn one_bad_object_among_many_decides() {
    let bad = "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {hostPID: true}\n";
    let text = format!("{DEPLOYMENT}---\n{bad}---\n{DEPLOYMENT}");
    let judged = judged("apply", &text);
    assert_eq!(judged.operation.tier.number(), 4);
    let why = &judged.decisive().unwrap().text;
    assert_eq!(why, "Pod bad: a namespace of the host (spec.hostPID)");
}

#[test]
fn effects_are_one_for_each_object_and_the_worst_first() {
    let text = format!(
        "{DEPLOYMENT}---\nkind: Secret\napiVersion: v1\nmetadata: {{name: s, namespace: shop}}\n"
    );
    let facts = kube::manifest(text.as_bytes()).unwrap();
    let shown: Vec<_> = facts
        .effects(&Usage::Apply)
        .into_iter()
        .map(|effect| format!("{} {} {}", effect.tier.number(), effect.sign, effect.text))
        .collect();
    let expected =
        ["3 +~ Secret shop/s: writes a Secret", "2 +~ Deployment shop/web: creates or changes"];
    assert_eq!(shown, expected);
}

#[test]
fn the_command_decides_what_happens_to_the_objects() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n";
    let bad = "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {hostPID: true}\n";
    let table = [
        ("get", DEPLOYMENT, 0),
        ("get", secret, 3),
        ("get", bad, 0),
        ("diff", DEPLOYMENT, 2),
        ("diff", bad, 4),
        ("create", bad, 4),
        ("replace", bad, 4),
        ("delete", DEPLOYMENT, 3),
        ("delete", "apiVersion: v1\nkind: Namespace\nmetadata: {name: prod}\n", 4),
        ("scale --replicas=3", DEPLOYMENT, 2),
        ("rollout restart", DEPLOYMENT, 2),
        ("label app=b", bad, 2),
        ("expose --port=80", DEPLOYMENT, 2),
        ("apply --prune", DEPLOYMENT, 4),
        ("apply --dry-run=server", bad, 4),
    ];
    for (words, text, tier) in table {
        assert_eq!(judged(words, text).operation.tier.number(), tier, "{words}\n{text}");
    }
}

#[test]
fn scopes_are_those_of_every_object() {
    let here = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: prod}\n";
    let cluster = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";
    let unknown = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a}\n";
    assert_eq!(namespaces(here), ["here"]);
    assert_eq!(namespaces(DEPLOYMENT), ["shop"]);
    assert_eq!(namespaces(&format!("{DEPLOYMENT}---\n{other}")), ["prod", "shop"]);
    assert_eq!(namespaces(&format!("{here}---\n{other}")), ["here", "prod"]);
    assert_eq!(namespaces(&format!("{other}---\n{cluster}")), ["*"]);
    assert_eq!(namespaces(&format!("{other}---\n{unknown}")), ["?"]);
    assert_eq!(namespaces("{"), ["?"]);
    let named = judged("apply -n web", here).operation.scopes;
    assert_eq!(named.names(ScopeKey::Namespaces), Some(&Names::Known(vec!["web".to_owned()])));
}

#[test]
fn unread_and_unbound_manifests_are_sensitive() {
    let table = [
        ("kubectl apply -f m.yaml", 3),
        ("kubectl apply -f -", 3),
        ("kubectl apply -f https://example.com/m.yaml", 3),
        ("kubectl apply -k ./overlay", 3),
        ("kubectl patch deploy web --patch-file p.yaml", 3),
    ];
    for (line, tier) in table {
        assert_eq!(crate::kit::tier(line), tier, "{line}");
    }
}

#[test]
fn a_patch_file_is_read_as_a_patch() {
    let table = [
        ("spec: {replicas: 2}", 2),
        ("spec: {template: {spec: {hostNetwork: true}}}", 4),
        ("spec: {template: {spec: {securityContext: {}}}}", 3),
        (
            "[{\"op\": \"add\", \"path\": \"/spec/template/spec/containers/0/securityContext/capabilities/add/-\", \"value\": \"SYS_ADMIN\"}]",
            4,
        ),
        ("[", 4),
    ];
    for (text, tier) in table {
        let mut ambient = Ambient::default();
        let facts = ManifestFacts::of(text.as_bytes(), &Usage::Patch);
        ambient.manifests.push((RawText::from("p.yaml"), facts));
        let words = ["kubectl", "patch", "deploy", "web", "--patch-file", "p.yaml"];
        let judged = judge(&raw(&words), &ambient);
        assert_eq!(judged.operation.tier.number(), tier, "{text}");
    }
}

#[test]
fn a_pod_security_label_is_break_glass_on_whatever_is_labelled() {
    let table = [
        ("kubectl label ns prod pod-security.kubernetes.io/enforce=privileged", 4),
        ("kubectl label pod web pod-security.kubernetes.io/enforce-", 4),
        (
            "kubectl annotate pod web container.apparmor.security.beta.kubernetes.io/web=unconfined",
            3,
        ),
        ("kubectl label pod web app=b", 2),
        ("kubectl annotate deploy web note=hi", 2),
    ];
    for (line, tier) in table {
        assert_eq!(crate::kit::tier(line), tier, "{line}");
    }
}

#[test]
fn one_object_can_be_judged_alone() {
    let value = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"hostIPC": true}});
    let facts = kube::object(&value).unwrap();
    assert_eq!(facts.home(), Home::Default);
    assert_eq!(facts.judged(&Usage::Create).verdict.tier.number(), 4);
    assert_eq!(facts.judged(&Usage::Read).verdict.tier.number(), 0);
}

/// Text that is the same in JSON and plain YAML.
fn as_yaml(value: &Value, indent: usize) -> String {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(members) if !members.is_empty() => {
            let line = |(key, value): (&String, &Value)| match value {
                Value::Object(inner) if !inner.is_empty() => {
                    format!("{pad}{key}:\n{}", as_yaml(value, indent + 2))
                }
                _ => format!("{pad}{key}: {value}\n"),
            };
            members.iter().map(line).collect()
        }
        value => format!("{pad}{value}\n"),
    }
}

proptest! {
    #[test]
    fn a_privileged_field_hidden_anywhere_in_any_workload_is_found(
        names in proptest::collection::vec("[a-z]{1,8}", 0..12),
        lists in proptest::collection::vec(any::<bool>(), 12),
        kind in 0usize..13,
    ) {
        let mut spec = json!({"privileged": true});
        for (name, list) in names.iter().zip(&lists) {
            spec = match list {
                true => json!({name: ["x", spec]}),
                false => json!({name: spec, "b_": 1}),
            };
        }
        let object = workloads(&spec).swap_remove(kind);
        prop_assert_eq!(applied(&object.to_string()), 4);
    }

    #[test]
    fn both_spellings_of_a_manifest_agree(
        host in any::<bool>(), secret in any::<bool>(), kind in 0usize..13,
    ) {
        let mut spec = json!({"containers": [{"name": "a", "image": "b:1"}], "hostPID": host});
        if secret {
            spec["imagePullSecrets"] = json!([{"name": "r"}]);
        }
        let object = workloads(&spec).swap_remove(kind);
        let (json, yaml) = (object.to_string(), as_yaml(&object, 0));
        prop_assert_eq!(applied(&json), applied(&yaml), "{}", yaml);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[-a-zA-Z:{}\\[\\]\"'&*!|> \n#,0-9]{0,120}") {
        let _facts = ManifestFacts::of(text.as_bytes(), &Usage::Apply);
        let _patch = ManifestFacts::of(text.as_bytes(), &Usage::Patch);
    }
}
