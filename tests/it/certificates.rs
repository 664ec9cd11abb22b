//! A real sshd and what it makes of the signer's certificates: the right user, address and command, or
//! nothing.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use iddio_tests::{
    Said,
    keepers::{Keepers, until},
    real,
};

use crate::keepers::{decided, ssh, state};

/// A host that trusts the signer's certificates.
struct Target {
    sshd: Child,
    port: u16,
    dir: PathBuf,
}

impl Target {
    fn trusting(host: &Keepers) -> Self {
        let sshd = real("sshd", "apt-get install openssh-server").unwrap();
        let dir = host.path("sshd");
        fs::create_dir(&dir).unwrap();
        // sshd wants a place of its own that nobody may write.
        let _there = fs::DirBuilder::new().mode(0o755).recursive(true).create("/run/sshd");
        for name in ["host", "user"] {
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.join(name));
            assert!(command.status().unwrap().success());
        }
        let authority = host.signer().unwrap().public().unwrap().ssh;
        fs::write(dir.join("authority.pub"), authority + "\n").unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {dir}/host\nTrustedUserCAKeys {dir}/authority.pub\n\
             AuthorizedKeysFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             UsePAM no\nSubsystem sftp internal-sftp\nPermitRootLogin yes\nStrictModes no\nPidFile none\nLogLevel VERBOSE\n",
            dir = dir.display()
        );
        fs::write(dir.join("config"), config).unwrap();
        let log = fs::File::create(dir.join("log")).unwrap();
        let mut command = Command::new(sshd);
        command.args(["-D", "-e", "-f"]).arg(dir.join("config")).stdin(Stdio::null()).stderr(log);
        let sshd = command.spawn().unwrap();
        let own = Self { sshd, port, dir };
        until(|| TcpStream::connect(("127.0.0.1", port)).is_ok(), || own.log());
        let key = fs::read_to_string(own.dir.join("host.pub")).unwrap();
        fs::write(own.dir.join("known"), format!("[127.0.0.1]:{port} {key}")).unwrap();
        own
    }

    /// Has a certificate made for what a record allows, and returns where it is.
    fn certificate(&self, host: &Keepers, id: u128, method: &str, words: &[&[u8]]) -> PathBuf {
        let record = state(host, &decided(id, ssh(method, "root@web-1", words), None));
        let key = fs::read_to_string(self.dir.join("user.pub")).unwrap();
        let line = host.signer().unwrap().ssh(record, key.trim_end()).unwrap();
        let path = self.dir.join(format!("{id}-cert.pub"));
        fs::write(&path, line + "\n").unwrap();
        path
    }

    /// Runs `ssh` with a certificate.
    fn ssh(&self, certificate: &Path, user: &str, words: &[&str]) -> Said {
        let option = |name: &str, path: &Path| format!("{name}={}", path.display());
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-p", &self.port.to_string(), "-l", user]);
        command.arg("-i").arg(self.dir.join("user"));
        for option in [
            option("CertificateFile", certificate),
            option("UserKnownHostsFile", &self.dir.join("known")),
            "BatchMode=yes".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command.args(words).stdin(Stdio::null());
        Said::of(command.output().unwrap())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.sshd.kill().unwrap();
        self.sshd.wait().unwrap();
    }
}

#[test]
fn s15_a_host_runs_the_one_command_of_a_certificate_for_its_one_user() {
    let host = Keepers::started();
    let target = Target::trusting(&host);
    let words: [&[u8]; 4] = [b"printf", b"%s|%s", b"it's", b"$HOME `id` ;"];
    let exec = target.certificate(&host, 1, "exec", &words);
    let here = "127.0.0.1";
    // Whatever the client asks for.
    for asked in [&[here][..], &[here, "cat /etc/shadow"], &["-s", here, "sftp"]] {
        let said = target.ssh(&exec, "root", asked);
        assert_eq!(said.stdout, "it's|$HOME `id` ;", "{said:?} {}", target.log());
    }
    // For nobody else, with no terminal, and to nowhere else.
    let other = target.ssh(&exec, "daemon", &[here]);
    assert!(other.code == 255 && other.stderr.contains("Permission denied"), "{other:?}");
    assert!(target.log().contains("name is not a listed principal"), "{}", target.log());
    let terminal = target.ssh(&exec, "root", &["-tt", here]);
    assert!(terminal.stderr.contains("PTY allocation request failed"), "{terminal:?}");
    let onward = format!("127.0.0.1:{}", target.port);
    let forward = target.ssh(&exec, "root", &["-W", &onward, here]);
    assert!(forward.stdout.is_empty() && forward.stderr.contains("prohibited"), "{forward:?}");
}

#[test]
fn s15_a_certificate_for_forwards_runs_nothing_and_one_for_a_shell_has_a_terminal() {
    let host = Keepers::started();
    let target = Target::trusting(&host);
    let here = "127.0.0.1";
    let forward = target.certificate(&host, 1, "forward", &[]);
    target.ssh(&forward, "root", &[here, "echo ran"]).exits(1);
    let onward = format!("127.0.0.1:{}", target.port);
    let said = target.ssh(&forward, "root", &["-W", &onward, here]);
    assert!(said.stdout.starts_with("SSH-2.0-"), "{said:?}");
    let shell = target.certificate(&host, 2, "shell", &[]);
    let said = target.ssh(&shell, "root", &["-tt", here, "tty"]).ok();
    assert!(said.stdout.starts_with("/dev/pts/"), "{said:?}");
}

#[test]
fn s15_a_certificate_from_another_address_opens_nothing() {
    let mut host = Keepers::new("", "");
    let config = fs::read_to_string(host.signer_config()).unwrap();
    fs::write(host.signer_config(), config.replace("\"127.0.0.1\", ", "")).unwrap();
    host.start();
    let target = Target::trusting(&host);
    let shell = target.certificate(&host, 1, "shell", &[]);
    let said = target.ssh(&shell, "root", &["127.0.0.1", "echo", "in"]);
    assert!(said.code == 255 && said.stdout.is_empty(), "{said:?}");
    assert!(target.log().contains("not from a permitted source address"), "{}", target.log());
}
