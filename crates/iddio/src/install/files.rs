//! What is installed: the files under `dist`, compiled in, where they go, and whose everything is.

/// The programs that are copied from beside this one.
pub(super) const PROGRAMS: [&str; 6] =
    ["iddio", "iddio-execd", "iddio-kube", "iddio-logd", "iddio-push", "iddio-signer"];

/// A service of the host.
pub(super) struct Service {
    /// Its program.
    pub(super) program: &'static str,
    /// The units it is made of.
    pub(super) units: &'static [&'static str],
    /// The one of them that starts with the machine.
    pub(super) enabled: &'static str,
    /// What wants that one.
    pub(super) wanted_by: &'static str,
    /// Where it is asked for, if it is asked on a socket of the host's.
    pub(super) socket: Option<&'static str>,
    /// Its configuration. Without it the service is there and waits.
    pub(super) configuration: &'static str,
}

/// The services, in the order in which they are started.
pub(super) const SERVICES: [Service; 5] = [
    Service {
        program: "iddio-logd",
        units: &["iddio-logd.service", "iddio-logd.socket"],
        enabled: "iddio-logd.socket",
        wanted_by: "sockets.target",
        socket: Some("/run/iddio/log.sock"),
        configuration: "/etc/iddio/log.toml",
    },
    Service {
        program: "iddio-signer",
        units: &["iddio-signer.service", "iddio-signer.socket"],
        enabled: "iddio-signer.socket",
        wanted_by: "sockets.target",
        socket: Some("/run/iddio/signer.sock"),
        configuration: "/etc/iddio/signer.toml",
    },
    Service {
        program: "iddio-execd",
        units: &["iddio-execd.service", "iddio-execd.socket"],
        enabled: "iddio-execd.socket",
        wanted_by: "sockets.target",
        socket: Some("/run/iddio/exec.sock"),
        configuration: "/etc/iddio/exec.toml",
    },
    Service {
        program: "iddio-push",
        units: &["iddio-push.service"],
        enabled: "iddio-push.service",
        wanted_by: "multi-user.target",
        socket: None,
        configuration: "/etc/iddio/push.toml",
    },
    Service {
        program: "iddio-kube",
        units: &["iddio-kube.service"],
        enabled: "iddio-kube.service",
        wanted_by: "multi-user.target",
        socket: None,
        configuration: "/etc/iddio/kube.toml",
    },
];

/// The users that services run as, besides root.
pub(super) const USERS: [&str; 4] = ["iddio-kube", "iddio-log", "iddio-push", "iddio-signer"];

/// A directory: where, whose, and its mode.
pub(super) struct Directory {
    pub(super) path: &'static str,
    pub(super) owner: &'static str,
    pub(super) mode: u32,
}

/// The directories that services have.
pub(super) const DIRECTORIES: [Directory; 6] = [
    Directory { path: "/etc/iddio", owner: "root", mode: 0o755 },
    Directory { path: "/run/iddio", owner: "root", mode: 0o755 },
    Directory { path: "/var/lib/iddio", owner: "iddio-log", mode: 0o700 },
    Directory { path: "/var/lib/iddio-exec", owner: "root", mode: 0o700 },
    Directory { path: "/var/lib/iddio-kube", owner: "iddio-kube", mode: 0o700 },
    Directory { path: "/var/lib/iddio-signer", owner: "iddio-signer", mode: 0o700 },
];

/// What is ours to replace, and where it goes.
pub(super) const SHIPPED: [(&str, &str); 10] = [
    (
        "/etc/systemd/system/iddio-execd.service",
        include_str!("../../../../dist/systemd/iddio-execd.service"),
    ),
    (
        "/etc/systemd/system/iddio-execd.socket",
        include_str!("../../../../dist/systemd/iddio-execd.socket"),
    ),
    (
        "/etc/systemd/system/iddio-kube.service",
        include_str!("../../../../dist/systemd/iddio-kube.service"),
    ),
    (
        "/etc/systemd/system/iddio-logd.service",
        include_str!("../../../../dist/systemd/iddio-logd.service"),
    ),
    (
        "/etc/systemd/system/iddio-logd.socket",
        include_str!("../../../../dist/systemd/iddio-logd.socket"),
    ),
    (
        "/etc/systemd/system/iddio-push.service",
        include_str!("../../../../dist/systemd/iddio-push.service"),
    ),
    (
        "/etc/systemd/system/iddio-signer.service",
        include_str!("../../../../dist/systemd/iddio-signer.service"),
    ),
    (
        "/etc/systemd/system/iddio-signer.socket",
        include_str!("../../../../dist/systemd/iddio-signer.socket"),
    ),
    ("/etc/sysusers.d/iddio.conf", include_str!("../../../../dist/sysusers.conf")),
    ("/etc/tmpfiles.d/iddio.conf", include_str!("../../../../dist/tmpfiles.conf")),
];

/// What is the administrator's as soon as it is there.
pub(super) const CONFIGURATIONS: [(&str, &str); 2] = [
    ("/etc/iddio/log.toml", include_str!("../../../../dist/etc/log.toml")),
    ("/etc/iddio/signer.toml", include_str!("../../../../dist/etc/signer.toml")),
];

/// The key that the signer's keys are wrapped under.
pub(super) const WRAPPING_KEY: &str = "/etc/iddio/signer.key";

/// Where an administrator's units are.
pub(super) const UNITS: &str = "/etc/systemd/system";

// === impl Service ===

impl Service {
    /// Where the link lies by which it starts with the machine.
    pub(super) fn link(&self) -> String {
        format!("{UNITS}/{}.wants/{}", self.wanted_by, self.enabled)
    }

    /// The unit that its program runs in.
    pub(super) fn main(&self) -> &'static str {
        self.units.first().copied().unwrap_or(self.enabled)
    }
}
