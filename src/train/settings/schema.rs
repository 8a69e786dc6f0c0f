//! What the settings say of themselves: their JSON schema, made from the documentation of their fields, key by key.

use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::Settings;

/// May a setting differ when a run is resumed?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resume {
    /// It decides about the result.
    Binds,
    /// It changes how sums are rounded, nothing else.
    Rounding,
    /// It changes nothing of the result.
    Free,
}

/// A key of the settings, or all of them.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    root: &'a Value,
    /// As the parent describes it.
    outer: &'a Value,
    /// With references followed.
    inner: &'a Value,
}

/// The JSON schema of a settings file.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| schemars::schema_for!(Settings).to_value())
}

/// The whole of the settings.
pub fn root() -> Node<'static> {
    Node::new(document(), document())
}

impl<'a> Node<'a> {
    fn new(root: &'a Value, outer: &'a Value) -> Self {
        let mut inner = outer;
        loop {
            let target =
                inner.get("$ref").and_then(Value::as_str).and_then(|path| root.pointer(path.trim_start_matches('#')));
            let some = || inner.get("anyOf")?.as_array()?.iter().find(|one| one.get("type") != Some(&"null".into()));
            match target.or_else(some) {
                Some(next) => inner = next,
                None => return Self { root, outer, inner },
            }
        }
    }

    fn properties(self) -> Option<&'a Map<String, Value>> {
        self.inner.get("properties")?.as_object()
    }

    /// The keys below this one; none for a value, or a table whose keys are the user's.
    pub fn keys(self) -> impl Iterator<Item = &'a str> {
        self.properties().into_iter().flatten().map(|(key, _)| key.as_str())
    }

    /// The key of that name.
    pub fn child(self, key: &str) -> Option<Self> {
        let named = self.properties().and_then(|properties| properties.get(key));
        let any = || self.inner.get("additionalProperties").filter(|schema| schema.is_object());
        let matching = || self.inner.get("patternProperties")?.as_object()?.values().next();
        named.or_else(any).or_else(matching).map(|schema| Self::new(self.root, schema))
    }

    /// Whether there are keys below.
    pub fn is_table(self) -> bool {
        self.inner.get("type") == Some(&"object".into())
    }

    /// The first paragraph of the documentation.
    pub fn description(self) -> Option<String> {
        let text = self.outer.get("description").or_else(|| self.inner.get("description"))?.as_str()?;
        Some(plain(text.split("\n\n").next().unwrap_or_default()))
    }

    /// The values that there are to choose from, with what they mean.
    pub fn choices(self) -> Vec<(&'a str, Option<String>)> {
        let one = |schema: &'a Value| {
            let meaning = schema.get("description").and_then(Value::as_str).map(plain);
            schema.get("const").and_then(Value::as_str).map(|name| (name, meaning))
        };
        let listed = self.inner.get("enum").and_then(Value::as_array).into_iter().flatten();
        let listed = listed.filter_map(|name| Some((name.as_str()?, None)));
        let documented = self.inner.get("oneOf").and_then(Value::as_array).into_iter().flatten();
        // Variants without documentation share one entry.
        let documented = documented.flat_map(|schema| {
            let names = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
            names.filter_map(|name| Some((name.as_str()?, None))).chain(one(schema)).collect::<Vec<_>>()
        });
        listed.chain(documented).collect()
    }

    /// What a change means to a run that is resumed; `above` is what holds for the table around it.
    pub fn resume(self, above: Resume) -> Resume {
        match self.outer.get("x-resume").and_then(Value::as_str) {
            Some("free") => Resume::Free.max(above),
            Some("rounding") => Resume::Rounding.max(above),
            _ => above,
        }
    }
}

/// Documentation without its links.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(open) = rest.find("[`") {
        let (before, link) = rest.split_at(open);
        let Some(close) = link.find("`]") else { break };
        plain += before;
        plain += &link[1..=close];
        rest = &link[close + 2..];
        if let Some(end) = rest.strip_prefix('(').and_then(|target| target.find(')')) {
            rest = &rest[end + 2..];
        }
    }
    (plain + rest).replace('\n', " ").replace("\\[", "[").replace("\\]", "]")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key that is a value, by its path.
    fn walk(node: Node<'static>, path: &str, visit: &mut impl FnMut(&str, Node<'static>)) {
        for key in node.keys() {
            let child = node.child(key).unwrap();
            let path = if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
            visit(&path, child);
            walk(child, &path, visit);
        }
    }

    #[test]
    fn every_key_is_documented() {
        let (mut silent, mut seen) = (Vec::new(), 0);
        walk(root(), "", &mut |path, node| {
            seen += 1;
            // The observations of a table of shares, which says what they are.
            let named = path.starts_with("reward.frequencies.");
            if !named && node.description().is_none_or(|text| text.trim().is_empty()) {
                silent.push(path.to_string());
            }
        });
        assert!(seen > 80, "only {seen} keys were found");
        assert!(silent.is_empty(), "without a word: {silent:?}");
    }

    #[test]
    fn links_are_told_by_their_names() {
        assert_eq!(plain("As [`Memory`](crate::memory::Memory) says,\nsee [`A::B`]."), "As `Memory` says, see `A::B`.");
        assert_eq!(plain("E\\[y_j\\] [sic]"), "E[y_j] [sic]");
    }
}
