//! The prompt, on a real pseudo-terminal.

use std::{
    fs::File,
    io::{Read, Write},
    sync::Arc,
    thread,
};

use iddio_core::{
    approval::{Answer, Assurance},
    policy::Obligations,
    tier::Tier,
    time::Clock,
};
use rustix::termios::tcgetattr;

use super::{Form, Hold, Prompt, ask_on, enough};
use crate::{
    bell::Cancel,
    queue::{Enqueued, Setting, State, Step},
    sample::{self, HandClock},
};

#[test]
fn what_was_typed_before_the_question_answers_nothing() {
    let (mut typist, after) = prompted(|typist| {
        typist.keys("y\ny\n");
        typist.start();
        typist.until("[y/N] ");
    });
    assert_eq!(typist.state(), State::Pending);
    typist.keys("\n");
    assert_eq!(after(typist), State::Refused);
}

#[test]
fn what_is_typed_while_the_question_is_read_answers_nothing() {
    let (mut typist, after) = prompted(|typist| {
        typist.start();
        // The question is there; `[y/N]` is not yet.
        typist.until("approve esc_");
        typist.keys("y\n");
        typist.until("[y/N] ");
    });
    assert_eq!(typist.state(), State::Pending);
    typist.keys("n");
    assert_eq!(after(typist), State::Refused);
}

#[test]
fn y_and_enter_is_a_yes_with_no_assurance() {
    let (mut typist, after) = prompted(|typist| {
        typist.start();
        typist.until("[y/N] ");
    });
    typist.keys("y\n");
    typist.until("yes (assurance: none)");
    let step = typist.step();
    let Step::Answered(Answer::Grant(grants)) = step else { panic!("{step:?}") };
    assert_eq!(grants[0].assurance(), Assurance::None);
    assert_eq!(after(typist), State::Consumed);
}

#[test]
fn anything_else_is_a_no() {
    for keys in ["\n", "n", "yes\n", "Y y", " y\n", "\x1b", "\x04", "yy\n", "x"] {
        let (mut typist, after) = prompted(|typist| {
            typist.start();
            typist.until("[y/N] ");
        });
        typist.keys(keys);
        typist.until("no");
        assert_eq!(after(typist), State::Refused, "{keys:?}");
    }
}

#[test]
fn an_answer_elsewhere_takes_the_prompt_down_and_the_terminal_is_as_before() {
    let (mut typist, after) = prompted(|typist| {
        typist.start();
        typist.until("[y/N] ");
    });
    typist.cancel.cancel();
    typist.until("left to the queue");
    assert_eq!(after(typist), State::Pending);
}

#[test]
fn the_prompt_is_shown_only_where_it_is_enough() {
    let ask = sample::ask(1, 1, sample::at(0));
    let mut sensitive = ask.clone();
    sensitive.decision.effective = Tier::Sensitive;
    let mut long = ask.clone();
    long.effects = vec![long.effects[0].clone(); 100];
    let with = |obligations: Obligations| {
        let mut ask = ask.clone();
        ask.decision.obligations = Arc::new(obligations);
        ask
    };
    let two = with(Obligations { required_approvers: 2, ..Obligations::NONE });
    let sure = with(Obligations { assurance: Assurance::Uid, ..Obligations::NONE });
    let here = Prompt::WhereEnough;
    let cases = [
        (here, Form::Personal, &ask, Hold::None, Some(())),
        (Prompt::Off, Form::Personal, &ask, Hold::None, None),
        (here, Form::Service, &ask, Hold::None, None),
        (here, Form::Personal, &ask, Hold::Millis(1), None),
        (here, Form::Personal, &sensitive, Hold::None, None),
        (here, Form::Personal, &long, Hold::None, None),
        (here, Form::Personal, &two, Hold::None, None),
        (here, Form::Personal, &sure, Hold::None, None),
    ];
    for (place, (prompt, form, ask, hold, expected)) in cases.into_iter().enumerate() {
        assert_eq!(enough(prompt, form, ask, hold), expected, "case {place}");
    }
}

/// Whoever sits at the other end.
struct Typist {
    master: File,
    tty: File,
    seen: String,
    home: tempfile::TempDir,
    clock: Arc<HandClock>,
    asked: Option<Enqueued>,
    ask: iddio_core::approval::Ask,
    cancel: Cancel,
    prompt: Option<thread::JoinHandle<Option<()>>>,
}

/// Puts an ask, lets `act` bring the prompt up, and returns how to end: waits for the prompt,
/// checks the terminal's settings, and tells how the ask stands.
fn prompted(act: impl FnOnce(&mut Typist)) -> (Typist, impl FnOnce(Typist) -> State) {
    let (home, clock) = (sample::home(), HandClock::new());
    let ask = sample::ask(1, 1, clock.now());
    let asked = sample::queue(&home, &clock).put(&ask).unwrap();
    let (master, tty) = sample::terminal();
    let before = format!("{:?}", tcgetattr(&tty).unwrap().local_modes);
    let mut typist = Typist {
        master,
        tty,
        seen: String::new(),
        home,
        clock,
        asked: Some(asked),
        ask,
        cancel: Cancel::new().unwrap(),
        prompt: None,
    };
    act(&mut typist);
    (typist, move |mut typist| {
        assert_eq!(typist.prompt.take().unwrap().join().unwrap(), Some(()));
        let after = format!("{:?}", tcgetattr(&typist.tty).unwrap().local_modes);
        assert_eq!(after, before);
        typist.state()
    })
}

impl Typist {
    fn start(&mut self) {
        let tty = self.tty.try_clone().unwrap();
        let dir = self.home.path().to_owned();
        let setting = Setting { dir, user: "ada".to_owned(), form: Form::Personal };
        let (clock, cancel) = (self.clock.clone(), self.cancel.clone());
        let id = self.asked.as_ref().unwrap().id.clone();
        self.prompt = Some(thread::spawn(move || ask_on(tty, setting, clock, &id, &cancel)));
    }

    fn keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    fn until(&mut self, text: &str) {
        let mut bytes = [0; 1_024];
        while !self.seen.contains(text) {
            let read = self.master.read(&mut bytes).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }

    fn state(&self) -> State {
        let id = self.asked.as_ref().unwrap().id.as_str();
        sample::queue(&self.home, &self.clock).show(id).unwrap().state
    }

    fn step(&self) -> Step {
        let id = &self.asked.as_ref().unwrap().id;
        let mut queue = sample::queue(&self.home, &self.clock);
        queue.step(id, &self.ask, &mut Default::default(), &|_| {}).unwrap()
    }
}
