//! A tree written down in any way reads back as that tree.

use std::sync::Arc;

use iddio_classify::shell::{Span, ast::*, read};
use proptest::prelude::*;

use crate::{
    kit::{Dice, times},
    show::{Quotes, show},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: u32::try_from(times(600)).unwrap(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_written_down_reads_back_as_it_was(seed in any::<u64>(), fuel in 1..60usize) {
        let mut writer = Writer {
            dice: Dice::new(seed), text: String::new(), fuel, level: 0, documents: 0,
        };
        let tree = writer.script(Ended::Maybe);
        let text = writer.text;
        let read = read(text.as_bytes());
        let shown = read.as_ref().map(|read| show(read, Quotes::Kept));
        prop_assert_eq!(shown, Ok(show(&tree, Quotes::Kept)), "{}", text);
    }
}

/// Makes up a tree and writes it down at the same time.
struct Writer {
    dice: Dice,
    text: String,
    /// How many more nodes there may be.
    fuel: usize,
    level: usize,
    /// How many here-documents there are.
    documents: usize,
}

/// What surrounds what is written.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    /// Arithmetic or a here-document's body: only a backslash, a dollar sign and backquotes mean
    /// something.
    Document,
    /// Double quotes.
    Double,
    /// Nothing.
    Nothing,
}

/// Whether a script must end with a separator.
#[derive(Clone, Copy, PartialEq)]
enum Ended {
    Maybe,
    Surely,
}

// === impl Writer ===

impl Writer {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn one(&mut self, ways: &[&str]) {
        let way = self.dice.pick(ways);
        self.put(way);
    }

    /// Whether a rare thing happens; never when little is left.
    fn rarely(&mut self, one_in: usize) -> bool {
        let happens = 0 < self.fuel && self.level < LEVELS_MAX && self.dice.below(one_in) == 0;
        self.fuel = self.fuel.saturating_sub(usize::from(happens));
        happens
    }

    fn blank(&mut self) {
        self.one(&[" ", " ", "  ", "\t", " \\\n "]);
    }

    fn newline(&mut self) {
        self.one(&["\n", "\n", "\n\n", " # it's \"a `comment\n", "\n\t# $( (\n "]);
    }

    fn script(&mut self, ended: Ended) -> Script {
        self.level += 1;
        let mut lists = Vec::new();
        loop {
            if self.rarely(12) {
                lists.push(self.documented());
            } else {
                lists.push(self.list());
            }
            let more = self.rarely(3);
            let list = lists.last_mut().unwrap();
            if self.text.ends_with('\n') {
                // A here-document's end.
            } else if self.dice.below(6) == 0 {
                list.ends = Ends::Background;
                self.one(&["&", " & ", "&\n"]);
            } else if more || ended == Ended::Surely || self.dice.below(2) == 0 {
                if self.dice.below(2) == 0 {
                    self.one(&[";", " ; ", ";\n"])
                } else {
                    self.newline()
                }
            }
            self.put(" ");
            if !more {
                self.level -= 1;
                return Script { lists };
            }
        }
    }

    /// A command with a here-document and nothing that needs a line's end before it.
    fn documented(&mut self) -> List {
        self.documents += 1;
        let end = format!("E{}", self.documents);
        self.put("m3 ");
        let tabs = self.dice.below(4) == 0;
        let literal = tabs || self.dice.below(2) == 0;
        self.put(if tabs { "<<-" } else { "<<" });
        self.one(&["", " "]);
        match (literal, self.dice.below(3)) {
            (false, _) => self.put(&end),
            (true, 0) => self.put(&format!("'{end}'")),
            (true, 1) => self.put(&format!("\"{end}\"")),
            (true, _) => self.put(&format!("\\{end}")),
        }
        self.put("\n");
        let parts = if literal {
            let body = self.dice.pick(&["a $b `c`\n", "'\n\"\\\n", "x\n  y\n", "$(\n"]);
            let margin = if tabs { "\t\t" } else { "" };
            for line in body.lines() {
                self.put(&format!("{margin}{line}\n"));
            }
            vec![Part::Quoted(body.into())]
        } else {
            let mut parts = self.quoted_parts(Inside::Document);
            self.put("\n");
            parts.push(Part::Quoted(b"\n".to_vec()));
            parts
        };
        self.put(if tabs { "\t" } else { "" });
        self.put(&format!("{end}\n"));
        let target = RedirectTarget::Document(word(parts));
        let operator = RedirectOperator::HereDocument;
        let redirect =
            Redirect { descriptor: Descriptor::Implied, operator, target, span: NOWHERE };
        let words = vec![word(vec![Part::Text(b"m3".to_vec())])];
        let simple = Simple { assignments: Vec::new(), words };
        let kind = CommandKind::Simple(simple);
        let command = Command { kind, redirects: vec![redirect], span: NOWHERE };
        let first = Pipeline { commands: vec![command] };
        List { first, rest: Vec::new(), ends: Ends::Waited }
    }

