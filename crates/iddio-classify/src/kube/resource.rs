//! The resources of a Kubernetes server as it comes, by every name kubectl takes.
//!
//! What is not here is a custom resource or a newer server's: reads of it are tier 2 and writes
//! tier 3, until a catalog says otherwise (threat K25).

/// A built-in resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Resource {
    /// Its plural name, as in paths.
    pub plural: &'static str,
    /// Its API group; empty for the core group.
    pub group: &'static str,
    /// Its kind, in lower case, which is also its singular name.
    pub kind: &'static str,
    /// Its short names.
    pub short: &'static [&'static str],
    /// Where its objects live.
    pub place: Place,
    /// What it controls.
    pub control: Control,
    /// Why it is dangerous to write, where it is.
    pub why: &'static str,
}

/// Where objects live.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// In the cluster as a whole.
    Cluster,
    /// In a namespace.
    Namespace,
}

/// What a resource controls, as the rules of the contract part them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Control {
    /// Who may do what, or the cluster itself: rule 4.
    ClusterControl,
    /// Nothing special.
    Plain,
    /// It only asks: rule 8.
    Review,
    /// Secrets: rule 5.
    Secret,
    /// Service accounts: rule 4.
    ServiceAccount,
}

/// Finds a resource by plural name and group.
pub fn find(plural: &str, group: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.plural == plural && resource.group == group)
}

/// Finds a resource as kubectl's arguments name it: plural, singular or short, in any case, with
/// `.group` or `.version.group` behind it.
pub fn named(word: &str) -> Option<&'static Resource> {
    let word = word.to_ascii_lowercase();
    let (name, group) = match word.split_once('.') {
        Some((name, group)) => (name, Some(group)),
        None => (word.as_str(), None),
    };
    let fits = |resource: &&Resource| match group {
        None => true,
        Some(group) => {
            let unversioned = group.split_once('.').map_or("", |(_, group)| group);
            resource.group == group || resource.group == unversioned && version(group)
        }
    };
    let called = |resource: &&Resource| {
        resource.plural == name || resource.kind == name || resource.short.contains(&name)
    };
    RESOURCES.iter().filter(fits).find(called)
}

fn version(group: &str) -> bool {
    let head = group.split('.').next().unwrap_or("");
    head.strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
}

const fn plain(
    plural: &'static str,
    kind: &'static str,
    short: &'static [&'static str],
    group: &'static str,
    place: Place,
) -> Resource {
    Resource { plural, group, kind, short, place, control: Control::Plain, why: "" }
}

const fn control(
    plural: &'static str,
    kind: &'static str,
    short: &'static [&'static str],
    group: &'static str,
    why: &'static str,
) -> Resource {
    let place = Place::Cluster;
    Resource { plural, group, kind, short, place, control: Control::ClusterControl, why }
}

const fn special(resource: Resource, control: Control) -> Resource {
    Resource { control, ..resource }
}

