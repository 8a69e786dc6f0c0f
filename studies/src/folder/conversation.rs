//! Entries that hold a conversation: `conversations` as LLaVA has them, `messages` as chat programs do.

use serde_json::Value;

use super::{
    columns::CONVERSATIONS,
    content::{Content, Picture},
    context::Context,
    record::{Record, mistyped, text, texts},
    roles,
};
use crate::{error::Problem, prompt::IMAGE_MARKER};

/// What is said in one turn.
struct Speech {
    /// With a marker in the place of each image.
    text: String,
    /// Of the images that are parts of the turn; none of those that are named elsewhere.
    paths: Vec<Option<String>>,
}

/// The field with the conversation, if the entry has one.
pub fn field(record: &Record) -> Option<&'static str> {
    CONVERSATIONS.into_iter().find(|field| record.contains_key(*field))
}

pub fn read(record: &Record, field: &str) -> Result<Content, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut keep = |problem| problems.push(problem);
    let human = turn(record, field, &["human", "user"]).map_err(&mut keep).ok();
    let report =
        turn(record, field, &["gpt", "assistant"]).and_then(|said| written(&said.text, field)).map_err(&mut keep).ok();
    let pictures = human.as_ref().and_then(|human| pictures(record, field, human).map_err(&mut keep).ok());
    let [indication, technique, comparison] = ["indication", "technique", "comparison"]
        .map(|field| record.get(field).and_then(|value| text(field, value).map_err(&mut keep).ok().flatten()));
    let (Some(human), Some(pictures), Some(reference), true) = (human, pictures, report, problems.is_empty()) else {
        // Without a conversation neither speaker is found.
        problems.dedup();
        return Err(problems);
    };
    let said = Context::parse(&human.text);
    Ok(Content {
        pictures,
        indication: indication.or(said.indication),
        technique: technique.or(said.technique),
        comparison: comparison.or(said.comparison),
        reference,
        whole: true,
        report: None,
    })
}

fn written(report: &str, field: &str) -> Result<String, Problem> {
    match report.trim() {
        "" => Err(Problem::new(field, "the answer is empty: expected a report")),
        report => Ok(report.to_owned()),
    }
}

/// The images with their roles, as many as there are markers.
fn pictures(record: &Record, field: &str, human: &Speech) -> Result<Vec<Picture>, Problem> {
    let own: Vec<String> = human.paths.iter().flatten().cloned().collect();
    let (named_by, paths) = match own.is_empty() {
        true => listed(record)?,
        false if own.len() < human.paths.len() => {
            return Err(Problem::new(field, "only some of the images have a path of their own"));
        }
        false => (field, own),
    };
    let markers = human.text.matches(IMAGE_MARKER).count();
    if markers != paths.len() {
        let reason = format!("{markers} {IMAGE_MARKER} markers in the question, but {} images", paths.len());
        return Err(Problem::new(field, reason));
    }
    let roles = match record.get("views") {
        None | Some(Value::Null) => roles::from_prompt(&human.text),
        Some(views) => roles::from_key(views, paths.len()).map_err(|reason| Problem::new("views", reason))?,
    };
    let picture = |(path, role)| Picture { field: named_by.to_owned(), path, role };
    Ok(paths.into_iter().zip(roles).map(picture).collect())
}

/// The paths that the entry itself lists, and the field that does.
fn listed(record: &Record) -> Result<(&'static str, Vec<String>), Problem> {
    let given = |field: &&str| record.get(*field).is_some_and(|value| !value.is_null());
    let field = ["image", "images"].into_iter().find(given).unwrap_or("image");
    match record.get(field) {
        None => Err(Problem::new(field, "missing")),
        Some(Value::String(path)) => Ok((field, vec![path.clone()])),
        Some(Value::Array(paths)) if paths.is_empty() => Err(Problem::new(field, "empty: expected at least one path")),
        Some(Value::Array(paths)) => Ok((field, texts(field, paths)?)),
        Some(other) => Err(mistyped(field, "a path or a list of paths", other)),
    }
}

/// What the first turn of one of `speakers` says.
fn turn(record: &Record, field: &str, speakers: &[&str]) -> Result<Speech, Problem> {
    let turns = match record.get(field) {
        Some(Value::Array(turns)) => turns,
        None | Some(Value::Null) => return Err(Problem::new(field, "missing")),
        Some(other) => return Err(mistyped(field, "a list of turns", other)),
    };
    let of = |turn: &Value| turn.get("from").or(turn.get("role")).and_then(Value::as_str).map(str::to_owned);
    let speaks = |turn: &Value| of(turn).is_some_and(|speaker| speakers.contains(&speaker.as_str()));
    let (i, turn) = (turns.iter().enumerate())
        .find(|(_, turn)| speaks(turn))
        .ok_or_else(|| Problem::new(field, format!("no turn from `{}`", speakers.join("` or `"))))?;
    let name = if field == "messages" { "content" } else { "value" };
    let (name, said) = [name, "value", "content"]
        .iter()
        .find_map(|name| Some((*name, turn.get(*name)?)))
        .ok_or_else(|| Problem::new(format!("{field}[{i}].{name}"), "missing"))?;
    speech(said, &format!("{field}[{i}].{name}"))
}

fn speech(said: &Value, place: &str) -> Result<Speech, Problem> {
    let parts = match said {
        Value::String(text) => return Ok(Speech { text: text.clone(), paths: Vec::new() }),
        Value::Array(parts) => parts,
        other => return Err(mistyped(place, "a string or a list of parts", other)),
    };
    let (mut texts, mut paths) = (Vec::new(), Vec::new());
    for (i, part) in parts.iter().enumerate() {
        let place = format!("{place}[{i}]");
        match part.get("type").and_then(Value::as_str) {
            Some("text") => match part.get("text") {
                Some(Value::String(text)) => texts.push(text.as_str()),
                other => return Err(mistyped(&format!("{place}.text"), "a string", other.unwrap_or(&Value::Null))),
            },
            Some("image" | "image_url") => {
                texts.push(IMAGE_MARKER);
                paths.push(path(part, &place)?);
            }
            Some(other) => return Err(Problem::new(place, format!("is of type `{other}`; expected text or image"))),
            None => return Err(Problem::new(place, "has no type; expected text or image")),
        }
    }
    Ok(Speech { text: texts.join("\n"), paths })
}

/// The path of an image that is part of a turn: `image`, `path`, `url`, `image_url` or its `url`.
fn path(part: &Value, place: &str) -> Result<Option<String>, Problem> {
    let given = |name: &&str| part.get(*name).is_some_and(|value| !value.is_null());
    let Some(name) = ["image", "path", "url", "image_url"].into_iter().find(given) else { return Ok(None) };
    match part[name].get("url").unwrap_or(&part[name]) {
        Value::String(path) => Ok(Some(path.clone())),
        other => Err(mistyped(&format!("{place}.{name}"), "a path", other)),
    }
}
