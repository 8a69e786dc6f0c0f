//! What is between `{%` and `%}`, or `{{` and `}}`, in a template: how long it is, and transformers' marks.
//!
//! `{% generation %}` and `{% endgeneration %}` stand around what an assistant says, for the masks of supervised
//! training. They render what is between them, in a scope of its own, which is what Jinja's `with` does.

use std::ops::Range;

/// Bytes of code in one tag, without its strings and blanks. minijinja compiles operators that follow each other in
/// quadratic time; published templates have some hundred.
const LONGEST: usize = 1 << 12;

/// Why a template is refused.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Refused {
    pub line: usize,
    reason: String,
}

impl Refused {
    fn new(source: &str, at: usize, reason: impl Into<String>) -> Self {
        Self { line: 1 + source[..at].matches('\n').count(), reason: reason.into() }
    }
}

/// The template with the marks replaced by an empty `with`. Everything else stays byte for byte, lines and control of
/// white space included.
///
/// # Errors
/// A mark without its counterpart; a tag that is too long.
pub(super) fn without_marks(source: &str) -> Result<String, Refused> {
    let unpaired = |at: usize, mark: &str| Refused::new(source, at, format!("{mark} without its counterpart"));
    let mut text = String::with_capacity(source.len());
    let mut open = Vec::new();
    let mut copied = 0;
    for name in tag_names(source)? {
        let replacement = match &source[name.clone()] {
            "generation" => {
                open.push(name.start);
                "with"
            }
            "endgeneration" if open.pop().is_some() => "endwith",
            "endgeneration" => return Err(unpaired(name.start, "endgeneration")),
            _ => continue,
        };
        text.push_str(&source[copied..name.start]);
        text.push_str(replacement);
        copied = name.end;
    }
    if let Some(start) = open.pop() {
        return Err(unpaired(start, "generation"));
    }
    text.push_str(&source[copied..]);
    Ok(text)
}

/// What the tags `{% … %}` say, in order: a name and whatever follows it. Comments, strings and raw text hold no tags.
fn tag_names(source: &str) -> Result<Vec<Range<usize>>, Refused> {
    let mut names = Vec::new();
    let mut at = 0;
    while let Some(start) = source[at..].find('{').map(|found| at + found) {
        let inside = start + 2;
        at = match source.as_bytes().get(start + 1) {
            Some(b'#') => source[inside..].find("#}").map_or(source.len(), |found| inside + found + 2),
            Some(b'{') => end_of_code(source, inside, b"}}")?,
            Some(b'%') => {
                let end = end_of_code(source, inside, b"%}")?;
                let name = name_within(source, inside, end);
                if &source[name.clone()] == "raw" {
                    end_of_raw(source, end)
                } else {
                    names.push(name);
                    end
                }
            }
            _ => start + 1,
        };
    }
    Ok(names)
}

/// What a tag that ends at `end` says, without white space and its control.
fn name_within(source: &str, start: usize, end: usize) -> Range<usize> {
    let tag = source[start..end].strip_suffix("%}").unwrap_or(&source[start..end]);
    let edge = |c: char| c.is_whitespace() || matches!(c, '-' | '+');
    let first = start + tag.len() - tag.trim_start_matches(edge).len();
    first..first + tag.trim_matches(edge).len()
}

/// Behind the `close` of code that starts at `from`, outside of its strings and brackets.
fn end_of_code(source: &str, from: usize, close: &[u8]) -> Result<usize, Refused> {
    let bytes = source.as_bytes();
    let (mut quote, mut depth, mut length, mut at) = (None, 0usize, 0, from);
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(mark), byte) if mark == byte => quote = None,
            (Some(_), _) => {}
            (None, _) if depth == 0 && bytes[at..].starts_with(close) => return Ok(at + close.len()),
            (None, byte) => {
                match byte {
                    b'"' | b'\'' => quote = Some(byte),
                    b'{' | b'[' | b'(' => depth += 1,
                    b'}' | b']' | b')' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                length += usize::from(!byte.is_ascii_whitespace());
                if length > LONGEST {
                    return Err(Refused::new(source, from, format!("a tag of more than {LONGEST} bytes of code")));
                }
            }
        }
        at += 1;
    }
    Ok(source.len())
}

/// Behind the `endraw` tag of raw text that starts at `from`.
fn end_of_raw(source: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(start) = source[at..].find("{%").map(|found| at + found + 2) {
        let Some(end) = source[start..].find("%}").map(|found| start + found + 2) else { break };
        if &source[name_within(source, start, end)] == "endraw" {
            return end;
        }
        at = start;
    }
    source.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tags_themselves_are_replaced() {
        for (source, expected) in [
            ("a{% generation %}b{% endgeneration %}c", "a{% with %}b{% endwith %}c"),
            (
                "{%- generation -%} b {%+generation\n+%}{%endgeneration%}{%-  endgeneration-%}",
                "{%- with -%} b {%+with\n+%}{%endwith%}{%-  endwith-%}",
            ),
            ("{# {% generation %} #}{{ '{% generation %}' }}", "{# {% generation %} #}{{ '{% generation %}' }}"),
            (
                r#"{% if x == "a\"%}{% generation %}" %}{% endif %}"#,
                r#"{% if x == "a\"%}{% generation %}" %}{% endif %}"#,
            ),
            (
                "{% raw %}{% generation %}{%- endraw -%}{% generation %}{% endgeneration %}",
                "{% raw %}{% generation %}{%- endraw -%}{% with %}{% endwith %}",
            ),
            ("{{ {'a': {'b': '{% generation %}'}} }}", "{{ {'a': {'b': '{% generation %}'}} }}"),
            (
                "no generation, {generation} {% set generation = 1 %}{{ generation }}",
                "no generation, {generation} {% set generation = 1 %}{{ generation }}",
            ),
            ("{% generation x %}ü{ {", "{% generation x %}ü{ {"),
            ("{% raw %}{% x", "{% raw %}{% x"),
            ("{", "{"),
            ("{%", "{%"),
        ] {
            assert_eq!(without_marks(source).unwrap(), expected);
        }
    }

    #[test]
    fn what_cannot_be_rendered_is_told_with_its_line() {
        let refused = |source: &str| without_marks(source).map_err(|refused| (refused.line, refused.to_string()));
        let expected = |line, reason: &str| Err((line, reason.to_string()));
        assert_eq!(refused("a\n\n{% generation %}"), expected(3, "generation without its counterpart"));
        assert_eq!(
            refused("{# generation #}\n{% endgeneration %}"),
            expected(2, "endgeneration without its counterpart")
        );
        let long = "-".repeat(LONGEST + 1);
        assert_eq!(refused(&format!("\n{{{{ {long}1 }}}}")), expected(2, "a tag of more than 4096 bytes of code"));
        for short in [format!("{{{{ '{long}' }}}}"), long.clone(), format!("{{# {long} #}}"), "{{ 1 }}".repeat(LONGEST)]
        {
            assert_eq!(refused(&short), Ok(short.clone()));
        }
    }
}
