//! SPDY: frames, and the streams of commands and ports in them.

use bytes::BytesMut;
use flate2::{Compress, Compression, FlushCompress};
use iddio_core::recording::{Channel, Way};
use iddio_kube::upgrade::{
    Cut, Outs, Side,
    relay::{Relay, Speech},
    spdy::{Control, Fin, Frame, Reader, Stream, Writer},
    streams::Purpose,
    websocket,
};
use proptest::prelude::*;

use crate::websocket::Taken;

fn stream(number: u32) -> Stream {
    Stream::new(number).unwrap()
}

fn syn(number: u32, headers: &[(&str, &str)]) -> Control {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Control::SynStream {
        stream: stream(number),
        priority: 0,
        fin: Fin::No,
        headers: headers.collect(),
    }
}

/// What comes out of bytes that arrive in parts, with neighbouring pieces joined.
fn told(bytes: &[u8], cuts: &[usize]) -> Result<Vec<String>, Cut> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let mut reader = Reader::new(Side::Client);
    let mut told: Vec<String> = Vec::new();
    let mut data: Option<(Stream, Vec<u8>, Fin)> = None;
    for pair in cuts.windows(2) {
        let mut rest = &bytes[pair[0]..pair[1]];
        while let Some(frame) = reader.next(&mut rest)? {
            match (frame, &mut data) {
                (Frame::Data { stream, bytes, fin }, Some((own, all, end)))
                    if *own == stream && *end == Fin::No =>
                {
                    all.extend_from_slice(bytes);
                    *end = fin;
                }
                (frame, data) => {
                    told.extend(data.take().map(|data| format!("{data:?}")));
                    match frame {
                        Frame::Data { stream, bytes, fin } => {
                            *data = Some((stream, bytes.to_vec(), fin));
                        }
                        Frame::Control(control) => told.push(format!("{control:?}")),
                    }
                }
            }
        }
    }
    told.extend(data.map(|data| format!("{data:?}")));
    Ok(told)
}

fn control() -> impl Strategy<Value = Control> {
    let headers = prop::collection::btree_map("[a-z]{1,8}", "[ -~]{0,40}", 0..4);
    let number = (1u32..1000).prop_map(|number| Stream::new(number).unwrap());
    prop_oneof![
        (number.clone(), 0u8..8, headers).prop_map(|(stream, priority, headers)| {
            let headers = headers.into_iter().collect();
            Control::SynStream { stream, priority, fin: Fin::Yes, headers }
        }),
        number.clone().prop_map(|stream| Control::SynReply { stream, fin: Fin::No }),
        number.clone().prop_map(|stream| Control::Headers { stream, fin: Fin::Yes }),
        (number, 1u32..9).prop_map(|(stream, status)| Control::Reset { stream, status }),
        any::<u32>().prop_map(Control::Ping),
        (0u32..99, 0u32..3).prop_map(|(last, status)| Control::GoAway { last, status }),
        (0u32..99, any::<u32>()).prop_map(|(stream, delta)| Control::Window { stream, delta }),
        prop::collection::vec((any::<u8>(), 0u32..9, any::<u32>()), 0..3)
            .prop_map(Control::Settings),
    ]
}

proptest! {
    #[test]
    fn any_split_of_bytes_is_the_same_frames(
        frames in prop::collection::vec(
            (control(), prop::collection::vec(any::<u8>(), 0..300), any::<bool>()), 0..12),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let (mut writer, mut out) = (Writer::new(), BytesMut::new());
        let mut expected = Vec::new();
        for (control, data, fin) in &frames {
            let fin = if *fin { Fin::Yes } else { Fin::No };
            writer.control(&mut out, control);
            writer.data(&mut out, stream(7), data, fin);
            expected.push(format!("{control:?}"));
            expected.push(format!("{:?}", (stream(7), data, fin)));
        }
        let single: Vec<_> = (0..out.len()).collect();
        prop_assert_eq!(&told(&out, &[]).unwrap(), &expected);
        prop_assert_eq!(&told(&out, &cuts).unwrap(), &expected);
        prop_assert_eq!(&told(&out, &single).unwrap(), &expected);
    }
}

