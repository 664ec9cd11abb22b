//! Attempts of an agent on its box: as a real unprivileged user, each with a control that shows the same to work
//! outside, where that is cheap. `docs/escapes.md` says what stops each.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
    process::Stdio,
    thread,
    time::Duration,
};

use iddio_tests::{
    Said,
    person::{CANARY, Person},
};

/// Checks that a script finds the canary outside and not in a box.
#[track_caller]
fn sees_nothing(person: &Person, script: &str) -> Said {
    person.outside(script).prints(CANARY);
    let said = person.boxed(script);
    assert!(!said.stdout.contains(CANARY) && !said.stderr.contains(CANARY), "{said:#?}");
    said
}

/// Checks that a script succeeds outside and fails in a box.
#[track_caller]
fn fails(person: &Person, script: &str) -> Said {
    person.outside(script).ok();
    let said = person.boxed(script);
    assert_ne!(said.code, 0, "{said:#?}");
    ran(&said);
    said
}

/// Checks that a box ran at all: a box that does not start stops everything.
#[track_caller]
fn ran(said: &Said) {
    assert!(said.stderr.contains("workspace writable") && said.code != 69, "{said:#?}");
}

/// A script that makes a system call and ends with the number of its error, or with 0.
fn call(number: i64, arguments: &str) -> String {
    format!(
        "python3 -c 'import ctypes, os, sys
c = ctypes.CDLL(None, use_errno=True)
r = c.syscall({number}, {arguments})
sys.exit(0 if r != -1 else ctypes.get_errno())'"
    )
}

/// Whether a process with this word among its arguments lives on the host.
fn lives(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| line.split(|byte| *byte == 0).any(|part| part == word.as_bytes()))
}

#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..2_400 {
        if done() {
            return;
        }
        thread::sleep(Duration::from_millis(25));
    }
    panic!("{what} never happened");
}

#[test]
fn b01_no_process_is_traced_not_even_its_own_child() {
    let person = Person::new();
    let trace = "python3 -c 'import ctypes, os, sys, time
child = os.fork()
if not child: time.sleep(60)
c = ctypes.CDLL(None, use_errno=True)
r = c.ptrace(16, child, 0, 0)
os.kill(child, 9)
sys.exit(0 if r == 0 else ctypes.get_errno())'";
    assert_eq!(fails(&person, trace).code, EPERM);
    for (number, arguments) in [
        (calls::PROCESS_VM_READV, "1, 0, 0, 0, 0, 0"),
        (calls::PROCESS_VM_WRITEV, "1, 0, 0, 0, 0, 0"),
        (calls::PIDFD_GETFD, "0, 0, 0"),
        (calls::KCMP, "1, 1, 0, 0, 0"),
    ] {
        assert_eq!(person.boxed(&call(number, arguments)).code, EPERM, "{number}");
    }
}

#[test]
fn b02_processes_outside_are_not_there() {
    let person = Person::new();
    let mut command = person.within(["sleep", "600"]);
    let mut outside = command.env("TOKEN", CANARY).stdin(Stdio::null()).spawn().unwrap();
    let (entry, name) =
        (format!("/proc/{}/environ", outside.id()), format!("/proc/{}/comm", outside.id()));
    // Not before it is what it will be: until then it belongs to somebody else.
    until("the process", || {
        fs::read(&name).is_ok_and(|name| name == b"sleep\n")
            && fs::read(&entry)
                .is_ok_and(|all| all.windows(CANARY.len()).any(|w| w == CANARY.as_bytes()))
    });
    let pid = outside.id();
    let script = format!(
        "cat /proc/[0-9]*/environ /proc/{pid}/environ /proc/{pid}/root/etc/hostname /proc/{pid}/cwd/* \
         /proc/{pid}/fd/* 2>/dev/null | tr '\\0' '\\n'; ls /proc/{pid} >&2; true"
    );
    // An ordinary user's world is a user namespace of its own, whose processes see nothing of others in any case.
    if rustix::process::geteuid().is_root() {
        person.outside(&script).prints(CANARY);
    }
    let said = person.boxed(&script);
    ran(&said);
    assert!(!said.stdout.contains(CANARY), "{said:#?}");
    let said = person.boxed("ls -d /proc/[0-9]* | wc -l");
    assert!(said.stdout.trim().parse::<u32>().unwrap() < 8, "{said:#?}");
    outside.kill().unwrap();
    outside.wait().unwrap();
}

