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
    let upper = name.to_ascii_uppercase();
    if upper.starts_with("IDDIO_") {
        let text = "a variable that steers iddio itself";
        return shapes(Tier::BreakGlass, Class::Evasion, name, text);
    }
    if value.is_some_and(|value| is_tame(name, value)) {
        return Setting::Harmless;
    }
    if covers(&ROUTES, name) || upper.ends_with("_PROXY") {
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
    if covers(&SHAPES, name) || upper.ends_with("PAGER") || upper.ends_with("EDITOR") {
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
    let upper = name.to_ascii_uppercase();
    if upper.ends_with("PAGER") {
        return PAGERS.contains(&value);
    }
    if upper.ends_with("EDITOR") {
        return EDITORS.contains(&value);
    }
    match name {
        "LESS" => value.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-'),
        "NODE_OPTIONS" => value.starts_with("--max-old-space-size=") && !value.contains(' '),
        _ => false,
    }
}

fn covers(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| match known.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => *known == name,
    })
}

/// Who a program acts as, and where to.
const ROUTES: [&str; 24] = [
    "ARM_*",
    "AWS_*",
    "AZURE_*",
    "CLOUDSDK_*",
    "CURL_CA_BUNDLE",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "GH_HOST",
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GOOGLE_*",
    "HELM_KUBE*",
    "HOME",
    "KRB5CCNAME",
    "KRB5_CONFIG",
    "KUBECONFIG",
    "KUBERNETES_*",
    "PATH",
    "REQUESTS_CA_BUNDLE",
    "SSH_AUTH_SOCK",
    "SSL_CERT_*",
    "VAULT_*",
    "NODE_EXTRA_CA_CERTS",
];

/// What makes programs load or run something.
const SHAPES: [&str; 68] = [
    "ANSIBLE_*",
    "BASHOPTS",
    "BASH_ENV",
    "BASH_FUNC_*",
    "BASH_LOADABLES_PATH",
    "BROWSER",
    "CARGO_BUILD_*",
    "CARGO_TARGET_*",
    "CC",
    "CDPATH",
    "CLASSPATH",
    "COMPOSER_*",
    "CXX",
    "DYLD_*",
    "ENV",
    "FPATH",
    "GCONV_PATH",
    "GETCONF_DIR",
    "GIT_*",
    "GLIBC_TUNABLES",
    "GOFLAGS",
    "GOPROXY",
    "GPG_*",
    "HELM_*",
    "HOSTALIASES",
    "INPUTRC",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "KUBECTL_*",
    "LD_*",
    "LESS",
    "LESSCLOSE",
    "LESSKEY*",
    "LESSOPEN",
    "LOCPATH",
    "LOCALDOMAIN",
    "LUA_*",
    "MAKEFLAGS",
    "MALLOC_*",
    "MAVEN_OPTS",
    "NIX_*",
    "NLSPATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NPM_CONFIG_*",
    "OPENSSL_*",
    "PERL5*",
    "PERLLIB",
    "PERL_*",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PIP_*",
    "PROMPT_COMMAND",
    "PS4",
    "PYTHON*",
    "RES_OPTIONS",
    "RSYNC_RSH",
    "RUBYLIB",
    "RUBYOPT",
    "RUSTC*",
    "SHELLOPTS",
    "SUDO_ASKPASS",
    "TERMCAP",
    "TERMINFO*",
    "TF_*",
    "VISUAL",
    "XDG_*",
    "_JAVA_OPTIONS",
];

/// What decides whether a shell remembers.
const HISTORY: [&str; 5] = ["HISTCONTROL", "HISTFILE", "HISTFILESIZE", "HISTIGNORE", "HISTSIZE"];

/// Names among the above that only label, count or print.
const LABELS: [&str; 24] = [
    "ANSIBLE_FORCE_COLOR",
    "ANSIBLE_NOCOLOR",
    "ANSIBLE_STDOUT_CALLBACK",
    "AWS_DEFAULT_OUTPUT",
    "AWS_MAX_ATTEMPTS",
    "AWS_RETRY_MODE",
    "GIT_AUTHOR_DATE",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_NAME",
    "GIT_COMMITTER_DATE",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_OPTIONAL_LOCKS",
    "GIT_TERMINAL_PROMPT",
    "PIP_DISABLE_PIP_VERSION_CHECK",
    "PIP_NO_CACHE_DIR",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONIOENCODING",
    "PYTHONUNBUFFERED",
    "PYTHONUTF8",
    "TF_IN_AUTOMATION",
    "TF_INPUT",
    "TF_LOG",
    "TF_VAR_*",
];

/// Pagers that only page.
const PAGERS: [&str; 5] = ["", "cat", "less", "less -R", "more"];

/// Editors that change nothing.
const EDITORS: [&str; 4] = ["", ":", "cat", "true"];
