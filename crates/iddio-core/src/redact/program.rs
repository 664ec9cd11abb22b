//! Where known programs take secrets without saying so by a name: short flags and places.
//!
//! A table, not a parser: it does not matter here whether the command line is valid. A program
//! counts as soon as its name was seen, so wrappers (`sudo`, `env`, `docker exec`) need no care.

use super::{Kind, part};

/// What a command line was seen to run so far.
#[derive(Default)]
pub(super) struct Seen {
    programs: Vec<&'static str>,
    subcommands: Vec<&'static str>,
}

/// How a flag carries its secret.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Form {
    /// In the same word or the next.
    Either,
    /// In the same word alone: `-psecret`. A bare `-p` asks.
    Glued,
    /// In the next word alone.
    Next,
    /// In the same word or the next, behind this byte: `user:secret`.
    Behind(u8),
}

/// A flag of some programs that carries a secret.
pub(super) struct Flag {
    programs: &'static [&'static str],
    /// A subcommand that must have been seen, or nothing.
    subcommand: &'static str,
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) kind: Kind,
}

// === impl Seen ===

impl Seen {
    /// Notes a word that may name a program or a subcommand.
    pub(super) fn note(&mut self, word: &[u8]) {
        let base = word.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if !may_be_known(base) {
            return;
        }
        let Ok(base) = std::str::from_utf8(part(base, 0..base.len().min(PROGRAM_BYTES_MAX + 1)))
        else {
            return;
        };
        let programs = FLAGS.iter().flat_map(|flag| flag.programs).chain(SCRIPTED).chain(PLACED);
        Self::add(&mut self.programs, programs, base);
        Self::add(&mut self.subcommands, SUBCOMMANDS.iter(), base);
    }

    fn add<'a>(
        seen: &mut Vec<&'static str>,
        mut known: impl Iterator<Item = &'a &'static str>,
        word: &str,
    ) {
        if let Some(known) = known.find(|known| **known == word)
            && !seen.contains(known)
        {
            seen.push(known);
        }
    }

    /// Returns the flags that carry secrets for what was seen.
    pub(super) fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        let flags = if self.programs.is_empty() { &[] } else { FLAGS };
        flags.iter().filter(|flag| {
            self.any(flag.programs) && (flag.subcommand.is_empty() || self.did(flag.subcommand))
        })
    }

    /// Whether words of the command line may be scripts.
    pub(super) fn runs_scripts(&self) -> bool {
        self.any(SCRIPTED)
    }

    /// Whether `--secret` and `--secret-id` name a secret instead of holding one.
    pub(super) fn names_secrets(&self) -> bool {
        self.any(&["aws", "docker", "gcloud", "podman", "nerdctl"])
    }

    /// Whether every `name=value` is a secret.
    pub(super) fn stores_pairs(&self) -> bool {
        let vault = self.any(&["vault", "bao"]) && self.did("kv");
        let hosting = self.any(&["doppler", "fly", "flyctl"]) && self.did("secrets");
        vault || hosting
    }

    /// Whether every `--from-literal` is a secret.
    pub(super) fn stores_literals(&self) -> bool {
        self.any(&["kubectl", "oc"]) && self.did("secret")
    }

    /// Whether the word after a name is its value.
    pub(super) fn sets_by_word(&self) -> bool {
        self.any(&["git", "npm", "pnpm", "yarn"]) && self.did("config")
    }

    /// Returns how many words after the subcommand a password stands.
    pub(super) fn password_place(&self, word: &[u8]) -> Option<usize> {
        match word {
            b"add_user" | b"change_password" if self.any(&["rabbitmqctl"]) => Some(2),
            b"login" if self.any(&["vault", "bao"]) => Some(1),
            b"AUTH" | b"auth" if self.any(&["redis-cli", "valkey-cli"]) => Some(1),
            b"-b" | b"-bn" | b"-nb" if self.any(&["htpasswd"]) => Some(3),
            _ => None,
        }
    }

    fn any(&self, programs: &[&'static str]) -> bool {
        !self.programs.is_empty() && programs.iter().any(|program| self.programs.contains(program))
    }

    fn did(&self, subcommand: &'static str) -> bool {
        self.subcommands.contains(&subcommand)
    }
}