#[test]
fn b03_descriptors_left_open_do_not_reach_it() {
    let person = Person::new();
    let key = person.home().join(".ssh/id_ed25519");
    let iddio = person.home().parent().unwrap().join("iddio");
    let open = format!("exec 5<{} 9<{0}; ", key.display());
    let read = "cat <&5; cat <&9; cat /proc/self/fd/5 /proc/self/fd/9; ls -l /proc/self/fd";
    person.outside(&format!("{open}bash -c '{read}'")).prints(CANARY);
    let said = person.outside(&format!("{open}{} run -- bash -c '{read}'", iddio.display()));
    ran(&said);
    assert!(!said.stdout.contains(CANARY), "{said:#?}");
}

#[test]
fn b04_no_core_is_dumped() {
    let person = Person::new();
    let said = person.boxed("ulimit -Hc; ulimit -c unlimited; bash -c 'kill -SEGV $$'; ls -a");
    ran(&said);
    assert_eq!(said.stdout.lines().next(), Some("0"), "{said:#?}");
    assert!(!said.stdout.contains("core"), "{said:#?}");
    let first = said.stderr.contains("ulimit") || said.stderr.contains("cannot modify limit");
    assert!(first, "{said:#?}");
}

#[test]
fn b05_the_first_process_of_the_box_keeps_its_memory_and_descriptors_to_itself() {
    let person = Person::new();
    for script in [
        "cat /proc/1/mem",
        "cat /proc/1/environ",
        "ls /proc/1/fd",
        "ls /proc/1/root",
        "ls /proc/1/cwd",
        "cat /proc/1/maps",
    ] {
        let said = person.boxed(script);
        ran(&said);
        assert!(said.code != 0 && said.stderr.contains("ermission denied"), "{script} {said:#?}");
    }
    // And cannot be ended from within, which would end its reaping.
    person.boxed("kill -9 1; kill -STOP 1; echo alive").ok().prints("alive");
}

#[test]
fn b06_a_setuid_program_gives_nothing() {
    let person = Person::new();
    let said = person.boxed("grep -E 'NoNewPrivs|CapBnd' /proc/self/status");
    said.ok().prints("NoNewPrivs:\t1").prints("CapBnd:\t0000000000000000");
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = person.elsewhere("tools");
    let program = directory.join("id");
    fs::copy("/usr/bin/id", &program).unwrap();
    std::os::unix::fs::chown(&program, Some(0), Some(0)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).unwrap();
    let script = format!("{} -u", program.display());
    assert_eq!(person.outside(&script).ok().stdout, "0\n");
    let shown = directory.to_str().unwrap();
    person.set_policy(OPEN);
    let said = person.boxed_with(&["--read", shown], &script).ok();
    assert_eq!(said.stdout, format!("{}\n", person.uid()));
}

#[test]
fn b07_a_symbolic_link_out_of_the_workspace_leads_nowhere() {
    let person = Person::new();
    let home = person.home();
    let home = home.display();
    sees_nothing(
        &person,
        &format!(
            "ln -sf {home}/.ssh/id_ed25519 a; ln -sfn {home} b; cat a b/.aws/credentials b/.netrc; true"
        ),
    );
}

#[test]
fn b08_no_hard_link_is_made_into_the_workspace() {
    let person = Person::new();
    let key = person.home().join(".ssh/id_ed25519");
    fails(&person, &format!("ln {} stolen-$$", key.display()));
    let said = person.boxed("ln /etc/hostname stolen");
    ran(&said);
    assert!(said.stderr.contains("cross-device") || said.stderr.contains("Invalid"), "{said:#?}");
}

