//! An entry as fields with values, whatever form its file has.

use serde_json::{Map, Value};

use super::{cells, files::Form};
use crate::{error::Problem, json};

pub type Record = Map<String, Value>;

/// Reads an entry. A table's cells stand under the names of its header; those that are empty or `nan`, which is how Python
/// prints a missing value, are absent.
pub fn read(form: Form, header: &[String], bytes: &[u8]) -> Result<Record, Problem> {
    match form {
        Form::Array | Form::Lines | Form::Parquet => match json::parse(bytes) {
            Ok(Value::Object(record)) => Ok(record),
            Ok(other) => Err(Problem::whole(format!("expected an object, found {}", type_name(&other)))),
            Err(error) => Err(Problem::whole(format!("not valid JSON: {}", without_place(&error)))),
        },
        Form::Table { separator } => {
            let cells = cells::of(bytes, separator).map_err(Problem::whole)?;
            if cells.len() != header.len() {
                let reason = format!("{} cells under a header of {}", cells.len(), header.len());
                return Err(Problem::whole(reason));
            }
            let filled = header.iter().zip(cells).filter(|(_, cell)| !is_missing(cell));
            Ok(filled.map(|(name, cell)| (name.clone(), cell.into())).collect())
        }
    }
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

/// A field whose value is of another type than expected.
pub fn mistyped(field: &str, expected: &str, found: &Value) -> Problem {
    Problem::new(field, format!("expected {expected}, found {}", type_name(found)))
}

/// The text of a field, without blanks around it; none if it is blank.
pub fn text(field: &str, value: &Value) -> Result<Option<String>, Problem> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        other => Err(mistyped(field, "a string", other)),
    }
}

/// The texts of a list, as they stand.
pub fn texts(field: &str, values: &[Value]) -> Result<Vec<String>, Problem> {
    let text = |(i, value): (usize, &Value)| {
        value.as_str().map(str::to_owned).ok_or_else(|| mistyped(&format!("{field}[{i}]"), "a string", value))
    };
    values.iter().enumerate().map(text).collect()
}

fn is_missing(cell: &str) -> bool {
    let cell = cell.trim();
    cell.is_empty() || cell.eq_ignore_ascii_case("nan")
}

/// The line and column would be those of the entry, not of the file.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}
