//! One JSON entry of a dataset folder, made into a study.

use serde_json::{Map, Value};

use super::{context::Context, paths::Images, roles};
use crate::{
    prompt::IMAGE_MARKER,
    sections,
    study::{ImageSource, Reference, Study, View},
};

/// Field and reason.
type Problem = (String, String);

pub fn parse(value: &Value, index: usize, images: &Images) -> Result<Study, Problem> {
    let Value::Object(entry) = value else {
        return Err(("(entry)".into(), format!("expected an object, found {}", type_name(value))));
    };
    let human = turn(entry, &["human", "user"])?;
    let report = turn(entry, &["gpt", "assistant"])?;
    if report.trim().is_empty() {
        return Err(("conversations".into(), "the gpt turn is empty: expected a report".into()));
    }
    let paths = image_paths(entry)?;
    let markers = human.matches(IMAGE_MARKER).count();
    if markers != paths.len() {
        let reason = format!("{markers} {IMAGE_MARKER} markers in the human turn, but {} images", paths.len());
        return Err(("conversations".into(), reason));
    }
    let roles = match entry.get("views") {
        None | Some(Value::Null) => roles::from_prompt(human),
        Some(views) => roles::from_key(views, paths.len()).map_err(|reason| ("views".into(), reason))?,
    };
    let mut views = Vec::with_capacity(paths.len());
    for (path, (timing, projection)) in paths.into_iter().zip(roles) {
        let file = images.resolve(path).map_err(|reason| ("image".into(), reason))?;
        views.push(View { projection, timing, image: ImageSource::File(file) });
    }
    views.sort_by_key(|view| (view.timing, view.projection));
    let said = Context::parse(human);
    Ok(Study {
        id: id(entry, index)?,
        views,
        indication: text(entry, "indication")?.or(said.indication),
        technique: text(entry, "technique")?.or(said.technique),
        comparison: text(entry, "comparison")?.or(said.comparison),
        reference: Reference::new(sections::spoken(report.trim())),
    })
}

/// What JSON calls the type of a value, with its article.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn id(entry: &Map<String, Value>, index: usize) -> Result<String, Problem> {
    match entry.get("id") {
        None | Some(Value::Null) => Ok(index.to_string()),
        Some(Value::String(id)) => Ok(id.clone()),
        Some(Value::Number(id)) => Ok(id.to_string()),
        Some(other) => Err(mistyped("id", "a string or a number", other)),
    }
}

fn image_paths(entry: &Map<String, Value>) -> Result<Vec<&str>, Problem> {
    let given = |field: &&str| entry.get(*field).is_some_and(|value| !value.is_null());
    let field = ["image", "images"].into_iter().find(given).unwrap_or("image");
    match entry.get(field) {
        None => Err(("image".into(), "missing".into())),
        Some(Value::String(path)) => Ok(vec![path]),
        Some(Value::Array(paths)) if paths.is_empty() => {
            Err((field.into(), "empty: expected at least one path".into()))
        }
        Some(Value::Array(paths)) => paths
            .iter()
            .enumerate()
            .map(|(i, path)| path.as_str().ok_or_else(|| mistyped(&format!("{field}[{i}]"), "a string", path)))
            .collect(),
        Some(other) => Err(mistyped(field, "a path or a list of paths", other)),
    }
}

/// The text of the first turn whose speaker is one of `speakers`.
fn turn<'a>(entry: &'a Map<String, Value>, speakers: &[&str]) -> Result<&'a str, Problem> {
    const FIELD: &str = "conversations";
    let turns = match entry.get(FIELD) {
        None => return Err((FIELD.into(), "missing".into())),
        Some(Value::Array(turns)) => turns,
        Some(other) => return Err(mistyped(FIELD, "a list of turns", other)),
    };
    let speaks = |turn: &&Value| turn.get("from").and_then(Value::as_str).is_some_and(|from| speakers.contains(&from));
    let i = turns
        .iter()
        .position(|turn| speaks(&turn))
        .ok_or_else(|| (FIELD.into(), format!("no turn from `{}`", speakers.join("` or `"))))?;
    match turns[i].get("value") {
        Some(Value::String(value)) => Ok(value),
        Some(other) => Err(mistyped(&format!("{FIELD}[{i}].value"), "a string", other)),
        None => Err((format!("{FIELD}[{i}].value"), "missing".into())),
    }
}

fn text(entry: &Map<String, Value>, field: &str) -> Result<Option<String>, Problem> {
    match entry.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Some(other) => Err(mistyped(field, "a string", other)),
    }
}

fn mistyped(field: &str, expected: &str, found: &Value) -> Problem {
    (field.into(), format!("expected {expected}, found {}", type_name(found)))
}