#[test]
fn b09_a_workspace_that_holds_the_home_or_the_secrets_is_refused() {
    let person = Person::new();
    let home = person.home();
    for directory in [home.clone(), home.join(".ssh"), Path::new("/").into(), "/etc".into()] {
        let mut command = person.command(["run", "--", "ls"]);
        let said = Said::of(command.current_dir(&directory).output().unwrap());
        assert_eq!(said.code, 77, "{} {said:#?}", directory.display());
    }
    for option in ["--write", "--read"] {
        let iddio = home.join(".iddio");
        for path in [&home, &home.join(".aws"), &iddio, &iddio.join("log"), Path::new("/proc")] {
            let said = person.iddio(["run", option, path.to_str().unwrap(), "--", "ls"]);
            assert_eq!(said.code, 77, "{option} {} {said:#?}", path.display());
        }
    }
    // Also through a link.
    std::os::unix::fs::symlink(home.join(".ssh"), person.shop().join("innocent")).unwrap();
    assert_eq!(person.iddio(["run", "--read", "innocent", "--", "ls"]).code, 77);
}

#[test]
fn b10_an_abstract_socket_of_the_host_is_not_reached() {
    let person = Person::new();
    let name = format!("iddio-test-{}", std::process::id());
    let address = {
        use std::os::linux::net::SocketAddrExt;
        std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap()
    };
    let _listener = UnixListener::bind_addr(&address).unwrap();
    fails(
        &person,
        &format!(
            "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"\\0{name}\")'"
        ),
    );
}

/// Listens on a socket below the home and checks that only what is outside finds it.
#[track_caller]
fn socket_is_not_there(person: &Person, name: &str) {
    person.file(&format!("{name}.beside"), "");
    let path = person.home().join(name);
    let _listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])";
    fails(person, &format!("python3 -c '{connect}' {}", path.display()));
}

#[test]
fn b11_the_socket_of_a_container_engine_is_not_there() {
    let person = Person::new();
    socket_is_not_there(&person, ".docker/docker.sock");
    person.boxed("ls /run/docker.sock /var/run/docker.sock /run/podman").exits(2);
}

#[test]
fn b12_the_message_buses_are_not_there() {
    let person = Person::new();
    socket_is_not_there(&person, ".bus");
    let mut command =
        person.command(["run", "--", "bash", "-c", "env; ls -A /run /run/user /run/dbus"]);
    command.env("DBUS_SESSION_BUS_ADDRESS", CANARY).env("XDG_RUNTIME_DIR", CANARY);
    command.env("DISPLAY", CANARY).env("XAUTHORITY", CANARY).env("WAYLAND_DISPLAY", CANARY);
    let said = Said::of(command.stdin(Stdio::null()).output().unwrap());
    ran(&said);
    assert!(!said.stdout.contains(CANARY), "{said:#?}");
    assert!(said.stdout.contains("/run:\niddio\n"), "{said:#?}");
}

#[test]
fn b13_an_ssh_agent_is_not_there() {
    let person = Person::new();
    let script = "ssh-add -l";
    let socket = person.elsewhere("agent").join("s");
    let start = format!("ssh-agent -a {} >/dev/null", socket.display());
    let agent = person.outside(&format!("{start}; pgrep -n -u $(id -u) ssh-agent")).ok();
    let named = format!("SSH_AUTH_SOCK={} {script}", socket.display());
    person.outside(&named).exits(1).prints("no identities");
    let mut command = person.command(["run", "--", "bash", "-c", &format!("env; {named}")]);
    command.env("SSH_AUTH_SOCK", &socket);
    let said = Said::of(command.stdin(Stdio::null()).output().unwrap());
    ran(&said);
    assert_eq!(said.code, 2, "{said:#?}");
    assert!(!said.stdout.contains("SSH_AUTH_SOCK="), "{said:#?}");
    person.outside(&format!("kill {}", agent.stdout.trim()));
}

#[test]
fn b14_the_sockets_of_gpg_are_not_there() {
    let person = Person::new();
    socket_is_not_there(&person, ".gnupg/S.gpg-agent");
}

