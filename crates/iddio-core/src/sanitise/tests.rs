//! What terminals are attacked with (X01 to X13), and what is shown instead.

use super::*;

#[test]
fn hostile_bytes_are_shown_as_escapes() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("X01 hidden text", b"ls \x1b[8m; rm -rf /\x1b[0m", r"ls \x1b[8m; rm -rf /\x1b[0m"),
        ("X02 overwrite", b"rm\x1b[2J\x1b[1A\rls", r"rm\x1b[2J\x1b[1A\rls"),
        ("X03 title", b"\x1b]0;root\x07", r"\x1b]0;root\x07"),
        ("X03 title report", b"\x1b[21t", r"\x1b[21t"),
        (
            "X04 link",
            b"\x1b]8;;http://e\x1b\\x\x1b]8;;\x1b\\",
            r"\x1b]8;;http://e\x1b\\x\x1b]8;;\x1b\\",
        ),
        ("X05 clipboard", b"\x1b]52;c;cm0=\x07", r"\x1b]52;c;cm0=\x07"),
        ("X06 inline file", b"\x1b]1337;File=:AA==\x07", r"\x1b]1337;File=:AA==\x07"),
        ("X06 sixel", b"\x1bPq#0\x1b\\", r"\x1bPq#0\x1b\\"),
        ("X06 kitty", b"\x1b_Ga=T;AA\x1b\\", r"\x1b_Ga=T;AA\x1b\\"),
        ("X07 DECRQSS", b"\x1bP$q\"p\x1b\\", "\\x1bP$q\"p\\x1b\\\\"),
        ("X07 PM", b"\x1b^x\x1b\\", r"\x1b^x\x1b\\"),
        ("X08 paste end", b"\x1b[201~rm", r"\x1b[201~rm"),
        ("X09 backspace", b"rm\x08\x08ls", r"rm\x08\x08ls"),
        ("X09 return", b"rm -rf /\rls       ", r"rm -rf /\rls       "),
        ("X10 override", "a\u{202e}b\u{2066}c\u{2069}".as_bytes(), r"a\u{202e}b\u{2066}c\u{2069}"),
        ("X10 mark", "a\u{200f}\u{200e}\u{61c}".as_bytes(), r"a\u{200f}\u{200e}\u{61c}"),
        (
            "X10 zero width",
            "a\u{200b}\u{200d}\u{feff}\u{2060}".as_bytes(),
            r"a\u{200b}\u{200d}\u{feff}\u{2060}",
        ),
        ("X10 tags", "\u{e0001}\u{e0061}\u{e007f}".as_bytes(), r"\u{e0001}\u{e0061}\u{e007f}"),
        ("X10 variation", "a\u{fe0f}\u{e0100}\u{180b}".as_bytes(), r"a\u{fe0f}\u{e0100}\u{180b}"),
        ("X10 letters", "a א 1".as_bytes(), r"a \u{5d0} 1"),
        ("X11 raw C1", b"\x9b8m\x9d\x90\x9f", r"\x9b8m\x9d\x90\x9f"),
        ("X11 encoded C1", "\u{9b}8m\u{80}\u{9f}".as_bytes(), r"\u{9b}8m\u{80}\u{9f}"),
        ("X12 bare continuation", b"a\x80b\xff", r"a\x80b\xff"),
        ("X12 overlong", b"\xc0\xaf", r"\xc0\xaf"),
        ("X12 surrogate", b"\xed\xa0\x80", r"\xed\xa0\x80"),
        ("X12 cut short", b"\xe2\x82", r"\xe2\x82"),
        ("X12 too great", b"\xf4\x90\x80\x80", r"\xf4\x90\x80\x80"),
        ("X13 bell", b"\x07\x00\x7f", r"\x07\x00\x7f"),
        ("separators", "\u{2028}\u{2029}\u{85}".as_bytes(), r"\u{2028}\u{2029}\u{85}"),
        (
            "spaces",
            "\u{a0}\u{2003}\u{3000}\u{202f}\u{1680}".as_bytes(),
            r"\u{a0}\u{2003}\u{3000}\u{202f}\u{1680}",
        ),
        ("non-characters", "\u{fffe}\u{fdd0}\u{10ffff}".as_bytes(), r"\u{fffe}\u{fdd0}\u{10ffff}"),
        ("private use", "\u{e000}\u{f0000}".as_bytes(), r"\u{e000}\u{f0000}"),
        ("soft hyphen", "a\u{ad}b".as_bytes(), r"a\u{ad}b"),
        (
            "fillers",
            "\u{3164}\u{115f}\u{ffa0}\u{2800}".as_bytes(),
            r"\u{3164}\u{115f}\u{ffa0}\u{2800}",
        ),
        ("combining", "a\u{338}\u{301}".as_bytes(), r"a\u{338}\u{301}"),
        (
            "annotation",
            "\u{fff9}\u{fffb}\u{fffc}\u{fffd}".as_bytes(),
            r"\u{fff9}\u{fffb}\u{fffc}\u{fffd}",
        ),
        ("backslash", br"a\x1b", r"a\\x1b"),
        ("line end", b"a\r\n\tb", r"a\r\n\tb"),
        ("plain", b"kubectl get pods -n 'web'", "kubectl get pods -n 'web'"),
        ("visible", "größe 日本 ☃ é".as_bytes(), "größe 日本 ☃ é"),
    ];
    for (name, bytes, expect) in cases {
        assert_eq!(&line(bytes), expect, "{name}");
        assert_eq!(unescape(expect).as_deref(), Some(*bytes), "{name}");
    }
}

