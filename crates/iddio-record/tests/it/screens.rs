//! What a terminal shows of a recording is what the terminal showed that was recorded.

use iddio_core::recording::Channel;
use iddio_record::{
    cast::{Cast, Version},
    format::Frame,
    safe::Screen,
};
use proptest::prelude::*;

use crate::kit;

/// What programs send to a terminal: text, moves, colours.
fn sent() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ -~]{1,12}",
        1 => Just("\r\n".to_owned()),
        1 => Just("\u{e4}\u{2192}".to_owned()),
        1 => Just("\x08\t".to_owned()),
        1 => (1_u8..30, 1_u8..90).prop_map(|(row, column)| format!("\x1b[{row};{column}H")),
        1 => (0_u8..4, "[ABCDJKP@]").prop_map(|(n, last)| {
            // Three erases what a screen keeps above itself, which a replay leaves alone.
            let n = if last == "J" { n.min(2) } else { n };
            format!("\x1b[{n}{last}")
        }),
        1 => (30_u8..38, 40_u8..48).prop_filter("seen", |(text, ground)| text + 10 != *ground)
            .prop_map(|(text, ground)| format!("\x1b[0;{text};{ground};1m")),
        1 => Just("\x1b[0m".to_owned()),
        1 => Just("\x1b[?1049h".to_owned()),
        1 => Just("\x1b[?1049l".to_owned()),
    ]
}

fn shown(pieces: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut terminal = vt100::Parser::new(24, 80, 0);
    pieces.into_iter().for_each(|piece| terminal.process(&piece));
    terminal.screen().contents_formatted()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_replay_and_a_cast_show_what_was_shown(text in prop::collection::vec(sent(), 0..60), size in 1_usize..40) {
        let text = text.concat();
        let pieces: Vec<Vec<u8>> = text.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
        let there = shown(pieces.clone());
        // What nobody takes for a secret is recorded byte for byte.
        let dir = tempfile::tempdir().unwrap();
        let store = kit::store(dir.path());
        let frames: Vec<_> = pieces.iter().map(|piece| (Channel::Stdout, piece.as_slice())).collect();
        let sealed = kit::session(&store, 1, &frames);
        let (read, _) = kit::frames(dir.path(), 1, sealed.offset);
        let read: Vec<Vec<u8>> = read.into_iter().map(|(_, bytes)| bytes).collect();
        prop_assume!(!read.concat().windows(10).any(|window| window == b"[redacted "));
        prop_assert_eq!(&read.concat(), text.as_bytes());
        let mut screen = Screen::default();
        let replayed = read.iter().map(|piece| {
            let mut out = Vec::new();
            screen.push(piece, &mut out);
            out
        });
        prop_assert_eq!(shown(replayed.collect::<Vec<_>>()), there.clone());
        prop_assert_eq!(screen.left_out(), 0);
        let (mut cast, mut out) = (Cast::new(Version::Two, "t", 0), Vec::new());
        for (micros, bytes) in (0..).zip(&read) {
            cast.frame(Frame { micros, channel: Channel::Stdout, bytes }, &mut out);
        }
        cast.finish(&mut out);
        let out = String::from_utf8(out).unwrap();
        let events = out.lines().skip(1).map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            event[2].as_str().unwrap().as_bytes().to_vec()
        });
        prop_assert_eq!(shown(events.collect::<Vec<_>>()), there);
    }
}
