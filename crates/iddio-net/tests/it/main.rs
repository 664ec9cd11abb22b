//! The relay, with real sockets on the loopback.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use iddio_net::{Destination, Relay};

/// Answers every line with the same line, from a port of its own.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((mut peer, _)) = listener.accept() {
            thread::spawn(move || {
                let mut own = peer.try_clone().unwrap();
                let _ = std::io::copy(&mut peer, &mut own);
            });
        }
    });
    port
}

fn relay(named: &[String]) -> (Relay, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let named = named.iter().map(|text| text.parse::<Destination>().unwrap()).collect();
    (Relay::start(listener, named).unwrap(), TcpStream::connect(address).unwrap())
}

/// Says `request` and returns the first line of the answer.
fn first_line(client: &mut TcpStream, request: &str) -> String {
    client.write_all(request.as_bytes()).unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        assert_eq!(client.read(&mut byte).unwrap(), 1, "{:?}", String::from_utf8_lossy(&line));
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

#[test]
fn a_tunnel_leads_to_what_was_named_and_carries_what_came_early() {
    let port = echo();
    let (relay, mut client) = relay(&[format!("127.0.0.1:{port}")]);
    let asked = format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\nearly");
    assert_eq!(first_line(&mut client, &asked), "HTTP/1.1 200 Connection established\r\n");
    client.write_all(b" and late").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).unwrap();
    assert_eq!(all, "\r\nearly and late");
    let tally = relay.tally();
    assert_eq!(tally.connected, [(format!("127.0.0.1:{port}"), 1)].into());
    assert!(tally.refused.is_empty());
}

#[test]
fn what_was_not_named_is_refused_in_every_spelling() {
    let port = echo();
    let other = echo();
    for target in [
        format!("127.0.0.1:{other}"),
        format!("127.0.0.2:{port}"),
        format!("localhost:{port}"),
        format!("2130706433:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("127.0.0.1.:{port}"),
        format!("x@127.0.0.1:{port}"),
        "169.254.169.254:80".to_owned(),
    ] {
        let (relay, mut client) = relay(&[format!("127.0.0.1:{port}")]);
        let line = first_line(&mut client, &format!("CONNECT {target} HTTP/1.1\r\n\r\n"));
        assert_eq!(line, "HTTP/1.1 403 Forbidden\r\n", "{target}");
        assert!(relay.tally().connected.is_empty());
    }
}

#[test]
fn a_metadata_address_is_refused_though_it_was_named() {
    for named in ["169.254.169.254:80", "[fd00:ec2::254]:80", "100.100.100.200:80"] {
        let (_relay, mut client) = relay(&[named.to_owned()]);
        let line = first_line(&mut client, &format!("CONNECT {named} HTTP/1.1\r\n\r\n"));
        assert_eq!(line, "HTTP/1.1 403 Forbidden\r\n", "{named}");
    }
}

#[test]
fn a_plain_request_and_what_is_no_request_are_refused() {
    for (request, answer) in [
        ("GET http://127.0.0.1/ HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n"),
        ("CONNECT 127.0.0.1 HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n"),
        ("CONNECT a:1 b HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n"),
        ("CONNECT a:+1 HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n"),
    ] {
        let (_relay, mut client) = relay(&[]);
        assert_eq!(first_line(&mut client, request), answer, "{request}");
    }
    let (_relay, mut client) = relay(&[]);
    let long = "x".repeat(64 * 1024);
    // It may be answered, and closed, before all of it was sent.
    let _ = client.write_all(long.as_bytes());
    let mut answer = String::new();
    let _ = client.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[test]
fn tunnels_end_with_the_relay() {
    let port = echo();
    let (relay, mut client) = relay(&[format!("127.0.0.1:{port}")]);
    first_line(&mut client, &format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n"));
    drop(relay);
    let mut rest = Vec::new();
    // Closed or reset, it is over.
    let _ = client.read_to_end(&mut rest);
    assert_eq!(rest, b"\r\n");
}
