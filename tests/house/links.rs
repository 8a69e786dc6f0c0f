//! The links of a Markdown page and the anchors that others may link to.

use std::{collections::BTreeSet, fs, path::Path};

use regex::Regex;

/// What a page links to, and what of it can be linked to.
pub struct Links {
    /// Targets as written, each with the number of its line.
    pub targets: Vec<(usize, String)>,
    /// Those of headings, as GitHub and mdBook make them.
    pub anchors: BTreeSet<String>,
}

impl Links {
    /// Reads a page; what is in code does not count.
    ///
    /// # Panics
    /// The file cannot be read.
    pub fn read(page: &Path) -> Self {
        let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        let link = regex(r#"\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)|(?:src|srcset|href)="([^"]+)"|^\[[^\]]+\]: (\S+)"#);
        let (code, markup) = (regex(r"`[^`]*`"), regex(r"\[([^\]]*)\]\([^)]*\)"));
        let (mut targets, mut anchors, mut fenced) = (Vec::new(), BTreeSet::new(), false);
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            }
            if fenced {
                continue;
            }
            if let Some(heading) = line.strip_prefix('#') {
                let name = anchor(&markup.replace_all(heading.trim_start_matches('#'), "$1"));
                let further = (1..).map(|count| format!("{name}-{count}"));
                let free = std::iter::once(name.clone()).chain(further).find(|name| !anchors.contains(name));
                anchors.extend(free);
            }
            // A link whose text is code has its target outside of it.
            let plain = code.replace_all(line, "");
            for found in link.captures_iter(&plain) {
                targets.extend(found.iter().skip(1).flatten().map(|target| (number, target.as_str().to_owned())));
            }
        }
        Self { targets, anchors }
    }
}

fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("it is a regular expression")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_anchors_are_found_and_code_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page.md");
        let text = "# A `run`: [one](x.md)\n\n[`a`](b.md#c) ![d](e.svg \"f\") `[g](h)`\n\n```sh\n# [i](j)\n```\n## A run\n## A run\n";
        fs::write(&page, text).unwrap();
        let links = Links::read(&page);
        let targets: Vec<&str> = links.targets.iter().map(|(_, target)| target.as_str()).collect();
        assert_eq!(targets, ["x.md", "b.md#c", "e.svg"]);
        assert_eq!(links.anchors.iter().map(String::as_str).collect::<Vec<_>>(), ["a-run", "a-run-1", "a-run-one"]);
    }
}
