//! Variables set for a command: what shapes what runs, and who it runs as (invariant I7).
//!
//! One table for `NAME=value command`, `export` and `env`. A name it does not hold is a plain
//! variable of somebody's own. What is ambient in a caller's environment is not judged here.

use iddio_core::{
    operation::{Override, OverrideKind},
    tier::{Class, Tier},
};

use super::Found;

/// What setting a variable comes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Setting {
    /// Nothing.
    Harmless,
    /// It overrides identity or route: break-glass unless granted.
    Overrides(Override),
    /// It shapes what runs.
    Shapes(Found),
}

/// Judges `NAME=value`; `None` for a value that is not known whole. `shown` stands for the value.
pub(crate) fn assignment(name: &str, value: Option<&str>, shown: &str) -> Setting {
    if starts(name, "IDDIO_") {
        let text = "a variable that steers iddio itself";
        return shapes(Tier::BreakGlass, Class::Evasion, name, text);
    }
    if name.starts_with("BASH_FUNC_") {
        let text = "a function that every shell below finds";
        return shapes(Tier::BreakGlass, Class::Evasion, name, text);
    }
    if value.is_some_and(|value| is_tame(name, value)) {
        return Setting::Harmless;
    }
    if covers(&ROUTES, name) || ends(name, "_PROXY") {
        let value = format!("{name}={shown}");
        return Setting::Overrides(Override { kind: OverrideKind::Env, value });
    }
    if name.starts_with("TF_CLI_ARGS") && value.is_none_or(|value| value.contains("destroy")) {
        let text = "options that destroy, or that nobody knows";
        return shapes(Tier::BreakGlass, Class::Destroy, name, text);
    }
    if covers(&HISTORY, name) {
        let text = "it keeps commands out of the shell's history";
        return shapes(Tier::Sensitive, Class::Evasion, name, text);
    }
    // What npm looks for in any case.
    let npm = starts(name, "NPM_CONFIG_");
    if npm || covers(&SHAPES, name) || ends(name, "PAGER") || ends(name, "EDITOR") {
        let text = "a variable that shapes what programs run";
        return shapes(Tier::Sensitive, Class::Evasion, name, text);
    }
    Setting::Harmless
}

fn shapes(tier: Tier, class: Class, name: &str, text: &'static str) -> Setting {
    Setting::Shapes(Found::new(tier, class, format!("environment:{name}"), text))
}

/// Whether a value of a name that shapes execution is one of those that turn something off.
fn is_tame(name: &str, value: &str) -> bool {
    if covers(&LABELS, name) {
        return true;
    }
    if ends(name, "PAGER") {
        return PAGERS.contains(&value);
    }
    if ends(name, "EDITOR") {
        return EDITORS.contains(&value);
    }
    match name {
        "LESS" => value.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-'),
        "NODE_OPTIONS" => value.starts_with("--max-old-space-size=") && !value.contains(' '),
        _ => false,
    }
}

/// Whether a sorted table holds a name, or the start of one. Only those with its first letter are
/// looked at.
fn covers(names: &[&str], name: &str) -> bool {
    let first = name.as_bytes().first();
    let letter = |known: &&str| known.as_bytes().first().cmp(&first);
    let from = names.partition_point(|known| letter(known).is_lt());
    let names = names.get(from..).unwrap_or_default();
    names.iter().take_while(|known| letter(known).is_eq()).any(|known| {
        match known.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => *known == name,
        }
    })
}

