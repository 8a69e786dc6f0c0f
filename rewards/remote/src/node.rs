//! A place in a JSON document that knows its path, so that a wrong value is reported by name.

use serde_json::Value;

/// A field that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {found}, expected {expected}")]
pub struct Malformed {
    /// As in `data.scores[2]`; empty for the document itself.
    pub field: String,
    /// What should stand there.
    pub expected: &'static str,
    /// The kind of what is there, or the reason that a service gives; no other content.
    pub found: String,
    /// Whether that is a reason which a service gives, which another would give too.
    pub told: bool,
}

/// A value, or the absence of one, and its path.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    path: String,
    value: Option<&'a Value>,
}

impl<'a> Node<'a> {
    /// The whole document.
    pub fn root(value: &'a Value) -> Self {
        Self { path: String::new(), value: Some(value) }
    }

    /// The member `key`; absent if this is no object or has no such member.
    pub fn get(&self, key: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { path: format!("{}{dot}{key}", self.path), value: self.value.and_then(|value| value.get(key)) }
    }

    /// As in `data.scores[2]`; empty for the document itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether there is no value. `null` is one.
    pub fn is_absent(&self) -> bool {
        self.value.is_none()
    }

    /// The value as a string.
    ///
    /// # Errors
    /// It is missing, or something else.
    pub fn text(&self) -> Result<&'a str, Malformed> {
        self.value.and_then(Value::as_str).ok_or_else(|| self.malformed("a string"))
    }

    /// A finite number: JSON has no others.
    pub fn number(&self) -> Result<f64, Malformed> {
        self.value.and_then(Value::as_f64).ok_or_else(|| self.malformed("a number"))
    }

    /// The members of a list, each with its path.
    ///
    /// # Errors
    /// The value is missing, or no list.
    pub fn items(&self) -> Result<Vec<Self>, Malformed> {
        let items = self.value.and_then(Value::as_array).ok_or_else(|| self.malformed("a list"))?;
        let item = |(i, value)| Self { path: format!("{}[{i}]", self.path), value: Some(value) };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// The items of a list that must have `count` of them.
    pub fn exactly(&self, count: usize, expected: &'static str) -> Result<Vec<Self>, Malformed> {
        let items = self.items()?;
        match items.len() {
            got if got == count => Ok(items),
            got => {
                Err(Malformed { field: self.path.clone(), expected, found: format!("a list of {got}"), told: false })
            }
        }
    }

    /// The members of a list of strings.
    ///
    /// # Errors
    /// The value is missing or no list, or a member is no string.
    pub fn texts(&self) -> Result<Vec<String>, Malformed> {
        self.items()?.iter().map(|item| item.text().map(str::to_owned)).collect()
    }

    /// The value as `T`.
    pub fn parsed<T: serde::de::DeserializeOwned>(&self, expected: &'static str) -> Result<T, Malformed> {
        let value = self.value.ok_or_else(|| self.malformed(expected))?;
        T::deserialize(value).map_err(|_| self.malformed(expected))
    }

    /// # Errors
    /// A text stands here: a reason why something else is missing.
    pub fn without_reason(&self) -> Result<(), Malformed> {
        let Ok(reason) = self.text() else { return Ok(()) };
        let found = format!("{:?}", shortened(reason));
        Err(Malformed { field: self.path.clone(), expected: "none", found, told: true })
    }

    /// The error that this is not what was `expected`.
    pub fn malformed(&self, expected: &'static str) -> Malformed {
        let found = match self.value {
            None => "missing".into(),
            Some(Value::Null) => "null".into(),
            Some(Value::Bool(_)) => "a boolean".into(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::String(_)) => "a string".into(),
            Some(Value::Array(items)) => format!("a list of {}", items.len()),
            Some(Value::Object(_)) => "an object".into(),
        };
        Malformed { field: self.path.clone(), expected, found, told: false }
    }
}

/// The beginning of what somebody else wrote, on one line.
pub(super) fn shortened(message: &str) -> String {
    message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wrong_value_is_reported_with_its_path() {
        let document = json!({"data": {"scores": [1.5, "two"], "name": null}});
        let root = Node::root(&document);
        let scores = root.get("data").get("scores").items().unwrap();
        assert_eq!(scores[0].number(), Ok(1.5));
        let message = |error: Malformed| error.to_string();
        assert_eq!(message(scores[1].number().unwrap_err()), "`data.scores[1]` is a string, expected a number");
        assert_eq!(message(root.get("data").get("name").text().unwrap_err()), "`data.name` is null, expected a string");
        let absent = root.get("a").get("b");
        assert!(absent.is_absent());
        assert_eq!(message(absent.items().unwrap_err()), "`a.b` is missing, expected a list");
        let three = root.get("data").get("scores").exactly(3, "one score per pair").unwrap_err();
        assert_eq!(message(three), "`data.scores` is a list of 2, expected one score per pair");
    }
}