/// A frame that opens a stream, with these bytes as its headers, folded without the dictionary.
fn opening(text: &[u8]) -> Vec<u8> {
    let mut deflate = Compress::new(Compression::best(), true);
    let mut block = Vec::with_capacity(text.len() / 100 + 4096);
    deflate.compress_vec(text, &mut block, FlushCompress::Sync).unwrap();
    let length = (block.len() as u32 + 10).to_be_bytes();
    let mut frame = vec![0x80, 3, 0, 1, 0, length[1], length[2], length[3]];
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    frame.extend(block);
    frame
}

fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = (headers.len() as u32).to_be_bytes().to_vec();
    for part in headers.iter().flat_map(|(name, value)| [name, value]) {
        text.extend((part.len() as u32).to_be_bytes());
        text.extend(part.as_bytes());
    }
    text
}

#[test]
fn what_the_protocol_does_not_allow_is_read_no_further() {
    let read = |bytes: &[u8]| told(bytes, &[]);
    assert!(read(&opening(&block(&[("streamtype", "stdin")]))).is_ok());
    let many: Vec<_> = (0..33).map(|number| format!("h{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "")).collect();
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("a bomb", opening(&vec![0; 8 << 20])),
        ("a long header", opening(&block(&[("a", &"x".repeat(20_000))]))),
        ("many headers", opening(&block(&many))),
        ("a header twice", opening(&block(&[("a", "1"), ("a", "2")]))),
        ("upper case", opening(&block(&[("StreamType", "stdin")]))),
        ("no name", opening(&block(&[("", "x")]))),
        ("two values", opening(&block(&[("port", "80\u{0}443")]))),
        ("a lie about a length", opening(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff])),
        ("more than it says", opening(&[block(&[("a", "b")]), vec![0]].concat())),
        ("not folded", [&[0x80, 3, 0, 1, 0, 0, 0, 14][..], &[0, 0, 0, 1], &[9; 10]].concat()),
        ("another version", vec![0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]),
        ("an unknown kind", vec![0x80, 3, 0, 10, 0, 0, 0, 0]),
        ("a short ping", vec![0x80, 3, 0, 6, 0, 0, 0, 3, 0, 0, 1]),
        ("a long ping", vec![0x80, 3, 0, 6, 0, 0, 0, 5, 0, 0, 0, 1, 0]),
        ("a long frame", vec![0x80, 3, 0, 6, 0, 0xff, 0xff, 0xff]),
        ("no stream", vec![0, 0, 0, 0, 0, 0, 0, 0]),
        ("an unknown flag", vec![0, 0, 0, 1, 2, 0, 0, 0]),
        ("settings without an end", vec![0x80, 3, 0, 4, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff]),
    ];
    for (what, bytes) in table {
        let told = read(&bytes);
        assert!(matches!(told, Err(Cut::Broken(Side::Client, _))), "{what}: {told:?}");
    }
}

/// A connection with both its ends, which write here.
struct Scene {
    relay: Relay,
    tape: Taken,
    outs: Outs,
    client: Writer,
    server: Writer,
}

impl Scene {
    fn new(purpose: Purpose) -> Self {
        Self {
            relay: Relay::new(Speech::Spdy(purpose)),
            tape: Taken::default(),
            outs: Outs::default(),
            client: Writer::new(),
            server: Writer::new(),
        }
    }

    fn control(&mut self, from: Side, control: &Control) -> Result<(), Cut> {
        let mut out = BytesMut::new();
        match from {
            Side::Client => self.client.control(&mut out, control),
            Side::Server => self.server.control(&mut out, control),
        }
        self.take(from, &out)
    }

    fn data(&mut self, from: Side, number: u32, bytes: &[u8], fin: Fin) -> Result<(), Cut> {
        let mut out = BytesMut::new();
        self.client.data(&mut out, stream(number), bytes, fin);
        self.take(from, &out)
    }

