//! The messages in the code of one module.

use syn::{
    Attribute, Expr, ExprLit, ExprMethodCall, Item, Lit, LitStr, Macro, Token,
    parse::{Parse, ParseStream, Parser},
    punctuated::Punctuated,
    visit::{self, Visit},
};

use super::{
    message::{Area, Kind, Message},
    text,
};
use crate::module::is_test;

/// The messages of `items`, which are those of the module `name`.
pub fn of(items: &[Item], area: Area, name: &[String]) -> Vec<Message> {
    let mut found = Found { area, home: name.join("::"), messages: Vec::new() };
    items.iter().for_each(|item| found.visit_item(item));
    found.messages
}

struct Found {
    area: Area,
    home: String,
    messages: Vec<Message>,
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(item) {
            return;
        }
        match item {
            Item::Enum(item) => {
                for variant in &item.variants {
                    self.typed(&item.ident, &variant.attrs);
                }
            }
            Item::Struct(item) => self.typed(&item.ident, &item.attrs),
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_macro(&mut self, invoked: &'ast Macro) {
        let name = invoked.path.segments.last().map(|segment| segment.ident.to_string());
        let skipped = match name.as_deref() {
            Some("bail" | "anyhow") => 0,
            // The condition comes first.
            Some("ensure") => 1,
            Some("format") => {
                return format_of(invoked, 0).into_iter().for_each(|text| self.reason(text));
            }
            _ => return,
        };
        if let Some(text) = format_of(invoked, skipped) {
            self.plain(text, Kind::Command);
        }
    }

    fn visit_lit_str(&mut self, literal: &'ast LitStr) {
        self.reason(literal.value());
    }

    /// Documentation is no message.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        visit::visit_expr_method_call(self, call);
        let argument = match (call.method.to_string().as_str(), call.args.first()) {
            ("context", Some(argument)) => argument,
            ("with_context", Some(Expr::Closure(closure))) => &closure.body,
            _ => return,
        };
        let text = match argument {
            Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => Some(literal.value()),
            Expr::Macro(format) if format.mac.path.is_ident("format") => format_of(&format.mac, 0),
            _ => None,
        };
        if let Some(text) = text {
            self.plain(format!("{text}: {{reason}}"), Kind::Command);
        }
    }
}

impl Found {
    /// A type or variant with `#[error("…")]`.
    fn typed(&mut self, home: &syn::Ident, attributes: &[Attribute]) {
        let attribute = attributes.iter().find(|attribute| attribute.path().is_ident("error"));
        // `transparent` has no text of its own.
        let Some(format) = attribute.and_then(|attribute| attribute.parse_args::<Format>().ok()) else { return };
        let text = format.text();
        let meaning = Some(documentation(attributes)).filter(|text| !text.is_empty());
        // What is only about another error is told by that one.
        if meaning.is_some() || text::says_something(&text) {
            let home = home.to_string();
            self.messages.push(Message { area: self.area, kind: Kind::Error, text, meaning, home });
        }
    }

    /// By the rule of the house, what is wrong with a value says what was expected.
    fn reason(&mut self, text: String) {
        if text.contains("expected ") {
            self.plain(text, Kind::Reason);
        }
    }

    fn plain(&mut self, text: String, kind: Kind) {
        if text::says_something(&text) {
            self.messages.push(Message { area: self.area, kind, text, meaning: None, home: self.home.clone() });
        }
    }
}

/// A format string and what stands in its places.
struct Format {
    string: LitStr,
    arguments: Vec<Expr>,
}

impl Parse for Format {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let string = input.parse()?;
        let mut arguments = Vec::new();
        while input.parse::<Option<Token![,]>>()?.is_some() && !input.is_empty() {
            // thiserror's own way to name a field.
            if input.peek(Token![.]) {
                input.parse::<Token![.]>()?;
            }
            arguments.push(input.parse()?);
        }
        Ok(Self { string, arguments })
    }
}

impl Format {
    fn text(&self) -> String {
        text::named(&self.string.value(), &self.arguments)
    }
}

fn format_of(invoked: &Macro, skipped: usize) -> Option<String> {
    let arguments = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(invoked.tokens.clone()).ok()?;
    let mut arguments = arguments.into_iter().skip(skipped);
    match arguments.next()? {
        Expr::Lit(ExprLit { lit: Lit::Str(string), .. }) => {
            Some(Format { string, arguments: arguments.collect() }.text())
        }
        _ => None,
    }
}

/// The doc comment, its lines as they are.
fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    text::unlinked(lines.collect::<Vec<_>>().join("\n").trim())
}
