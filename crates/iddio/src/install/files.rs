//! What is installed: the files under `dist`, compiled in, and where they go.

/// The programs that are copied from beside this one.
pub(super) const PROGRAMS: [&str; 6] =
    ["iddio", "iddio-execd", "iddio-kube", "iddio-logd", "iddio-push", "iddio-signer"];

/// The units.
pub(super) const UNITS: [&str; 8] = [
    "iddio-execd.service",
    "iddio-execd.socket",
    "iddio-kube.service",
    "iddio-logd.service",
    "iddio-logd.socket",
    "iddio-push.service",
    "iddio-signer.service",
    "iddio-signer.socket",
];

/// The units that are started with the machine. The broker and the gateways wait for a configuration.
pub(super) const ENABLED: [&str; 2] = ["iddio-logd.socket", "iddio-signer.socket"];

/// The sockets that are there when these run.
pub(super) const SOCKETS: [&str; 2] = ["/run/iddio/log.sock", "/run/iddio/signer.sock"];

/// The users that services run as.
pub(super) const USERS: [&str; 5] =
    ["iddio-exec", "iddio-kube", "iddio-log", "iddio-push", "iddio-signer"];

/// The directories that services have.
pub(super) const DIRECTORIES: [&str; 4] =
    ["/var/lib/iddio", "/var/lib/iddio-exec", "/var/lib/iddio-kube", "/var/lib/iddio-signer"];

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