#[test]
fn b15_a_pager_that_starts_programs_starts_them_in_the_box() {
    let person = Person::new();
    person.file("shop/page", "text\n");
    let key = person.home().join(".ssh/id_ed25519");
    let key = key.display();
    let terminal =
        |command: &str| format!("timeout 60 script -qec \"{command}\" /dev/null </dev/null; true");
    sees_nothing(
        &person,
        &format!("export LESSOPEN='|cat {key} # %s'; {}", terminal("less -F page")),
    );
    sees_nothing(&person, &terminal(&format!("git -c core.pager='cat {key}' -p help -a")));
}

#[test]
fn b16_an_editor_that_starts_programs_starts_them_in_the_box() {
    let person = Person::new();
    let key = person.home().join(".ssh/id_ed25519");
    sees_nothing(&person, &format!("vim -u NONE -es -c '!cat {}' -c 'qa!'", key.display()));
}

#[test]
fn b17_nothing_outlives_the_run_however_often_it_forks() {
    let person = Person::new();
    let word = format!("6{:05}", std::process::id());
    let script =
        |word: &str| format!("setsid -f setsid -f nohup sleep {word} >/dev/null 2>&1 </dev/null");
    person.outside(&script(&word)).ok();
    until("the control", || lives(&word));
    person.outside(&format!("pkill -x -f 'sleep {word}'"));
    let word = format!("7{:05}", std::process::id());
    let mut run =
        person.start_boxed(&[], &format!("{}; echo forked >&2; sleep 600", script(&word)));
    run.until("forked");
    until("the fork", || lives(&word));
    // Ended by itself or by whoever started it, all of it is over.
    run.signal(rustix::process::Signal::KILL);
    drop(run.end());
    until("the end", || !lives(&word));
    let up = format!("{}; until pgrep -x -f 'sleep {word}' >/dev/null; do :; done", script(&word));
    person.boxed(&up).ok();
    assert!(!lives(&word));
}

#[test]
fn b18_no_namespace_is_made_in_a_namespace() {
    let person = Person::new();
    fails(&person, "unshare --user --map-root-user true");
    for (number, arguments) in [
        (calls::UNSHARE, "0x10000000"),
        (calls::SETNS, "0, 0"),
        (calls::CLONE, "0x10000011, 0, 0, 0, 0"),
    ] {
        assert_eq!(person.boxed(&call(number, arguments)).code, EPERM, "{number}");
    }
    // What cannot be looked at is not there, so that programs ask in the older way.
    assert_eq!(person.boxed(&call(calls::CLONE3, "0, 0")).code, ENOSYS);
}

