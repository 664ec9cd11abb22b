//! The reader of brush, a shell.
//!
//! It keeps words as they stand, so that they are read here once more for what is inside. It is
//! not asked about what it never answers: see [`answers`].

use std::io::Cursor;

use brush_parser::{
    Parser, ParserOptions,
    ast::*,
    word::{self, Parameter, ParameterExpr, WordPiece, WordPieceWithSource},
};

use crate::names::unquoted;

/// Returns the names of simple commands; `None` if it refuses the text or a part of it.
pub(crate) fn names(text: &str) -> Option<Vec<String>> {
    let mut reading = Reading { names: Vec::new(), options: ParserOptions::default(), depth: 0 };
    reading.text(text)?;
    Some(reading.names)
}

/// Whether it answers at all. Behind `<<` it waits forever for the end of an expansion, and its
/// grammar tries nested parentheses again and again.
pub(crate) fn answers(text: &str) -> bool {
    let waits = text.split("<<").skip(1).any(|rest| {
        let line = rest.split('\n').next().unwrap_or_default();
        line.contains("$[") || line.contains("$(") || line.contains("${") || line.contains('`')
    });
    let opened = text.bytes().filter(|byte| matches!(byte, b'(' | b'{' | b'`')).count();
    !waits && text.len() <= TEXT_BYTES_MAX && opened <= OPENED_MAX
}

const TEXT_BYTES_MAX: usize = 4096;

const OPENED_MAX: usize = 24;

const DEPTH_MAX: usize = 20;

struct Reading {
    names: Vec<String>,
    options: ParserOptions,
    depth: usize,
}

// === impl Reading ===

impl Reading {
    fn text(&mut self, text: &str) -> Option<()> {
        self.depth += 1;
        if DEPTH_MAX < self.depth {
            return None;
        }
        let mut parser = Parser::new(Cursor::new(text), &self.options);
        let program = parser.parse_program().ok()?;
        for list in &program.complete_commands {
            self.list(list)?;
        }
        self.depth -= 1;
        Some(())
    }

    fn list(&mut self, list: &CompoundList) -> Option<()> {
        for CompoundListItem(list, _) in &list.0 {
            for (_, pipeline) in list {
                pipeline.seq.iter().try_for_each(|command| self.command(command))?;
            }
        }
        Some(())
    }

    fn command(&mut self, command: &Command) -> Option<()> {
        match command {
            Command::Simple(simple) => {
                let items = simple.prefix.iter().flat_map(|prefix| &prefix.0);
                items.into_iter().try_for_each(|item| self.item(item))?;
                if let Some(word) = &simple.word_or_name {
                    self.names.extend(unquoted(&word.value));
                    self.word(&word.value)?;
                }
                let items = simple.suffix.iter().flat_map(|suffix| &suffix.0);
                items.into_iter().try_for_each(|item| self.item(item))
            }
            Command::Compound(compound, redirects) => {
                self.compound(compound)?;
                self.redirects(redirects.as_ref())
            }
            Command::Function(definition) => {
                self.compound(&definition.body.0)?;
                self.redirects(definition.body.1.as_ref())
            }
            Command::ExtendedTest(test, redirects) => {
                self.test(&test.expr)?;
                self.redirects(redirects.as_ref())
            }
        }
    }

    fn compound(&mut self, compound: &CompoundCommand) -> Option<()> {
        match compound {
            CompoundCommand::Arithmetic(one) => self.quoted(&one.expr.value),
            CompoundCommand::ArithmeticForClause(count) => {
                for one in [&count.initializer, &count.condition, &count.updater] {
                    self.quoted(one.as_ref().map_or("", |one| &one.value))?;
                }
                self.list(&count.body.list)
            }
            CompoundCommand::BraceGroup(group) => self.list(&group.list),
            CompoundCommand::Subshell(subshell) => self.list(&subshell.list),
            CompoundCommand::ForClause(each) => {
                let words = each.values.iter().flatten();
                words.into_iter().try_for_each(|word| self.word(&word.value))?;
                self.list(&each.body.list)
            }
            CompoundCommand::CaseClause(case) => {
                self.word(&case.value.value)?;
                for arm in &case.cases {
                    arm.patterns.iter().try_for_each(|word| self.word(&word.value))?;
                    arm.cmd.iter().try_for_each(|list| self.list(list))?;
                }
                Some(())
            }
            CompoundCommand::IfClause(condition) => {
                self.list(&condition.condition)?;
                self.list(&condition.then)?;
                for clause in condition.elses.iter().flatten() {
                    clause.condition.iter().try_for_each(|list| self.list(list))?;
                    self.list(&clause.body)?;
                }
                Some(())
            }
            CompoundCommand::WhileClause(repeat) | CompoundCommand::UntilClause(repeat) => {
                self.list(&repeat.0)?;
                self.list(&repeat.1.list)
            }
            CompoundCommand::Coprocess(coprocess) => self.command(&coprocess.body),
        }
    }

