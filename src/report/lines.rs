//! Files of JSON objects, one a line, that a run may be writing at this moment.

use std::{fs, io::ErrorKind, path::Path};

use super::{ReportError, not_json};

/// What `parse` makes of every line. A last line that was cut off by an interruption is left out, as are empty ones.
///
/// # Errors
/// The file cannot be read, or a line before the last is not what `parse` expects.
pub fn read<T>(path: &Path, parse: impl Fn(&[u8]) -> serde_json::Result<T>) -> Result<Vec<T>, ReportError> {
    let text = fs::read(path).map_err(ReportError::io(path))?;
    let mut values = Vec::new();
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match parse(line) {
            Ok(value) => values.push(value),
            // It may end within a character.
            Err(_) if !line.ends_with(b"\n") => {}
            Err(_) if line.trim_ascii().is_empty() => {}
            Err(error) => {
                return Err(ReportError::Line { path: path.into(), line: index + 1, reason: reason(&error) });
            }
        }
    }
    Ok(values)
}

/// The same of a file that a run need not have.
///
/// # Errors
/// As [`read`].
pub fn read_if_there<T>(path: &Path, parse: impl Fn(&[u8]) -> serde_json::Result<T>) -> Result<Vec<T>, ReportError> {
    match read(path, parse) {
        Err(ReportError::Io { reason, .. }) if reason.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        lines => lines,
    }
}

fn reason(error: &serde_json::Error) -> String {
    if !error.is_data() {
        return not_json(error);
    }
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}