    fn list(&mut self) -> List {
        let first = self.pipeline();
        let mut rest = Vec::new();
        while self.rarely(5) {
            let join = if self.dice.below(2) == 0 { Join::And } else { Join::Or };
            self.put(if join == Join::And { " &&" } else { "||" });
            if self.dice.below(3) == 0 {
                self.newline()
            } else {
                self.put(" ")
            }
            rest.push((join, self.pipeline()));
        }
        List { first, rest, ends: Ends::Waited }
    }

    fn pipeline(&mut self) -> Pipeline {
        if self.dice.below(8) == 0 {
            self.one(&["! ", "time ", "time -p ", "! ! "]);
        }
        let mut commands = vec![self.command()];
        while self.rarely(5) {
            self.put("|");
            if self.dice.below(3) == 0 {
                self.newline()
            } else {
                self.one(&["", " "])
            }
            commands.push(self.command());
        }
        Pipeline { commands }
    }

    fn command(&mut self) -> Command {
        if !self.rarely(3) {
            return self.simple();
        }
        let at = self.dice.below(11);
        if at == 0 {
            let name = self.dice.pick(&["f", "my-func"]);
            self.one(&[
                &format!("{name}()"),
                &format!("function {name} "),
                &format!("{name} ( )\n"),
            ]);
            let body = Arc::new(self.compound(1));
            return plain(CommandKind::Function { name: name.into(), body });
        }
        if at == 1 {
            self.put("coproc ");
            let name = (self.dice.below(2) == 0).then(|| b"job".to_vec());
            self.put(if name.is_some() { "job " } else { "" });
            let body = Arc::new(self.compound(2));
            return plain(CommandKind::Coprocess { name, body });
        }
        self.compound(at)
    }

    fn compound(&mut self, at: usize) -> Command {
        let kind = match at {
            2 => self.condition(),
            3 => self.each(),
            4 => self.case(),
            5 => {
                self.one(&["while ", "until\n"]);
                let condition = self.script(Ended::Surely);
                CommandKind::While { condition, body: self.body() }
            }
            6 => {
                self.put("((");
                let expression = self.arithmetic(&["1", "i++ ", "(2+3)*4", "x<2"]);
                self.put("))");
                CommandKind::Arithmetic(expression)
            }
            7 => self.test(),
            8 => {
                self.put("( ");
                let body = self.script(Ended::Maybe);
                self.put(")");
                CommandKind::Subshell(body)
            }
            9 => {
                self.put("for ((");
                let mut expressions = Vec::new();
                for end in [";", ";", "))"] {
                    expressions.push(self.arithmetic(&["i=0", " i++", "(2+3)*4", ""]));
                    self.put(end);
                }
                self.one(&["; ", " ", "\n"]);
                CommandKind::CountingFor { expressions, body: self.body() }
            }
            _ => {
                self.one(&["{ ", "{\n"]);
                let body = self.script(Ended::Surely);
                self.put("}");
                CommandKind::Group(body)
            }
        };
        let redirects = self.redirects();
        Command { kind, redirects, span: NOWHERE }
    }

    fn body(&mut self) -> Script {
        self.one(&["do ", "do\n"]);
        let body = self.script(Ended::Surely);
        self.put("done");
        body
    }

    fn condition(&mut self) -> CommandKind {
        let mut branches = Vec::new();
        self.put("if ");
        loop {
            let condition = self.script(Ended::Surely);
            self.one(&["then ", "then\n"]);
            branches.push((condition, self.script(Ended::Surely)));
            if !self.rarely(4) {
                break;
            }
            self.put("elif ");
        }
        let otherwise = self.rarely(3).then(|| {
            self.put("else ");
            self.script(Ended::Surely)
        });
        self.put("fi");
        CommandKind::If { branches, otherwise }
    }

