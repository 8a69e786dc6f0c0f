//! Jinja as transformers sets it up for chat templates: Python's methods of strings and dictionaries, its JSON, loop
//! controls, `raise_exception`, and the marks of [`tags`](super::tags). The clock is not there (`strftime_now`): a prompt
//! must not depend on the day.
//!
//! A template comes from a file of unknown origin: its length, its work, the memory and the stack it takes are bounded.

use std::thread;

use minijinja::{
    Environment, ErrorKind, State, Value,
    syntax::SyntaxConfig,
    value::{Kwargs, ValueKind},
};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::{json, tags};
use crate::error::{Error, Result};

/// Longer texts are no chat templates; published ones have up to some 30 KiB.
const LONGEST: usize = 1 << 17;

/// minijinja parses, compiles and drops what is nested by recursion, without a bound where operators or branches follow
/// each other (`- - - 1`, `a.b.c`, `elif`). A level takes a byte of a tag, or ten of the template, or, in values, some
/// fuel; and less than 1 KiB of stack. Memory that is not used is not taken.
const STACK: usize = 1 << 28;

/// Instructions a template may take; the published one takes a few hundred for a prompt. minijinja counts 64 bytes of what
/// is put together as one, and looks whether there is enough left before it takes memory: 12 MiB of text, or ten times
/// that where it is cut into a list of letters.
const FUEL: u64 = 200_000;

/// A template that can be rendered.
#[derive(Clone)]
pub(super) struct Jinja {
    text: String,
    environment: Environment<'static>,
}

/// What became of a template that could be rendered.
#[derive(Debug, PartialEq)]
pub(super) enum Rendered {
    Text(String),
    /// The template called `raise_exception`, with this message.
    Raised(String),
}

/// Why a template ended: what it gave to `raise_exception`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

impl Jinja {
    /// # Errors
    /// Text that is too long, or no Jinja template.
    pub fn parse(source: &str) -> Result<Self> {
        if source.len() > LONGEST {
            return Err(invalid(None, format!("{} bytes are more than {LONGEST}", source.len())));
        }
        let text = tags::without_marks(source).map_err(|e| invalid(Some(e.line), &e))?;
        let environment = environment();
        on_a_stack_of_its_own(|| environment.template_from_str(&text).map(|_| ()).map_err(|e| failure(&e)))?;
        Ok(Self { text, environment })
    }

    /// A template of our own, without marks.
    pub fn known(text: &str) -> Self {
        Self { text: text.into(), environment: environment() }
    }

    /// # Errors
    /// What the template asks for cannot be done, or takes too long.
    pub fn render(&self, context: Value) -> Result<Rendered> {
        on_a_stack_of_its_own(|| match self.environment.render_str(&self.text, context) {
            Ok(text) => Ok(Rendered::Text(text)),
            Err(error) => match raised(&error) {
                Some(message) => Ok(Rendered::Raised(message)),
                None => Err(failure(&error)),
            },
        })
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the default delimiters are valid"));
    environment.set_fuel(Some(FUEL));
    minijinja_contrib::add_to_environment(&mut environment);
    environment.set_unknown_method_callback(method);
    environment
        .add_filter("tojson", |state: &State, value: Value, options: Kwargs| json::dumps(state, &value, &options));
    environment.add_function("raise_exception", |message: String| -> std::result::Result<Value, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Raised(message)))
    });
    environment
}

/// Python's methods. `str.format`, which they do not count, is paid for beforehand.
fn method(
    state: &mut State,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> std::result::Result<Value, minijinja::Error> {
    if let ("format", Some(text)) = (name, value.as_str()) {
        state.consume_fuel(most_formatted(text, arguments)? / 64)?;
    }
    unknown_method_callback(state, value, name, arguments)
}

/// Bytes, at most, that `str.format` puts together: every number may be a width.
fn most_formatted(text: &str, arguments: &[Value]) -> std::result::Result<u64, minijinja::Error> {
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let mut widest = numbers.map(|digits| digits.parse().unwrap_or(u64::MAX)).max().unwrap_or(0);
    // The longest number without a width.
    let mut longest = 512;
    for argument in arguments {
        match argument.kind() {
            ValueKind::String => longest = longest.max(argument.as_str().map_or(0, str::len) as u64),
            ValueKind::Number => widest = widest.max(u64::try_from(argument.clone()).unwrap_or(0)),
            ValueKind::Bool | ValueKind::None | ValueKind::Undefined => {}
            kind => {
                let reason = format!("format: expected texts and numbers, got a {kind}");
                return Err(minijinja::Error::new(ErrorKind::InvalidOperation, reason));
            }
        }
    }
    let fields = text.matches('{').count() as u64;
    Ok(fields.saturating_mul(widest.saturating_mul(4).saturating_add(longest)))
}

/// What `raise_exception` was given, if that is what ended the template.
fn raised(error: &minijinja::Error) -> Option<String> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(Raised(message)) = error.downcast_ref() {
            return Some(message.clone());
        }
        cause = error.source();
    }
    None
}

fn failure(error: &minijinja::Error) -> Error {
    let reason = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    invalid(error.line(), reason)
}

/// An error of the template, where known with the line.
pub(super) fn invalid(line: Option<usize>, reason: impl std::fmt::Display) -> Error {
    let place = line.map_or_else(String::new, |line| format!("line {line}: "));
    Error::invalid("chat template", format!("{place}{reason}"))
}

