//! A tree in one line, without places: `(run WORDS {ASSIGNMENTS} REDIRECTIONS)`.

use std::fmt::Write as _;

use iddio_classify::shell::ast::*;

/// What is shown of quotes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Quotes {
    /// `'…'` and `"…"` around what is quoted.
    Kept,
    /// Nothing: words as they are after quote removal.
    Removed,
}

/// Returns a program in one line.
pub(crate) fn show(tree: &Script, quotes: Quotes) -> String {
    let mut out = Out { text: String::new(), quotes };
    out.script(tree);
    out.text
}

struct Out {
    text: String,
    quotes: Quotes,
}

impl Out {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let _infallible = write!(self.text, "{}", bytes.escape_ascii());
    }

    fn script(&mut self, script: &Script) {
        for (at, list) in script.lists.iter().enumerate() {
            self.put(if at == 0 { "" } else { " " });
            self.pipeline(&list.first);
            for (join, pipeline) in &list.rest {
                self.put(if *join == Join::And { " && " } else { " || " });
                self.pipeline(pipeline);
            }
            self.put(if list.ends == Ends::Background { " &" } else { ";" });
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        for (at, command) in pipeline.commands.iter().enumerate() {
            self.put(if at == 0 { "" } else { " | " });
            self.command(command);
        }
    }

    fn command(&mut self, command: &Command) {
        self.put("(");
        self.kind(&command.kind);
        for redirect in &command.redirects {
            self.redirect(redirect);
        }
        self.put(")");
    }

    fn kind(&mut self, kind: &CommandKind) {
        match kind {
            CommandKind::Simple(simple) => {
                self.put("run");
                self.words(&simple.words);
                for assignment in &simple.assignments {
                    self.assignment(assignment);
                }
            }
            CommandKind::Group(body) => self.block("group", body),
            CommandKind::Subshell(body) => self.block("sub", body),
            CommandKind::If { branches, otherwise } => {
                self.put("if");
                for (condition, body) in branches {
                    self.block("", condition);
                    self.block(" then", body);
                }
                if let Some(body) = otherwise {
                    self.block(" else", body);
                }
            }
            CommandKind::For { name, words, body } => {
                self.put("for ");
                self.bytes(name);
                if let Some(words) = words {
                    self.put(" in");
                    self.words(words);
                }
                self.block(" do", body);
            }
            CommandKind::CountingFor { expressions, body } => {
                self.put("count");
                expressions.iter().for_each(|one| self.arithmetic(one));
                self.block(" do", body);
            }
            CommandKind::While { condition, body } => {
                self.block("while", condition);
                self.block(" do", body);
            }
            CommandKind::Case { word, arms } => {
                self.put("case ");
                self.parts(&word.parts);
                for (patterns, body) in arms {
                    self.put(" [");
                    self.words(patterns);
                    self.block(" ]", body);
                }
            }
            CommandKind::Function { name, body } => {
                self.put("function ");
                self.bytes(name);
                self.put(" ");
                self.command(body);
            }
            CommandKind::Test(parts) => self.test(parts),
            CommandKind::Arithmetic(expression) => {
                self.put("let");
                self.arithmetic(expression);
            }
            CommandKind::Coprocess { name, body } => {
                self.put("coproc ");
                self.bytes(name.as_deref().unwrap_or_default());
                self.command(body);
            }
        }
    }

    fn test(&mut self, parts: &[TestPart]) {
        self.put("test");
        for part in parts {
            self.put(" ");
            match part {
                TestPart::Operand(word) => self.parts(&word.parts),
                TestPart::Operator(operator) => {
                    self.put("`");
                    self.bytes(operator);
                }
            }
        }
    }

    fn block(&mut self, head: &str, body: &Script) {
        self.put(head);
        self.put(" ");
        self.script(body);
    }

    fn words(&mut self, words: &[Word]) {
        for word in words {
            self.put(" ");
            self.parts(&word.parts);
        }
    }

    fn assignment(&mut self, assignment: &Assignment) {
        self.put(" {");
        self.bytes(&assignment.name);
        if let Some(subscript) = &assignment.subscript {
            self.arithmetic(subscript);
        }
        self.put(if assignment.appends == Appends::Adds { "+=" } else { "=" });
        match &assignment.value {
            AssignedValue::Array(elements) => self.elements(elements),
            AssignedValue::Word(word) => self.parts(&word.parts),
        }
        self.put("}");
    }

    fn elements(&mut self, elements: &[(Option<Arithmetic>, Word)]) {
        self.put("[");
        for (subscript, word) in elements {
            self.put(" ");
            if let Some(subscript) = subscript {
                self.arithmetic(subscript);
                self.put("=");
            }
            self.parts(&word.parts);
        }
        self.put(" ]");
    }

    fn redirect(&mut self, redirect: &Redirect) {
        self.put(" ");
        match &redirect.descriptor {
            Descriptor::Implied => {}
            Descriptor::Named(name) => {
                self.put("{");
                self.bytes(name);
                self.put("}");
            }
            Descriptor::Number(number) => {
                let _infallible = write!(self.text, "{number}");
            }
        }
        self.put(match redirect.operator {
            RedirectOperator::Append => ">>",
            RedirectOperator::AppendBoth => "&>>",
            RedirectOperator::Clobber => ">|",
            RedirectOperator::DuplicateInput => "<&",
            RedirectOperator::DuplicateOutput => ">&",
            RedirectOperator::HereDocument => "<<",
            RedirectOperator::HereString => "<<<",
            RedirectOperator::Input => "<",
            RedirectOperator::Output => ">",
            RedirectOperator::OutputBoth => "&>",
            RedirectOperator::ReadWrite => "<>",
        });
        match &redirect.target {
            RedirectTarget::Document(word) | RedirectTarget::Word(word) => self.parts(&word.parts),
        }
    }

    fn arithmetic(&mut self, expression: &Arithmetic) {
        self.put(" <");
        self.parts(&expression.parts);
        self.put(">");
    }

    /// Neighbours of one kind are shown as one.
    fn parts(&mut self, parts: &[Part]) {
        let keep = self.quotes == Quotes::Kept;
        let mut open = false;
        for part in parts {
            let quoted = matches!(part, Part::Quoted(_));
            if keep && quoted != open {
                self.put("'");
            }
            open = quoted;
            self.part(part);
        }
        if keep && open {
            self.put("'");
        }
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Arithmetic(expression) => {
                self.put("$");
                self.arithmetic(expression);
            }
            Part::Array(elements) => self.elements(elements),
            Part::Command(script) => {
                self.block("$(", script);
                self.put(")");
            }
            Part::Double(parts) if self.quotes == Quotes::Kept => {
                self.put("\"");
                self.parts(parts);
                self.put("\"");
            }
            Part::Double(parts) => self.parts(parts),
            Part::Parameter(parameter) => self.parameter(parameter),
            Part::Process(flow, script) => {
                self.block(if *flow == Flow::Read { "<(" } else { ">(" }, script);
                self.put(")");
            }
            Part::Quoted(text) | Part::Text(text) => self.bytes(text),
        }
    }

    fn parameter(&mut self, parameter: &Parameter) {
        self.put("${");
        self.put(if parameter.indirect == Indirect::Indirect { "!" } else { "" });
        self.bytes(&parameter.name);
        if let Some(subscript) = &parameter.subscript {
            self.arithmetic(subscript);
        }
        match &parameter.operation {
            ParameterOperation::Value => {}
            ParameterOperation::Length => self.put(" length"),
            ParameterOperation::Default { kind, empty, word } => {
                let _infallible = write!(self.text, " {kind:?} {empty:?} ");
                self.parts(&word.parts);
            }
            ParameterOperation::Trim { operator, pattern }
            | ParameterOperation::Case { operator, pattern } => {
                self.put(" ");
                self.bytes(operator);
                self.put(" ");
                self.parts(&pattern.parts);
            }
            ParameterOperation::Substring { offset, length } => {
                self.put(" from");
                self.arithmetic(offset);
                length.iter().for_each(|length| self.arithmetic(length));
            }
            ParameterOperation::Replace { operator, pattern, with } => {
                self.put(" ");
                self.bytes(operator);
                self.put(" ");
                self.parts(&pattern.parts);
                self.put(" by ");
                self.parts(&with.parts);
            }
            ParameterOperation::Transform(letter) => {
                self.put(" @");
                self.bytes(&[*letter]);
            }
            ParameterOperation::NamesFrom => self.put(" names"),
            ParameterOperation::Keys => self.put(" keys"),
        }
        self.put("}");
    }
}

/// Returns the unquoted words of simple commands at the top of a program, and where they stand.
pub(crate) fn plain_words(script: &Script) -> Vec<(String, iddio_classify::shell::Span)> {
    let pipelines = script.lists.iter().flat_map(|list| {
        std::iter::once(&list.first).chain(list.rest.iter().map(|(_, pipeline)| pipeline))
    });
    let mut found = Vec::new();
    for command in pipelines.flat_map(|pipeline| &pipeline.commands) {
        match &command.kind {
            CommandKind::Simple(simple) => {
                for word in &simple.words {
                    match word.parts.as_slice() {
                        [Part::Text(text)] => {
                            found.push((String::from_utf8(text.clone()).unwrap(), word.span));
                        }
                        parts => parts.iter().for_each(|part| {
                            if let Part::Command(inner) = part {
                                found.extend(plain_words(inner));
                            }
                        }),
                    }
                }
            }
            CommandKind::Group(inner) | CommandKind::Subshell(inner) => {
                found.extend(plain_words(inner));
            }
            _ => {}
        }
    }
    found
}
