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
    let start = STARTS.get(plural.len()).copied()?;
    let end = STARTS.get(plural.len() + 1).copied()?;
    let alike = RESOURCES.get(start..end)?;
    // Most names differ in the first letter, and looking at it is cheaper than a call.
    let first = plural.as_bytes().first();
    alike.iter().find(|resource| {
        resource.plural.as_bytes().first() == first
            && resource.plural == plural
            && resource.group == group
    })
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

/// Finds a resource by the kind and group that an object states.
pub fn of_kind(kind: &str, group: &str) -> Option<&'static Resource> {
    RESOURCES
        .iter()
        .find(|resource| resource.kind.eq_ignore_ascii_case(kind) && resource.group == group)
}

/// Returns every resource.
pub fn all() -> impl Iterator<Item = &'static Resource> {
    RESOURCES.iter()
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
const SCHEDULING: &str = "scheduling.k8s.io";
const STORAGE: &str = "storage.k8s.io";

/// Sorted by the length of the plural name, the name, and the group, which a test holds.
const RESOURCES: &[Resource] = &{
    use Control::{Review, Secret, ServiceAccount};
    use Place::{Cluster, Namespace};
    [
        plain("jobs", "job", &[], "batch", Namespace),
        plain("pods", "pod", &["po"], "", Namespace),
        plain("pods", "podmetrics", &[], "metrics.k8s.io", Namespace),
        control("nodes", "node", &["no"], "", "writes a node"),
        plain("nodes", "nodemetrics", &[], "metrics.k8s.io", Cluster),
        namespaced(control("roles", "role", &[], RBAC, "changes who may do what")),
        plain("events", "event", &["ev"], "", Namespace),
        plain("events", "event", &["ev"], "events.k8s.io", Namespace),
        plain("leases", "lease", &[], "coordination.k8s.io", Namespace),
        special(plain("secrets", "secret", &[], "", Namespace), Secret),
        plain("bindings", "binding", &[], "", Namespace),
        plain("cronjobs", "cronjob", &["cj"], "batch", Namespace),
        plain("csinodes", "csinode", &[], STORAGE, Cluster),
        plain("services", "service", &["svc"], "", Namespace),
        plain("endpoints", "endpoints", &["ep"], "", Namespace),
        plain("ingresses", "ingress", &["ing"], NETWORK, Namespace),
        plain("podgroups", "podgroup", &[], SCHEDULING, Namespace),
        plain("workloads", "workload", &[], SCHEDULING, Namespace),
        plain("configmaps", "configmap", &["cm"], "", Namespace),
        plain("csidrivers", "csidriver", &[], STORAGE, Cluster),
        plain("daemonsets", "daemonset", &["ds"], "apps", Namespace),
        control("namespaces", "namespace", &["ns"], "", "writes a namespace"),
        control(
            "apiservices",
            "apiservice",
            &[],
            "apiregistration.k8s.io",
            "hands a part of the API to another server",
        ),
        plain("deployments", "deployment", &["deploy"], "apps", Namespace),
        control("flowschemas", "flowschema", &[], FLOW, "changes how the API server serves"),
        plain("ipaddresses", "ipaddress", &["ip"], NETWORK, Cluster),
        plain("limitranges", "limitrange", &["limits"], "", Namespace),
        plain("replicasets", "replicaset", &["rs"], "apps", Namespace),
        control("clusterroles", "clusterrole", &[], RBAC, "changes who may do what"),
        plain("podtemplates", "podtemplate", &[], "", Namespace),
        namespaced(control("rolebindings", "rolebinding", &[], RBAC, "changes who may do what")),
        plain("servicecidrs", "servicecidr", &[], NETWORK, Cluster),
        plain("statefulsets", "statefulset", &["sts"], "apps", Namespace),
        plain("tokenreviews", "tokenreview", &[], "authentication.k8s.io", Cluster),
        plain("deviceclasses", "deviceclass", &[], RESOURCE, Cluster),
        plain("endpointslices", "endpointslice", &[], "discovery.k8s.io", Namespace),
        plain("ingressclasses", "ingressclass", &[], NETWORK, Cluster),
        plain("resourceclaims", "resourceclaim", &[], RESOURCE, Namespace),
        plain("resourcequotas", "resourcequota", &["quota"], "", Namespace),
        plain("resourceslices", "resourceslice", &[], RESOURCE, Cluster),
        plain("runtimeclasses", "runtimeclass", &[], "node.k8s.io", Cluster),
        control("storageclasses", "storageclass", &["sc"], STORAGE, "writes a storage class"),
        plain("leasecandidates", "leasecandidate", &[], "coordination.k8s.io", Namespace),
        plain("networkpolicies", "networkpolicy", &["netpol"], NETWORK, Namespace),
        control("priorityclasses", "priorityclass", &["pc"], SCHEDULING, "writes a priority class"),
        special(plain("serviceaccounts", "serviceaccount", &["sa"], "", Namespace), ServiceAccount),
        plain("devicetaintrules", "devicetaintrule", &[], RESOURCE, Cluster),
        plain("componentstatuses", "componentstatus", &["cs"], "", Cluster),
        control("persistentvolumes", "persistentvolume", &["pv"], "", "writes a persistent volume"),
        plain("volumeattachments", "volumeattachment", &[], STORAGE, Cluster),
        special(
            plain("selfsubjectreviews", "selfsubjectreview", &[], "authentication.k8s.io", Cluster),
            Review,
        ),
        control("clusterrolebindings", "clusterrolebinding", &[], RBAC, "changes who may do what"),
        control(
            "clustertrustbundles",
            "clustertrustbundle",
            &[],
            "certificates.k8s.io",
            "changes what the cluster trusts",
        ),
        plain("controllerrevisions", "controllerrevision", &[], "apps", Namespace),
        plain("csistoragecapacities", "csistoragecapacity", &[], STORAGE, Namespace),
        plain("poddisruptionbudgets", "poddisruptionbudget", &["pdb"], "policy", Namespace),
        special(
            plain("subjectaccessreviews", "subjectaccessreview", &[], AUTHORIZATION, Cluster),
            Review,
        ),
        plain("persistentvolumeclaims", "persistentvolumeclaim", &["pvc"], "", Namespace),
        plain("replicationcontrollers", "replicationcontroller", &["rc"], "", Namespace),
        plain("resourceclaimtemplates", "resourceclaimtemplate", &[], RESOURCE, Namespace),
        special(
            plain("selfsubjectrulesreviews", "selfsubjectrulesreview", &[], AUTHORIZATION, Cluster),
            Review,
        ),
        plain("volumeattributesclasses", "volumeattributesclass", &["vac"], STORAGE, Cluster),
        plain(
            "horizontalpodautoscalers",
            "horizontalpodautoscaler",
            &["hpa"],
            "autoscaling",
            Namespace,
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
        plain(
            "storageversionmigrations",
            "storageversionmigration",
            &[],
            "storagemigration.k8s.io",
            Cluster,
        ),
        control(
            "customresourcedefinitions",
            "customresourcedefinition",
            &["crd", "crds"],
            "apiextensions.k8s.io",
            "defines a resource",
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
        control(
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicy",
            &[],
            ADMISSION,
            "changes admission",
        ),
        plain(
            "certificatesigningrequests",
            "certificatesigningrequest",
            &["csr"],
            "certificates.k8s.io",
            Cluster,
        ),
        control(
            "prioritylevelconfigurations",
            "prioritylevelconfiguration",
            &[],
            FLOW,
            "changes how the API server serves",
        ),
        control(
            "validatingadmissionpolicies",
            "validatingadmissionpolicy",
            &[],
            ADMISSION,
            "changes admission",
        ),
        control(
            "mutatingwebhookconfigurations",
            "mutatingwebhookconfiguration",
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
            "validatingwebhookconfigurations",
            "validatingwebhookconfiguration",
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
    ]
};

/// Where the names of each length start in [`RESOURCES`].
static STARTS: [usize; NAME_BYTES_MAX + 2] = {
    let mut starts = [0; NAME_BYTES_MAX + 2];
    let mut length = 0;
    let mut at = 0;
    #[expect(clippy::indexing_slicing, reason = "a constant: out of range does not compile")]
    while length < starts.len() {
        while at < RESOURCES.len() && RESOURCES[at].plural.len() < length {
            at += 1;
        }
        starts[length] = at;
        length += 1;
    }
    starts
};

/// The longest plural name there is.
const NAME_BYTES_MAX: usize = 33;

#[cfg(test)]
mod tests {
    use super::{NAME_BYTES_MAX, RESOURCES, find, named};

    #[test]
    fn resources_are_sorted_so_that_each_is_found() {
        let key = |at: usize| {
            let resource = RESOURCES.get(at);
            resource.map(|resource| (resource.plural.len(), resource.plural, resource.group))
        };
        assert!(RESOURCES.iter().all(|resource| resource.plural.len() <= NAME_BYTES_MAX));
        assert!((1..RESOURCES.len()).all(|at| key(at - 1) < key(at)));
        assert!(
            RESOURCES
                .iter()
                .all(|resource| find(resource.plural, resource.group) == Some(resource))
        );
    }

    #[test]
    fn a_short_name_means_the_core_resource() {
        let group = |word| named(word).map(|resource| (resource.plural, resource.group));
        assert_eq!(group("po"), Some(("pods", "")));
        assert_eq!(group("Pods"), Some(("pods", "")));
        assert_eq!(group("pods.metrics.k8s.io"), Some(("pods", "metrics.k8s.io")));
        assert_eq!(group("deployments.v1.apps"), Some(("deployments", "apps")));
        assert_eq!(group("deployment.apps"), Some(("deployments", "apps")));
        assert_eq!(group("ev"), Some(("events", "")));
        assert_eq!(group("deployments.evil.example"), None);
    }
}