    fn take(&mut self, from: Side, bytes: &[u8]) -> Result<(), Cut> {
        let Self { relay, tape, outs, .. } = self;
        relay.take(from, &mut bytes.to_vec(), tape, outs).map(|_| ())
    }
}

#[test]
fn k24_streams_of_a_command_are_its_channels() {
    let mut scene = Scene::new(Purpose::Command);
    let kinds = ["error", "stdin", "stdout", "stderr", "resize"];
    for (number, kind) in (1..).step_by(2).zip(kinds) {
        let headers = [("streamtype", kind), ("x-remote-user", "admin")];
        scene.control(Side::Client, &syn(number, &headers)).unwrap();
        let reply = Control::SynReply { stream: stream(number), fin: Fin::No };
        scene.control(Side::Server, &reply).unwrap();
    }
    // Only what says what a stream is for goes on.
    let sent = told(scene.outs.to(Side::Server), &[]).unwrap();
    assert_eq!(sent.len(), kinds.len());
    assert!(sent.iter().all(|sent| sent.contains("streamtype") && !sent.contains("admin")));
    let _ = scene.outs.to(Side::Server).split();
    scene.data(Side::Client, 3, b"typed", Fin::No).unwrap();
    for part in ["{\"Width\":1", "00,\"Height\":50}\n{\"Width\":7,\"Height\":8}"] {
        scene.data(Side::Client, 9, part.as_bytes(), Fin::No).unwrap();
    }
    scene.data(Side::Server, 5, b"out", Fin::No).unwrap();
    scene.data(Side::Server, 7, b"err", Fin::Yes).unwrap();
    scene.data(Side::Client, 3, b"", Fin::Yes).unwrap();
    let resized = |columns, rows| (Channel::Resize { columns, rows }, Vec::new());
    assert_eq!(
        scene.tape.frames,
        [
            (Channel::Stdin, b"typed".to_vec()),
            resized(100, 50),
            resized(7, 8),
            (Channel::Stdout, b"out".to_vec()),
            (Channel::Stderr, b"err".to_vec()),
            (Channel::Stderr, Vec::new()),
            (Channel::Stdin, Vec::new()),
        ]
    );
    // A window is between the two ends, a ping is between each of them and the gateway.
    let _ = scene.outs.to(Side::Server).split();
    scene.control(Side::Client, &Control::Window { stream: 5, delta: 9 }).unwrap();
    let _ = scene.outs.to(Side::Client).split();
    scene.control(Side::Client, &Control::Ping(1)).unwrap();
    assert_eq!(told(scene.outs.to(Side::Client), &[]).unwrap(), ["Ping(1)"]);
    let sent = told(scene.outs.to(Side::Server), &[]).unwrap();
    assert_eq!(sent, ["Window { stream: 5, delta: 9 }"]);
}

