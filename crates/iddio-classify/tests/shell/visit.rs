//! Every command and every part of a word in a tree, at any depth.

use iddio_classify::shell::ast::*;

/// What is seen on the way.
pub(crate) enum Node<'t> {
    Command(&'t Command),
    Part,
}

/// Shows every node of a program to `see`, what surrounds before what is inside.
pub(crate) fn visit<'t>(script: &'t Script, see: &mut dyn FnMut(Node<'t>)) {
    for list in &script.lists {
        let rest = list.rest.iter().map(|(_, pipeline)| pipeline);
        for pipeline in std::iter::once(&list.first).chain(rest) {
            pipeline.commands.iter().for_each(|command| in_command(command, see));
        }
    }
}

fn in_command<'t>(command: &'t Command, see: &mut dyn FnMut(Node<'t>)) {
    see(Node::Command(command));
    match &command.kind {
        CommandKind::Simple(simple) => {
            for assignment in &simple.assignments {
                in_arithmetic(assignment.subscript.as_ref(), see);
                match &assignment.value {
                    AssignedValue::Array(elements) => in_elements(elements, see),
                    AssignedValue::Word(word) => in_parts(&word.parts, see),
                }
            }
            in_words(&simple.words, see);
        }
        CommandKind::Group(body) | CommandKind::Subshell(body) => visit(body, see),
        CommandKind::If { branches, otherwise } => {
            for (condition, body) in branches {
                visit(condition, see);
                visit(body, see);
            }
            otherwise.iter().for_each(|body| visit(body, see));
        }
        CommandKind::For { name: _, words, body } => {
            words.iter().for_each(|words| in_words(words, see));
            visit(body, see);
        }
        CommandKind::CountingFor { expressions, body } => {
            expressions.iter().for_each(|one| in_arithmetic(Some(one), see));
            visit(body, see);
        }
        CommandKind::While { condition, body } => {
            visit(condition, see);
            visit(body, see);
        }
        CommandKind::Case { word, arms } => {
            in_parts(&word.parts, see);
            for (patterns, body) in arms {
                in_words(patterns, see);
                visit(body, see);
            }
        }
        CommandKind::Function { name: _, body } | CommandKind::Coprocess { name: _, body } => {
            in_command(body, see);
        }
        CommandKind::Test(parts) => {
            for part in parts {
                if let TestPart::Operand(word) = part {
                    in_parts(&word.parts, see);
                }
            }
        }
        CommandKind::Arithmetic(expression) => in_arithmetic(Some(expression), see),
    }
    for redirect in &command.redirects {
        match &redirect.target {
            RedirectTarget::Document(word) | RedirectTarget::Word(word) => {
                in_parts(&word.parts, see);
            }
        }
    }
}

fn in_words<'t>(words: &'t [Word], see: &mut dyn FnMut(Node<'t>)) {
    words.iter().for_each(|word| in_parts(&word.parts, see));
}

fn in_elements<'t>(elements: &'t [(Option<Arithmetic>, Word)], see: &mut dyn FnMut(Node<'t>)) {
    for (subscript, word) in elements {
        in_arithmetic(subscript.as_ref(), see);
        in_parts(&word.parts, see);
    }
}

fn in_arithmetic<'t>(expression: Option<&'t Arithmetic>, see: &mut dyn FnMut(Node<'t>)) {
    expression.into_iter().for_each(|expression| in_parts(&expression.parts, see));
}

fn in_parts<'t>(parts: &'t [Part], see: &mut dyn FnMut(Node<'t>)) {
    for part in parts {
        see(Node::Part);
        match part {
            Part::Arithmetic(expression) => in_arithmetic(Some(expression), see),
            Part::Array(elements) => in_elements(elements, see),
            Part::Command(body) | Part::Process(_, body) => visit(body, see),
            Part::Double(parts) => in_parts(parts, see),
            Part::Parameter(parameter) => in_parameter(parameter, see),
            Part::Quoted(_) | Part::Text(_) => {}
        }
    }
}

fn in_parameter<'t>(parameter: &'t Parameter, see: &mut dyn FnMut(Node<'t>)) {
    in_arithmetic(parameter.subscript.as_ref(), see);
    match &parameter.operation {
        ParameterOperation::Default { kind: _, empty: _, word } => in_parts(&word.parts, see),
        ParameterOperation::Trim { operator: _, pattern }
        | ParameterOperation::Case { operator: _, pattern } => in_parts(&pattern.parts, see),
        ParameterOperation::Substring { offset, length } => {
            in_arithmetic(Some(offset), see);
            in_arithmetic(length.as_ref(), see);
        }
        ParameterOperation::Replace { operator: _, pattern, with } => {
            in_parts(&pattern.parts, see);
            in_parts(&with.parts, see);
        }
        ParameterOperation::Keys
        | ParameterOperation::Length
        | ParameterOperation::NamesFrom
        | ParameterOperation::Transform(_)
        | ParameterOperation::Value => {}
    }
}
