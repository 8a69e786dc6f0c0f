//! What README and book say to type is understood: each command line by the commands, each settings file by the settings.

use std::{fs, path::PathBuf};

use addendum::{
    study::Study,
    train::{Settings, Sources},
};
use clap::{Parser, error::ErrorKind};

use super::Cli;

/// README and the pages of the book, with their texts.
fn pages() -> Vec<(PathBuf, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    pages.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root.join(name)));
    pages.sort();
    pages.into_iter().map(|page| (page.clone(), fs::read_to_string(page).unwrap())).collect()
}

/// The command lines of a page: lines of code blocks, put together where they go on, and code spans. The latter may
/// leave out what the sentence around them says.
fn command_lines(text: &str) -> Vec<(String, bool)> {
    let (mut lines, mut fenced, mut open) = (Vec::new(), false, String::new());
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            open.push_str(line.trim());
            if let Some(going_on) = open.strip_suffix('\\') {
                open = going_on.to_owned();
            } else {
                lines.push((std::mem::take(&mut open), true));
            }
        } else {
            lines.extend(line.split('`').skip(1).step_by(2).map(|span| (span.to_owned(), false)));
        }
    }
    lines
}

/// The words of a line as a shell would pass them, up to a comment, a pipe or another command.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '#' | '|' | '>' | '&') if word.is_none() => break,
            (None, ';') => break,
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// What follows `addendum`, or `cargo run … --`, in the words of a line; variables of the environment may stand in front.
fn arguments(words: &[String]) -> Option<Vec<String>> {
    let start = words.iter().position(|word| !word.contains('=')).unwrap_or(0);
    let words = &words[start..];
    let is = |at: usize, name: &str| words.get(at).is_some_and(|word| word == name);
    let program = |word: &String| word == "addendum" || word.ends_with("/addendum");
    let rest = if is(0, "cargo") && is(1, "run") {
        let end = words.iter().position(|word| word == "--")?;
        let own = !words[..end].iter().any(|word| word == "--example" || word == "-p");
        own.then(|| &words[end + 1..])?
    } else {
        words.first().filter(|word| program(word)).map(|_| &words[1..])?
    };
    // A key of Cargo.toml; and the command in general.
    if is(1, "=") || is(1, "COMMAND") {
        return None;
    }
    // Forms such as `[OPTIONS]` and `(--model DIR` say what may stand there, and `sample|step` that one of them does.
    let form = |word: &str| word.starts_with(['[', '(', '…']) || word.ends_with([']', ')', '…']);
    let known = rest.iter().take_while(|word| !form(word)).map(|word| match word.as_str() {
        "N" | "COUNT" | "SECONDS" => "1",
        other => other.split_once('|').map_or(other, |(first, _)| first),
    });
    Some(std::iter::once("addendum").chain(known).map(str::to_owned).collect())
}

#[test]
fn every_command_of_the_pages_is_one() {
    let (mut refused, mut understood) = (Vec::new(), 0);
    for (page, text) in pages() {
        for (line, whole) in command_lines(&text) {
            let words = words(&line);
            let Some(given) = arguments(&words) else { continue };
            let short = !whole || words.iter().any(|word| word.starts_with(['[', '(', '…']));
            match Cli::try_parse_from(&given).err().map(|error| (error.kind(), error)) {
                Some((ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _)) | None => understood += 1,
                Some((
                    ErrorKind::MissingRequiredArgument
                    | ErrorKind::MissingSubcommand
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                    | ErrorKind::InvalidValue,
                    _,
                )) if short => understood += 1,
                Some((_, error)) => refused.push(format!("{}: {line}\n{error}", page.display())),
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(understood > 80, "only {understood} commands were found");
}

#[test]
fn a_command_that_is_none_is_noticed() {
    for (line, kind) in [
        ("addendum train --config FILE --sat run.steps=3", ErrorKind::UnknownArgument),
        ("cargo run --release -- trane --config FILE   # a comment", ErrorKind::InvalidSubcommand),
        ("TOKEN=x addendum eval --policy DIR \"--adopter\" DIR | head -1", ErrorKind::UnknownArgument),
    ] {
        let given = arguments(&words(line)).unwrap();
        assert_eq!(Cli::try_parse_from(given).err().map(|error| error.kind()), Some(kind), "{line}");
    }
    assert_eq!(arguments(&words("cargo run --release --example own_reward -- --help")), None);
}

#[test]
fn every_settings_file_of_the_pages_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("block.toml");
    let mut read = 0;
    for (page, text) in pages() {
        for block in text.split("\n```toml").skip(1) {
            let (kind, block) = block.split_once('\n').unwrap();
            let block = block.split("\n```").next().unwrap();
            fs::write(&file, block).unwrap();
            // A block may be about one section only.
            let needed = [("[policy", "policy.path=MODEL"), ("[data", "data.folder=DATA")];
            let sets: Vec<String> =
                needed.into_iter().filter(|(key, _)| !block.contains(key)).map(|(_, set)| set.into()).collect();
            let sources = Sources { file: Some(&file), sets: &sets };
            let result = match kind {
                "" => Settings::checked(&sources, Settings::validate).map(drop),
                ",study" => Study::read(&file).map(drop),
                // Cargo's own.
                ",manifest" => continue,
                other => panic!("{}: a block is ```toml{other}: expected nothing, study or manifest", page.display()),
            };
            assert!(result.is_ok(), "{}: {}\n{block}", page.display(), result.unwrap_err());
            read += 1;
        }
    }
    assert!(read > 5, "only {read} were found");
}