#[test]
fn a_stream_for_no_known_purpose_or_out_of_order_ends_the_connection() {
    let stdin = [("streamtype", "stdin")];
    type Step = (Side, Control);
    let table: Vec<(Purpose, Vec<Step>)> = vec![
        (Purpose::Command, vec![(Side::Server, syn(2, &stdin))]),
        (Purpose::Command, vec![(Side::Client, syn(2, &stdin))]),
        (Purpose::Command, vec![(Side::Client, syn(1, &[]))]),
        (Purpose::Command, vec![(Side::Client, syn(1, &[("streamtype", "data"), ("port", "80")]))]),
        (Purpose::Command, vec![(Side::Client, syn(1, &stdin)), (Side::Client, syn(3, &stdin))]),
        (
            Purpose::Command,
            vec![
                (Side::Client, syn(3, &stdin)),
                (Side::Client, syn(1, &[("streamtype", "error")])),
            ],
        ),
        (Purpose::Ports, vec![(Side::Client, syn(1, &stdin))]),
        (Purpose::Ports, vec![(Side::Client, syn(1, &[("streamtype", "data")]))]),
        (Purpose::Ports, vec![(Side::Client, syn(1, &[("streamtype", "data"), ("port", "0")]))]),
        (
            Purpose::Ports,
            vec![(Side::Client, Control::SynReply { stream: stream(1), fin: Fin::No })],
        ),
    ];
    for (purpose, steps) in table {
        let mut scene = Scene::new(purpose);
        let (last, first) = steps.split_last().unwrap();
        for (from, control) in first {
            scene.control(*from, control).unwrap();
        }
        let waited = scene.outs.waiting(Side::Server);
        let taken = scene.control(last.0, &last.1);
        assert!(matches!(taken, Err(Cut::Broken(side, _)) if side == last.0), "{steps:?}");
        assert_eq!(scene.outs.waiting(Side::Server), waited, "{steps:?}");
    }
    for (from, number) in [(Side::Client, 5), (Side::Server, 3), (Side::Client, 3)] {
        let mut scene = Scene::new(Purpose::Command);
        scene.control(Side::Client, &syn(1, &stdin)).unwrap();
        scene.control(Side::Client, &syn(3, &[("streamtype", "stdout")])).unwrap();
        if from == Side::Server {
            scene.data(from, number, b"last", Fin::Yes).unwrap();
        }
        assert!(scene.data(from, number, b"x", Fin::No).is_err(), "{from:?} {number}");
    }
}

#[test]
fn ports_are_recorded_by_port_and_connection_and_a_reset_ends_one() {
    let mut scene = Scene::new(Purpose::Ports);
    let headers = |kind, request| [("streamtype", kind), ("port", "8080"), ("requestid", request)];
    for (number, kind, request) in
        [(1, "error", "0"), (3, "data", "0"), (5, "error", "1"), (7, "data", "1")]
    {
        scene.control(Side::Client, &syn(number, &headers(kind, request))).unwrap();
    }
    scene.data(Side::Client, 3, b"GET", Fin::No).unwrap();
    scene.data(Side::Client, 7, b"PUT", Fin::No).unwrap();
    scene.data(Side::Server, 3, b"200", Fin::Yes).unwrap();
    scene.data(Side::Server, 5, b"refused", Fin::Yes).unwrap();
    let data = |connection, way| Channel::Data { port: 8080, connection, way };
    let expected = [
        (data(1, Way::Inward), b"GET".to_vec()),
        (data(2, Way::Inward), b"PUT".to_vec()),
        (data(1, Way::Outward), b"200".to_vec()),
        (data(1, Way::Outward), Vec::new()),
        (Channel::Error, b"refused".to_vec()),
    ];
    assert_eq!(scene.tape.frames, expected);
    scene.control(Side::Client, &Control::Reset { stream: stream(7), status: 5 }).unwrap();
    let _ = scene.outs.to(Side::Client).split();
    // What was on its way goes nowhere.
    scene.data(Side::Server, 7, b"late", Fin::No).unwrap();
    assert_eq!(scene.outs.waiting(Side::Client), 0);
    assert_eq!(scene.tape.frames.len(), expected.len());
}

#[test]
fn a_cut_is_told_on_the_error_stream_and_by_a_goaway_within_a_websocket_too() {
    let mut scene = Scene::new(Purpose::Command);
    scene.control(Side::Client, &syn(1, &[("streamtype", "error")])).unwrap();
    scene.relay.end(websocket::POLICY, "the caller was frozen", &mut scene.outs).unwrap();
    let sent = told(scene.outs.to(Side::Client), &[]).unwrap();
    let [data, goaway] = sent.as_slice() else { panic!("{sent:?}") };
    assert!(data.ends_with("Yes)"), "{data}");
    assert_eq!(goaway, "GoAway { last: 1, status: 0 }");
    let mut relay = Relay::new(Speech::Tunnel(Purpose::Ports));
    let mut outs = Outs::default();
    relay.end(websocket::POLICY, "the caller was frozen", &mut outs).unwrap();
    let text = String::from_utf8_lossy(outs.to(Side::Client)).into_owned();
    assert!(text.ends_with("iddio: the caller was frozen"), "{text:?}");
}
