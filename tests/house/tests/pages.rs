//! What the pages say of the house is so: their links lead somewhere, the book has all of them, messages are the code's.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use addendum_house::{Area, Kind, Links, Message, messages, page};

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

static MESSAGES: LazyLock<Vec<Message>> = LazyLock::new(|| messages(&house()));

/// Pages for readers, by their paths in the house.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(house().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    let others =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "monitoring/README.md", "rewards/README.md"];
    pages.extend(others.map(|name| house().join(name)));
    pages.sort();
    pages
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let mut dead = Vec::new();
    let mut read: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for page in pages() {
        for (line, target) in Links::read(&page).targets {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').map_or((&*target, None), |(file, anchor)| (file, Some(anchor)));
            let file = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let there = match (file.canonicalize(), anchor) {
                (Ok(file), Some(anchor)) => {
                    read.entry(file.clone()).or_insert_with(|| Links::read(&file).anchors).contains(anchor)
                }
                (found, None) => found.is_ok_and(|file| file.starts_with(house())),
                (Err(_), _) => false,
            };
            if !there {
                dead.push(format!("{}:{line}: {target}", page.strip_prefix(house()).unwrap().display()));
            }
        }
    }
    assert!(dead.is_empty(), "links to what is not there:\n{}", dead.join("\n"));
}

#[test]
fn the_book_has_every_page_once_and_leads_to_no_page_outside_of_it() {
    let docs = house().join("docs");
    let mut chapters: Vec<String> =
        Links::read(&docs.join("SUMMARY.md")).targets.into_iter().map(|(_, target)| target).collect();
    chapters.sort();
    let mut there: Vec<String> = pages()
        .iter()
        .filter(|page| page.starts_with(&docs) && !page.ends_with("SUMMARY.md"))
        .map(|page| page.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    there.sort();
    assert_eq!(chapters, there, "left: docs/SUMMARY.md, right: the pages in docs/");
    // mdBook would make a link to a chapter of it, which is not there.
    for page in pages().iter().filter(|page| page.starts_with(&docs)) {
        for (line, target) in Links::read(page).targets {
            let outside =
                target.starts_with("../") && target.split('#').next().is_some_and(|file| file.ends_with(".md"));
            assert!(!outside, "{}:{line}: {target}: expected a folder, or a page of the book", page.display());
        }
    }
}

#[test]
fn whatever_a_chapter_includes_is_there() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for included in text.split("{{#include ").skip(1) {
            let file = included.split("}}").next().unwrap();
            assert!(page.parent().unwrap().join(file).is_file(), "{}: {file}", page.display());
        }
    }
}

#[test]
fn the_page_of_messages_is_what_the_code_says() {
    let written = fs::read_to_string(house().join("docs/troubleshooting.md")).unwrap();
    assert!(
        written == page(&MESSAGES),
        "docs/troubleshooting.md is out of date: cargo run -p addendum-house --example messages > docs/troubleshooting.md"
    );
}

#[test]
fn errors_of_every_kind_are_read_from_the_code() {
    let with = |area: Area, text: &str| {
        let found = MESSAGES.iter().find(|message| message.area == area && message.text.contains(text));
        found.unwrap_or_else(|| panic!("no message of {area:?} says `{text}`"))
    };
    assert_eq!(with(Area::Run, "another process is at work").text, "another process is at work in the folder {path}");
    let refused = with(Area::Editor, "edit config");
    assert_eq!(refused.text, "edit config: {field} is {value}, expected {expected}");
    assert!(refused.meaning.as_ref().is_some_and(|meaning| meaning.contains("out of its range")), "{refused:?}");
    // `bail!`, `ensure!` and `context` of the commands.
    assert_eq!(with(Area::Command, "problems must be mended").text, "{problems} problems must be mended first");
    with(Area::Command, "expected --temperature above 0");
    with(Area::Command, "the metrics recorder cannot be installed: {reason}");
    // A reason inside of another message.
    with(Area::Data, "is UTF-16 text; expected UTF-8");
}

#[test]
fn every_variant_of_an_error_says_when_it_happens() {
    let silent: Vec<_> =
        MESSAGES.iter().filter(|message| message.kind == Kind::Error && message.meaning.is_none()).collect();
    assert!(silent.is_empty(), "errors without documentation: {silent:#?}");
}