    fn each(&mut self) -> CommandKind {
        self.one(&["for x", "select x", "for\tx"]);
        let words = (self.dice.below(3) != 0).then(|| {
            self.one(&[" in", "\nin"]);
            self.words(0)
        });
        self.one(&["; ", "\n"]);
        CommandKind::For { name: b"x".to_vec(), words, body: self.body() }
    }

    fn case(&mut self) -> CommandKind {
        self.put("case ");
        let word = self.word();
        self.one(&[" in ", " in\n", "\nin "]);
        let mut arms = Vec::new();
        while arms.is_empty() || self.rarely(2) {
            self.one(&["(", "( "]);
            let mut patterns = vec![self.word()];
            while self.rarely(4) {
                self.one(&["|", " | "]);
                patterns.push(self.word());
            }
            self.one(&[")", " )\n"]);
            let body =
                if self.dice.below(4) == 0 { Script::default() } else { self.script(Ended::Maybe) };
            // Behind a separator nothing else may end an arm.
            self.one(&["\n;;", "\n;;\n", "\n;&", "\n;;& "]);
            arms.push((patterns, body));
        }
        self.put(" esac");
        CommandKind::Case { word, arms }
    }

    fn test(&mut self) -> CommandKind {
        self.put("[[ ");
        let mut parts = Vec::new();
        loop {
            let operator = self.dice.pick(&["-f", "==", "-eq", "<", "=~"]);
            if operator != "-f" {
                parts.push(TestPart::Operand(self.word()));
                self.blank();
            }
            parts.push(TestPart::Operator(operator.into()));
            self.put(operator);
            self.blank();
            if operator == "=~" {
                let regex = self.dice.pick(&["^a(b|c d)$", "[[:space:]]+", "x|y"]);
                self.put(regex);
                parts.push(TestPart::Operand(word(vec![Part::Text(regex.into())])));
            } else {
                parts.push(TestPart::Operand(self.word()));
            }
            self.blank();
            if !self.rarely(3) {
                self.put("]]");
                return CommandKind::Test(parts);
            }
            let join = self.dice.pick(&["&&", "||"]);
            self.put(join);
            self.one(&[" ", "\n"]);
            parts.push(TestPart::Operator(join.into()));
        }
    }

    fn simple(&mut self) -> Command {
        let mut assignments = Vec::new();
        while self.rarely(6) {
            assignments.push(self.assignment());
            self.blank();
        }
        let declares = self.rarely(10);
        let name = if declares { "declare" } else { self.dice.pick(&["m0", "m1", "ls", "a-b"]) };
        let mut parts = vec![Part::Text(name.into())];
        self.put(name);
        if !declares && self.rarely(6) {
            parts.push(self.quoted_part());
        }
        let mut words = vec![word(parts)];
        if declares {
            self.put(" v=");
            let elements = self.elements();
            words.push(word(vec![Part::Text(b"v=".to_vec()), Part::Array(elements)]));
        }
        words.extend(self.words(0));
        let redirects = self.redirects();
        let kind = CommandKind::Simple(Simple { assignments, words });
        Command { kind, redirects, span: NOWHERE }
    }

    fn assignment(&mut self) -> Assignment {
        let name = self.dice.pick(&["x", "y_1"]);
        self.put(name);
        let subscript = self.rarely(4).then(|| {
            self.put("[");
            let subscript = self.arithmetic(&["i", "1 + 2", "\"\""]);
            self.put("]");
            subscript
        });
        let appends = if self.dice.below(4) == 0 { Appends::Adds } else { Appends::Replaces };
        self.put(if appends == Appends::Adds { "+=" } else { "=" });
        let value = if subscript.is_none() && self.rarely(4) {
            AssignedValue::Array(self.elements())
        } else if self.dice.below(4) == 0 {
            AssignedValue::Word(Word::default())
        } else {
            AssignedValue::Word(self.word())
        };
        Assignment { name: name.into(), subscript, appends, value, span: NOWHERE }
    }

    fn elements(&mut self) -> Vec<(Option<Arithmetic>, Word)> {
        let mut elements = Vec::new();
        self.put("(");
        while self.rarely(2) {
            let subscript = self.rarely(4).then(|| {
                self.put("[");
                let subscript = self.arithmetic(&["i", "1"]);
                self.put("]=");
                subscript
            });
            elements.push((subscript, self.word()));
            self.one(&[" ", "\n"]);
        }
        self.put(")");
        elements
    }

