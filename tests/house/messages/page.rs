//! `docs/troubleshooting.md`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::message::{Area, Kind, Message};

const HEAD: &str = "\
# Troubleshooting by message

<!-- Made from the sources by `cargo run -p addendum-house --example messages > docs/troubleshooting.md`. -->

Look for the words of your message that are not names, numbers or paths: what is in braces here is your own. An error is
printed with its causes under it, so the message that you look for may be the last line. Messages name the file, line or
key and what was expected there. The status with which a command ends is listed under
[Exit status](commands.md#exit-status); what a run does by itself when something fails is in
[Endurance](endurance.md).

Nothing here helps? `addendum train --config FILE --dry-run` checks settings, data, model and devices before anything is
computed, `addendum data check DIR` a dataset folder, `addendum doctor` the machine.
";

/// The page that tells of these messages.
pub fn page(all: &[Message]) -> String {
    let mut page = HEAD.to_owned();
    for area in Area::ALL {
        let of = |kind| all.iter().filter(move |message| message.area == area && message.kind == kind);
        if all.iter().all(|message| message.area != area) {
            continue;
        }
        let _ = writeln!(page, "\n## {}", area.title());
        for message in of(Kind::Error) {
            let _ = writeln!(page, "\n- {}", code(&message.text));
            if let Some(meaning) = &message.meaning {
                let _ = writeln!(page, "\n{}", indented(meaning));
            }
        }
        let mut commands: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for message in of(Kind::Command) {
            commands.entry(told_by(&message.home)).or_default().insert(&message.text);
        }
        commands.iter().for_each(|(teller, texts)| list(&mut page, teller, texts));
        let reasons: BTreeSet<&str> = of(Kind::Reason).map(|message| &*message.text).collect();
        if !reasons.is_empty() {
            list(&mut page, "In the place of a reason or a problem, after the file, line or key:", &reasons);
        }
    }
    page
}

fn list(page: &mut String, title: &str, texts: &BTreeSet<&str>) {
    let _ = writeln!(page, "\n{title}\n");
    for text in texts {
        let _ = writeln!(page, "- {}", code(text));
    }
}

/// Who ends with a text, by the module that it is in.
fn told_by(home: &str) -> String {
    match home.split("::").collect::<Vec<_>>().as_slice() {
        ["cli", "output" | "policy" | "studies", ..] => "Several commands:".into(),
        ["cli", command, ..] => format!("`addendum {}`:", command.replace('_', "-")),
        ["serve", ..] => "`addendum serve-rewards`:".into(),
        ["study", ..] => "`addendum study`:".into(),
        _ => "While a run is put together or goes on:".into(),
    }
}

/// A code span on one line; a break in the text is shown as such.
fn code(text: &str) -> String {
    let line = text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ⏎ ");
    let fence = if line.contains('`') { "``" } else { "`" };
    let space = if line.starts_with('`') || line.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{line}{space}{fence}")
}

fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| if line.is_empty() { String::new() } else { format!("  {line}") });
    lines.collect::<Vec<_>>().join("\n")
}