#[test]
fn b19_nothing_is_typed_on_a_terminal() {
    let person = Person::new();
    let script = "python3 -c 'import fcntl, os, pty, sys
_, end = pty.openpty()
for request in (0x5412, 0x541c, 0x541d):
    try: fcntl.ioctl(end, request, b\"x\"); sys.exit(0)
    except OSError as error:
        if error.errno != 1: sys.exit(2)
sys.exit(3)'";
    person.boxed(script).exits(3);
}

#[test]
fn b20_nobody_mounts_or_uncovers_anything() {
    let person = Person::new();
    for (number, arguments) in [
        (calls::MOUNT, "b\"t\", b\"/tmp\", b\"tmpfs\", 0, 0"),
        (calls::UMOUNT2, "b\"/proc/keys\", 2"),
        (calls::OPEN_TREE, "-100, b\"/\", 1"),
        (calls::MOVE_MOUNT, "-100, b\"/tmp\", -100, b\"/etc\", 0"),
        (calls::FSOPEN, "b\"tmpfs\", 0"),
        (calls::MOUNT_SETATTR, "-100, b\"/\", 0, 0, 0"),
        (calls::PIVOT_ROOT, "b\".\", b\".\""),
        (calls::CHROOT, "b\"/tmp\""),
    ] {
        assert_eq!(person.boxed(&call(number, arguments)).code, EPERM, "{number}");
    }
    let said = person.boxed("ls -A / | tr '\\n' ' '; wc -c < /proc/keys; cat /proc/kcore");
    assert!(!said.stdout.contains("home-old") && !said.stdout.contains("root"), "{said:#?}");
}

#[test]
fn b21_nothing_of_the_system_is_written() {
    let person = Person::new();
    for path in [
        "/etc/passwd",
        "/usr/bin/iddio-was-here",
        "/here",
        "/run/here",
        "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger",
        "/sys/devices/system/cpu/here",
        "/dev/here",
        "/var/spool/cron/here",
    ] {
        let said = person.boxed(&format!("echo x > {path}"));
        ran(&said);
        assert_ne!(said.code, 0, "{path} {said:#?}");
    }
    person.boxed("echo x > ~/here; echo x > /tmp/here; echo x > here").ok();
    assert!(person.shop().join("here").exists() && !person.home().join("here").exists());
}

#[test]
fn b22_the_keyrings_of_the_kernel_are_closed() {
    let person = Person::new();
    fails(&person, &call(calls::KEYCTL, "0, -4, 1"));
    for (number, arguments) in [
        (calls::ADD_KEY, "b\"user\", b\"k\", b\"v\", 1, -3"),
        (calls::REQUEST_KEY, "b\"user\", b\"k\", 0, 0"),
    ] {
        assert_eq!(person.boxed(&call(number, arguments)).code, EPERM, "{number}");
    }
}

#[test]
fn b23_parts_of_the_kernel_that_no_agent_needs_are_closed() {
    let person = Person::new();
    for (number, arguments) in [
        (calls::IO_URING_SETUP, "1, 0"),
        (calls::BPF, "0, 0, 0"),
        (calls::PERF_EVENT_OPEN, "0, 0, -1, -1, 0"),
        (calls::USERFAULTFD, "1"),
        (calls::KEXEC_LOAD, "0, 0, 0, 0"),
        (calls::INIT_MODULE, "0, 0, 0"),
        (calls::OPEN_BY_HANDLE_AT, "0, 0, 0"),
        (calls::PERSONALITY, "0x8"),
    ] {
        assert_eq!(person.boxed(&call(number, arguments)).code, EPERM, "{number}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn b24_no_other_table_of_calls_leads_around_the_filter() {
    let person = Person::new();
    let foreign = 0x4000_0000 + calls::UNSHARE;
    assert_eq!(person.boxed(&call(foreign, "0x10000000")).code, ENOSYS);
}

#[test]
fn b25_no_socket_leads_around_the_network_namespace() {
    let person = Person::new();
    let script = |family: u32, kind: u32, protocol: u32| {
        format!(
            "python3 -c 'import socket, sys
try: socket.socket({family}, {kind}, {protocol})
except OSError as error: sys.exit(error.errno)'"
        )
    };
    // Packets, machines and their hosts, the kernel's ciphers, other netlink than routes, raw.
    for (family, kind, protocol) in [(17, 3, 0), (40, 1, 0), (38, 5, 0), (16, 3, 9), (2, 3, 1)] {
        let said = person.boxed(&script(family, kind, protocol));
        assert_eq!(said.code, EPERM, "{family} {said:#?}");
    }
    person.boxed(&script(2, 1, 0)).ok();
}

#[test]
fn b26_a_metadata_address_is_not_reached_whoever_names_it() {
    let person = Person::new();
    person.set_policy(OPEN);
    let script = "for url in http://169.254.169.254/ http://[fd00:ec2::254]/ http://100.100.100.200/; do
        curl -s -m 5 --noproxy '*' $url && echo reached; curl -s -m 5 -p $url && echo reached; done; true";
    person.boxed(script).ok();
    for named in ["169.254.169.254:80", "[fd00:ec2::254]:80", "100.100.100.200:80"] {
        let said = person.boxed_with(
            &["--allow-net", named],
            &format!(
                "curl -s -m 5 -p -o /dev/null -w '%{{http_connect}}' http://{}/",
                named.trim_end_matches(":80")
            ),
        );
        ran(&said);
        assert_eq!(said.stdout, "403", "{named} {said:#?}");
    }
}

#[test]
fn b27_a_service_on_the_loopback_of_the_host_is_not_reached() {
    let person = Person::new();
    person.set_policy(OPEN);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        use std::io::{Read, Write};
        while let Ok((mut peer, _)) = listener.accept() {
            let mut request = [0; 1024];
            let _ = peer.read(&mut request);
            let body =
                format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{CANARY}", CANARY.len());
            let _ = peer.write_all(body.as_bytes());
        }
    });
    let direct = format!("curl -s -m 5 --noproxy '*' http://127.0.0.1:{port}/; true");
    sees_nothing(&person, &direct);
    // With a way out that leads elsewhere, it leads there only.
    let around = format!(
        "curl -s -m 5 -p --noproxy '' http://127.0.0.1:{port}/; curl -s -m 5 -p --noproxy '' http://localhost:{port}/; true"
    );
    let said = person.boxed_with(&["--allow-net", "example.invalid:443"], &around);
    ran(&said);
    assert!(!said.stdout.contains(CANARY), "{said:#?}");
    // Named, it is reached: the way out works.
    let named = format!("127.0.0.1:{port}");
    person.boxed_with(&["--allow-net", &named], &around).prints(CANARY);
}

#[test]
fn b28_no_device_is_made_or_found() {
    let person = Person::new();
    let said = person.boxed("mknod memory c 1 1; ls /dev | tr '\\n' ' '");
    ran(&said);
    assert!(said.stderr.contains("Operation not permitted"), "{said:#?}");
    for name in ["mem", "kmem", "kvm", "vda", "sda", "fuse", "net"] {
        assert!(!said.stdout.split(' ').any(|found| found == name), "{said:#?}");
    }
}

#[test]
fn b29_control_groups_are_not_there() {
    let person = Person::new();
    let said = person.boxed("ls /sys/fs; echo $$ > /sys/fs/cgroup/cgroup.procs");
    ran(&said);
    assert_ne!(said.code, 0, "{said:#?}");
}

#[test]
fn b30_the_home_of_iddio_is_neither_read_nor_written() {
    let person = Person::new();
    person.iddio(["init"]).ok();
    person.file(".iddio/note", CANARY);
    let home = person.home();
    let script = format!(
        "cat {0}/.iddio/* 2>/dev/null; echo x > {0}/.iddio/policy.yaml; mkdir -p {0}/.iddio/log; true",
        home.display()
    );
    let before = fs::read(home.join(".iddio/policy.yaml")).unwrap();
    let said = person.boxed(&script);
    ran(&said);
    assert!(!said.stdout.contains(CANARY), "{said:#?}");
    assert_eq!(fs::read(home.join(".iddio/policy.yaml")).unwrap(), before);
    person.iddio(["audit", "verify"]).ok();
}

#[test]
fn b31_the_socket_and_the_tools_are_not_replaced() {
    let person = Person::new();
    for script in [
        "rm /run/iddio/run.sock",
        "mv /run/iddio/run.sock /tmp/x",
        "ln -sf /tmp/mine /run/iddio/bin/terraform",
        "rm /run/iddio/bin/aws",
        "echo x > /run/iddio/tool",
        "cp /bin/true /run/iddio/iddio",
        "mv /run/iddio /run/old",
        "mkdir /run/iddio/bin/x",
    ] {
        let said = person.boxed(script);
        ran(&said);
        assert_ne!(said.code, 0, "{script} {said:#?}");
    }
}

#[test]
fn b32_a_tool_of_its_own_in_front_gets_no_credential() {
    let person = Person::new();
    person.file("shop/bin/aws", "#!/bin/sh\nenv; cat ~/.aws/credentials\n");
    let script = "chmod +x bin/aws; PATH=$PWD/bin:$PATH aws s3 ls; true";
    let mut command = person.command(["run", "--", "bash", "-c", script]);
    command.env("AWS_SECRET_ACCESS_KEY", CANARY).env("KUBECONFIG", CANARY);
    let said = Said::of(command.stdin(Stdio::null()).output().unwrap());
    ran(&said);
    assert!(!said.stdout.contains(CANARY), "{said:#?}");
}

#[test]
fn b33_what_runs_later_outside_is_not_written() {
    let person = Person::new();
    person.outside("git init -q . && touch .envrc && mkdir .vscode").ok();
    for script in [
        "echo evil > .git/hooks/pre-commit",
        "git config core.pager evil",
        "mv .git .git-old",
        "rm -rf .git/hooks && test ! -e .git/hooks",
        "mv .git/hooks .git/hooks-old",
        "ln -sf /tmp .git/hooks",
        "echo evil > .envrc",
        "mv .vscode v",
        "echo evil > .vscode/tasks.json",
    ] {
        let said = person.boxed(script);
        ran(&said);
        assert_ne!(said.code, 0, "{script} {said:#?}");
    }
    // What was not there and would be obeyed is told, and on record.
    let said = person.boxed("mkdir -p evil && echo ../evil > .git/commondir; echo x > .mcp.json");
    let made = |name: &str| format!("made `{}`", person.shop().join(name).display());
    let said = said.says(&made(".git/commondir")).says(&made(".mcp.json"));
    assert_eq!(said.stderr.matches("look at it first").count(), 2, "{said:#?}");
    person.iddio(["audit", "query", "--json"]).prints("made ").prints(".git/commondir");
    fs::remove_file(person.shop().join(".git/commondir")).unwrap();
    // What git itself has to do, it does.
    person.file(".gitconfig", "[user]\n\tname = Ada\n\temail = ada@example.com\n[http]\n\textraheader = canary-5d1e7a90c4\n");
    let said = person.boxed(
        "echo x > f && git add f && git commit -qm x && git log --format=%ae; cat ~/.gitconfig",
    );
    assert!(!said.ok().prints("ada@example.com").stdout.contains(CANARY));
}

#[test]
fn b34_a_link_left_in_what_it_may_write_shows_the_next_run_nothing() {
    let person = Person::new();
    person.file(".claude/settings.json", "{}");
    let home = person.home();
    let options = ["--profile", "claude"];
    let script = "for name in skills hooks commands plugins; do ln -s $HOME/.ssh ~/.claude/$name; done; ls -l ~/.claude";
    ran(&person.boxed_with(&options, script));
    assert!(home.join(".claude/skills").is_symlink());
    let said = person.boxed_with(&options, "cat ~/.claude/*/id_ed25519; ls -lR ~/.claude");
    ran(&said);
    assert!(!said.stdout.contains(CANARY), "{said:#?}");
    let said = person.boxed_with(&options, "echo '{\"hooks\": 1}' > ~/.claude/settings.json");
    assert_ne!(said.code, 0, "{said:#?}");
    assert_eq!(fs::read_to_string(home.join(".claude/settings.json")).unwrap(), "{}");
}

#[test]
fn b35_the_environment_is_an_allow_list() {
    let person = Person::new();
    let mut command = person.command(["run", "--", "env"]);
    for name in [
        "AWS_SECRET_ACCESS_KEY",
        "GITHUB_TOKEN",
        "LD_PRELOAD_X",
        "VAULT_TOKEN",
        "SECRET",
        "HTTPS_PROXY",
        "BASH_ENV",
    ] {
        command.env(name, CANARY);
    }
    let said = Said::of(command.stdin(Stdio::null()).output().unwrap());
    ran(&said);
    assert!(!said.stdout.contains(CANARY), "{said:#?}");
}

#[test]
fn b36_timers_and_spools_of_the_host_take_nothing() {
    let person = Person::new();
    for script in
        ["echo '* * * * * true' | crontab -", "echo true | at now", "systemd-run --user true"]
    {
        let said = person.boxed(script);
        ran(&said);
        assert_ne!(said.code, 0, "{script} {said:#?}");
    }
}

#[test]
fn b37_a_fork_bomb_ends_at_the_limit() {
    let person = Person::new();
    let script = "python3 -c 'import os, sys, time
children = []
try:
    for _ in range(20000): 
        pid = os.fork()
        if not pid: time.sleep(60); os._exit(0)
        children.append(pid)
except OSError as error: print(error.errno, len(children) < 4100)
for pid in children: os.kill(pid, 9)'";
    person.boxed(script).ok().prints("11 True");
}

/// Everything below tier 4 is let through.
const OPEN: &str = "\
agents:
  local:ada:
    rules:
      - {protocol: command, tiers: {0: allow, 1: allow, 2: allow, 3: allow, 4: deny}}
";

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;

/// The numbers of system calls.
#[cfg(target_arch = "x86_64")]
mod calls {
    pub(super) const ADD_KEY: i64 = 248;
    pub(super) const BPF: i64 = 321;
    pub(super) const CHROOT: i64 = 161;
    pub(super) const CLONE: i64 = 56;
    pub(super) const CLONE3: i64 = 435;
    pub(super) const FSOPEN: i64 = 430;
    pub(super) const INIT_MODULE: i64 = 175;
    pub(super) const IO_URING_SETUP: i64 = 425;
    pub(super) const KCMP: i64 = 312;
    pub(super) const KEXEC_LOAD: i64 = 246;
    pub(super) const KEYCTL: i64 = 250;
    pub(super) const MOUNT: i64 = 165;
    pub(super) const MOUNT_SETATTR: i64 = 442;
    pub(super) const MOVE_MOUNT: i64 = 429;
    pub(super) const OPEN_BY_HANDLE_AT: i64 = 304;
    pub(super) const OPEN_TREE: i64 = 428;
    pub(super) const PERF_EVENT_OPEN: i64 = 298;
    pub(super) const PERSONALITY: i64 = 135;
    pub(super) const PIDFD_GETFD: i64 = 438;
    pub(super) const PIVOT_ROOT: i64 = 155;
    pub(super) const PROCESS_VM_READV: i64 = 310;
    pub(super) const PROCESS_VM_WRITEV: i64 = 311;
    pub(super) const REQUEST_KEY: i64 = 249;
    pub(super) const SETNS: i64 = 308;
    pub(super) const UMOUNT2: i64 = 166;
    pub(super) const UNSHARE: i64 = 272;
    pub(super) const USERFAULTFD: i64 = 323;
}

/// The numbers of system calls.
#[cfg(not(target_arch = "x86_64"))]
mod calls {
    pub(super) const ADD_KEY: i64 = 217;
    pub(super) const BPF: i64 = 280;
    pub(super) const CHROOT: i64 = 51;
    pub(super) const CLONE: i64 = 220;
    pub(super) const CLONE3: i64 = 435;
    pub(super) const FSOPEN: i64 = 430;
    pub(super) const INIT_MODULE: i64 = 105;
    pub(super) const IO_URING_SETUP: i64 = 425;
    pub(super) const KCMP: i64 = 272;
    pub(super) const KEXEC_LOAD: i64 = 104;
    pub(super) const KEYCTL: i64 = 219;
    pub(super) const MOUNT: i64 = 40;
    pub(super) const MOUNT_SETATTR: i64 = 442;
    pub(super) const MOVE_MOUNT: i64 = 429;
    pub(super) const OPEN_BY_HANDLE_AT: i64 = 265;
    pub(super) const OPEN_TREE: i64 = 428;
    pub(super) const PERF_EVENT_OPEN: i64 = 241;
    pub(super) const PERSONALITY: i64 = 92;
    pub(super) const PIDFD_GETFD: i64 = 438;
    pub(super) const PIVOT_ROOT: i64 = 41;
    pub(super) const PROCESS_VM_READV: i64 = 270;
    pub(super) const PROCESS_VM_WRITEV: i64 = 271;
    pub(super) const REQUEST_KEY: i64 = 218;
    pub(super) const SETNS: i64 = 268;
    pub(super) const UMOUNT2: i64 = 39;
    pub(super) const UNSHARE: i64 = 97;
    pub(super) const USERFAULTFD: i64 = 282;
}
