//! X01 to X14: what reaches a terminal that shows a recording.

use super::{LINE_CHARS_MAX, Plain, RESET, Screen};

/// Shows bytes on a screen, in pieces of every size.
fn screen(bytes: &[u8]) -> String {
    let mut seen = Vec::new();
    for size in [1, 3, bytes.len().max(1)] {
        let mut screen = Screen::default();
        let mut out = Vec::new();
        bytes.chunks(size).for_each(|piece| screen.push(piece, &mut out));
        screen.finish(&mut out);
        let shown = out.strip_suffix(RESET).unwrap();
        seen.push(String::from_utf8(shown.to_vec()).unwrap());
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    seen.pop().unwrap()
}

fn plain(bytes: &[u8]) -> String {
    let mut plain = Plain::default();
    let mut out = String::new();
    plain.push(bytes, &mut out);
    plain.finish(&mut out);
    out
}

#[test]
fn what_a_session_usually_shows_is_as_it_was() {
    let usual = "\x1b[1;32m$ \x1b[0mls\r\n\x1b[38;5;12mfile\x1b[39m\tx\x08\x1b[2K\x1b[10;20Hä→é\n";
    assert_eq!(screen(usual.as_bytes()), usual);
    let editor = "\x1b[?1049h\x1b[?25l\x1b[1;24r\x1b[H\x1b[J~\x1b7\x1b8\x1bM\x1b[?25h\x1b[?1049l";
    assert_eq!(screen(editor.as_bytes()), editor);
}

#[test]
fn x01_concealed_text_is_seen() {
    assert_eq!(screen(b"\x1b[8mrm -rf\x1b[0m"), "rm -rf\x1b[0m");
    assert_eq!(screen(b"\x1b[1;8;4mx"), "\x1b[1;4mx");
    for same in [
        "\x1b[30;40m",
        "\x1b[38;5;1;48;5;1m",
        "\x1b[38;2;1;2;3m\x1b[48;2;1;2;3m",
        "\x1b[31m\x1b[48;5;1m",
        "\x1b[38:5:9m\x1b[101m",
    ] {
        let shown = screen(same.as_bytes());
        assert!(shown.ends_with(";49m") || shown.ends_with("[49m"), "{shown:?}");
    }
    assert_eq!(plain(b"\x1b[8mrm -rf\x1b[0m"), "rm -rf");
}

#[test]
fn x02_text_that_is_drawn_over_has_a_line_of_its_own() {
    let over = b"rm -rf /\x1b[2J\x1b[1A\rls\n";
    assert_eq!(plain(over), "rm -rf /\nls\n");
    assert_eq!(screen(over), "rm -rf /\x1b[2J\x1b[1A\rls\n");
}

#[test]
fn x03_titles_and_reports_are_left_out() {
    for hidden in [
        &b"\x1b]0;title\x07"[..],
        b"\x1b]2;title\x1b\\",
        b"\x1b[21t",
        b"\x1b[6n",
        b"\x1b[c",
        b"\x1b[>0q",
        b"\x1bZ",
    ] {
        assert_eq!(screen(&[b"a", hidden, b"b"].concat()), "ab", "{hidden:?}");
    }
    assert_eq!(plain(b"a\x1b]0;ls\x07b"), "a\\x1b]0;lsb");
}

#[test]
fn x04_a_link_to_elsewhere_is_left_out_and_its_text_stays() {
    let link = b"\x1b]8;;https://evil.example\x1b\\https://good.example\x1b]8;;\x1b\\";
    assert_eq!(screen(link), "https://good.example");
    assert!(plain(link).contains("evil.example"));
}

#[test]
fn x05_the_clipboard_is_not_reached() {
    assert_eq!(screen(b"a\x1b]52;c;cm0gLXJmIC8=\x07b"), "ab");
}

#[test]
fn x06_images_and_files_are_left_out() {
    for image in [
        &b"\x1b]1337;File=name=eA==:AAAA\x07"[..],
        b"\x1bPq#0;2;0;0;0~-\x1b\\",
        b"\x1b_Gf=24;AAAA\x1b\\",
    ] {
        assert_eq!(screen(&[b"a", image, b"b"].concat()), "ab");
    }
}

#[test]
fn x07_a_terminal_is_not_asked_for_an_echo() {
    for ask in [&b"\x1bP$qm\x1b\\"[..], b"\x1bP+q544e\x1b\\", b"\x1b[5i", b"\x1b[?6n", b"\x05"] {
        assert_eq!(screen(&[b"a", ask, b"b"].concat()), "ab", "{ask:?}");
    }
}

#[test]
fn x08_marks_of_pasted_text_are_left_out() {
    assert_eq!(screen(b"a\x1b[201~b\x1b[200~c\x1b[?2004h"), "abc");
}

#[test]
fn x09_text_that_is_typed_over_has_a_line_of_its_own() {
    assert_eq!(plain(b"rm -rf /\rls      \n"), "rm -rf /\nls      \n");
    assert_eq!(plain(b"rm\x08\x08ls"), "rm\\x08\\x08ls");
    assert_eq!(plain(b"usual\r\nlines\r\n"), "usual\nlines\n");
}

#[test]
fn x10_characters_that_nobody_sees_are_seen() {
    for (char, shown) in [
        ('\u{202e}', "\\u{202e}"),
        ('\u{200b}', "\\u{200b}"),
        ('\u{e0041}', "\\u{e0041}"),
        ('\u{2066}', "\\u{2066}"),
    ] {
        assert_eq!(screen(format!("a{char}b").as_bytes()), format!("a{shown}b"));
        assert_eq!(plain(format!("a{char}b").as_bytes()), format!("a{shown}b"));
    }
}

#[test]
fn x11_eight_bit_controls_are_none() {
    assert_eq!(screen(b"a\x9b8mb\x9d0;t\x9cc"), "a\\x9b8mb\\x9d0;t\\x9cc");
    assert_eq!(screen("a\u{9b}8mb".as_bytes()), "a\\u{9b}8mb");
}

#[test]
fn x12_bytes_that_are_no_text_are_seen() {
    assert_eq!(screen(b"a\xff\xc3(\xe2\x82"), "a\\xff\\xc3(\\xe2\\x82");
    assert_eq!(screen(b"\xe2\x82\x1b[1mx"), "\\xe2\\x82\x1b[1mx");
}

#[test]
fn x13_bells_and_lines_without_end_stop_nobody() {
    assert_eq!(screen(b"a\x07\x07b"), "ab");
    let line = vec![b'x'; 10 << 20];
    assert!(screen(&line).len() < LINE_CHARS_MAX + 100);
    assert!(plain(&line).len() < LINE_CHARS_MAX + 100);
}

#[test]
fn a_sequence_that_is_broken_off_is_not_put_together_again() {
    assert_eq!(screen(b"\x1b[3\x1b[8mx"), "x");
    assert_eq!(screen(b"\x1b[3\x18" as &[u8]), "");
    assert_eq!(screen(b"\x1b]0;a\x1b[31mb"), "\x1b[31mb");
    assert_eq!(screen(b"\x1b[3\nx"), "\nx");
}
