//! Terminals as asciicasts.

use iddio_core::recording::Channel;
use iddio_record::{
    cast::{Cast, Version},
    format::Frame,
};

fn cast(version: Version, title: &str, frames: &[(u64, Channel, &[u8])]) -> String {
    let mut cast = Cast::new(version, title, 1_795_186_987);
    let mut out = Vec::new();
    for (micros, channel, bytes) in frames {
        cast.frame(Frame { micros: *micros, channel: *channel, bytes }, &mut out);
    }
    cast.finish(&mut out);
    String::from_utf8(out).unwrap()
}

const SIZE: Channel = Channel::Resize { columns: 120, rows: 40 };

#[test]
fn both_versions_say_the_same_in_their_own_times() {
    let frames: [(u64, Channel, &[u8]); 5] = [
        (0, SIZE, b""),
        (500_000, Channel::Stdout, b"$ "),
        (1_500_001, Channel::Stdin, b"l"),
        (2_000_000, Channel::Resize { columns: 80, rows: 24 }, b""),
        (2_250_000, Channel::Exit, b"3"),
    ];
    let head = "\"timestamp\":1795186987,\"title\":\"t\"}";
    assert_eq!(
        cast(Version::Two, "t", &frames),
        format!(
            "{{\"version\":2,\"width\":120,\"height\":40,{head}\n[0.500000,\"o\",\"$ \"]\n[1.500001,\"i\",\"l\"]\n[2.000000,\"r\",\"80x24\"]\n"
        )
    );
    assert_eq!(
        cast(Version::Three, "t", &frames),
        format!(
            "{{\"version\":3,\"term\":{{\"cols\":120,\"rows\":40}},{head}\n[0.500000,\"o\",\"$ \"]\n[1.000001,\"i\",\"l\"]\n[0.499999,\"r\",\"80x24\"]\n[0.250000,\"x\",\"3\"]\n"
        )
    );
}

#[test]
fn a_character_that_two_frames_share_is_one() {
    let frames: [(u64, Channel, &[u8]); 4] = [
        (0, SIZE, b""),
        (1, Channel::Stdout, b"a\xe2\x82"),
        (2, Channel::Stdout, b"\xacb\xff"),
        (3, Channel::Stdout, b"\xe2"),
    ];
    let lines = cast(Version::Two, "t", &frames);
    let lines: Vec<_> = lines.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "[0.000001,\"o\",\"a\"]",
            "[0.000002,\"o\",\"\u{20ac}b\u{fffd}\"]",
            "[0.000002,\"o\",\"\u{fffd}\"]"
        ]
    );
}

#[test]
fn x14_a_cast_writes_nothing_into_the_page_that_shows_it() {
    let frames: [(u64, Channel, &[u8]); 1] =
        [(0, Channel::Stdout, b"</script><img src=x onerror=alert(1)>&")];
    let cast = cast(Version::Two, "</script>\x1b]0;x\x07\u{202e}", &frames);
    assert!(!cast.contains(['<', '>', '&', '\x1b', '\u{202e}']), "{cast}");
    assert!(cast.contains("\\u003c/script\\u003e"), "{cast}");
}