/// Whether a word has the first byte and the length of some name in these tables: a filter that
/// passes too much, never too little.
fn may_be_known(word: &[u8]) -> bool {
    let Some(first) = word.first().filter(|_| word.len() <= PROGRAM_BYTES_MAX) else {
        return false;
    };
    LENGTHS.get(usize::from(*first)).is_some_and(|lengths| lengths >> word.len() & 1 == 1)
}

/// Marks, for every first byte, the lengths of the names that begin with it.
const fn lengths() -> [u64; 256] {
    let mut marks = mark(mark(mark([0; 256], SCRIPTED), PLACED), SUBCOMMANDS);
    let mut rest = FLAGS;
    while let [flag, tail @ ..] = rest {
        marks = mark(marks, flag.programs);
        rest = tail;
    }
    marks
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks the place")]
const fn mark(mut marks: [u64; 256], names: &[&str]) -> [u64; 256] {
    let mut rest = names;
    while let [name, tail @ ..] = rest {
        assert!(name.len() <= PROGRAM_BYTES_MAX, "a name in these tables is short");
        if let [first, ..] = name.as_bytes() {
            marks[*first as usize] |= 1 << name.len();
        }
        rest = tail;
    }
    marks
}

const fn flag(
    programs: &'static [&'static str],
    subcommand: &'static str,
    name: &'static str,
    form: Form,
    kind: Kind,
) -> Flag {
    Flag { programs, subcommand, name, form, kind }
}

const ARCHIVES: &[&str] = &["7z", "7za", "7zr", "7zz", "rar", "unrar"];
const CIFS: &[&str] = &["net", "rpcclient", "smbclient", "smbget", "winexe"];
const LDAP: &[&str] = &[
    "ldapadd",
    "ldapcompare",
    "ldapdelete",
    "ldapmodify",
    "ldapmodrdn",
    "ldappasswd",
    "ldapsearch",
    "ldapwhoami",
];
const MONGO: &[&str] = &[
    "mongo",
    "mongodump",
    "mongoexport",
    "mongofiles",
    "mongoimport",
    "mongorestore",
    "mongosh",
    "mongostat",
    "mongotop",
];
const MYSQL: &[&str] = &[
    "mariadb",
    "mariadb-admin",
    "mariadb-dump",
    "mysql",
    "mysqladmin",
    "mysqlcheck",
    "mysqldump",
    "mysqlimport",
    "mysqlpump",
    "mysqlsh",
    "mysqlshow",
    "mysqlslap",
    "xtrabackup",
];
const REGISTRIES: &[&str] =
    &["az", "buildah", "crane", "docker", "helm", "nerdctl", "oras", "podman", "regctl", "skopeo"];
const SNMP: &[&str] =
    &["snmpbulkwalk", "snmpget", "snmpgetnext", "snmpset", "snmptrap", "snmpwalk"];

