//! WebSockets: frames, and the channels of commands in them.

use std::io;

use iddio_core::recording::Channel;
use iddio_kube::upgrade::{
    Cut, Outs, Side, Tape,
    channels::Version,
    relay::{Relay, Speech, Went},
    websocket::{self, Event, Reader},
};
use proptest::prelude::*;

/// Keeps what was recorded, and takes no more than so many frames.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) frames: Vec<(Channel, Vec<u8>)>,
    pub(crate) most: Option<usize>,
}

impl Tape for Taken {
    fn frame(&mut self, channel: Channel, bytes: &[u8]) -> io::Result<()> {
        if self.most.is_some_and(|most| most <= self.frames.len()) {
            return Err(io::Error::other("full"));
        }
        self.frames.push((channel, bytes.to_vec()));
        Ok(())
    }
}

impl Taken {
    /// Everything that was recorded of a channel.
    pub(crate) fn of(&self, channel: Channel) -> Vec<u8> {
        let own = self.frames.iter().filter(|(own, _)| *own == channel);
        own.flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

/// A frame, written here: the bits of its first byte, and what it holds.
fn frame(first: u8, from: Side, payload: &[u8]) -> Vec<u8> {
    let masked = if from == Side::Client { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(masked | length as u8),
        length @ 126..65_536 => {
            bytes.push(masked | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(masked | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    match from {
        Side::Client => {
            let mask = [0x12, 0x34, 0x56, 0x78];
            bytes.extend(mask);
            bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        }
        Side::Server => bytes.extend(payload),
    }
    bytes
}

/// What comes out of bytes that arrive in parts, with neighbouring pieces joined.
fn told(from: Side, parts: &[Vec<u8>]) -> Result<Vec<String>, Cut> {
    let mut reader = Reader::new(from);
    let mut told: Vec<String> = Vec::new();
    let mut piece = Vec::new();
    for part in parts {
        let mut part = part.clone();
        let mut rest = part.as_mut_slice();
        while let Some(event) = reader.next(&mut rest)? {
            if let Event::Piece(bytes) = event {
                piece.extend_from_slice(bytes);
                continue;
            }
            if let (false, Event::End) = (piece.is_empty(), &event) {
                told.push(format!("{:?}", std::mem::take(&mut piece)));
            }
            told.push(format!("{event:?}"));
        }
    }
    Ok(told)
}

fn split(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}

proptest! {
    #[test]
    fn any_split_of_bytes_is_the_same_frames(
        messages in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4), 0..6),
        pings in prop::collection::vec(any::<bool>(), 24),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
        client in any::<bool>(),
    ) {
        let from = if client { Side::Client } else { Side::Server };
        let mut bytes = Vec::new();
        let mut pings = pings.into_iter().cycle();
        for message in &messages {
            for (number, part) in message.iter().enumerate() {
                let fin = if number + 1 == message.len() { 0x80 } else { 0 };
                let opcode = if number == 0 { 2 } else { 0 };
                bytes.extend(frame(fin | opcode, from, part));
                if pings.next() == Some(true) {
                    bytes.extend(frame(0x89, from, b"still there?"));
                }
            }
        }
        bytes.extend(frame(0x88, from, b"\x03\xe8bye"));
        let whole = told(from, std::slice::from_ref(&bytes)).unwrap();
        let single: Vec<_> = bytes.iter().map(|byte| vec![*byte]).collect();
        prop_assert_eq!(&told(from, &split(&bytes, &cuts)).unwrap(), &whole);
        prop_assert_eq!(&told(from, &single).unwrap(), &whole);
        let starts = whole.iter().filter(|event| *event == "Start").count();
        prop_assert_eq!(starts, messages.len());
    }

    #[test]
    fn what_is_written_is_read(parts in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 0..70_000), 0..3)) {
        for (to, from) in [(Side::Client, Side::Server), (Side::Server, Side::Client)] {
            let mut out = bytes::BytesMut::new();
            let all: Vec<_> = parts.iter().map(Vec::as_slice).collect();
            websocket::message(&mut out, to, &all).unwrap();
            let told = told(from, &[out.to_vec()]).unwrap();
            let joined = parts.concat();
            match joined.is_empty() {
                true => prop_assert_eq!(told, ["Start", "End"]),
                false => {
                    let text = format!("{joined:?}");
                    prop_assert_eq!(told, ["Start", text.as_str(), "End"]);
                }
            }
        }
    }
}

#[test]
fn what_the_protocol_does_not_allow_is_read_no_further() {
    let client = |first, payload: &[u8]| frame(first, Side::Client, payload);
    let table: Vec<(Side, Vec<u8>)> = vec![
        (Side::Client, frame(0x82, Side::Server, b"no mask")),
        (Side::Server, frame(0x82, Side::Client, b"a mask")),
        (Side::Client, client(0xc2, b"compressed")),
        (Side::Client, client(0xa2, b"")),
        (Side::Client, client(0x80, b"goes on from nothing")),
        (Side::Client, [client(0x02, b"a"), client(0x82, b"b")].concat()),
        (Side::Client, client(0x83, b"an opcode that is none")),
        (Side::Client, client(0x8b, b"")),
        (Side::Client, client(0x09, b"a ping in parts")),
        (Side::Client, client(0x89, &[0; 126])),
        (Side::Client, client(0x88, b"1")),
        (Side::Client, client(0x88, &1005u16.to_be_bytes())),
        (Side::Client, client(0x88, &[0x03, 0xe8, 0xff])),
        (Side::Client, [&[0x82, 0xff][..], &(33u64 << 20).to_be_bytes(), &[0; 4]].concat()),
        (Side::Client, [&[0x82, 0xff][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat()),
    ];
    for (from, bytes) in table {
        let told = told(from, std::slice::from_ref(&bytes));
        assert!(matches!(told, Err(Cut::Broken(side, _)) if side == from), "{bytes:?}: {told:?}");
    }
}

/// What the messages written to a side say: channel and bytes, neighbours of one channel joined.
fn heard(outs: &mut Outs, side: Side) -> Vec<(u8, Vec<u8>)> {
    let mut reader = Reader::new(side.other());
    let mut bytes = outs.to(side).split().to_vec();
    let mut rest = bytes.as_mut_slice();
    let mut heard: Vec<(u8, Vec<u8>)> = Vec::new();
    let mut message: Vec<u8> = Vec::new();
    while let Some(event) = reader.next(&mut rest).unwrap() {
        match event {
            Event::Piece(piece) => message.extend_from_slice(piece),
            Event::End => {
                let (number, bytes) = message.split_first().unwrap();
                match heard.last_mut().filter(|(own, _)| own == number) {
                    Some((_, own)) => own.extend_from_slice(bytes),
                    None => heard.push((*number, bytes.to_vec())),
                }
                message.clear();
            }
            _ => {}
        }
    }
    heard
}

fn message(from: Side, channel: u8, bytes: &[u8]) -> Vec<u8> {
    frame(0x82, from, &[&[channel][..], bytes].concat())
}

#[test]
fn k24_every_channel_is_recorded_and_passed_on_byte_by_byte_or_at_once() {
    for (size, big) in [(1, 70_000), (7, 70_000), (32 << 10, 16 << 20), (usize::MAX, 16 << 20)] {
        check_channels(size, &vec![b'z'; big]);
    }
}

fn check_channels(size: usize, big: &[u8]) {
    let inward = [
        message(Side::Client, 0, b"typed"),
        message(Side::Client, 4, br#"{"Width":80,"Height":24}"#),
        message(Side::Client, 0, big),
        // In three frames, the first of which is the channel alone.
        frame(0x02, Side::Client, &[0]),
        frame(0x00, Side::Client, b"in "),
        frame(0x80, Side::Client, b"parts"),
        message(Side::Client, 255, &[0]),
    ]
    .concat();
    let outward = [
        message(Side::Server, 1, b""),
        message(Side::Server, 1, b"out"),
        message(Side::Server, 2, b"err"),
        message(Side::Server, 3, br#"{"status":"Success"}"#),
    ]
    .concat();
    let resized = Channel::Resize { columns: 80, rows: 24 };
    let mut relay = Relay::new(Speech::Channels(Version::Five));
    let (mut tape, mut outs) = (Taken::default(), Outs::default());
    let mut to_server: Vec<(u8, Vec<u8>)> = Vec::new();
    for (from, bytes) in [(Side::Client, &inward), (Side::Server, &outward)] {
        for part in bytes.chunks(size.min(bytes.len())) {
            let went = relay.take(from, &mut part.to_vec(), &mut tape, &mut outs).unwrap();
            assert_eq!(went, Went::On);
            assert!(outs.waiting(Side::Server) < 2 * part.len() + 64, "nothing is held back");
            for (number, bytes) in heard(&mut outs, Side::Server) {
                match to_server.last_mut().filter(|(own, _)| *own == number) {
                    Some((_, own)) => own.extend(bytes),
                    None => to_server.push((number, bytes)),
                }
            }
        }
    }
    let typed = [b"typed".as_slice(), big, b"in parts"].concat();
    assert!(tape.of(Channel::Stdin) == typed);
    assert_eq!(tape.of(Channel::Stdout), b"out");
    assert_eq!(tape.of(Channel::Stderr), b"err");
    assert_eq!(tape.of(Channel::Error), br#"{"status":"Success"}"#);
    assert!(tape.frames.contains(&(resized, Vec::new())));
    // The end of the input, which is recorded as such.
    assert_eq!(tape.frames.iter().filter(|f| **f == (Channel::Stdin, Vec::new())).count(), 1);
    let numbers: Vec<_> = to_server.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 4, 0, 255]);
    assert_eq!(to_server[1].1, b"{\"Width\":80,\"Height\":24}\n");
    assert_eq!(to_server[2].1.len(), big.len() + b"in parts".len());
    let numbers: Vec<_> =
        heard(&mut outs, Side::Client).into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn a_channel_of_the_other_side_or_of_nobody_ends_the_stream() {
    let table: [(Version, Side, u8, &[u8]); 9] = [
        (Version::Five, Side::Client, 1, b"x"),
        (Version::Five, Side::Client, 3, b"x"),
        (Version::Five, Side::Client, 5, b""),
        (Version::Five, Side::Client, 255, &[1]),
        (Version::Four, Side::Client, 255, &[0]),
        (Version::Five, Side::Client, 4, b"{\"Width\":99999999,\"Height\":1}"),
        (Version::Five, Side::Server, 0, b"x"),
        (Version::Five, Side::Server, 4, b"x"),
        (Version::Five, Side::Server, 255, &[0]),
    ];
    for (version, from, channel, bytes) in table {
        let mut relay = Relay::new(Speech::Channels(version));
        let (mut tape, mut outs) = (Taken::default(), Outs::default());
        let mut bytes = message(from, channel, bytes);
        let taken = relay.take(from, &mut bytes, &mut tape, &mut outs);
        assert!(matches!(taken, Err(Cut::Broken(side, _)) if side == from), "{channel} {taken:?}");
        assert!(tape.frames.is_empty());
        assert_eq!(outs.waiting(from.other()), 0);
    }
}

#[test]
fn k23_what_is_not_recorded_is_not_delivered() {
    let mut relay = Relay::new(Speech::Channels(Version::Four));
    let mut tape = Taken { most: Some(1), ..Taken::default() };
    let mut outs = Outs::default();
    let mut bytes = [message(Side::Server, 1, b"one"), message(Side::Server, 1, b"two")].concat();
    let taken = relay.take(Side::Server, &mut bytes, &mut tape, &mut outs);
    assert!(matches!(taken, Err(Cut::Recording(_))), "{taken:?}");
    assert_eq!(heard(&mut outs, Side::Client), [(1, b"one".to_vec())]);
    relay.end(websocket::FAILED, "it could not be recorded", &mut outs).unwrap();
    let heard = heard(&mut outs, Side::Client);
    let [(3, status)] = heard.as_slice() else { panic!("{heard:?}") };
    let status: serde_json::Value = serde_json::from_slice(status).unwrap();
    assert_eq!(status["status"], "Failure");
    assert_eq!(status["message"], "iddio cut the stream: it could not be recorded");
}

#[test]
fn pings_are_answered_here_and_a_close_is_passed_on_once() {
    let mut relay = Relay::new(Speech::Channels(Version::Five));
    let (mut tape, mut outs) = (Taken::default(), Outs::default());
    let mut ping = frame(0x89, Side::Client, b"abc");
    relay.take(Side::Client, &mut ping, &mut tape, &mut outs).unwrap();
    assert_eq!(outs.to(Side::Client).split().to_vec(), frame(0x8a, Side::Server, b"abc"));
    assert_eq!(outs.waiting(Side::Server), 0);
    let mut close = frame(0x88, Side::Server, b"\x03\xe8done");
    let went = relay.take(Side::Server, &mut close, &mut tape, &mut outs).unwrap();
    assert_eq!(went, Went::Closes);
    assert_eq!(outs.to(Side::Client).split().to_vec(), frame(0x88, Side::Server, b"\x03\xe8done"));
    assert!(outs.waiting(Side::Server) > 0);
    let _ = outs.to(Side::Server).split();
    // Nothing follows a close.
    let mut more = message(Side::Server, 1, b"late");
    relay.take(Side::Server, &mut more, &mut tape, &mut outs).unwrap();
    let mut more = message(Side::Client, 0, b"late");
    relay.take(Side::Client, &mut more, &mut tape, &mut outs).unwrap();
    assert!(tape.frames.is_empty());
    assert_eq!(outs.waiting(Side::Client) + outs.waiting(Side::Server), 0);
}
