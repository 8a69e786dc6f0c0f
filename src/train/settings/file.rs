//! Settings from a file and from `--set`: read, checked key by key, completed and located.

use std::{fs, ops::Range, path::Path};

use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

use super::{
    Settings,
    error::{Place, Problem, SettingsError},
    presets,
    schema::{self, Node},
};

/// What settings are made from.
#[derive(Clone, Debug, Default)]
pub struct Sources<'a> {
    /// A TOML file; defaults without one.
    pub file: Option<&'a Path>,
    /// `KEY=VALUE`; later ones win, and all win over the file.
    pub sets: &'a [String],
}

/// A file with its text.
struct File<'a> {
    path: &'a Path,
    text: String,
}

impl Settings {
    /// Settings from a file and arguments, without the checks of [`Settings::validate`]. What neither names is as the
    /// algorithm has it, or the default.
    ///
    /// ```
    /// use addendum::train::{Settings, Sources};
    ///
    /// let sets = ["run.steps=20".to_string(), "reward.weights.rate=0.5".to_string()];
    /// let settings = Settings::load(&Sources { file: None, sets: &sets })?;
    /// assert_eq!((settings.run.steps, settings.reward.weights["rate"]), (20, 0.5));
    ///
    /// let misspelt = ["run.step=20".to_string()];
    /// let error = Settings::load(&Sources { file: None, sets: &misspelt }).unwrap_err();
    /// assert!(error.to_string().contains("run.steps"), "{error}");
    /// # Ok::<(), addendum::train::settings::SettingsError>(())
    /// ```
    ///
    /// # Errors
    /// An unreadable file, what is not TOML, unknown keys, values of another kind; with file, line and column.
    pub fn load(sources: &Sources<'_>) -> Result<Self, SettingsError> {
        Read::from(sources)?.settings()
    }

    /// What a settings file gives, every key and value of a kind that the settings have.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn given(path: &Path) -> Result<Table, SettingsError> {
        File::read(path)?.table()
    }

    /// Settings from what a file gives.
    ///
    /// # Errors
    /// A key that is none, or a value of another kind, by its key.
    pub fn of_given(given: &Table) -> Result<Self, Problem> {
        table(&given.to_string()).map_err(|mistake| Problem::new(mistake.key.unwrap_or_default(), mistake.reason))?;
        let complete = presets::complete(given);
        complete.try_into().map_err(|error: toml::de::Error| Problem::new("", error.message()))
    }

    /// The same, and every value in its range.
    ///
    /// # Errors
    /// As [`Settings::load`] and [`Settings::validate`], with the place of the setting.
    pub fn checked(
        sources: &Sources<'_>,
        check: impl FnOnce(&Self) -> Result<(), Problem>,
    ) -> Result<Self, SettingsError> {
        let read = Read::from(sources)?;
        let settings = read.settings()?;
        check(&settings).map_err(|problem| read.located(problem))?;
        Ok(settings)
    }
}

/// Sources, read.
struct Read<'a> {
    file: Option<File<'a>>,
    sets: Vec<(&'a String, Vec<String>, Value)>,
    given: Table,
}

impl<'a> Read<'a> {
    fn from(sources: &Sources<'a>) -> Result<Self, SettingsError> {
        let mut given = Table::new();
        let file = sources.file.map(File::read).transpose()?;
        if let Some(file) = &file {
            given = file.table()?;
        }
        let mut sets = Vec::new();
        for argument in sources.sets {
            let (path, value) = parsed(argument)?;
            presets::merge(&mut given, nested(&path, value.clone()));
            sets.push((argument, path, value));
        }
        Ok(Self { file, sets, given })
    }

    fn settings(&self) -> Result<Settings, SettingsError> {
        let complete = presets::complete(&self.given);
        complete.try_into().map_err(|error: toml::de::Error| SettingsError::Malformed {
            place: Place::Nowhere,
            reason: error.message().to_string(),
        })
    }

    fn located(&self, mut problem: Problem) -> SettingsError {
        let mut key = problem.key.as_str();
        if let Some(source) = presets::followed(&self.given, key) {
            problem.reason = format!("{}; it was not given, so it is {source}", problem.reason);
            key = source;
        }
        SettingsError::Invalid { place: self.place(key), problem }
    }

    /// Where the key, or the table that it is in, was given last.
    fn place(&self, key: &str) -> Place {
        // One of a list, as in `urls[1]`, stands where the list does.
        let path: Vec<&str> = key.split('.').map(|part| part.split('[').next().unwrap_or(part)).collect();
        let given = |set: &[String]| path.iter().zip(set).all(|(a, b)| a == b) && set.len() <= path.len();
        if let Some((argument, ..)) = self.sets.iter().rev().find(|(_, set, _)| given(set)) {
            return Place::Argument((*argument).clone());
        }
        self.file.as_ref().map_or(Place::Nowhere, |file| file.place_of(&path))
    }
}

