//! Rules about Rust source that the compiler's lints do not know.

use super::{File, Finding, source::Source};

/// Returns what is wrong with the Rust files among `files`.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        let source = Source::read(&file.path, &file.text);
        findings.extend(opening(file));
        findings.extend(leftovers(file, &source));
        findings.extend(lengths(file, &source));
        findings.extend(purity(file, &source));
        findings.extend(fences(file, &source));
        findings.extend(witnesses(file, &source));
    }
    findings
}

/// Every file says first what it is for.
fn opening(file: &File) -> Option<Finding> {
    let begins = file.text.lines().next().is_some_and(|line| line.starts_with("//! "));
    (!begins)
        .then(|| file.finding(1, "does not open with a `//!` sentence that says what it is for"))
}

/// Nothing is left for later, and nothing passes by being skipped.
fn leftovers(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let raw = file.text.lines().zip(source.code.lines());
    for (number, (text, code)) in (1..).zip(raw) {
        for mark in LEFTOVERS_IN_TEXT {
            if text.contains(mark) {
                findings.push(file.finding(number, format!("`{mark}` is left for later")));
            }
        }
        for mark in LEFTOVERS_IN_CODE {
            if code.contains(mark) {
                findings
                    .push(file.finding(number, format!("`{mark}` does not belong in the tree")));
            }
        }
    }
    findings
}

/// A function fits on a screen.
fn lengths(file: &File, source: &Source) -> Vec<Finding> {
    let long =
        source.functions().into_iter().filter(|function| FUNCTION_LINES_MAX < function.lines);
    let says = |name: &str, lines| {
        format!("`{name}` has {lines} lines, more than the {FUNCTION_LINES_MAX} of a screen")
    };
    long.map(|found| file.finding(found.line, says(&found.name, found.lines))).collect()
}

/// The pure crates know no runtime, socket, file, process or clock.
fn purity(file: &File, source: &Source) -> Vec<Finding> {
    if !PURE.iter().any(|name| file.path.starts_with(&format!("crates/{name}/src/"))) {
        return Vec::new();
    }
    named(file, source, &IMPURE, |path| format!("a pure crate names `{path}`"))
}

/// One crate starts processes, one opens sockets, one holds private keys.
fn fences(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for fence in FENCES {
        let inside = file.path.starts_with(&format!("crates/{}/", fence.owner));
        if !inside && !fence.except.contains(&file.path.as_str()) {
            findings.extend(named(file, source, fence.paths, |path| {
                format!("only {} {}; this names `{path}`", fence.owner, fence.authority)
            }));
        }
    }
    findings
}

/// Only the listed files vouch.
fn witnesses(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (call, allowed) in VOUCHERS {
        if allowed.contains(&file.path.as_str()) {
            continue;
        }
        for (line, path) in source.paths() {
            if path.ends_with(call) {
                let what = format!("`{call}` is called outside the files listed in xtask");
                findings.push(file.finding(line, what));
            }
        }
    }
    findings
}

fn named(
    file: &File,
    source: &Source,
    forbidden: &[&str],
    says: impl Fn(&str) -> String,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, path) in source.paths() {
        // A path matches from any of its segments, so that `time::Instant` and `Instant` do too.
        let hit = forbidden.iter().any(|word| {
            let inside = format!("::{path}::");
            inside.contains(&format!("::{word}::")) && !PURE_NAMES.iter().any(|n| path.contains(n))
        });
        if hit {
            findings.push(file.finding(line, says(&path)));
        }
    }
    findings
}

/// One authority and the crate that has it.
struct Fence {
    owner: &'static str,
    authority: &'static str,
    paths: &'static [&'static str],
    /// Files that have a small part of it, for a reason.
    except: &'static [&'static str],
}

const FENCES: [Fence; 3] = [
    Fence {
        owner: "iddio-spawn",
        authority: "starts processes",
        paths: &["std::process::Command", "process::Command", "Command::new", "nix::unistd::fork"],
        except: &[],
    },
    Fence {
        owner: "iddio-net",
        authority: "opens sockets",
        paths: &[
            "TcpListener",
            "TcpStream",
            "UdpSocket",
            "UnixListener",
            "UnixStream::connect",
            "rustix::net::connect",
            "rustix::net::socket",
        ],
        // Services and their clients speak over sockets of this host, and reach no further; and one
        // that gave up the network tries whether it did.
        except: &[
            "crates/iddio-audit/src/remote.rs",
            // So do the broker and its client. What it carries further was connected by iddio-net, or
            // accepted on a listener of its child's.
            "crates/iddio-execd/src/client.rs",
            "crates/iddio-execd/src/credentials/endpoint.rs",
            "crates/iddio-execd/src/credentials/http.rs",
            "crates/iddio-execd/src/net.rs",
            "crates/iddio-execd/src/server.rs",
            // It listens for clients, and takes over connections that the connector made.
            "crates/iddio-kube/src/socket.rs",
            "crates/iddio-logd/src/serve.rs",
            "crates/iddio-mint/src/signer/mod.rs",
            // The socket of an agent's tools, in its box.
            "crates/iddio-run/src/serve.rs",
            "crates/iddio/src/commands/run.rs",
            // A service says how it is at a socket of its home; operators ask there, and on this host.
            "crates/iddio-runtime/src/status.rs",
            "crates/iddio-serve/src/listen.rs",
            "crates/iddio-serve/src/trace.rs",
            "crates/iddio-service/src/confine.rs",
            "crates/iddio-service/src/listen.rs",
            // The loopback of a confined child, handed to whoever answers on it.
            "crates/iddio-spawn/src/sandbox/loopback.rs",
            "crates/iddio-spawn/src/sandbox/stage.rs",
            "crates/iddio-spawn/src/sandbox/start.rs",
            "crates/iddio-signer/src/service.rs",
        ],
    },
    Fence {
        owner: "iddio-mint",
        authority: "holds private keys",
        paths: &["SigningKey", "ssh_key::PrivateKey", "ssh_key::private"],
        // The signer's keys, which are in no other program.
        except: &["crates/iddio-signer/src/keys.rs"],
    },
];