fn on_a_stack_of_its_own<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("chat-template".into()).stack_size(STACK);
        let worker = thread.spawn_scoped(scope, work).map_err(|e| invalid(None, format!("no thread for it: {e}")))?;
        worker.join().unwrap_or_else(|_| Err(invalid(None, "the template engine gave up")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str, context: Value) -> String {
        match Jinja::parse(source).and_then(|jinja| jinja.render(context)).unwrap() {
            Rendered::Text(text) => text,
            Rendered::Raised(message) => panic!("{source}: {message}"),
        }
    }

    #[test]
    fn marks_of_generation_render_what_is_between_them() {
        let source = "{%- for m in messages -%}\n{% if m.role == 'assistant' %}\n  {%- generation -%}\n  {{ m.text }} \n\
                      {%- set last = loop.index %}{%- endgeneration -%}\n{% else %}[{{ m.text }}]{% endif %}\n\
                      {%- endfor %}{{ last is defined }} {# {% generation %} #}{{ '{% endgeneration %}' }}";
        let messages: Vec<Value> = [("user", "a"), ("assistant", "b"), ("user", "c")]
            .map(|(role, text)| Value::from_pairs([("role", role), ("text", text)]))
            .into();
        let context = Value::from_pairs([("messages", Value::from(messages))]);
        assert_eq!(text(source, context), "[a]b[c]False {% endgeneration %}");
        // As Jinja renders them with transformers' extension.
        let blanks = "a\n{% generation %}\nb\n{% endgeneration %}\nc\n  {% generation %}\n d{% endgeneration %}\n e";
        assert_eq!(text(blanks, Value::UNDEFINED), "a\nb\nc\n d e");
        let kept = "{%- if true %}\n   {%+ generation %}x{% endgeneration +%}\n{% endif %}";
        assert_eq!(text(kept, Value::UNDEFINED), "   x\n");
    }

    #[test]
    fn what_transformers_offers_beyond_jinja_is_there() {
        for (source, expected) in [
            (
                "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}",
                "023",
            ),
            (
                "{{ ' a b '.strip().split(' ')[-1] }}{{ 'abc'.startswith('ab') }}{{ 'a-b'.replace('-', '+').upper() }}",
                "bTrueA+B",
            ),
            ("{% for k, v in {'z': 1, 'a': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "z1a2"),
            ("{{ {'z': 1, 'a': 2}.get('b', 'none') }}{{ 'x'.join(['1', '2']) }}", "none1x2"),
            ("{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", "3"),
            ("{% for i in [1, 2, 3] %}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}", "2;13;2;"),
            ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m('a') }}", "<a>"),
            // The day would make a run that is repeated another one: templates take the date that they fall back to.
            ("{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}2024{% endif %}", "2024"),
        ] {
            assert_eq!(text(source, Value::UNDEFINED), expected, "{source}");
        }
    }

    #[test]
    fn what_a_template_raises_is_told_apart_from_what_it_cannot_do() {
        let render = |source: &str| Jinja::parse(source).unwrap().render(Value::UNDEFINED);
        let in_macro = "{% macro m() %}{{ raise_exception('no system turn') }}{% endmacro %}{{ m() }}";
        assert_eq!(render(in_macro).unwrap(), Rendered::Raised("no system turn".into()));
        for (source, expected) in [
            ("a\n{{ 'x' | wrong }}", "chat template: line 2: unknown filter: filter wrong is unknown"),
            ("{{ strftime_now('%Y') }}", "chat template: line 1: unknown function: strftime_now is unknown"),
            ("{{ wrong() }}", "chat template: line 1: unknown function: wrong is unknown"),
        ] {
            let message = render(source).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn nesting_without_end_overflows_no_stack() {
        let nested = |open: &str, inner: &str, close: &str| {
            let count = 4000 / (open.len() + close.len());
            format!("{{{{ {}{inner}{} }}}}", open.repeat(count), close.repeat(count))
        };
        let blocks = |open: &str, close: &str| {
            let count = LONGEST / (open.len() + close.len());
            format!("{}{}", open.repeat(count), close.repeat(count))
        };
        for source in [
            nested("-", "1", ""),
            nested("not ", "1", ""),
            nested("", "1", "+1"),
            nested("2**", "1", ""),
            nested("", "a", ".b"),
            nested("", "a", "[0]"),
            nested("", "a", "|e"),
            nested("(", "1", ")"),
            nested("[", "1", "]"),
            nested("1 if a else ", "1", ""),
            blocks("{% if a %}", "{% endif %}"),
            blocks("{% generation %}", "{% endgeneration %}"),
            format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(10_000)),
            "-".repeat(20 << 10),
            "{".repeat(LONGEST),
            "{% set ns = namespace(x=1) %}{% for i in range(9999) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}\
             {% endfor %}{% endfor %}"
                .into(),
            "{% set ns = namespace(x=1) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}\
             {{ ns.x | tojson }}{{ ns.x == ns.x }}"
                .into(),
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".into(),
        ] {
            // An error or not: whatever it is, it is told.
            let _ = Jinja::parse(&source).and_then(|jinja| jinja.render(Value::UNDEFINED));
        }
        let message = Jinja::parse(&"-".repeat(LONGEST + 1)).err().unwrap().to_string();
        assert_eq!(message, "chat template: 131073 bytes are more than 131072");
    }
}
