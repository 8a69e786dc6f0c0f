//! Where in a study's file a key stands.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::train::settings::Place;

/// A file with its text.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub path: std::path::PathBuf,
    pub text: String,
}

impl Source {
    pub fn new(path: &Path, text: String) -> Self {
        Self { path: path.into(), text }
    }

    /// The place of the first of these that is given, or of what is around it. A number is the place in a list.
    pub fn place(&self, paths: &[String]) -> Place {
        let Ok(parsed) = DeTable::parse(&self.text) else { return Place::Nowhere };
        let found = paths.iter().find_map(|path| match reach(parsed.get_ref(), path) {
            (start, true) => start,
            _ => None,
        });
        let around = || paths.iter().rev().find_map(|path| reach(parsed.get_ref(), path).0);
        found.or_else(around).map_or(Place::Nowhere, |start| self.at(start))
    }

    pub fn at(&self, byte: usize) -> Place {
        let before = self.text.get(..byte).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |text| text.chars().count()) + 1;
        Place::File { path: self.path.clone(), line, column }
    }
}

/// Where the deepest part of the path that is there starts, and whether the whole path is given: by tables within each
/// other, or by one quoted key of several parts.
fn reach(table: &DeTable<'_>, path: &str) -> (Option<usize>, bool) {
    let given = table.iter().filter_map(|(key, value)| {
        let name = key.get_ref().as_ref();
        let rest = path.strip_prefix(name)?;
        match rest.strip_prefix('.') {
            Some(rest) => Some((key, value, rest)),
            None => rest.is_empty().then_some((key, value, "")),
        }
    });
    let Some((key, value, rest)) = given.max_by_key(|(key, ..)| key.get_ref().len()) else { return (None, false) };
    let start = key.span().start;
    if rest.is_empty() {
        return (Some(start), true);
    }
    match value.get_ref() {
        DeValue::Table(inner) => deeper(start, reach(inner, rest)),
        DeValue::Array(items) => {
            let (number, rest) = rest.split_once('.').unwrap_or((rest, ""));
            match number.parse().ok().and_then(|number: usize| items.get(number)) {
                Some(item) if rest.is_empty() => (Some(item.span().start), true),
                Some(item) => match item.get_ref() {
                    DeValue::Table(inner) => deeper(item.span().start, reach(inner, rest)),
                    _ => (Some(item.span().start), false),
                },
                None => (Some(start), false),
            }
        }
        // The value as a whole is wrong.
        _ => (Some(start), true),
    }
}

fn deeper(above: usize, (start, whole): (Option<usize>, bool)) -> (Option<usize>, bool) {
    (start.or(Some(above)), whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_tables_lists_and_quotes() {
        let text =
            "[settings]\nrun.steps = 3\n[[arm]]\nname = \"a\"\n[[arm]]\nset = { \"run.steps\" = 0, edit.tau = 3 }\n";
        let source = Source::new(Path::new("s.toml"), text.into());
        let place = |paths: &[&str]| {
            let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
            source.place(&paths).to_string()
        };
        assert_eq!(place(&["arm.1.set.run.steps", "settings.run.steps"]), "s.toml:6:9: ");
        assert_eq!(place(&["arm.0.set.run.steps", "settings.run.steps"]), "s.toml:2:5: ");
        assert_eq!(place(&["arm.1.set.edit.tau"]), "s.toml:6:31: ");
        assert_eq!(place(&["arm.1.grid.x"]), "s.toml:5:1: ");
        assert_eq!(place(&["nothing"]), "");
    }
}
