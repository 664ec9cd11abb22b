//! The full-screen view: what a key means, and what it never means.

use super::screen::{Key, Screen, Size, Wish, keys};
use crate::{
    id::AskId,
    queue::{Entry, State},
    sample::{at, entry},
};

const SIZE: Size = Size { rows: 24, columns: 80 };

#[test]
fn an_answer_is_confirmed_by_name_and_keys_before_the_question_answer_nothing() {
    let mut screen = screen(&[entry(1, 1), entry(2, 1)]);
    let wish = screen.press(Key::Char('a'), at(1_000));
    assert_eq!(wish, Wish::Nothing);
    assert_eq!(screen.press(Key::Char('y'), at(1_100)), Wish::Nothing);
    assert!(screen.draw(SIZE, at(1_200)).contains(&format!("APPROVE {}", entry(1, 1).id)));
    let wish = screen.press(Key::Char('y'), at(1_500));
    let digest = entry(1, 1).digest().to_hex();
    assert_eq!(wish, Wish::Approve { id: entry(1, 1).id, digest });
}

#[test]
fn any_key_but_y_leaves_the_question_unanswered() {
    for key in [Key::Enter, Key::Char('n'), Key::Char('Y'), Key::Char('a'), Key::Back, Key::Up] {
        let mut screen = screen(&[entry(1, 1)]);
        screen.press(Key::Char('a'), at(1_000));
        assert_eq!(screen.press(key, at(2_000)), Wish::Nothing, "{key:?}");
        assert_eq!(screen.press(Key::Char('y'), at(3_000)), Wish::Nothing, "{key:?}");
    }
}

#[test]
fn the_list_never_moves_under_the_cursor() {
    let mut screen = screen(&[entry(1, 1), entry(2, 1), entry(3, 1)]);
    screen.press(Key::Down, at(1_000));
    // The first ends, another is put: the cursor stays on the second, and on its line.
    let before = line_of(&mut screen, &entry(2, 1).id);
    let ended = Entry { state: State::Lapsed, ..entry(1, 1) };
    screen.refresh(vec![entry(4, 1), entry(3, 1), entry(2, 1)], vec![ended], at(2_000));
    assert_eq!(line_of(&mut screen, &entry(2, 1).id), before);
    screen.press(Key::Char('d'), at(3_000));
    assert_eq!(screen.press(Key::Char('y'), at(4_000)), Wish::Deny { id: entry(2, 1).id });
}

#[test]
fn an_ask_that_ended_meanwhile_is_not_answered_and_its_neighbour_neither() {
    let mut screen = screen(&[entry(1, 1), entry(2, 1)]);
    screen.press(Key::Char('a'), at(1_000));
    let ended = Entry { state: State::Withdrawn, ..entry(1, 1) };
    screen.refresh(vec![entry(2, 1)], vec![ended], at(1_900));
    assert_eq!(screen.press(Key::Char('y'), at(2_000)), Wish::Nothing);
    assert_eq!(screen.press(Key::Char('y'), at(3_000)), Wish::Nothing);
    assert_eq!(screen.press(Key::Char('y'), at(4_000)), Wish::Nothing);
}

#[test]
fn a_long_ask_is_approved_only_after_its_end_was_shown() {
    let mut screen = screen(&[entry(1, 200)]);
    screen.press(Key::Char('a'), at(1_000));
    assert!(screen.draw(SIZE, at(1_000)).contains("read to the end first"));
    assert_eq!(screen.press(Key::Char('y'), at(2_000)), Wish::Nothing);
    screen.press(Key::Enter, at(3_000));
    for step in 0..30 {
        screen.draw(SIZE, at(3_000 + step));
        screen.press(Key::Char(' '), at(3_000 + step));
    }
    assert!(screen.draw(SIZE, at(4_000)).contains("ask      sha256"));
    screen.press(Key::Char('a'), at(5_000));
    assert!(matches!(screen.press(Key::Char('y'), at(6_000)), Wish::Approve { .. }));
}

#[test]
fn no_line_is_wider_than_the_screen_and_none_holds_a_control_byte() {
    let mut nasty = entry(1, 3);
    nasty.ask.effects[0].text = "\x1b[8mhidden\x07\u{202e}\u{9b}31m".repeat(20);
    let mut screen = screen(&[nasty]);
    for key in [Key::Up, Key::Enter, Key::Char('a')] {
        screen.press(key, at(10_000));
        let drawn = screen.draw(SIZE, at(20_000));
        assert!(drawn.lines().count() <= SIZE.rows, "{drawn}");
        for line in drawn.lines() {
            assert!(line.chars().count() <= SIZE.columns, "{line}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
    }
}

#[test]
fn an_unknown_escape_sequence_is_one_key_that_answers_nothing() {
    assert_eq!(keys(b"\x1b[A\x1bOBy"), [Key::Up, Key::Down, Key::Char('y')]);
    assert_eq!(keys(b"\x1b[200~y\r"), [Key::Back]);
    assert_eq!(keys(b"\x03"), [Key::Leave]);
}

fn screen(entries: &[Entry]) -> Screen {
    let mut screen = Screen::default();
    screen.refresh(entries.to_vec(), Vec::new(), at(0));
    screen
}

fn line_of(screen: &mut Screen, id: &AskId) -> Option<usize> {
    screen.draw(SIZE, at(2_000)).lines().position(|line| line.contains(id.as_str()))
}