#[test]
fn text_keeps_newlines_and_nothing_else() {
    assert_eq!(text(b"a\n\tb\r\n\x1b[8m"), "a\n\\tb\\r\n\\x1b[8m");
}

#[test]
fn every_character_is_visible_or_escaped_and_comes_back() {
    for char in '\0'..=char::MAX {
        let raw = char.to_string();
        let shown = line(raw.as_bytes());
        assert_eq!(unescape(&shown).as_deref(), Some(raw.as_bytes()), "{:x}", u32::from(char));
        let fair = |shown: char| !shown.is_control() && (shown == ' ' || !shown.is_whitespace());
        assert!(shown.chars().all(fair), "{:x}", u32::from(char));
    }
    for byte in 0..=u8::MAX {
        let shown = line(&[byte]);
        assert_eq!(unescape(&shown).as_deref(), Some(&[byte][..]));
    }
}

#[test]
fn random_bytes_come_back_and_differ_when_they_differ() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let alphabet = b"ab\\nxu{}01\x1b\n\t\xe2\x80\xae\xc2\x9b\xf0\x9f\x98\x80 '";
    for _ in 0..20_000 {
        let len = next() % 24;
        let bytes: Vec<u8> = (0..len).map(|_| alphabet[next() as usize % alphabet.len()]).collect();
        // Each comes back from what is shown, so no two are shown alike.
        assert_eq!(unescape(&line(&bytes)).as_ref(), Some(&bytes));
        assert_eq!(unescape(&text(&bytes)).as_ref(), Some(&bytes));
        assert!(!text(&bytes).chars().any(|char| char.is_control() && char != '\n'));
        assert_eq!(is_plain(&bytes), line(&bytes).as_bytes() == bytes && bytes.is_ascii());
        for columns in 0..12 {
            let clipped = clip_line(&bytes, columns);
            let shown = unescape(&clipped.text).unwrap();
            assert_eq!(shown, bytes[..bytes.len() - clipped.omitted]);
            assert!(clipped.text.chars().count() <= columns);
        }
    }
}

#[test]
fn nothing_is_cut_silently() {
    assert_eq!(clip_line(b"abc", 3), Clipped { text: "abc".into(), omitted: 0 });
    assert_eq!(clip_line(b"abcdef", 3), Clipped { text: "abc".into(), omitted: 3 });
    // An escape is never cut in two.
    assert_eq!(clip_line(b"ab\x1bcd", 5), Clipped { text: "ab".into(), omitted: 3 });
    let limits = Limits { lines: 2, columns: 4 };
    assert_eq!(clip_text(b"ab\ncd\nef", limits), Clipped { text: "ab\ncd".into(), omitted: 3 });
    assert_eq!(clip_text(b"ab\nlonger", limits), Clipped { text: "ab\nlong".into(), omitted: 2 });
    assert_eq!(clip_line(b"abcdef", 3).to_string(), "abc\\…{3 bytes not shown}");
    // The marker cannot be forged: a backslash of the input is shown twice.
    assert_eq!(
        clip_line("a\\…{3 bytes not shown}".as_bytes(), 99).to_string(),
        "a\\\\…{3 bytes not shown}"
    );
    let flood = vec![b'A'; 10_000_000];
    assert_eq!(clip_line(&flood, 200).omitted, 9_999_800);
}

#[test]
fn words_show_where_they_begin_and_end() {
    let raw = |words: &[&[u8]]| words.iter().map(|word| RawText::new(*word)).collect::<Vec<_>>();
    let cases: &[(&[&[u8]], &str)] = &[
        (&[b"rm", b"-rf", b"/"], "rm -rf /"),
        (&[b"rm", b"-rf /"], "rm '-rf /'"),
        (&[b"", b" "], "'' ' '"),
        (&[b"a'b"], r"'a\'b'"),
        (&[b"a\nb"], r"a\nb"),
        (&[], ""),
    ];
    for (words_in, expect) in cases {
        assert_eq!(&words(&raw(words_in)), expect);
    }
}

#[test]
fn words_of_two_scripts_are_pointed_out() {
    let cases: &[(&str, Option<ConfusableKind>)] = &[
        ("kubectl get pods", None),
        ("größe naïve", None),
        ("привет мир", None),
        ("λόγος", None),
        ("日本語", None),
        ("kubеctl", Some(ConfusableKind::MixedScripts)),
        ("gοogle.com", Some(ConfusableKind::MixedScripts)),
        ("сору", Some(ConfusableKind::LatinTwin)),
        ("ｋubectl", Some(ConfusableKind::Compatibility)),
        ("𝐫𝐦", Some(ConfusableKind::Compatibility)),
        ("a∕b", Some(ConfusableKind::Punctuation)),
        ("–force", Some(ConfusableKind::Punctuation)),
    ];
    for (text, expect) in cases {
        let found = confusables(text.as_bytes());
        assert_eq!(found.first().map(|odd| odd.kind), *expect, "{text}");
    }
}

#[test]
fn what_nothing_is_shown_as_does_not_unescape() {
    for shown in ["\\", "\\q", "\\x1", "\\xzz", "\\u1b", "\\u{d800}", "\\u{110000}", "\\u{1b"] {
        assert_eq!(unescape(shown), None, "{shown}");
    }
}
