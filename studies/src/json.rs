//! JSON as Python writes it: `NaN`, `Infinity` and `-Infinity`, which JSON does not have, half surrogate pairs, and a
//! byte order mark.

use std::borrow::Cow;

use serde_json::{Error, Value};

/// Parses JSON in which the numbers that JSON lacks count as null, and half surrogate pairs as U+FFFD.
///
/// # Errors
/// What is wrong, with its line and column. Each of the above before it on its line may shift the column by a few.
pub fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // Nearly all files are plain JSON.
    serde_json::from_slice(bytes).or_else(|error| match strict(bytes) {
        Cow::Owned(strict) => serde_json::from_slice(&strict),
        Cow::Borrowed(_) => Err(error),
    })
}

/// The index, in the array at the top level, of the entry in which an error of [`parse`] lies; none if it lies in none.
pub fn entry_at(bytes: &[u8], error: &Error) -> Option<usize> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let strict = strict(bytes);
    let start: usize =
        strict.split_inclusive(|byte| *byte == b'\n').take(error.line().checked_sub(1)?).map(<[u8]>::len).sum();
    let before = &strict[..strict.len().min(start + error.column())];
    let (mut depth, mut commas, mut begun) = (0usize, 0, false);
    for token in tokens(before) {
        match token {
            b"[" | b"{" => depth += 1,
            b"]" | b"}" => depth = depth.saturating_sub(1),
            b"," if depth == 1 => commas += 1,
            _ => {}
        }
        begun |= depth > 0;
    }
    (begun && depth > 0 && before.trim_ascii_start().starts_with(b"[")).then_some(commas)
}

/// With null instead of what JSON lacks.
fn strict(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut changed = false;
    for token in tokens(bytes) {
        let replaced: Cow<[u8]> = match token {
            b"NaN" | b"Infinity" | b"-Infinity" => b"null".into(),
            [b'"', ..] => whole_characters(token),
            _ => token.into(),
        };
        changed |= *replaced != *token;
        out.extend_from_slice(&replaced);
    }
    if changed { out.into() } else { bytes.into() }
}

/// Cuts JSON into strings, words and single bytes, which joined are the whole.
fn tokens(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = match *rest {
            [] => return None,
            [b'"', ..] => string(rest),
            [first, ..] if in_word(first) => rest.iter().take_while(|byte| in_word(**byte)).count(),
            _ => 1,
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        Some(token)
    })
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)
}

/// Length of the string that the bytes start with, quotes included.
fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A string whose escaped surrogates without their other halves are U+FFFD.
fn whole_characters(string: &[u8]) -> Cow<'_, [u8]> {
    let mut out: Option<Vec<u8>> = None;
    let mut at = 0;
    while at < string.len() {
        let length = match (surrogate(&string[at..]), string.get(at + 6..).and_then(surrogate)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(_), _) => {
                let start = &string[..at];
                out.get_or_insert_with(|| start.to_vec()).extend_from_slice(br"\ufffd");
                at += 6;
                continue;
            }
            _ if string[at] == b'\\' => 2,
            _ => 1,
        };
        let end = string.len().min(at + length);
        if let Some(out) = &mut out {
            out.extend_from_slice(&string[at..end]);
        }
        at = end;
    }
    out.map_or(string.into(), Into::into)
}

/// The half of a surrogate pair that is escaped at the start.
fn surrogate(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(br"\u")?.first_chunk::<4>()?;
    let unit = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (0xd800..=0xdfff).contains(&unit).then_some(unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_python_writes_beyond_json_is_null_and_strings_keep_their_words() {
        let python = br#"[NaN, {"a": -Infinity, "NaN": "Infinity \" NaN"}, Infinity ,1]"#;
        assert_eq!(parse(python).unwrap(), json!([null, {"a": null, "NaN": "Infinity \" NaN"}, null, 1]));
        assert_eq!(parse(b"\xef\xbb\xbf[\r\n]\r\n").unwrap(), json!([]));
        assert_eq!(
            parse(br#"["\ud83d\ude00 \udc00\ud800x\\ud800"]"#).unwrap(),
            json!(["\u{1f600} \u{fffd}\u{fffd}x\\ud800"])
        );
        for wrong in ["[nan]", "[NaN1]", "[+Infinity]", "[NaN NaN]", "[-NaN]", "[\"NaN]"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_error_is_found_in_its_entry() {
        let entry = |text: &str| entry_at(text.as_bytes(), &parse(text.as_bytes()).unwrap_err());
        assert_eq!(entry("[{\"a\": [1, 2]},\n {\"b\": NaN},\n {\"c\": nil}]"), Some(2));
        assert_eq!(entry("[{\"a,[\": 1}, {]"), Some(1));
        assert_eq!(entry("nil"), None);
        assert_eq!(entry("{\"a\": nil}"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_as_by_serde_where_that_can(bytes in prop::collection::vec(prop::sample::select(
            br#"[]{},:" NaInfity-\ud8c01e."#.to_vec()), 0..40)) {
            let ours = parse(&bytes);
            match serde_json::from_slice::<Value>(&bytes) {
                Ok(value) => prop_assert_eq!(ours.unwrap(), value),
                Err(_) => if let Err(error) = ours { _ = entry_at(&bytes, &error) },
            }
        }
    }
}