/// The crates that do no IO.
pub(super) const PURE: [&str; 3] = ["iddio-core", "iddio-classify", "iddio-policy"];

const IMPURE: [&str; 10] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "rustix",
    "tokio",
];

/// Values that live beside what acts: an address is no socket.
const PURE_NAMES: [&str; 4] =
    ["net::AddrParseError", "net::IpAddr", "net::Ipv4Addr", "net::Ipv6Addr"];

/// Who may vouch for what, besides tests.
const VOUCHERS: [(&str, &[&str]); 3] = [
    (
        "Grant::assertion",
        &["crates/iddio-approve/src/ballot.rs", "crates/iddio-approve/src/queue/put.rs"],
    ),
    ("Identified::assertion", &["crates/iddio-runtime/src/identity.rs"]),
    (
        "Receipt::assertion",
        &["crates/iddio-audit/src/chain.rs", "crates/iddio-audit/src/remote.rs"],
    ),
];

const FUNCTION_LINES_MAX: usize = 70;

// Written in two halves, so that this file does not find itself.
const LEFTOVERS_IN_TEXT: [&str; 3] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
const LEFTOVERS_IN_CODE: [&str; 4] = ["#[ignore", "dbg!", "todo!", "unimplemented!"];

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is said about a file with this text at this path.
    fn said(path: &str, text: &str) -> Vec<String> {
        let files = [File { path: path.into(), text: format!("//! For a test.\n{text}") }];
        check(&files).into_iter().map(|finding| finding.what).collect()
    }

    #[track_caller]
    fn caught(path: &str, text: &str, words: &str) {
        let said = said(path, text);
        assert!(said.iter().any(|what| what.contains(words)), "{said:?}");
    }

    #[test]
    fn a_file_without_an_opening_sentence_is_found() {
        let files = [File { path: "crates/a/src/lib.rs".into(), text: "fn main() {}\n".into() }];
        assert_eq!(check(&files).len(), 1);
    }

    #[test]
    fn what_is_left_for_later_is_found() {
        for mark in LEFTOVERS_IN_TEXT {
            caught("crates/a/src/lib.rs", &format!("// {mark} later\n"), "left for later");
        }
        caught("crates/a/tests/it/main.rs", "#[ignore = \"slow\"]\n", "does not belong");
        caught("crates/a/src/lib.rs", "fn f() { dbg!(1) }\n", "does not belong");
    }

    #[test]
    fn a_function_longer_than_a_screen_is_found() {
        let body = "    let _ = 1;\n".repeat(FUNCTION_LINES_MAX);
        caught("crates/a/src/lib.rs", &format!("fn f() {{\n{body}}}\n"), "of a screen");
        let body = "    let _ = 1;\n".repeat(FUNCTION_LINES_MAX - 2);
        assert!(said("crates/a/src/lib.rs", &format!("fn f() {{\n{body}}}\n")).is_empty());
    }

    #[test]
    fn a_pure_crate_that_reads_a_file_or_a_clock_is_found() {
        for text in [
            "use std::{fmt, fs};\n",
            "fn f() { std::env::var(\"A\") }\n",
            "use std::time::{Duration, Instant};\n",
            "use tokio::task;\n",
            "use std::net::{IpAddr, TcpStream};\n",
        ] {
            caught("crates/iddio-core/src/lib.rs", text, "a pure crate");
        }
        let elsewhere = said("crates/iddio-audit/src/lib.rs", "use std::fs;\n");
        assert!(elsewhere.is_empty());
        let address = said("crates/iddio-policy/src/lib.rs", "use std::net::IpAddr;\n");
        assert!(address.is_empty());
    }

    #[test]
    fn a_process_a_socket_or_a_key_outside_its_fence_is_found() {
        for (text, words) in [
            ("use std::process::Command;\n", "starts processes"),
            ("use std::process;\nfn f() { process::Command::new(x) }\n", "starts processes"),
            ("use std::net::TcpStream;\n", "opens sockets"),
            ("use ed25519_dalek::{SigningKey, Signer};\n", "holds private keys"),
        ] {
            caught("crates/iddio-exec/src/lib.rs", text, words);
            assert!(said("crates/iddio-exec/tests/it/main.rs", text).is_empty());
        }
        assert!(said("crates/iddio-mint/src/lib.rs", "use ssh_key::PrivateKey;\n").is_empty());
        assert!(said("crates/iddio-exec/src/lib.rs", "use std::process::ExitCode;\n").is_empty());
    }

    #[test]
    fn vouching_outside_the_listed_files_is_found() {
        for (call, _) in VOUCHERS {
            let text = format!("fn f() {{ {call}(x) }}\n");
            caught("crates/iddio-exec/src/lib.rs", &text, "outside the files listed");
        }
    }
}