    fn item(&mut self, item: &CommandPrefixOrSuffixItem) -> Option<()> {
        match item {
            CommandPrefixOrSuffixItem::IoRedirect(redirect) => self.redirect(redirect),
            CommandPrefixOrSuffixItem::Word(word) => self.word(&word.value),
            CommandPrefixOrSuffixItem::AssignmentWord(assignment, _) => {
                if let AssignmentName::ArrayElementName(_, subscript) = &assignment.name {
                    self.quoted(subscript)?;
                }
                match &assignment.value {
                    AssignmentValue::Scalar(word) => self.word(&word.value),
                    AssignmentValue::Array(elements) => elements.iter().try_for_each(|element| {
                        let (subscript, word) = element;
                        self.quoted(subscript.as_ref().map_or("", |word| &word.value))?;
                        self.word(&word.value)
                    }),
                }
            }
            CommandPrefixOrSuffixItem::ProcessSubstitution(_, subshell) => {
                self.list(&subshell.list)
            }
        }
    }

    fn redirects(&mut self, redirects: Option<&RedirectList>) -> Option<()> {
        redirects.into_iter().flat_map(|list| &list.0).try_for_each(|one| self.redirect(one))
    }

    fn redirect(&mut self, redirect: &IoRedirect) -> Option<()> {
        match redirect {
            IoRedirect::File(_, _, target) => match target {
                IoFileRedirectTarget::Filename(word) | IoFileRedirectTarget::Duplicate(word) => {
                    self.word(&word.value)
                }
                IoFileRedirectTarget::Fd(_) => Some(()),
                IoFileRedirectTarget::ProcessSubstitution(_, subshell) => self.list(&subshell.list),
            },
            IoRedirect::HereDocument(_, document) if document.requires_expansion => {
                self.quoted(&document.doc.value)
            }
            IoRedirect::HereDocument(..) => Some(()),
            IoRedirect::HereString(_, word) | IoRedirect::OutputAndError(word, _) => {
                self.word(&word.value)
            }
        }
    }

    fn test(&mut self, test: &ExtendedTestExpr) -> Option<()> {
        match test {
            ExtendedTestExpr::And(one, other) | ExtendedTestExpr::Or(one, other) => {
                self.test(one)?;
                self.test(other)
            }
            ExtendedTestExpr::Not(one) | ExtendedTestExpr::Parenthesized(one) => self.test(one),
            ExtendedTestExpr::UnaryTest(_, word) => self.word(&word.value),
            ExtendedTestExpr::BinaryTest(_, one, other) => {
                self.word(&one.value)?;
                self.word(&other.value)
            }
        }
    }

    /// Text in double quotes.
    fn quoted(&mut self, text: &str) -> Option<()> {
        let pieces = word::parse_heredoc(text, &self.options).ok()?;
        self.pieces(&pieces)
    }

    fn word(&mut self, text: &str) -> Option<()> {
        let pieces = word::parse(text, &self.options).ok()?;
        self.pieces(&pieces)
    }

    fn pieces(&mut self, pieces: &[WordPieceWithSource]) -> Option<()> {
        pieces.iter().try_for_each(|piece| match &piece.piece {
            WordPiece::ArithmeticExpression(expression) => self.quoted(&expression.value),
            WordPiece::BackquotedCommandSubstitution(text)
            | WordPiece::CommandSubstitution(text) => self.text(text),
            WordPiece::DoubleQuotedSequence(pieces)
            | WordPiece::GettextDoubleQuotedSequence(pieces) => self.pieces(pieces),
            WordPiece::ParameterExpansion(expansion) => self.expansion(expansion),
            WordPiece::AnsiCQuotedText(_)
            | WordPiece::EscapeSequence(_)
            | WordPiece::SingleQuotedText(_)
            | WordPiece::Text(_)
            | WordPiece::TildeExpansion(_) => Some(()),
        })
    }

    fn expansion(&mut self, expansion: &ParameterExpr) -> Option<()> {
        use ParameterExpr as E;
        match expansion {
            E::UseDefaultValues { parameter, default_value: word, .. }
            | E::AssignDefaultValues { parameter, default_value: word, .. }
            | E::IndicateErrorIfNullOrUnset { parameter, error_message: word, .. }
            | E::UseAlternativeValue { parameter, alternative_value: word, .. }
            | E::RemoveSmallestSuffixPattern { parameter, pattern: word, .. }
            | E::RemoveLargestSuffixPattern { parameter, pattern: word, .. }
            | E::RemoveSmallestPrefixPattern { parameter, pattern: word, .. }
            | E::RemoveLargestPrefixPattern { parameter, pattern: word, .. }
            | E::UppercaseFirstChar { parameter, pattern: word, .. }
            | E::UppercasePattern { parameter, pattern: word, .. }
            | E::LowercaseFirstChar { parameter, pattern: word, .. }
            | E::LowercasePattern { parameter, pattern: word, .. } => {
                self.parameter(parameter)?;
                self.word(word.as_deref().unwrap_or_default())
            }
            E::Substring { parameter, offset, length, .. } => {
                self.parameter(parameter)?;
                self.quoted(&offset.value)?;
                self.quoted(length.as_ref().map_or("", |length| &length.value))
            }
            E::ReplaceSubstring { parameter, pattern, replacement, .. } => {
                self.parameter(parameter)?;
                self.word(pattern)?;
                self.word(replacement.as_deref().unwrap_or_default())
            }
            E::Parameter { parameter, .. }
            | E::ParameterLength { parameter, .. }
            | E::Transform { parameter, .. } => self.parameter(parameter),
            E::MemberKeys { .. } | E::VariableNames { .. } => Some(()),
        }
    }

    fn parameter(&mut self, parameter: &Parameter) -> Option<()> {
        match parameter {
            Parameter::NamedWithIndex { name: _, index } => self.quoted(index),
            _ => Some(()),
        }
    }
}
