//! Streams of the Kubernetes gateway: whatever comes, cut however it comes, is recorded alike.

use std::io;

use iddio_core::recording::Channel;
use iddio_kube::upgrade::{
    Outs, Side, Tape,
    channels::Version,
    relay::{Relay, Speech},
    streams::Purpose,
};

/// What was recorded, neighbours of one channel joined.
#[derive(Debug, Default, Eq, PartialEq)]
struct Recorded(Vec<(Channel, Vec<u8>)>);

impl Tape for Recorded {
    fn frame(&mut self, channel: Channel, bytes: &[u8]) -> io::Result<()> {
        match self.0.last_mut() {
            Some((own, all)) if *own == channel && !all.is_empty() && !bytes.is_empty() => {
                all.extend_from_slice(bytes);
            }
            _ => self.0.push((channel, bytes.to_vec())),
        }
        Ok(())
    }
}

/// How a stream went.
#[derive(Debug, Eq, PartialEq)]
enum Went {
    Broken,
    On,
}

pub(crate) fn websocket(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let speech = match kind % 3 {
        0 => Speech::Channels(Version::Four),
        1 => Speech::Channels(Version::Five),
        _ => Speech::Tunnel(Purpose::Ports),
    };
    alike(speech, side(*kind), rest);
}

pub(crate) fn spdy(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let purpose = if kind % 2 == 0 { Purpose::Command } else { Purpose::Ports };
    alike(Speech::Spdy(purpose), side(*kind), rest);
}

fn side(kind: u8) -> Side {
    if kind < 0x80 { Side::Client } else { Side::Server }
}

fn alike(speech: Speech, from: Side, bytes: &[u8]) {
    let whole = flow(speech, from, bytes, bytes.len().max(1));
    for size in [1, 3, 16] {
        assert_eq!(flow(speech, from, bytes, size), whole, "cut after every {size} bytes");
    }
}

fn flow(speech: Speech, from: Side, bytes: &[u8], size: usize) -> (Recorded, Went) {
    let (mut relay, mut recorded) = (Relay::new(speech), Recorded::default());
    let mut outs = Outs::default();
    for part in bytes.chunks(size) {
        if relay.take(from, &mut part.to_vec(), &mut recorded, &mut outs).is_err() {
            return (recorded, Went::Broken);
        }
    }
    let most = bytes.len() * WIDENED_MAX + ANSWERS_BYTES_MAX;
    assert!(outs.waiting(Side::Client) + outs.waiting(Side::Server) <= most);
    (recorded, Went::On)
}

/// How much longer what goes on may be than what came: one byte alone, in a frame of its own.
const WIDENED_MAX: usize = 16;

/// What answers may add.
const ANSWERS_BYTES_MAX: usize = 128 * 1024;
