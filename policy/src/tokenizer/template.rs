//! Chat templates: the Jinja text of a checkpoint folder that says how turns are laid out around what is said in them.
//!
//! Rendered as transformers does. Not here: turning the rendered text into tokens.

use std::{fmt, path::Path};

use minijinja::{Environment, ErrorKind, Value, syntax::SyntaxConfig, value::Serde};
use serde_json::json;

use super::part::PromptPart;
use crate::error::{Error, Result};

/// Turns and nothing else. Published templates also put a system turn in front.
const PLAIN: &str = "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' }}\
{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}\
{% if part.type == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{% else %}{{ part.text }}{% endif %}\
{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// Instructions a template may take; the published one takes a few hundred for a prompt.
const FUEL: u64 = 1_000_000;

/// Longer files are no chat templates.
const LONGEST: usize = 1 << 20;

/// Stands behind every `<` of what is said, so that it cannot spell a special token. A noncharacter, of no meaning in
/// text; where a prompt has one, it is dropped.
pub(super) const GUARD: char = '\u{FDD0}';

/// How turns are laid out.
#[derive(Clone)]
pub struct ChatTemplate {
    source: String,
    environment: Environment<'static>,
}

impl Default for ChatTemplate {
    /// Turns of user and assistant, without a system turn of their own: the layout of policies trained from scratch.
    fn default() -> Self {
        Self { source: PLAIN.into(), environment: environment() }
    }
}

impl ChatTemplate {
    /// # Errors
    /// Text that is no Jinja template.
    pub fn new(source: &str) -> Result<Self> {
        if source.len() > LONGEST {
            return Err(invalid(format!("{} bytes are more than {LONGEST}", source.len())));
        }
        let environment = environment();
        environment.template_from_str(source).map_err(|e| invalid(format!("{e:#}")))?;
        Ok(Self { source: source.into(), environment })
    }

    /// The template of a checkpoint folder: `chat_template.jinja`, else `chat_template.json`, else the one in
    /// `tokenizer_config.json`, as in transformers. `None` where no file has one.
    ///
    /// # Errors
    /// Names the file that is damaged, or whose template is.
    pub fn of_folder(dir: &Path) -> Result<Option<Self>> {
        let jinja = dir.join("chat_template.jinja");
        if jinja.exists() {
            let source = std::fs::read_to_string(&jinja).map_err(Error::io(&jinja))?;
            return Self::new(&source).map(Some).map_err(|e| Error::file(&jinja, e));
        }
        for name in ["chat_template.json", "tokenizer_config.json"] {
            let path = dir.join(name);
            if !path.exists() {
                continue;
            }
            let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
            let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| Error::file(&path, e))?;
            match &json["chat_template"] {
                serde_json::Value::Null => {}
                value => {
                    let source = default_of(value).ok_or_else(|| {
                        Error::file(
                            &path,
                            format!("chat_template: expected text, or a list with a default, got {value}"),
                        )
                    })?;
                    return Self::new(source).map(Some).map_err(|e| Error::file(&path, e));
                }
            }
        }
        Ok(None)
    }

    /// The Jinja text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt's text up to where the answer starts. Every `<` of the parts and of `system` has [`GUARD`] behind it.
    pub(super) fn render(&self, system: Option<&str>, parts: &[PromptPart]) -> Result<String> {
        let content: Vec<_> = parts
            .iter()
            .map(|part| match part {
                PromptPart::Text(text) => json!({"type": "text", "text": guarded(text)}),
                PromptPart::Image { .. } => json!({"type": "image"}),
            })
            .collect();
        let mut messages = vec![json!({"role": "user", "content": content})];
        if let Some(system) = system {
            messages.insert(0, json!({"role": "system", "content": guarded(system)}));
        }
        let context = json!({
            "messages": messages,
            "add_generation_prompt": true,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
        });
        self.environment.render_str(&self.source, Value::from(Serde(context))).map_err(|e| invalid(format!("{e:#}")))
    }
}

impl PartialEq for ChatTemplate {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_tuple("ChatTemplate").field(&self.source).finish()
    }
}

/// One template, or the one called `default` of several.
fn default_of(value: &serde_json::Value) -> Option<&str> {
    match value {
        serde_json::Value::Array(list) => list.iter().find(|t| t["name"] == "default")?["template"].as_str(),
        other => other.as_str(),
    }
}

fn guarded(text: &str) -> String {
    text.replace(GUARD, "").replace('<', &format!("<{GUARD}"))
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the default delimiters are valid"));
    environment.set_fuel(Some(FUEL));
    environment.add_function("raise_exception", |message: String| -> std::result::Result<Value, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    environment
}

fn invalid(reason: String) -> Error {
    Error::invalid("chat template", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: [PromptPart; 3] =
        [PromptPart::Text("Frontal: "), PromptPart::Image { tokens: 4 }, PromptPart::Text(" <a")];

    #[test]
    fn the_plain_template_has_the_user_s_turn_only() {
        let expected = "<|im_start|>user\nFrontal: <|vision_start|><|image_pad|><|vision_end|> <\u{FDD0}a<|im_end|>\n\
                        <|im_start|>assistant\n";
        assert_eq!(ChatTemplate::default().render(None, &PARTS).unwrap(), expected);
        let system = ChatTemplate::default().render(Some("Be brief."), &PARTS).unwrap();
        assert_eq!(system, format!("<|im_start|>system\nBe brief.<|im_end|>\n{expected}"));
    }

    #[test]
    fn a_folder_s_template_is_taken_from_the_file_that_transformers_takes_it_from() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let found = || ChatTemplate::of_folder(dir.path()).map(|t| t.map(|t| t.source().to_string()));
        assert_eq!(found().unwrap(), None);
        write("tokenizer_config.json", "{}");
        assert_eq!(found().unwrap(), None);
        write("tokenizer_config.json", r#"{"chat_template": [{"name": "tools", "template": "x"}]}"#);
        assert!(found().unwrap_err().to_string().contains("tokenizer_config.json: chat_template: expected text"));
        write("tokenizer_config.json", r#"{"chat_template": [{"name": "default", "template": "one"}]}"#);
        assert_eq!(found().unwrap().unwrap(), "one");
        write("chat_template.json", r#"{"chat_template": "two"}"#);
        assert_eq!(found().unwrap().unwrap(), "two");
        write("chat_template.jinja", "{% if %}");
        assert!(found().unwrap_err().to_string().contains("chat_template.jinja: chat template: "));
        write("chat_template.jinja", "three");
        assert_eq!(found().unwrap().unwrap(), "three");
    }

    #[test]
    fn blocks_are_trimmed_as_in_transformers() {
        let template = "{% for m in messages %}\n    {% set n = 1 %}\n  {{ m['role'] }}\n{% endfor %}\n";
        assert_eq!(ChatTemplate::new(template).unwrap().render(None, &PARTS).unwrap(), "  user\n");
    }

    #[test]
    fn a_template_that_fails_or_does_not_end_is_an_error() {
        for (source, expected) in [
            ("{{ raise_exception('no images, please') }}", "no images, please"),
            ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "fuel"),
        ] {
            let message = ChatTemplate::new(source).unwrap().render(None, &PARTS).unwrap_err().to_string();
            assert!(message.contains("chat template: ") && message.contains(expected), "{message}");
        }
    }
}
