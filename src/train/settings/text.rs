//! Settings as TOML with a comment above every key: what `addendum config` prints and a run folder keeps.

use toml::{Table, Value};

use super::{
    Settings,
    error::{Place, SettingsError},
    schema::{self, Node, Resume},
};

/// Columns of a comment.
const WIDTH: usize = 100;

impl Settings {
    /// The settings as a table; keys without a value are absent.
    ///
    /// # Errors
    /// A whole number that TOML cannot hold: one above 2^63 - 1.
    pub fn table(&self) -> Result<Table, SettingsError> {
        Table::try_from(self)
            .map_err(|error| SettingsError::Malformed { place: Place::Nowhere, reason: error.to_string() })
    }

    /// The whole settings file, defaults included, with a comment on every key.
    ///
    /// # Errors
    /// As [`Settings::table`].
    pub fn text(&self) -> Result<String, SettingsError> {
        let mut text = String::from("# Every setting of a run. `addendum train --config FILE` reads it.\n");
        write_table(&mut text, "", &self.table()?, schema::root(), Resume::Binds);
        Ok(text)
    }
}

fn write_table(text: &mut String, path: &str, table: &Table, node: Node<'_>, above: Resume) {
    let join = |key: &str| if path.is_empty() { name(key) } else { format!("{path}.{}", name(key)) };
    for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        let child = node.child(key);
        comment(text, child, above);
        *text += &format!("{} = {value}\n", name(key));
    }
    for key in node.keys().filter(|key| !table.contains_key(*key)) {
        let child = node.child(key);
        comment(text, child, above);
        *text += &format!("# {} is not set.\n", join(key));
    }
    for (key, value) in table {
        let Value::Table(inner) = value else { continue };
        let (path, child) = (join(key), node.child(key));
        text.push('\n');
        comment(text, child, above);
        *text += &format!("[{path}]\n");
        if let Some(child) = child {
            write_table(text, &path, inner, child, child.resume(above));
        }
    }
}

fn comment(text: &mut String, node: Option<Node<'_>>, above: Resume) {
    let Some(node) = node else { return };
    let mut paragraph = node.description().unwrap_or_default();
    let choices: Vec<String> = node
        .choices()
        .into_iter()
        .map(|(name, meaning)| match meaning {
            Some(meaning) => format!("{name} ({})", meaning.trim_end_matches('.')),
            None => name.to_string(),
        })
        .collect();
    if !choices.is_empty() {
        paragraph += &format!(" One of: {}.", choices.join(", "));
    }
    if node.resume(above) != Resume::Binds && !node.is_table() {
        paragraph += " May change when a run is resumed";
        paragraph += if node.resume(above) == Resume::Rounding { ", which changes roundings." } else { "." };
    }
    for line in wrapped(&paragraph) {
        *text += &format!("# {line}\n");
    }
}

fn wrapped(paragraph: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in paragraph.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

/// A key as TOML writes it.
fn name(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { key.to_string() } else { Value::String(key.to_string()).to_string() }
}
