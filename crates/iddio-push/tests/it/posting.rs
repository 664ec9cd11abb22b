//! A checkpoint arrives where it should, and nowhere else.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
};

use iddio_push::post::{Credentials, Place, PostError};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// Serves one request with this answer and returns what was asked.
fn serve_once(
    answer: &'static str,
    tls: Option<Arc<ServerConfig>>,
) -> (u16, JoinHandle<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        match tls {
            None => exchange(stream, answer),
            Some(tls) => {
                let connection = ServerConnection::new(tls).unwrap();
                let stream: StreamOwned<_, TcpStream> = StreamOwned::new(connection, stream);
                exchange(stream, answer)
            }
        }
    });
    (port, serving)
}

fn exchange(mut stream: impl Read + Write, answer: &str) -> Option<String> {
    let mut heard = Vec::new();
    let mut chunk = [0; 4_096];
    while !heard.ends_with(b"body\n") {
        let read = stream.read(&mut chunk).ok().filter(|read| *read != 0)?;
        heard.extend_from_slice(&chunk[..read]);
    }
    stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).unwrap();
    String::from_utf8(heard).ok()
}

/// A certificate for these names and its key, and a file that vouches for it.
fn identity(dir: &TempDir, names: &[&str]) -> (Arc<ServerConfig>, std::path::PathBuf) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let path = dir.path().join("roots.pem");
    fs::write(&path, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), path)
}

#[test]
fn a_checkpoint_is_posted_in_clear_within_the_host_and_over_tls_to_who_is_vouched_for() {
    let dir = TempDir::new().unwrap();
    let (tls, roots) = identity(&dir, &["localhost"]);
    let token = Some(Zeroizing::new("iddio_token".to_owned()));
    let credentials = Credentials::trusting(&roots, token).unwrap();
    for (scheme, tls) in [("http", None), ("https", Some(tls))] {
        let (port, serving) = serve_once("HTTP/1.1 204 No Content\r\n\r\n", tls);
        let place = Place::parse(&format!("{scheme}://localhost:{port}/log?host=1")).unwrap();
        place.post(b"the body\n", &credentials).unwrap();
        let heard = serving.join().unwrap().unwrap();
        let (head, body) = heard.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /log?host=1 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nHost: localhost:{port}\r\n")), "{head}");
        assert!(head.contains("\r\nAuthorization: Bearer iddio_token"), "{head}");
        assert!(head.contains("\r\nContent-Length: 9\r\n"), "{head}");
        assert_eq!(body, "the body\n");
    }
}

#[test]
fn who_is_not_vouched_for_is_told_nothing() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (_, roots) = identity(&dir, &["localhost"]);
    let credentials = Credentials::trusting(&roots, None).unwrap();
    // A certificate of its own making, and one for another name.
    let (stranger, _) = identity(&other, &["localhost"]);
    let (misnamed, misnamed_roots) = identity(&other, &["witness.example"]);
    let misnaming = Credentials::trusting(&misnamed_roots, None).unwrap();
    for (tls, credentials) in [(stranger, credentials), (misnamed, misnaming)] {
        let (port, serving) = serve_once("HTTP/1.1 200 OK\r\n\r\n", Some(tls));
        let place = Place::parse(&format!("https://localhost:{port}/")).unwrap();
        let refused = place.post(b"the body\n", &credentials);
        assert!(matches!(refused, Err(PostError::Io(_) | PostError::Tls(_))), "{refused:?}");
        assert_eq!(serving.join().unwrap(), None);
    }
}

#[test]
fn a_redirection_is_not_followed_and_a_refusal_is_no_delivery() {
    let dir = TempDir::new().unwrap();
    let (_, roots) = identity(&dir, &["localhost"]);
    let credentials = Credentials::trusting(&roots, None).unwrap();
    for (answer, status) in [
        ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", 302),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", 403),
        ("HTTP/1.1 503 Away\r\n\r\n", 503),
    ] {
        let (port, serving) = serve_once(answer, None);
        let place = Place::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
        let refused = place.post(b"the body\n", &credentials);
        assert!(matches!(refused, Err(PostError::Status(got)) if got == status), "{refused:?}");
        serving.join().unwrap();
    }
    let (port, serving) = serve_once("SSH-2.0-OpenSSH_9.2\r\n", None);
    let place = Place::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
    assert!(matches!(place.post(b"the body\n", &credentials), Err(PostError::Strange)));
    serving.join().unwrap();
}

#[test]
fn metadata_addresses_are_never_connected_to() {
    let dir = TempDir::new().unwrap();
    let (_, roots) = identity(&dir, &["localhost"]);
    let credentials = Credentials::trusting(&roots, None).unwrap();
    for url in [
        "https://169.254.169.254/",
        "https://[::ffff:169.254.169.254]/",
        "https://[fd00:ec2::254]/",
    ] {
        let refused = Place::parse(url).unwrap().post(b"x", &credentials);
        assert!(matches!(refused, Err(PostError::Connect(_))), "{url}: {refused:?}");
    }
}
