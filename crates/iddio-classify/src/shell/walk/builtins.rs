//! Commands of the shell itself: what they change, what they evaluate, what they run.

use iddio_core::{
    text::RawText,
    tier::{Class, Tier},
};

use super::{
    Isolation, Walker,
    compound::{NUMERIC, text_of},
    declare::is_option,
    echo,
    parameter::is_name,
    programs::is_secret_file,
    simple::{Around, Lookup},
    state::{Key, Parameters, Slot, Sure, Value},
    text::{Origin, Text},
};
use crate::paths;
use crate::{
    catalog::format::PathUse,
    command::{
        Found, Setting, assignment,
        line::{Feed, Known, Term, shell_text},
    },
};

// === impl Walker ===

impl Walker<'_> {
    /// Runs a command of the shell itself; `None` if there is none of this name.
    pub(super) fn builtin(&mut self, name: &[u8], line: &[Term], around: &Around) -> Option<()> {
        let listens = match &around.feed {
            Feed::File(_) | Feed::Inherited | Feed::Unknown => true,
            Feed::Nothing | Feed::Text(_) => false,
        };
        match name {
            b"break" | b"exit" | b"return" | b"wait" => self.pace.paused += 1,
            b"mapfile" | b"read" | b"readarray" if listens => self.pace.paused += 1,
            _ => {}
        }
        match name {
            b":" | b"true" | b"false" | b"wait" | b"return" | b"exit" | b"break" | b"continue"
            | b"jobs" | b"fg" | b"bg" | b"disown" | b"suspend" | b"logout" | b"ulimit"
            | b"umask" | b"times" | b"type" | b"dirs" | b"caller" | b"compopt" => {
                self.own(line, around, Vec::new());
                if matches!(name, b"jobs" | b"ulimit" | b"umask" | b"times" | b"type" | b"dirs") {
                    self.emit_through(Text::unknown(Origin::Outside), &around.plumbing);
                }
            }
            b"shift" => {
                self.shift(line);
                self.own(line, around, Vec::new());
            }
            b"echo" => {
                self.own(line, around, Vec::new());
                let text = echo::echo(&texts(line));
                self.emit_through(text, &around.plumbing);
            }
            b"printf" => self.printf(line, around),
            b"pwd" => {
                self.own(line, around, Vec::new());
                let text = self.value(b"PWD").texts().into_iter().next().unwrap_or_default();
                self.emit_through(text, &around.plumbing);
            }
            b"cd" | b"pushd" | b"popd" => self.change_directory(name, line, around),
            b"test" | b"[" => self.tested(line, around),
            b"declare" | b"export" | b"local" | b"readonly" | b"typeset" => {
                self.declared(name, line, around);
            }
            b"read" | b"mapfile" | b"readarray" | b"getopts" => self.reading(name, line, around),
            b"unset" => self.unset(line, around),
            b"let" => {
                for term in line.iter().skip(1) {
                    self.evaluated(&text_of(term), term.span.or(around.at));
                }
                self.own(line, around, Vec::new());
            }
            b"eval" => self.eval(line, around),
            b"source" | b"." => self.source(line, around),
            b"exec" => self.exec(line, around),
            b"command" | b"builtin" => self.transparent(name, line, around),
            b"hash" => self.hash(line, around),
            b"alias" => self.alias(line, around),
            b"unalias" => {
                for term in line.iter().skip(1) {
                    let key = Key::Alias(term.text.as_bytes().to_vec());
                    self.state.set(key, Slot::Alias(Vec::new()));
                }
                self.own(line, around, Vec::new());
            }
            b"trap" => self.trap(line, around),
            b"set" | b"shopt" => self.set(name, line, around),
            b"enable" => self.enable(line, around),
            b"complete" | b"compgen" => self.complete(line, around),
            b"bind" => self.bind(line, around),
            b"fc" | b"history" => self.history(name, line, around),
            _ => return None,
        }
        Some(())
    }

    fn shift(&mut self, line: &[Term]) {
        let count = line.get(1).map_or(Some(1), |term| term.as_str()?.parse::<usize>().ok());
        let left = match (self.state.slot(&Key::Positional), count) {
            (Some(Slot::Positional(Parameters::Known(list))), Some(count)) => {
                // More than there are: nothing happens.
                let count = if list.len() < count { 0 } else { count };
                Parameters::Known(list.iter().skip(count).cloned().collect())
            }
            (Some(Slot::Positional(Parameters::Unknown(origin))), _) => {
                Parameters::Unknown(*origin)
            }
            _ => Parameters::Unknown(Origin::Made),
        };
        self.state.set(Key::Positional, Slot::Positional(left));
    }

    fn printf(&mut self, line: &[Term], around: &Around) {
        let mut words = line.get(1..).unwrap_or_default();
        let mut variable = None;
        if let [first, rest @ ..] = words
            && let Some(option) = first.as_str().filter(|text| text.starts_with("-v"))
        {
            match (option.strip_prefix("-v"), rest) {
                (Some(""), [name, rest @ ..]) => {
                    variable = Some(text_of(name));
                    words = rest;
                }
                (Some(name), _) => {
                    variable = Some(Text::known(name));
                    words = rest;
                }
                _ => {}
            }
        }
        if let [first, rest @ ..] = words
            && first.as_str() == Some("--")
        {
            words = rest;
        }
        self.own(line, around, Vec::new());
        let output = words.split_first().and_then(|(format, rest)| {
            let rest: Vec<Text> = rest.iter().map(text_of).collect();
            let known =
                format.known == Known::Whole && words.iter().all(|term| term.known != Known::Any);
            known.then(|| echo::printf(format.text.as_bytes(), &rest)).flatten()
        });
        let output = output.unwrap_or_else(|| Text::unknown(Origin::Made));
        match variable {
            Some(variable) => {
                self.subscripts(&variable, around.at);
                self.assign_named(&variable, Value::one(output), around);
            }
            None => self.emit_through(output, &around.plumbing),
        }
    }

    /// Sets the variable of a name that a builtin is given.
    fn assign_named(&mut self, name: &Text, value: Value, around: &Around) {
        match name.as_bytes() {
            Some(name) if is_name(name) => self.assign(name, value, around.at),
            Some(name) => {
                let base: Vec<u8> =
                    name.iter().take_while(|byte| **byte != b'[').copied().collect();
                self.assign(&base, Value::unknown(Origin::Made), around.at);
            }
            None => {
                let why = "it sets a variable that nobody knows";
                let rule = "shell:variable";
                self.raise(Tier::Sensitive, Class::Unknown, rule, why, around.at);
                self.forget();
            }
        }
    }

    fn change_directory(&mut self, name: &[u8], line: &[Term], around: &Around) {
        self.own(line, around, Vec::new());
        let words: Vec<&Term> = line
            .iter()
            .skip(1)
            .filter(|term| !is_option(term) || term.as_str() == Some("-"))
            .collect();
        let to = match (name, words.as_slice()) {
            (b"cd", []) => Some(RawText::from("~")),
            (b"cd" | b"pushd", [only]) => match only.known {
                Known::Whole if !matches!(only.as_str(), Some("-") | None) => {
                    self.directory_at(only.text.as_bytes())
                }
                _ => None,
            },
            _ => None,
        };
        self.judging.strays.set(self.judging.strays.get() || to.is_none());
        self.state.set(Key::Directory, Slot::Directory(to));
    }

    fn directory_at(&self, path: &[u8]) -> Option<RawText> {
        match path {
            [b'/', ..] => Some(RawText::new(paths::absolute(path, None))),
            [b'~'] | [b'~', b'/', ..] if !path.windows(2).any(|pair| pair == b"..") => {
                Some(RawText::new(path))
            }
            [b'~' | b'+' | b'-', ..] | [] => None,
            relative => {
                let Some(directory) = self.directory() else {
                    return paths::climbed(relative).map(RawText::new);
                };
                let joined = [directory.as_bytes(), b"/", relative].concat();
                match directory.as_bytes() {
                    [b'/', ..] => Some(RawText::new(paths::absolute(&joined, None))),
                    _ if relative.windows(2).any(|pair| pair == b"..") => None,
                    _ => Some(RawText::new(joined)),
                }
            }
        }
    }

    /// `test` and `[`.
    fn tested(&mut self, line: &[Term], around: &Around) {
        let texts = texts(line);
        for (place, text) in texts.iter().enumerate() {
            let Some(operator) = text.as_bytes() else { continue };
            let neighbours = match operator {
                b"-v" | b"-R" => {
                    if let Some(operand) = texts.get(place + 1) {
                        self.subscripts(operand, around.at);
                    }
                    continue;
                }
                operator if NUMERIC.contains(&operator) => {
                    [place.checked_sub(1), place.checked_add(1)]
                }
                _ => continue,
            };
            for neighbour in neighbours.into_iter().flatten() {
                // Only what is known is evaluated: bash takes digits here, and nothing else.
                if let Some(bytes) = texts.get(neighbour).and_then(Text::as_bytes) {
                    self.evaluated_text(bytes, around.at);
                }
            }
        }
        self.own(line, around, Vec::new());
    }

    /// `read`, `mapfile`, `getopts`: variables from outside the text.
    fn reading(&mut self, program: &[u8], line: &[Term], around: &Around) {
        let mut found = Vec::new();
        let mut names = Vec::new();
        let takes: &[u8] = match program {
            b"read" => b"adiNnptu",
            b"getopts" => b"",
            _ => b"dnOsuCc",
        };
        let mut words = line.iter().skip(1);
        while let Some(term) = words.next() {
            let letters = match term.text.as_bytes() {
                [b'-', letters @ ..] if is_option(term) && program != b"getopts" => letters,
                _ => {
                    names.push(text_of(term));
                    continue;
                }
            };
            let Some(at) = letters.iter().position(|letter| takes.contains(letter)) else {
                continue;
            };
            let attached = letters.get(at + 1..).unwrap_or_default().to_vec();
            let value = match attached.is_empty() {
                true => words.next().cloned(),
                false => Some(Term { text: RawText::new(attached), ..term.clone().opaque() }),
            };
            match (letters.get(at), value) {
                (Some(b'a'), Some(value)) => names.push(text_of(&value)),
                (Some(b'C'), Some(value)) => match value.known {
                    Known::Whole => {
                        let text = [value.text.as_bytes(), b" 0 x"].concat();
                        self.nested_apart(&text, value.span.or(around.at));
                    }
                    _ => found.push(evaluates("a callback that nobody knows is run")),
                },
                _ => {}
            }
        }
        if program == b"getopts" && !names.is_empty() {
            names.remove(0);
            names.truncate(1);
            names.push(Text::known("OPTARG"));
        }
        if names.is_empty() {
            names.push(Text::known(if program == b"read" { "REPLY" } else { "MAPFILE" }));
        }
        let origin = match (program, &around.feed) {
            (b"getopts", _) | (_, Feed::Inherited | Feed::Nothing) => Origin::Outside,
            _ => Origin::Made,
        };
        let secret = self.reads_secret(around);
        self.own(line, around, found);
        for name in names {
            if let (true, Some(name)) = (secret, name.as_bytes()) {
                self.secret.insert(name.to_vec());
            }
            self.subscripts(&name, around.at);
            self.assign_named(&name, Value::unknown(origin), around);
        }
    }

    /// Whether what is read from standard input is a secret file.
    pub(super) fn reads_secret(&mut self, around: &Around) -> bool {
        let Feed::File(file) = &around.feed else { return false };
        let found = self.path(PathUse::Read, file, around.at);
        found.is_some_and(|found| Tier::Sensitive <= found.tier && is_secret_file(&found.rule))
    }

    fn unset(&mut self, line: &[Term], around: &Around) {
        let mut found = Vec::new();
        let functions = line.iter().any(|term| term.as_str() == Some("-f"));
        for term in line.iter().skip(1).filter(|term| !is_option(term)) {
            let text = text_of(term);
            self.subscripts(&text, around.at);
            let Some(name) = text.as_bytes() else {
                self.forget();
                continue;
            };
            let shown = String::from_utf8_lossy(name).into_owned();
            let leaves = shown.to_ascii_uppercase().ends_with("_PROXY");
            match assignment(&shown, None, "") {
                Setting::Overrides(mut item) if leaves => {
                    item.value = format!("unset {shown}");
                    self.surround_later(Setting::Overrides(item.clone()), around.at);
                    self.overrides(item);
                }
                Setting::Shapes(item) if shown.starts_with("HIST") => found.push(item),
                _ => {}
            }
            let key = Key::Function(name.to_vec());
            if self.state.slot(&key).is_some() {
                self.state.set(key, Slot::Function(Vec::new(), Sure::Maybe));
            }
            if !functions {
                self.unset_variable(name);
            }
        }
        self.own(line, around, found);
    }

    fn unset_variable(&mut self, name: &[u8]) {
        let base: Vec<u8> = name.iter().take_while(|byte| **byte != b'[').copied().collect();
        let unset = match base.len() == name.len() {
            true => Vec::new(),
            false => vec![Text::unknown(Origin::Made)],
        };
        let texts = match self.loose.get(&base) {
            Some(others) => others.clone(),
            // What a function has of its own is gone, and the one beneath is seen.
            None if self.hides(&base) => vec![Text::unknown(Origin::Made)],
            None => unset,
        };
        let value = Value::Scalar(texts);
        self.beneath(&base, &Value::unknown(Origin::Made));
        self.state.set(Key::Variable(base), Slot::Variable(value));
    }

    fn eval(&mut self, line: &[Term], around: &Around) {
        let words = line.get(1..).unwrap_or_default();
        let words = match words.first().and_then(Term::as_str) {
            Some("--") => words.get(1..).unwrap_or_default(),
            _ => words,
        };
        let Some(text) = shell_text(words) else {
            self.own(line, around, vec![evaluates("text that nobody knows is run as a program")]);
            self.emit_through(Text::unknown(Origin::Made), &around.plumbing);
            return;
        };
        if words.iter().any(|term| term.known != Known::Whole) {
            self.stands_for_tame();
        }
        let at = words.first().and_then(|term| term.span).or(around.at);
        self.own(line, around, Vec::new());
        self.within_plumbing(around, |walker| walker.nested(&text, at));
    }

    /// Does something with the redirections of a command around it.
    fn within_plumbing(&mut self, around: &Around, action: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.feed, around.feed.clone());
        let before = self.open(&around.plumbing);
        self.out.push(Text::default());
        action(self);
        let written = self.out.pop().unwrap_or_default();
        self.close(before);
        self.emit_through(written, &around.plumbing);
        self.feed = outer;
    }

    fn source(&mut self, line: &[Term], around: &Around) {
        let file = line.iter().skip(1).find(|term| term.as_str() != Some("--"));
        let mut found = Vec::new();
        if let Some(file) = file {
            let known = file.as_str().is_some_and(|path| TAME_FILES.contains(&path));
            self.judging.directory = self.directory();
            let written = self.judging.wrote(&file.text);
            let input = ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];
            let input = file.as_str().is_some_and(|path| input.contains(&path));
            let stream = file.as_str().is_some_and(|path| {
                ["/dev/fd/", "/proc/self/fd/"].iter().any(|start| path.starts_with(start))
            });
            match (file.known, &around.feed) {
                (Known::Whole, Feed::Text(text)) if input => {
                    let text = text.as_bytes().to_vec();
                    self.nested(&text, around.at);
                }
                (Known::Whole, _) if input || stream || written => {
                    found.push(evaluates("what the text itself has written or fetched is run"));
                }
                (Known::Whole, _) if known => {}
                (Known::Whole, _) => {
                    let why = "a script that nobody has read is run in the shell";
                    let rule = "shell:source";
                    found.push(Found::new(Tier::Sensitive, Class::Unknown, rule, why).word(1));
                    found.extend(self.path(PathUse::Run, file, around.at));
                }
                _ => found.push(evaluates("a script that nobody knows is run in the shell")),
            }
        }
        self.own(line, around, found);
        self.emit_through(Text::unknown(Origin::Made), &around.plumbing);
    }

    fn exec(&mut self, line: &[Term], around: &Around) {
        let mut words = line.get(1..).unwrap_or_default();
        while let [first, rest @ ..] = words
            && let Some(option) = first.as_str().filter(|text| text.starts_with('-'))
        {
            words = if option.ends_with('a') { rest.get(1..).unwrap_or_default() } else { rest };
            if option == "--" {
                break;
            }
        }
        if words.is_empty() {
            // The shell's own descriptors from here on.
            let _kept = self.open(&around.plumbing);
            if let Some(feed) = &around.plumbing.feed {
                self.feed = feed.clone();
            }
            self.own(line, around, Vec::new());
            return;
        }
        let shell = words.first().and_then(Term::as_str).is_some_and(|program| {
            let file = program.rsplit('/').next().unwrap_or(program);
            SHELLS.contains(&file)
        });
        let asks = words.iter().skip(1).all(|term| is_option(term) && term.as_str() != Some("-c"));
        if shell && asks && matches!(around.feed, Feed::Inherited) {
            let why = "an interactive shell takes over";
            let found = Found::new(Tier::BreakGlass, Class::Session, "shell:session", why);
            self.own(line, around, vec![found]);
            return;
        }
        self.run(words.to_vec(), around, Lookup::Programs);
    }

    /// `command` and `builtin`: what follows is run, functions aside.
    fn transparent(&mut self, name: &[u8], line: &[Term], around: &Around) {
        let mut words = line.get(1..).unwrap_or_default();
        while let [first, rest @ ..] = words
            && let Some(option) = first.as_str().filter(|text| text.starts_with('-'))
        {
            if name == b"command" && option.contains(['v', 'V']) {
                self.own(line, around, Vec::new());
                self.emit_through(Text::unknown(Origin::Outside), &around.plumbing);
                return;
            }
            words = rest;
        }
        match words.is_empty() {
            true => self.own(line, around, Vec::new()),
            false => self.run(words.to_vec(), around, Lookup::NoFunctions),
        }
    }

    fn hash(&mut self, line: &[Term], around: &Around) {
        let mut found = Vec::new();
        let place = line.iter().position(|term| term.as_str() == Some("-p"));
        if let Some(place) = place {
            let why = "a program name stands for another file from here on";
            let rule = "shell:hash";
            found.push(Found::new(Tier::Sensitive, Class::Evasion, rule, why));
            if let Some(path) = line.get(place + 1) {
                for name in line.iter().skip(place + 2).filter(|term| !is_option(term)) {
                    if name.known != Known::Whole {
                        found.push(evaluates("a program's name that nobody knows gets a file"));
                    }
                    let key = Key::Hash(name.text.as_bytes().to_vec());
                    self.state.set(key, Slot::Hash(vec![path.clone()]));
                }
            }
        }
        self.own(line, around, found);
    }

    fn alias(&mut self, line: &[Term], around: &Around) {
        let mut found = Vec::new();
        for term in line.iter().skip(1).filter(|term| !is_option(term)) {
            let text = text_of(term);
            let place = text.0.first().and_then(|chunk| match chunk {
                super::text::Chunk::Bytes(bytes) => {
                    let place = bytes.iter().position(|byte| *byte == b'=')?;
                    Some(bytes.split_at(place))
                }
                _ => None,
            });
            let Some((name, value)) = place else {
                if text.as_bytes().is_none() {
                    found.push(evaluates("an alias that nobody knows is defined"));
                }
                continue;
            };
            let mut value = Text::known(value.get(1..).unwrap_or_default());
            value.extend(Text(text.0.get(1..).unwrap_or_default().to_vec()));
            let at = term.span.or(around.at);
            match value.as_bytes() {
                Some(bytes) => self.nested_apart(bytes, at),
                None => found.push(evaluates("an alias that nobody knows is defined")),
            }
            let key = Key::Alias(name.to_vec());
            self.state.set(key, Slot::Alias(vec![(value, at)]));
        }
        self.own(line, around, found);
    }

    fn trap(&mut self, line: &[Term], around: &Around) {
        let mut found = Vec::new();
        let mut words = line.iter().skip(1).filter(|term| term.as_str() != Some("--"));
        let first = words.next();
        let signals = words.count();
        if let Some(first) = first
            && 0 < signals
        {
            match (first.known, first.as_str()) {
                (Known::Whole, Some("" | "-" | "-p" | "-l")) => {}
                (Known::Whole, _) => {
                    let text = first.text.as_bytes().to_vec();
                    let at = first.span.or(around.at);
                    self.interrupted(&text, at);
                    if self.traps.len() < TRAPS_MAX {
                        self.traps.push((text, at));
                    }
                }
                _ => found.push(evaluates("a trap that nobody knows is set")),
            }
        }
        self.own(line, around, found);
    }

    /// `set` and `shopt`.
    fn set(&mut self, name: &[u8], line: &[Term], around: &Around) {
        let mut found = Vec::new();
        let words: Vec<Option<&str>> = line.iter().map(Term::as_str).collect();
        let keyword = words
            .iter()
            .flatten()
            .any(|word| word.starts_with('-') && !word.starts_with("--") && word.contains('k'));
        if name == b"set" && (keyword || words.contains(&Some("keyword"))) {
            let why = "words of commands are assignments from here on";
            found.push(Found::new(Tier::BreakGlass, Class::Evasion, "shell:keyword", why));
        }
        if words.contains(&Some("history")) {
            let why = "it changes what the shell remembers of its commands";
            let rule = "shell:history";
            found.push(Found::new(Tier::Sensitive, Class::Evasion, rule, why));
        }
        if name == b"shopt" {
            if words.contains(&Some("lastpipe")) {
                self.last_pipe = Isolation::Here;
            }
            self.own(line, around, found);
            return;
        }
        if line.len() < 2 {
            found.push(shows_variables());
        }
        let mut rest = line.get(1..).unwrap_or_default();
        let mut parameters = None;
        while let [first, tail @ ..] = rest {
            match first.as_str() {
                Some("--") => {
                    parameters = Some(tail);
                    break;
                }
                Some(option) if option.len() > 1 && option.starts_with(['-', '+']) => {
                    rest = if option.ends_with('o') {
                        tail.get(1..).unwrap_or_default()
                    } else {
                        tail
                    };
                }
                _ => {
                    parameters = Some(rest);
                    break;
                }
            }
        }
        if let Some(parameters) = parameters {
            let parameters = Parameters::new(parameters);
            self.state.set(Key::Positional, Slot::Positional(parameters));
        }
        self.own(line, around, found);
    }

    fn enable(&mut self, line: &[Term], around: &Around) {
        let words: Vec<&str> = line.iter().filter_map(Term::as_str).collect();
        let mut found = Vec::new();
        let option = |letter: char| {
            words.iter().skip(1).any(|word| word.starts_with('-') && word.contains(letter))
        };
        if option('f') {
            let why = "the shell loads code from a file";
            found.push(Found::new(Tier::UNKNOWN, Class::Unknown, "shell:load", why));
        } else if option('n') {
            let why = "a command of the shell gives way to a file of that name";
            found.push(Found::new(Tier::Sensitive, Class::Evasion, "shell:enable", why));
        }
        self.own(line, around, found);
    }

    fn complete(&mut self, line: &[Term], around: &Around) {
        let mut found = Vec::new();
        for pair in line.windows(2) {
            let [option, value] = pair else { continue };
            match option.as_str() {
                Some("-C") => match value.known {
                    Known::Whole => {
                        self.nested_apart(value.text.as_bytes(), value.span);
                    }
                    _ => found.push(evaluates("a program that nobody knows completes words")),
                },
                Some("-F") => self.called_from_outside(value.text.as_bytes()),
                Some("-W") => match value.known {
                    Known::Whole => {
                        self.evaluated_text(value.text.as_bytes(), value.span);
                    }
                    _ => found.push(evaluates("words that nobody knows are expanded")),
                },
                _ => {}
            }
        }
        self.own(line, around, found);
        self.emit_through(Text::unknown(Origin::Made), &around.plumbing);
    }

    fn bind(&mut self, line: &[Term], around: &Around) {
        let mut found = Vec::new();
        let place = line.iter().position(|term| {
            term.as_str().is_some_and(|text| text.starts_with('-') && text.contains(['x', 'f']))
        });
        if let Some(place) = place {
            let why = "a key runs a program from here on";
            found.push(Found::new(Tier::Sensitive, Class::Evasion, "shell:bind", why));
            if let Some(text) = line.get(place + 1).and_then(Term::as_str)
                && let Some((_, program)) = text.split_once(':')
            {
                let program = program.trim().trim_matches('"').as_bytes().to_vec();
                self.nested_apart(&program, around.at);
            }
        }
        self.own(line, around, found);
    }

    fn history(&mut self, name: &[u8], line: &[Term], around: &Around) {
        let option = |letters: &[char]| {
            let takes = |text: &str| text.starts_with('-') && text.contains(letters);
            line.iter().skip(1).any(|term| term.as_str().is_none_or(takes))
        };
        let mut found = Vec::new();
        if name == b"fc" && !option(&['l']) {
            found.push(evaluates("commands of the history are run again"));
        }
        if name == b"history" && option(&['c', 'd', 'w', 'r', 'a', 'n']) {
            let why = "it changes what the shell remembers of its commands";
            found.push(Found::new(Tier::Sensitive, Class::Evasion, "shell:history", why));
        }
        self.own(line, around, found);
        self.emit_through(Text::unknown(Origin::Made), &around.plumbing);
    }
}

fn texts(line: &[Term]) -> Vec<Text> {
    line.iter().skip(1).map(text_of).collect()
}

/// What it means to print every variable.
pub(super) fn shows_variables() -> Found {
    let why = "prints every variable, and some may hold secrets";
    Found::new(Tier::Sensitive, Class::Unknown, "shell:variables", why)
}

fn evaluates(why: &'static str) -> Found {
    Found::new(Tier::UNKNOWN, Class::Unknown, "shell:evaluated", why)
}

/// Files that only root writes, and that only set variables.
const TAME_FILES: [&str; 3] = ["/etc/lsb-release", "/etc/os-release", "/usr/lib/os-release"];

/// Shells that talk to people when nothing else is said.
const SHELLS: [&str; 10] =
    ["ash", "bash", "csh", "dash", "fish", "ksh", "mksh", "sh", "tcsh", "zsh"];

/// The most traps that are looked at again in the end.
const TRAPS_MAX: usize = 64;