/// Short flags, and long ones whose name says nothing.
const FLAGS: &[Flag] = &[
    flag(ARCHIVES, "", "-p", Form::Glued, Kind::Password),
    flag(CIFS, "", "-U", Form::Behind(b'%'), Kind::Password),
    flag(LDAP, "", "-a", Form::Either, Kind::Password),
    flag(LDAP, "", "-w", Form::Either, Kind::Password),
    flag(&["ldappasswd"], "", "-s", Form::Either, Kind::Password),
    flag(MONGO, "", "-p", Form::Either, Kind::Password),
    flag(MYSQL, "", "-p", Form::Glued, Kind::Password),
    flag(REGISTRIES, "login", "-p", Form::Either, Kind::Password),
    flag(SNMP, "", "-A", Form::Next, Kind::Password),
    flag(SNMP, "", "-X", Form::Next, Kind::Password),
    flag(SNMP, "", "-c", Form::Next, Kind::Password),
    flag(&["aws"], "put-parameter", "--value", Form::Next, Kind::Value),
    flag(&["az"], "secret", "--value", Form::Next, Kind::Value),
    flag(&["bcp", "sqlcmd"], "", "-P", Form::Either, Kind::Password),
    flag(&["curl"], "", "--cert", Form::Behind(b':'), Kind::Password),
    flag(&["curl"], "", "--proxy-user", Form::Behind(b':'), Kind::Password),
    flag(&["curl"], "", "--user", Form::Behind(b':'), Kind::Password),
    flag(&["curl"], "", "-E", Form::Behind(b':'), Kind::Password),
    flag(&["curl"], "", "-U", Form::Behind(b':'), Kind::Password),
    flag(&["curl"], "", "-b", Form::Behind(b'='), Kind::Cookie),
    flag(&["curl"], "", "--cookie", Form::Behind(b'='), Kind::Cookie),
    flag(&["curl", "http", "https", "xh"], "", "-u", Form::Behind(b':'), Kind::Password),
    flag(&["http", "https", "xh"], "", "-a", Form::Behind(b':'), Kind::Password),
    flag(&["http", "https", "xh"], "", "--auth", Form::Behind(b':'), Kind::Password),
    flag(&["gh"], "secret", "--body", Form::Next, Kind::Value),
    flag(&["gh"], "secret", "-b", Form::Either, Kind::Value),
    flag(&["ipmitool"], "", "-P", Form::Either, Kind::Password),
    flag(&["mosquitto_pub", "mosquitto_sub"], "", "-P", Form::Next, Kind::Password),
    flag(&["openssl"], "", "-K", Form::Next, Kind::Key),
    flag(&["openssl"], "", "-hmac", Form::Next, Kind::Key),
    flag(&["openssl"], "enc", "-k", Form::Next, Kind::Password),
    flag(&["plink", "pscp", "psftp", "putty"], "", "-pw", Form::Next, Kind::Password),
    flag(&["redis-cli", "valkey-cli"], "", "-a", Form::Next, Kind::Password),
    flag(&["ssh-keygen"], "", "-N", Form::Next, Kind::Password),
    flag(&["ssh-keygen"], "", "-P", Form::Next, Kind::Password),
    flag(&["sshpass"], "", "-p", Form::Either, Kind::Password),
    flag(&["unzip", "zip", "zipcloak"], "", "-P", Form::Either, Kind::Password),
    flag(&["useradd", "usermod"], "", "-p", Form::Next, Kind::Password),
    flag(&["wget"], "", "--user-pass", Form::Behind(b':'), Kind::Password),
    flag(&["xfreerdp", "xfreerdp3"], "", "/p:", Form::Glued, Kind::Password),
];

/// Programs whose secrets stand at a place, or that change what a flag means.
const PLACED: &[&str] = &[
    "bao",
    "doppler",
    "fly",
    "flyctl",
    "gcloud",
    "git",
    "htpasswd",
    "kubectl",
    "npm",
    "oc",
    "pnpm",
    "rabbitmqctl",
    "vault",
    "yarn",
];

/// Programs that run a word as a script.
const SCRIPTED: &[&str] =
    &["ash", "bash", "dash", "eval", "fish", "ksh", "parallel", "sh", "ssh", "su", "watch", "zsh"];

/// Subcommands that change what a flag means.
const SUBCOMMANDS: &[&str] =
    &["config", "enc", "kv", "login", "put-parameter", "secret", "secrets"];

/// What [`may_be_known`] looks at.
static LENGTHS: [u64; 256] = lengths();

/// The longest name in these tables. What is longer is none of them.
const PROGRAM_BYTES_MAX: usize = 32;
