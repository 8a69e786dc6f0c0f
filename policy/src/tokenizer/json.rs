//! JSON as Python's `json.dumps` writes it, which is what `tojson` means in chat templates: blanks behind commas and
//! colons, keys in their order, nothing escaped for HTML.

use std::io::{self, Write};

use minijinja::{Error, ErrorKind, State, Value, value::Kwargs};
use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter};

use super::guard::GUARD;

/// A value as JSON. The options are those of transformers' filter: `indent`, `separators`, `sort_keys`, `ensure_ascii`.
///
/// Four bytes take an instruction of those that the template may take, as minijinja counts its own JSON: a small value
/// that holds another one many times is long as text.
pub(super) fn dumps(state: &State, value: &Value, options: &Kwargs) -> Result<Value, Error> {
    let indent = match options.get::<Option<Value>>("indent")? {
        None => None,
        Some(indent) if indent.is_none() => None,
        Some(indent) => Some(match indent.as_str() {
            Some(text) => text.to_string(),
            None => " ".repeat(usize::try_from(indent)?.min(MOST_INDENT)),
        }),
    };
    let (item, key) = match options.get::<Option<Value>>("separators")?.filter(|pair| !pair.is_none()) {
        Some(pair) => (text(&pair.get_item_by_index(0)?)?, text(&pair.get_item_by_index(1)?)?),
        None => (if indent.is_some() { "," } else { ", " }.to_string(), ": ".to_string()),
    };
    let sorted = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    options.assert_all_used()?;

    let mut paid = Paid { state, bytes: Vec::new() };
    let python = Python { indent, item, key, ascii, depth: 0, filled: false };
    let written = if sorted {
        // Whether there is enough for it is known before it is taken apart.
        let mut plain = Paid { state, bytes: Vec::new() };
        (value.serialize(&mut serde_json::Serializer::new(&mut plain)))
            .and_then(|()| serde_json::to_value(value))
            .and_then(|mut value| {
                value.sort_all_objects();
                value.serialize(&mut serde_json::Serializer::with_formatter(&mut paid, python))
            })
    } else {
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut paid, python))
    };
    let wrong = |reason: String| Error::new(ErrorKind::BadSerialization, reason);
    written.map_err(|e| wrong(e.to_string()))?;
    Ok(Value::from_safe_string(String::from_utf8(paid.bytes).map_err(|e| wrong(e.to_string()))?))
}

/// Text that the template pays for before it is kept.
struct Paid<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    bytes: Vec<u8>,
}

/// Bytes of JSON for an instruction.
const PRICE: usize = 4;

impl Write for Paid<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let before = self.bytes.len();
        let instructions = (before + bytes.len()) / PRICE - before / PRICE;
        self.state.consume_fuel(instructions as u64).map_err(io::Error::other)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const MOST_INDENT: usize = 64;

fn text(value: &Value) -> Result<String, Error> {
    let wrong = || {
        Error::new(ErrorKind::InvalidOperation, format!("tojson: separators: expected text, got a {}", value.kind()))
    };
    value.as_str().map(str::to_string).ok_or_else(wrong)
}

struct Python {
    indent: Option<String>,
    item: String,
    key: String,
    ascii: bool,
    depth: usize,
    /// Whether the list or dictionary that ends next holds something.
    filled: bool,
}

impl Python {
    fn begin<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        writer.write_all(bracket)
    }

    fn end<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if self.filled {
            self.line(writer)?;
        }
        self.filled = true;
        writer.write_all(bracket)
    }

    fn next<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(self.item.as_bytes())?;
        }
        self.line(writer)
    }

    fn line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        if let Some(indent) = &self.indent {
            writer.write_all(b"\n")?;
            (0..self.depth).try_for_each(|_| writer.write_all(indent.as_bytes()))?;
        }
        Ok(())
    }
}

impl Formatter for Python {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.key.as_bytes())
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if !self.ascii {
            return writer.write_all(fragment.as_bytes());
        }
        // The guard is no part of what is said; it is taken out again.
        for character in fragment.chars() {
            if character.is_ascii() || character == GUARD {
                write!(writer, "{character}")?;
            } else {
                let mut units = [0; 2];
                character.encode_utf16(&mut units).iter().try_for_each(|unit| write!(writer, "\\u{unit:04x}"))?;
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        let letter = match escape {
            CharEscape::Quote => b'"',
            CharEscape::ReverseSolidus => b'\\',
            CharEscape::Solidus => b'/',
            CharEscape::Backspace => b'b',
            CharEscape::FormFeed => b'f',
            CharEscape::LineFeed => b'n',
            CharEscape::CarriageReturn => b'r',
            CharEscape::Tab => b't',
            CharEscape::AsciiControl(byte) => return write!(writer, "\\u{byte:04x}"),
        };
        writer.write_all(&[b'\\', letter])
    }
}

#[cfg(test)]
mod tests {
    use minijinja::Environment;

    use super::*;

    #[test]
    fn json_is_python_s() {
        let mut environment = Environment::new();
        environment.add_filter("tojson", |state: &State, value: Value, options: Kwargs| dumps(state, &value, &options));
        for (source, expected) in [
            (
                "{{ {'z': [1, 2.5, none, true], 'a': 'é<\"\n'} | tojson }}",
                r#"{"z": [1, 2.5, null, true], "a": "é<\"\n"}"#,
            ),
            (
                "{{ {'z': 1, 'a': {'c': [], 'b': {}}} | tojson(sort_keys=true) }}",
                r#"{"a": {"b": {}, "c": []}, "z": 1}"#,
            ),
            (
                "{{ {'a': [1, {}], 'b': 'c'} | tojson(indent=2) }}",
                "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": \"c\"\n}",
            ),
            ("{{ [1, [2]] | tojson(indent='\t') }}", "[\n\t1,\n\t[\n\t\t2\n\t]\n]"),
            ("{{ {'a': [1, 2]} | tojson(separators=(',', ':'), indent=none) }}", r#"{"a":[1,2]}"#),
            ("{{ 'é😀\x01' | tojson(ensure_ascii=true) }}", "\"\\u00e9\\ud83d\\ude00\\u0001\""),
        ] {
            assert_eq!(environment.render_str(source, ()).unwrap(), expected, "{source}");
        }
        assert!(environment.render_str("{{ 1 | tojson(depth=2) }}", ()).is_err());
    }
}