const fn namespaced(resource: Resource) -> Resource {
    Resource { place: Place::Namespace, ..resource }
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const FLOW: &str = "flowcontrol.apiserver.k8s.io";
const NETWORK: &str = "networking.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const RESOURCE: &str = "resource.k8s.io";
const STORAGE: &str = "storage.k8s.io";

/// The most asked for come first; `find` walks the list.
static RESOURCES: &[Resource] = &{
    use Control::{Review, Secret, ServiceAccount};
    use Place::{Cluster, Namespace};
    [
        plain("pods", "pod", &["po"], "", Namespace),
        plain("deployments", "deployment", &["deploy"], "apps", Namespace),
        plain("services", "service", &["svc"], "", Namespace),
        plain("configmaps", "configmap", &["cm"], "", Namespace),
        special(plain("secrets", "secret", &[], "", Namespace), Secret),
        plain("events", "event", &["ev"], "", Namespace),
        plain("events", "event", &["ev"], "events.k8s.io", Namespace),
        plain("replicasets", "replicaset", &["rs"], "apps", Namespace),
        plain("statefulsets", "statefulset", &["sts"], "apps", Namespace),
        plain("daemonsets", "daemonset", &["ds"], "apps", Namespace),
        plain("controllerrevisions", "controllerrevision", &[], "apps", Namespace),
        plain("jobs", "job", &[], "batch", Namespace),
        plain("cronjobs", "cronjob", &["cj"], "batch", Namespace),
        plain("endpoints", "endpoints", &["ep"], "", Namespace),
        plain("endpointslices", "endpointslice", &[], "discovery.k8s.io", Namespace),
        plain("ingresses", "ingress", &["ing"], NETWORK, Namespace),
        plain("networkpolicies", "networkpolicy", &["netpol"], NETWORK, Namespace),
        plain("ingressclasses", "ingressclass", &[], NETWORK, Cluster),
        plain("ipaddresses", "ipaddress", &["ip"], NETWORK, Cluster),
        plain("servicecidrs", "servicecidr", &[], NETWORK, Cluster),
        plain("leases", "lease", &[], "coordination.k8s.io", Namespace),
        plain("leasecandidates", "leasecandidate", &[], "coordination.k8s.io", Namespace),
        plain("persistentvolumeclaims", "persistentvolumeclaim", &["pvc"], "", Namespace),
        plain(
            "horizontalpodautoscalers",
            "horizontalpodautoscaler",
            &["hpa"],
            "autoscaling",
            Namespace,
        ),
        plain("poddisruptionbudgets", "poddisruptionbudget", &["pdb"], "policy", Namespace),
        plain("podtemplates", "podtemplate", &[], "", Namespace),
        plain("replicationcontrollers", "replicationcontroller", &["rc"], "", Namespace),
        plain("resourcequotas", "resourcequota", &["quota"], "", Namespace),
        plain("limitranges", "limitrange", &["limits"], "", Namespace),
        plain("bindings", "binding", &[], "", Namespace),
        plain("componentstatuses", "componentstatus", &["cs"], "", Cluster),
        special(plain("serviceaccounts", "serviceaccount", &["sa"], "", Namespace), ServiceAccount),
        plain("pods", "podmetrics", &[], "metrics.k8s.io", Namespace),
        plain("nodes", "nodemetrics", &[], "metrics.k8s.io", Cluster),
        plain("csidrivers", "csidriver", &[], STORAGE, Cluster),
        plain("csinodes", "csinode", &[], STORAGE, Cluster),
        plain("csistoragecapacities", "csistoragecapacity", &[], STORAGE, Namespace),
        plain("volumeattachments", "volumeattachment", &[], STORAGE, Cluster),
        plain("volumeattributesclasses", "volumeattributesclass", &["vac"], STORAGE, Cluster),
        plain("runtimeclasses", "runtimeclass", &[], "node.k8s.io", Cluster),
        plain(
            "certificatesigningrequests",
            "certificatesigningrequest",
            &["csr"],
            "certificates.k8s.io",
            Cluster,
        ),
        plain("deviceclasses", "deviceclass", &[], RESOURCE, Cluster),
        plain("resourceclaims", "resourceclaim", &[], RESOURCE, Namespace),
        plain("resourceclaimtemplates", "resourceclaimtemplate", &[], RESOURCE, Namespace),
        plain("resourceslices", "resourceslice", &[], RESOURCE, Cluster),
        plain("tokenreviews", "tokenreview", &[], "authentication.k8s.io", Cluster),
        special(
            plain("selfsubjectreviews", "selfsubjectreview", &[], "authentication.k8s.io", Cluster),
            Review,
        ),
        special(
            plain(
                "selfsubjectaccessreviews",
                "selfsubjectaccessreview",
                &[],
                AUTHORIZATION,
                Cluster,
            ),
            Review,
        ),
        special(
            plain("selfsubjectrulesreviews", "selfsubjectrulesreview", &[], AUTHORIZATION, Cluster),
            Review,
        ),
        special(
            plain("subjectaccessreviews", "subjectaccessreview", &[], AUTHORIZATION, Cluster),
            Review,
        ),
        special(
            plain(
                "localsubjectaccessreviews",
                "localsubjectaccessreview",
                &[],
                AUTHORIZATION,
                Namespace,
            ),
            Review,
        ),
        namespaced(control("roles", "role", &[], RBAC, "changes who may do what")),
        namespaced(control("rolebindings", "rolebinding", &[], RBAC, "changes who may do what")),
        control("clusterroles", "clusterrole", &[], RBAC, "changes who may do what"),
        control("clusterrolebindings", "clusterrolebinding", &[], RBAC, "changes who may do what"),
        control("namespaces", "namespace", &["ns"], "", "writes a namespace"),
        control("nodes", "node", &["no"], "", "writes a node"),
        control("persistentvolumes", "persistentvolume", &["pv"], "", "writes a persistent volume"),
        control("storageclasses", "storageclass", &["sc"], STORAGE, "writes a storage class"),
        control(
            "priorityclasses",
            "priorityclass",
            &["pc"],
            "scheduling.k8s.io",
            "writes a priority class",
        ),
        control("flowschemas", "flowschema", &[], FLOW, "changes how the API server serves"),
        control(
            "prioritylevelconfigurations",
            "prioritylevelconfiguration",
            &[],
            FLOW,
            "changes how the API server serves",
        ),
        control(
            "apiservices",
            "apiservice",
            &[],
            "apiregistration.k8s.io",
            "hands a part of the API to another server",
        ),
        control(
            "customresourcedefinitions",
            "customresourcedefinition",
            &["crd", "crds"],
            "apiextensions.k8s.io",
            "defines a resource",
        ),
        control(
            "mutatingwebhookconfigurations",
            "mutatingwebhookconfiguration",
            &[],
            ADMISSION,
            "changes admission",
        ),
        control(
            "validatingwebhookconfigurations",
            "validatingwebhookconfiguration",
            &[],
            ADMISSION,
            "changes admission",
        ),
        control(
            "validatingadmissionpolicies",
            "validatingadmissionpolicy",
            &[],
            ADMISSION,
            "changes admission",
        ),
        control(
            "validatingadmissionpolicybindings",
            "validatingadmissionpolicybinding",
            &[],
            ADMISSION,
            "changes admission",
        ),
        control(
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicy",
            &[],
            ADMISSION,
            "changes admission",
        ),
        control(
            "mutatingadmissionpolicybindings",
            "mutatingadmissionpolicybinding",
            &[],
            ADMISSION,
            "changes admission",
        ),
        control(
            "clustertrustbundles",
            "clustertrustbundle",
            &[],
            "certificates.k8s.io",
            "changes what the cluster trusts",
        ),
    ]
};
