//! As much XML as the reports of Open-i need: elements by name, attributes, and characters that are escaped.

/// An element, which is taken to hold none of its own name.
pub struct Element<'a> {
    attributes: &'a str,
    content: &'a str,
}

/// The elements of a name, in order. What breaks off or is not closed ends the list.
pub fn elements<'a>(xml: &'a str, name: &str) -> Vec<Element<'a>> {
    let (start, end) = (format!("<{name}"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find(&start) {
        rest = &rest[at + start.len()..];
        if !rest.starts_with(|c: char| c.is_whitespace() || c == '>' || c == '/') {
            continue;
        }
        let Some(close) = tag_end(rest) else { break };
        let (attributes, behind) = (&rest[..close], &rest[close + 1..]);
        rest = behind;
        match attributes.strip_suffix('/') {
            Some(attributes) => found.push(Element { attributes, content: "" }),
            None => {
                let Some(length) = behind.find(&end) else { break };
                found.push(Element { attributes, content: &behind[..length] });
                rest = &behind[length + end.len()..];
            }
        }
    }
    found
}

impl<'a> Element<'a> {
    /// The value of an attribute, in single or double quotes.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let mut rest = self.attributes;
        while let Some(at) = rest.find('=') {
            let key = rest[..at].trim();
            let value = rest[at + 1..].trim_start();
            let quote = value.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
            let length = value[1..].find(quote)?;
            if key == name {
                return Some(plain(&value[1..=length]));
            }
            rest = &value[length + 2..];
        }
        None
    }

    pub fn inside(&self, name: &str) -> Vec<Element<'a>> {
        elements(self.content, name)
    }

    pub fn text(&self) -> String {
        plain(self.content)
    }
}

/// Where a tag ends: at the first `>` that is not quoted.
fn tag_end(text: &str) -> Option<usize> {
    let mut quote = None;
    text.char_indices().find_map(|(at, c)| {
        match (quote, c) {
            (None, '>') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        None
    })
}

/// With the characters that are meant by `&lt;`, `&#37;` and the like.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let name = rest.get(1..).and_then(|text| text.split_once(';')).map_or("", |(name, _)| name);
        match character(name) {
            Some(character) => {
                plain.push(character);
                rest = &rest[name.len() + 2..];
            }
            None => {
                plain.push('&');
                rest = &rest[1..];
            }
        }
    }
    plain + rest
}

fn character(name: &str) -> Option<char> {
    let number = |digits: &str, base| u32::from_str_radix(digits, base).ok().and_then(char::from_u32);
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match name.strip_prefix("#x") {
            Some(digits) => number(digits, 16),
            None => number(name.strip_prefix('#')?, 10),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_have_attributes_and_text() {
        let xml =
            "<a x='1>2' Label=\"F &amp; I\">3 &lt; 4 &#37;&#x41; & &no; <b id='7'/></a><ab>no</ab><a/><a >end</a>";
        let found = elements(xml, "a");
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].attribute("Label").as_deref(), Some("F & I"));
        assert_eq!(found[0].attribute("label"), None);
        assert_eq!(found[0].inside("b")[0].attribute("id").as_deref(), Some("7"));
        assert_eq!(found[0].text(), "3 < 4 %A & &no; <b id='7'/>");
        assert_eq!((found[1].text(), found[2].text()), (String::new(), "end".into()));
        assert!(elements("<a>open", "a").is_empty() && elements("<a", "a").is_empty());
    }

    proptest! {
        #[test]
        fn broken_xml_is_read_without_a_panic(pieces in prop::collection::vec(prop::sample::select(vec![
            "<a", "</a>", ">", "/", "/>", " ", "x", "=", "'", "\"", "&", "&#", "&lt;", ";", "é",
        ]), 0..30)) {
            for element in elements(&pieces.concat(), "a") {
                _ = (element.text(), element.attribute("x"), element.inside("a").len());
            }
        }
    }
}
