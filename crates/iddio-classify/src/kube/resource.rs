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
    let place = RESOURCES
        .binary_search_by(|resource| (resource.plural, resource.group).cmp(&(plural, group)))
        .ok()?;
    RESOURCES.get(place)
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

/// Sorted by plural name, then group, which a test holds.
pub(super) static RESOURCES: &[Resource] = &{
    use Control::{Review, Secret, ServiceAccount};
    use Place::{Cluster, Namespace};
    [
        control(
            "apiservices",
            "apiservice",
            &[],
            "apiregistration.k8s.io",
            "hands a part of the API to another server",
        ),
        plain("bindings", "binding", &[], "", Namespace),
        plain(
            "certificatesigningrequests",
            "certificatesigningrequest",
            &["csr"],
            "certificates.k8s.io",
            Cluster,
        ),
        control("clusterrolebindings", "clusterrolebinding", &[], RBAC, "changes who may do what"),
        control("clusterroles", "clusterrole", &[], RBAC, "changes who may do what"),
        control(
            "clustertrustbundles",
            "clustertrustbundle",
            &[],
            "certificates.k8s.io",
            "changes what the cluster trusts",
        ),
        plain("componentstatuses", "componentstatus", &["cs"], "", Cluster),
        plain("configmaps", "configmap", &["cm"], "", Namespace),
        plain("controllerrevisions", "controllerrevision", &[], "apps", Namespace),
        plain("cronjobs", "cronjob", &["cj"], "batch", Namespace),
        plain("csidrivers", "csidriver", &[], STORAGE, Cluster),
        plain("csinodes", "csinode", &[], STORAGE, Cluster),
        plain("csistoragecapacities", "csistoragecapacity", &[], STORAGE, Namespace),
        control(
            "customresourcedefinitions",
            "customresourcedefinition",
            &["crd", "crds"],
            "apiextensions.k8s.io",
            "defines a resource",
        ),
        plain("daemonsets", "daemonset", &["ds"], "apps", Namespace),
        plain("deployments", "deployment", &["deploy"], "apps", Namespace),
        plain("deviceclasses", "deviceclass", &[], RESOURCE, Cluster),
        plain("endpoints", "endpoints", &["ep"], "", Namespace),
        plain("endpointslices", "endpointslice", &[], "discovery.k8s.io", Namespace),
        plain("events", "event", &["ev"], "", Namespace),
        plain("events", "event", &["ev"], "events.k8s.io", Namespace),
        control("flowschemas", "flowschema", &[], FLOW, "changes how the API server serves"),
        plain(
            "horizontalpodautoscalers",
            "horizontalpodautoscaler",
            &["hpa"],
            "autoscaling",
            Namespace,
        ),
        plain("ingressclasses", "ingressclass", &[], NETWORK, Cluster),
        plain("ingresses", "ingress", &["ing"], NETWORK, Namespace),
        plain("ipaddresses", "ipaddress", &["ip"], NETWORK, Cluster),
        plain("jobs", "job", &[], "batch", Namespace),
        plain("leasecandidates", "leasecandidate", &[], "coordination.k8s.io", Namespace),
        plain("leases", "lease", &[], "coordination.k8s.io", Namespace),
        plain("limitranges", "limitrange", &["limits"], "", Namespace),
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
        control(
            "mutatingadmissionpolicybindings",
            "mutatingadmissionpolicybinding",
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
        control("namespaces", "namespace", &["ns"], "", "writes a namespace"),
        plain("networkpolicies", "networkpolicy", &["netpol"], NETWORK, Namespace),
        control("nodes", "node", &["no"], "", "writes a node"),
        plain("nodes", "nodemetrics", &[], "metrics.k8s.io", Cluster),
        plain("persistentvolumeclaims", "persistentvolumeclaim", &["pvc"], "", Namespace),
        control("persistentvolumes", "persistentvolume", &["pv"], "", "writes a persistent volume"),
        plain("poddisruptionbudgets", "poddisruptionbudget", &["pdb"], "policy", Namespace),
        plain("pods", "pod", &["po"], "", Namespace),
        plain("pods", "podmetrics", &[], "metrics.k8s.io", Namespace),
        plain("podtemplates", "podtemplate", &[], "", Namespace),
        control(
            "priorityclasses",
            "priorityclass",
            &["pc"],
            "scheduling.k8s.io",
            "writes a priority class",
        ),
        control(
            "prioritylevelconfigurations",
            "prioritylevelconfiguration",
            &[],
            FLOW,
            "changes how the API server serves",
        ),
        plain("replicasets", "replicaset", &["rs"], "apps", Namespace),
        plain("replicationcontrollers", "replicationcontroller", &["rc"], "", Namespace),
        plain("resourceclaims", "resourceclaim", &[], RESOURCE, Namespace),
        plain("resourceclaimtemplates", "resourceclaimtemplate", &[], RESOURCE, Namespace),
        plain("resourcequotas", "resourcequota", &["quota"], "", Namespace),
        plain("resourceslices", "resourceslice", &[], RESOURCE, Cluster),
        namespaced(control("rolebindings", "rolebinding", &[], RBAC, "changes who may do what")),
        namespaced(control("roles", "role", &[], RBAC, "changes who may do what")),
        plain("runtimeclasses", "runtimeclass", &[], "node.k8s.io", Cluster),
        special(plain("secrets", "secret", &[], "", Namespace), Secret),
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
            plain("selfsubjectreviews", "selfsubjectreview", &[], "authentication.k8s.io", Cluster),
            Review,
        ),
        special(
            plain("selfsubjectrulesreviews", "selfsubjectrulesreview", &[], AUTHORIZATION, Cluster),
            Review,
        ),
        special(plain("serviceaccounts", "serviceaccount", &["sa"], "", Namespace), ServiceAccount),
        plain("servicecidrs", "servicecidr", &[], NETWORK, Cluster),
        plain("services", "service", &["svc"], "", Namespace),
        plain("statefulsets", "statefulset", &["sts"], "apps", Namespace),
        control("storageclasses", "storageclass", &["sc"], STORAGE, "writes a storage class"),
        special(
            plain("subjectaccessreviews", "subjectaccessreview", &[], AUTHORIZATION, Cluster),
            Review,
        ),
        plain("tokenreviews", "tokenreview", &[], "authentication.k8s.io", Cluster),
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
            "validatingwebhookconfigurations",
            "validatingwebhookconfiguration",
            &[],
            ADMISSION,
            "changes admission",
        ),
        plain("volumeattachments", "volumeattachment", &[], STORAGE, Cluster),
        plain("volumeattributesclasses", "volumeattributesclass", &["vac"], STORAGE, Cluster),
    ]
};

#[cfg(test)]
mod tests {
    use super::{RESOURCES, find, named};

    #[test]
    fn resources_are_sorted_so_that_each_is_found() {
        let key = |at: usize| RESOURCES.get(at).map(|resource| (resource.plural, resource.group));
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
