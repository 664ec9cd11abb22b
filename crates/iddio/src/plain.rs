//! The command line that agents send all day, read without building the parser of all others.
//!
//! INVARIANT: what is read here means to the parser exactly what it means here, and nothing that
//! the parser refuses is read. Whatever is not plainly `iddio exec FLAGS -- WORDS`, with every flag
//! written out and at most once, is left to the parser.

use std::ffi::{OsStr, OsString};

use crate::cli::{Cli, ExecArgs, Verb, When};

/// Reads a plain `exec`, or returns `None` for everything else.
pub(crate) fn exec(words: &[OsString]) -> Option<Cli> {
    let [_, verb, rest @ ..] = words else { return None };
    let end = rest.iter().position(|word| word == "--")?;
    let (flags, command) = rest.split_at_checked(end)?;
    let (_, command) = command.split_first()?;
    if verb != "exec" || command.is_empty() {
        return None;
    }
    let mut arguments = ExecArgs {
        agent: None,
        because: None,
        task: None,
        workdir: None,
        out: Vec::new(),
        json: false,
        command: command.to_vec(),
    };
    let mut quiet = false;
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        match flag.to_str()? {
            "-q" | "--quiet" if !quiet => quiet = true,
            "--json" if !arguments.json => arguments.json = true,
            "--agent" if arguments.agent.is_none() => {
                arguments.agent = Some(value(flags.next())?);
            }
            "--because" if arguments.because.is_none() => {
                arguments.because = Some(value(flags.next())?);
            }
            _ => return None,
        }
    }
    Some(Cli { verb: Verb::Exec(arguments), quiet, color: When::Auto })
}

/// Returns the value of a flag, if it can be nothing else.
fn value(word: Option<&OsString>) -> Option<String> {
    let word = word.map(OsString::as_os_str).and_then(OsStr::to_str)?;
    (!word.is_empty() && !word.starts_with('-')).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use clap::Parser;

    use super::*;

    /// What stands between `exec` and the end of the line, or before it.
    const WORDS: [&str; 14] = [
        "--",
        "-q",
        "--quiet",
        "--json",
        "--agent",
        "--because",
        "web",
        "-",
        "",
        "-h",
        "--color",
        "never",
        "--agent=web",
        "-qq",
    ];

    fn holds(line: &[OsString]) -> bool {
        let Some(plain) = exec(line) else { return false };
        let parsed = Cli::try_parse_from(line).expect("the parser reads it");
        assert_eq!(format!("{plain:?}"), format!("{parsed:?}"), "{line:?}");
        true
    }

    #[test]
    fn what_is_read_plainly_means_the_same_to_the_parser() {
        let count = WORDS.len();
        let mut read = 0;
        // Every line of up to four of these words, and of five that ends in a command.
        for length in 0..=4_u32 {
            for number in 0..count.pow(length) {
                let mut number = number;
                let mut line: Vec<OsString> = ["iddio", "exec"].map(OsString::from).to_vec();
                for _ in 0..length {
                    line.push(WORDS[number % count].into());
                    number /= count;
                }
                read += usize::from(holds(&line));
                line.extend(["--", "true"].map(OsString::from));
                read += usize::from(holds(&line));
            }
        }
        assert!(500 < read, "{read}");
    }

    #[test]
    fn the_usual_lines_are_read_plainly_and_others_are_not() {
        let line = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let usual = ["iddio", "exec", "--agent", "web", "--because", "it is slow", "-q", "--json"];
        let command = ["--", "kubectl", "--", "--json", "-q"];
        assert!(holds(&line(&[&usual[..], &command].concat())));
        assert!(!holds(&line(&["iddio", "-q", "exec", "--", "true"])));
        assert!(!holds(&line(&["iddio", "exec", "true"])));
        let mut odd = line(&["iddio", "exec", "--"]);
        odd.push(OsString::from_vec(vec![0xff, b'-']));
        assert!(holds(&odd), "a command is bytes");
        odd.insert(2, OsString::from_vec(vec![0xff]));
        assert!(!holds(&odd));
    }
}