    fn redirects(&mut self) -> Vec<Redirect> {
        let mut redirects = Vec::new();
        while self.rarely(5) {
            self.blank();
            let (descriptor, before) = match self.dice.below(4) {
                0 => (Descriptor::Number(2), "2"),
                1 => (Descriptor::Named(b"fd".to_vec()), "{fd}"),
                _ => (Descriptor::Implied, ""),
            };
            let (operator, written) = self.dice.pick(&[
                (RedirectOperator::Append, ">>"),
                (RedirectOperator::Clobber, ">|"),
                (RedirectOperator::DuplicateOutput, ">&"),
                (RedirectOperator::HereString, "<<<"),
                (RedirectOperator::Input, "<"),
                (RedirectOperator::Output, ">"),
                (RedirectOperator::ReadWrite, "<>"),
            ]);
            self.put(before);
            self.put(written);
            let target = if operator == RedirectOperator::DuplicateOutput {
                let target = self.dice.pick(&["1", "-", "r"]);
                self.put(target);
                word(vec![Part::Text(target.into())])
            } else {
                self.put(" ");
                self.word()
            };
            let target = RedirectTarget::Word(target);
            redirects.push(Redirect { descriptor, operator, target, span: NOWHERE });
        }
        redirects
    }

    /// Words with a blank before each.
    fn words(&mut self, least: usize) -> Vec<Word> {
        let mut words = Vec::new();
        while words.len() < least || self.dice.below(2) == 0 {
            self.blank();
            words.push(self.word());
        }
        words
    }

    fn word(&mut self) -> Word {
        let mut parts = Vec::new();
        loop {
            if self.dice.below(2) == 0 {
                let text = self.dice.pick(&["a", "b1", "-l", "*.c", "x/y", "{a,b}", "[ab]", "a=b"]);
                self.put(text);
                parts.push(Part::Text(text.into()));
            } else {
                parts.push(self.quoted_part());
            }
            if !self.rarely(3) {
                return word(parts);
            }
        }
    }

    /// A part that does not run into what stands before or behind it.
    fn quoted_part(&mut self) -> Part {
        if self.rarely(4) {
            return match self.dice.below(3) {
                0 => {
                    self.put("<( ");
                    let script = self.script(Ended::Maybe);
                    self.put(")");
                    Part::Process(Flow::Read, script)
                }
                _ => self.expansion(Inside::Nothing),
            };
        }
        if self.rarely(3) {
            self.one(&["\"", "$\""]);
            let parts = self.quoted_parts(Inside::Double);
            self.put("\"");
            return Part::Double(parts);
        }
        let text = self.dice.pick(&["q", "$(no)", "a b", "rm;", "#", "\\", "|&", "é", "\"", "`"]);
        match self.dice.below(3) {
            0 => self.put(&format!("'{text}'")),
            1 if text.is_ascii() => {
                text.chars().for_each(|letter| self.put(&format!("\\{letter}")))
            }
            _ => {
                self.put("$'");
                text.bytes().for_each(|byte| self.put(&format!("\\x{byte:02x}")));
                self.put("'");
            }
        }
        Part::Quoted(text.into())
    }

    /// Text and expansions in quotes.
    fn quoted_parts(&mut self, inside: Inside) -> Vec<Part> {
        let mut parts = Vec::new();
        loop {
            if self.rarely(3) {
                parts.push(self.expansion(inside));
            } else {
                let text = self.dice.pick(&["q ", "'", "#", "\\", "`", "$", ";)", "é"]);
                let special = text.len() == 1 && "\\`$".contains(text);
                self.put(if special { "\\" } else { "" });
                self.put(text);
                parts.push(Part::Quoted(text.into()));
            }
            if !self.rarely(2) {
                return parts;
            }
        }
    }

    fn expansion(&mut self, inside: Inside) -> Part {
        match self.dice.below(4) {
            0 => {
                self.put("$((");
                let expression = self.arithmetic(&["1", "x+1", "(2)*3 ", "y ? 1 : 2"]);
                self.put("))");
                Part::Arithmetic(expression)
            }
            1 => {
                self.put("$( ");
                let script = self.script(Ended::Maybe);
                self.put(")");
                Part::Command(script)
            }
            2 => self.backquotes(inside),
            _ => Part::Parameter(Box::new(self.parameter(inside))),
        }
    }