impl<'a> File<'a> {
    fn read(path: &'a Path) -> Result<Self, SettingsError> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self { path, text }),
            Err(reason) => Err(SettingsError::Read { path: path.into(), reason }),
        }
    }

    fn table(&self) -> Result<Table, SettingsError> {
        table(&self.text).map_err(|Mistake { span, key, reason }| match key {
            Some(key) => self.malformed(span, &format!("{key}: {reason}")),
            None => self.malformed(span, &reason),
        })
    }

    fn malformed(&self, span: Option<Range<usize>>, reason: &str) -> SettingsError {
        let place = self.place_at(span.map_or(0, |span| span.start));
        SettingsError::Malformed { place, reason: reason.trim().replace('\n', ", ") }
    }

    fn place_at(&self, byte: usize) -> Place {
        let before = self.text.get(..byte).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |text| text.chars().count()) + 1;
        Place::File { path: self.path.into(), line, column }
    }

    fn place_of(&self, path: &[&str]) -> Place {
        let Ok(parsed) = DeTable::parse(&self.text) else { return Place::Nowhere };
        let (mut table, mut found) = (parsed.get_ref(), None);
        for key in path {
            let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref().as_ref() == *key) else { break };
            found = Some(name.span());
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        found.map_or(Place::Nowhere, |span| self.place_at(span.start))
    }
}

/// What is wrong with the text of settings, and with which of them.
struct Mistake {
    span: Option<Range<usize>>,
    key: Option<String>,
    reason: String,
}

fn table(text: &str) -> Result<Table, Mistake> {
    let failed = |error: toml::de::Error| Mistake { span: error.span(), key: None, reason: error.message().into() };
    let parsed = DeTable::parse(text).map_err(failed)?;
    if let Some((span, path)) = unknown(parsed.get_ref(), schema::root(), &mut Vec::new()) {
        return Err(Mistake { span: Some(span), key: Some(path.join(".")), reason: unknown_key(&path) });
    }
    toml::from_str::<Settings>(text).map_err(|error| {
        let key = error.span().and_then(|span| key_at(parsed.get_ref(), span.start, ""));
        Mistake { key, ..failed(error) }
    })?;
    toml::from_str(text).map_err(failed)
}

/// The first key that the settings do not have, and its path.
fn unknown(table: &DeTable<'_>, node: Node<'_>, path: &mut Vec<String>) -> Option<(Range<usize>, Vec<String>)> {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        let Some(child) = node.child(key.get_ref()) else { return Some((key.span(), path.clone())) };
        if let DeValue::Table(inner) = value.get_ref()
            && child.is_table()
            && let Some(found) = unknown(inner, child, path)
        {
            return Some(found);
        }
        path.pop();
    }
    None
}

/// The path of the key whose value starts at `byte`, or holds it.
fn key_at(table: &DeTable<'_>, byte: usize, above: &str) -> Option<String> {
    table.iter().find_map(|(key, value): (_, &Spanned<DeValue<'_>>)| {
        let path = if above.is_empty() { key.get_ref().to_string() } else { format!("{above}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, byte, &path),
            _ => value.span().contains(&byte).then_some(path),
        }
    })
}

/// What to say of a key that is not there.
fn unknown_key(path: &[String]) -> String {
    match nearest(path) {
        Some(known) => format!("unknown key; did you mean `{known}`?"),
        None => "unknown key; `addendum config` prints all of them".into(),
    }
}

/// How alike a known key must be to be proposed, from 0 to 1.
const ALIKE: f64 = 0.6;

/// The known key most like this one: by its last part first, then by the whole.
fn nearest(path: &[String]) -> Option<String> {
    fn all(node: Node<'_>, above: &str, found: &mut Vec<String>) {
        for key in node.keys() {
            let path = if above.is_empty() { key.to_string() } else { format!("{above}.{key}") };
            if let Some(child) = node.child(key) {
                all(child, &path, found);
            }
            found.push(path);
        }
    }
    let mut known = Vec::new();
    all(schema::root(), "", &mut known);
    let (whole, last) = (path.join("."), path.last()?);
    let likeness = |known: &String| {
        let known_last = known.rsplit('.').next().unwrap_or(known);
        let (by_last, by_all) =
            (strsim::normalized_damerau_levenshtein(last, known_last), strsim::jaro_winkler(&whole, known));
        (by_last, by_all)
    };
    let best = known
        .iter()
        .map(|known| (likeness(known), known))
        .max_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal));
    best.filter(|((by_last, _), _)| *by_last >= ALIKE).map(|(_, known)| known.clone())
}

/// An argument of `--set` as a path and a value.
fn parsed(argument: &str) -> Result<(Vec<String>, Value), SettingsError> {
    let place = || Place::Argument(argument.to_string());
    let malformed = |reason: String| SettingsError::Malformed { place: place(), reason };
    let (key, text) = argument.split_once('=').ok_or_else(|| malformed("expected KEY=VALUE".into()))?;
    let path: Vec<String> = key.trim().split('.').map(|part| part.trim().to_string()).collect();
    let mut node = schema::root();
    for (depth, part) in path.iter().enumerate() {
        let known = &path[..=depth];
        let unknown = || malformed(format!("{}: {}", known.join("."), unknown_key(known)));
        node = node.child(part).ok_or_else(unknown)?;
    }
    let text = text.trim();
    // What is no TOML value is text: paths and names need no quotes.
    let value = toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    let bare = || Value::String(text.to_string());
    let fits = |value: &Value| nested(&path, value.clone()).try_into::<Settings>().map(drop);
    let value = value.unwrap_or_else(bare);
    match fits(&value) {
        Ok(()) => Ok((path, value)),
        Err(_) if fits(&bare()).is_ok() => Ok((path, bare())),
        Err(error) => Err(malformed(error.message().trim().replace('\n', ", "))),
    }
}

fn nested(path: &[String], value: Value) -> Table {
    let value = match path {
        [_] | [] => value,
        [_, below @ ..] => Value::Table(nested(below, value)),
    };
    path.first().map(|key| (key.clone(), value)).into_iter().collect()
}
