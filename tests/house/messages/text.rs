//! Format strings and doc comments as a reader sees them.

use regex::Regex;
use syn::{Expr, Member};

/// A format string in which every place bears the name of what stands there: `{path}` for `{}` with `path.display()`.
pub fn named(format: &str, arguments: &[Expr]) -> String {
    let mut text = String::new();
    let mut positional = arguments.iter().filter(|argument| !matches!(argument, Expr::Assign(_)));
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
            text.push_str(&from[..1]);
            rest = after;
            continue;
        }
        let end = from.find('}').map_or(from.len(), |end| end + 1);
        let inside = from[..end].trim_matches(['{', '}']);
        let name = inside.split_once(':').map_or(inside, |(name, _)| name).trim();
        let name = match name.chars().next() {
            None => positional.next().and_then(name_of),
            Some(first) if first.is_ascii_digit() => None,
            Some(_) => Some(name.to_owned()),
        };
        text.push_str(&format!("{{{}}}", name.as_deref().unwrap_or("…")));
        rest = &from[end..];
    }
    text + rest
}

/// Whether there is a word outside of braces.
pub fn says_something(text: &str) -> bool {
    let mut depth = 0;
    text.chars().any(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        depth == 0 && c.is_alphabetic()
    })
}

/// What an expression is about: the innermost thing that has a name.
fn name_of(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        Expr::Field(field) => match &field.member {
            Member::Named(name) => Some(name.to_string()),
            Member::Unnamed(_) => name_of(&field.base),
        },
        Expr::MethodCall(call) => name_of(&call.receiver),
        Expr::Call(call) => call.args.first().and_then(name_of),
        Expr::Reference(reference) => name_of(&reference.expr),
        Expr::Index(index) => name_of(&index.expr),
        Expr::Binary(binary) => name_of(&binary.left),
        Expr::Unary(unary) => name_of(&unary.expr),
        Expr::Paren(inner) => name_of(&inner.expr),
        _ => None,
    }
}

/// Links to items, which lead nowhere outside of rustdoc, as the names they show.
pub fn unlinked(text: &str) -> String {
    let link = Regex::new(r"\[(`[^`\]]+`)\](\([^)]*\))?").expect("it is a regular expression");
    link.replace_all(text, "$1").into_owned()
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn a_place_bears_the_name_of_what_stands_there() {
        let arguments: Vec<Expr> =
            vec![parse_quote!(path.display()), parse_quote!(list(&problems)), parse_quote!(last.stats.loss)];
        assert_eq!(named("{}: {} of {found:?}, {:.2}{{}}", &arguments), "{path}: {problems} of {found}, {loss}{}");
        assert_eq!(named("{0} is odd", &[]), "{…} is odd");
    }

    #[test]
    fn names_alone_say_nothing() {
        assert!(!says_something("{path}: {reason}") && says_something("{path}: gone"));
    }

    #[test]
    fn links_to_items_are_not_links() {
        assert_eq!(
            unlinked("See [`Config`](crate::Config), [`Gate`] and [a page](x.md)."),
            "See `Config`, `Gate` and [a page](x.md)."
        );
    }
}