    fn backquotes(&mut self, inside: Inside) -> Part {
        let outside = std::mem::take(&mut self.text);
        // Each level doubles the backslashes of those inside.
        self.level += 2;
        let script = self.script(Ended::Maybe);
        self.level -= 2;
        let text = std::mem::replace(&mut self.text, outside);
        self.put("`");
        for letter in text.chars() {
            let escaped =
                matches!(letter, '\\' | '`' | '$') || letter == '"' && inside == Inside::Double;
            self.put(if escaped { "\\" } else { "" });
            self.text.push(letter);
        }
        self.put("`");
        Part::Command(script)
    }

    fn parameter(&mut self, inside: Inside) -> Parameter {
        let name = self.dice.pick(&["x", "foo_1"]);
        self.put("${");
        let mut indirect = Indirect::Direct;
        let kind = self.dice.below(8);
        if kind == 0 {
            indirect = Indirect::Indirect;
            self.put("!");
        }
        self.put(if kind == 1 { "#" } else { "" });
        self.put(name);
        let subscript = (1 < kind && self.rarely(4)).then(|| {
            self.put("[");
            let subscript = self.arithmetic(&["i", "@", "1+2"]);
            self.put("]");
            subscript
        });
        let operation = match kind {
            0 | 2 => ParameterOperation::Value,
            1 => ParameterOperation::Length,
            3 => {
                let (operator, kind, empty) = self.dice.pick(&[
                    (":-", DefaultKind::Use, EmptyCounts::AsNone),
                    ("=", DefaultKind::Assign, EmptyCounts::AsValue),
                    (":?", DefaultKind::Fail, EmptyCounts::AsNone),
                    ("+", DefaultKind::Instead, EmptyCounts::AsValue),
                ]);
                self.put(operator);
                ParameterOperation::Default { kind, empty, word: self.default(inside) }
            }
            4 => {
                let operator = self.dice.pick(&["#", "##", "%", "%%"]);
                self.put(operator);
                ParameterOperation::Trim { operator: operator.into(), pattern: self.pattern() }
            }
            5 => {
                self.put(":");
                let offset = self.arithmetic(&["1", " -1", "x"]);
                let length = (self.dice.below(2) == 0).then(|| {
                    self.put(":");
                    self.arithmetic(&["2", "x", "(3)"])
                });
                ParameterOperation::Substring { offset, length }
            }
            6 => {
                let operator = self.dice.pick(&["/", "//", "/#", "/%"]);
                self.put(operator);
                let pattern = self.pattern();
                self.put("/");
                ParameterOperation::Replace {
                    operator: operator.into(),
                    pattern,
                    with: self.pattern(),
                }
            }
            _ => {
                self.put("@Q");
                ParameterOperation::Transform(b'Q')
            }
        };
        self.put("}");
        Parameter { name: name.into(), subscript, indirect, operation, span: NOWHERE }
    }

    fn pattern(&mut self) -> Word {
        let text = self.dice.pick(&["*.", "a?", "[0-9]", "b c"]);
        self.put(text);
        let mut parts = vec![Part::Text(text.into())];
        if self.rarely(3) {
            let letter = self.dice.pick(&["}", "/", "$"]);
            self.put(&format!("\\{letter}"));
            parts.push(Part::Quoted(letter.into()));
        }
        word(parts)
    }

    /// The word of a default: quoted where the expansion is.
    fn default(&mut self, inside: Inside) -> Word {
        let text = self.dice.pick(&["d", "d e", "*", "/"]);
        self.put(text);
        let bytes = text.into();
        let text = if inside == Inside::Nothing { Part::Text(bytes) } else { Part::Quoted(bytes) };
        let mut parts = vec![text];
        if self.rarely(2) {
            parts.push(self.expansion(inside));
        }
        word(parts)
    }

    fn arithmetic(&mut self, texts: &[&'static str]) -> Arithmetic {
        let text = self.dice.pick(texts);
        self.put(text);
        let mut parts = Vec::new();
        if !text.is_empty() && text != "\"\"" {
            parts.push(Part::Quoted(text.into()));
        }
        if text != "@" && self.rarely(4) {
            parts.push(self.expansion(Inside::Document));
        }
        Arithmetic { parts, span: NOWHERE }
    }
}

fn word(parts: Vec<Part>) -> Word {
    Word { parts, span: NOWHERE }
}

fn plain(kind: CommandKind) -> Command {
    Command { kind, redirects: Vec::new(), span: NOWHERE }
}

const NOWHERE: Span = Span { start: 0, end: 0 };

/// Deeper trees take more levels than the reader allows, and backquotes double backslashes.
const LEVELS_MAX: usize = 6;