/// Whether a name starts so, in any case of letters.
fn starts(name: &str, start: &str) -> bool {
    name.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// Whether a name ends so, in any case of letters.
fn ends(name: &str, end: &str) -> bool {
    let place = name.len().checked_sub(end.len());
    place.and_then(|place| name.get(place..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

/// Who a program acts as, and where to.
const ROUTES: [&str; 42] = [
    "ARGOCD_*",
    "ARM_*",
    "AWS_*",
    "AZURE_*",
    "BUILDKIT_HOST",
    "CLOUDSDK_*",
    "CONSUL_HTTP_*",
    "CONTAINERD_ADDRESS",
    "CONTAINERD_NAMESPACE",
    "CONTAINER_HOST",
    "CURL_CA_BUNDLE",
    "DIGITALOCEAN_*",
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_TLS*",
    "ETCDCTL_*",
    "FLY_*",
    "GH_HOST",
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GITLAB_HOST",
    "GITLAB_TOKEN",
    "GOOGLE_*",
    "HELM_KUBE*",
    "HEROKU_*",
    "HOME",
    "KRB5CCNAME",
    "KRB5_CONFIG",
    "KUBECONFIG",
    "KUBERNETES_*",
    "NODE_EXTRA_CA_CERTS",
    "NOMAD_ADDR",
    "NOMAD_CACERT",
    "NOMAD_CLIENT_*",
    "NOMAD_TOKEN",
    "PATH",
    "REQUESTS_CA_BUNDLE",
    "SSH_AUTH_SOCK",
    "SSL_CERT_*",
    "VAULT_*",
];

/// What makes programs load or run something.
const SHAPES: [&str; 227] = [
    "ANSIBLE_*",
    "ANT_ARGS",
    "ANT_HOME",
    "ANT_OPTS",
    "APT_CONFIG",
    "AR",
    "AS",
    "AWKLIBPATH",
    "AWKPATH",
    "BASHOPTS",
    "BASH_ENV",
    "BASH_FUNC_*",
    "BASH_LOADABLES_PATH",
    "BAT_*",
    "BC_ENV_ARGS",
    "BROWSER",
    "BUILDAH_*",
    "BUILDKIT_*",
    "BUNDLE_*",
    "BUN_*",
    "BZIP",
    "BZIP2",
    "CARGO_BUILD_*",
    "CARGO_ENCODED_*",
    "CARGO_HOME",
    "CARGO_TARGET_*",
    "CC",
    "CDPATH",
    "CGO_CFLAGS*",
    "CGO_CPPFLAGS*",
    "CGO_CXXFLAGS*",
    "CGO_LDFLAGS*",
    "CHEF_*",
    "CLASSPATH",
    "CMAKE_*",
    "COMPLUS_*",
    "COMPOSER_*",
    "COMPOSE_FILE",
    "COMPOSE_PATH_*",
    "CONTAINERS_*",
    "CORECLR_*",
    "COREPACK_*",
    "CURL_HOME",
    "CXX",
    "DBUS_*",
    "DC_ENV_ARGS",
    "DEBUGINFOD_*",
    "DENO_*",
    "DOTNET_*",
    "DPKG_*",
    "DYLD_*",
    "EMACSLOADPATH",
    "ENV",
    "ERL_*",
    "EXECIGNORE",
    "EXINIT",
    "FPATH",
    "FZF_*",
    "GCONV_PATH",
    "GDB*",
    "GEM_*",
    "GETCONF_DIR",
    "GIO_*",
    "GIT_*",
    "GLIBC_TUNABLES",
    "GLOBIGNORE",
    "GNUMAKEFLAGS",
    "GNUPGHOME",
    "GOENV",
    "GOFLAGS",
    "GOINSECURE",
    "GONOSUMCHECK",
    "GONOSUMDB",
    "GOPATH",
    "GOPRIVATE",
    "GOPROXY",
    "GOROOT",
    "GOSUMDB",
    "GOTOOLCHAIN",
    "GPG_*",
    "GRADLE_*",
    "GREP_OPTIONS",
    "GROFF_*",
    "GRYPE_*",
    "GST_*",
    "GTK_*",
    "GZIP",
    "HELM_*",
    "HOSTALIASES",
    "INFOPATH",
    "INPUTRC",
    "IPYTHONDIR",
    "JAVA_HOME",
    "JAVA_OPTS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "JULIA_*",
    "JUPYTER_*",
    "K9S_*",
    "KAFKA_*",
    "KNIFE_*",
    "KREW_*",
    "KUBECTL_*",
    "KUSTOMIZE_PLUGIN_HOME",
    "LD",
    "LD_*",
    "LESS",
    "LESSCLOSE",
    "LESSECHO",
    "LESSKEY*",
    "LESSOPEN",
    "LIBGUESTFS_*",
    "LIBMYSQL_*",
    "LIBVIRT_*",
    "LOCALDOMAIN",
    "LOCPATH",
    "LUA_*",
    "LZOP",
    "M2_HOME",
    "M4PATH",
    "MAGIC",
    "MAKE",
    "MAKEFILES",
    "MAKEFLAGS",
    "MALLOC_*",
    "MANOPT",
    "MANPATH",
    "MANROFFOPT",
    "MAVEN_ARGS",
    "MAVEN_OPTS",
    "MESON*",
    "MYSQL_HOME",
    "MYSQL_TEST_*",
    "NIX_*",
    "NLSPATH",
    "NM",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NOTMUCH_*",
    "NPM_CONFIG_*",
    "NVIM_*",
    "NVM_*",
    "OPENSSL_*",
    "PACKER_*",
    "PARALLEL",
    "PARALLEL_*",
    "PERL5*",
    "PERLLIB",
    "PERL_*",
    "PGOPTIONS",
    "PGPASSFILE",
    "PGSERVICEFILE",
    "PGSYSCONFDIR",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PIPX_*",
    "PIP_*",
    "PKG_CONFIG*",
    "PM2_*",
    "PNPM_*",
    "POSIXLY_CORRECT",
    "PROMPT_COMMAND",
    "PS4",
    "PSQLRC",
    "PULUMI_*",
    "PYTHON*",
    "QT_*",
    "RABBITMQ_*",
    "RCLONE_*",
    "RES_OPTIONS",
    "RIPGREP_CONFIG_PATH",
    "RSYNC_*",
    "RSYNC_RSH",
    "RUBYLIB",
    "RUBYOPT",
    "RUSTC*",
    "RUSTDOC*",
    "RUSTFLAGS",
    "RUSTUP_*",
    "R_ENVIRON*",
    "R_LIBS*",
    "R_PROFILE*",
    "SALT_*",
    "SBT_OPTS",
    "SCREENRC",
    "SHELL",
    "SHELLOPTS",
    "SOPS_*",
    "SSH_ASKPASS*",
    "SSH_SK_*",
    "SSLKEYLOGFILE",
    "STORAGE_*",
    "SUDO_ASKPASS",
    "SYFT_*",
    "SYSCTL_*",
    "SYSTEMCTL_*",
    "SYSTEMD_*",
    "SYSTEM_WGETRC",
    "TAR_OPTIONS",
    "TERMCAP",
    "TERMINFO*",
    "TERRAGRUNT_*",
    "TEXINPUTS",
    "TEXMF*",
    "TF_*",
    "TG_*",
    "TMUX_TMPDIR",
    "TRIVY_*",
    "UNZIP",
    "UNZIPOPT",
    "VAGRANT_*",
    "VIM",
    "VIMINIT",
    "VIMRUNTIME",
    "VIRSH_*",
    "VISUAL",
    "VOLTA_*",
    "WATCHEXEC_*",
    "WGETRC",
    "XDG_*",
    "XZ_*",
    "YARN_*",
    "ZDOTDIR",
    "ZIP",
    "ZIPOPT",
    "ZSTD_*",
    "_JAVA_OPTIONS",
];

/// What decides whether a shell remembers.
const HISTORY: [&str; 5] = ["HISTCONTROL", "HISTFILE", "HISTFILESIZE", "HISTIGNORE", "HISTSIZE"];

/// Names among the above that only label, count or print.
const LABELS: [&str; 41] = [
    "ANSIBLE_FORCE_COLOR",
    "ANSIBLE_NOCOLOR",
    "ANSIBLE_STDOUT_CALLBACK",
    "AWS_DEFAULT_OUTPUT",
    "AWS_MAX_ATTEMPTS",
    "AWS_RETRY_MODE",
    "BAT_STYLE",
    "BAT_THEME",
    "BUILDKIT_PROGRESS",
    "BUNDLE_JOBS",
    "BUNDLE_WITHOUT",
    "COREPACK_ENABLE_DOWNLOAD_PROMPT",
    "DOTNET_CLI_TELEMETRY_OPTOUT",
    "DOTNET_NOLOGO",
    "GIT_AUTHOR_DATE",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_NAME",
    "GIT_COMMITTER_DATE",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_OPTIONAL_LOCKS",
    "GIT_TERMINAL_PROMPT",
    "GROFF_NO_SGR",
    "NPM_CONFIG_AUDIT",
    "NPM_CONFIG_FUND",
    "NPM_CONFIG_LOGLEVEL",
    "PIP_DISABLE_PIP_VERSION_CHECK",
    "PIP_NO_CACHE_DIR",
    "PULUMI_SKIP_UPDATE_CHECK",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONIOENCODING",
    "PYTHONUNBUFFERED",
    "PYTHONUTF8",
    "SYSTEMD_COLORS",
    "SYSTEMD_LOG_LEVEL",
    "SYSTEMD_URLIFY",
    "TF_INPUT",
    "TF_IN_AUTOMATION",
    "TF_LOG",
    "TF_VAR_*",
    "npm_config_loglevel",
];

/// Pagers that only page.
const PAGERS: [&str; 5] = ["", "cat", "less", "less -R", "more"];

/// Editors that change nothing.
const EDITORS: [&str; 4] = ["", ":", "cat", "true"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_sorted_by_first_letters_and_every_entry_is_found() {
        let tables = [ROUTES.as_slice(), &SHAPES, &HISTORY, &LABELS];
        for table in tables {
            assert!(table.is_sorted_by_key(|name| name.as_bytes().first()), "{table:?}");
            for name in table {
                assert!(covers(table, &name.replace('*', "X")), "{name}");
                assert!(!name.starts_with('*'), "{name}");
            }
            assert!(!covers(table, "") && !covers(table, "0") && !covers(table, "zzz"));
        }
        assert!(starts("Npm_Config_x", "NPM_CONFIG_") && !starts("NPM", "NPM_CONFIG_"));
        assert!(ends("my_Pager", "PAGER") && !ends("AGER", "PAGER") && !ends("éAGER", "PAGER"));
    }
}
