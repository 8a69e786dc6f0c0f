//! Chat templates: the Jinja text of a checkpoint folder that says how turns are laid out around what is said in them.
//!
//! Rendered as transformers does. Not here: the template language, and turning the rendered text into tokens.

use std::{fmt, path::Path};

use minijinja::Value;

use super::{
    guard::guarded,
    jinja::{Jinja, Rendered, invalid},
    part::PromptPart,
};
use crate::{
    error::{Error, Result},
    files,
};

/// Turns and nothing else. Published templates also put a system turn in front.
const PLAIN: &str = "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' }}\
{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}\
{% if part.type == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{% else %}{{ part.text }}{% endif %}\
{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// How turns are laid out.
#[derive(Clone)]
pub struct ChatTemplate {
    source: String,
    jinja: Jinja,
}

impl Default for ChatTemplate {
    /// Turns of user and assistant, without a system turn of their own: the layout of policies trained from scratch.
    fn default() -> Self {
        Self { source: PLAIN.into(), jinja: Jinja::known(PLAIN) }
    }
}

impl ChatTemplate {
    /// # Errors
    /// Text that is no Jinja template, with the line where it is none.
    pub fn new(source: &str) -> Result<Self> {
        Ok(Self { source: source.into(), jinja: Jinja::parse(source)? })
    }

    /// The template of a checkpoint folder: `chat_template.jinja`, else `chat_template.json`, else the one in
    /// `processor_config.json` or `tokenizer_config.json`, as in transformers. `None` where no file has one. It is tried
    /// on a sample chat.
    ///
    /// # Errors
    /// Names the file that is damaged, or whose template is or cannot render a chat with an image.
    pub fn of_folder(dir: &Path) -> Result<Option<Self>> {
        let jinja = dir.join("chat_template.jinja");
        if jinja.exists() {
            let source = files::text(&jinja)?;
            return Self::tried(&source).map(Some).map_err(|e| Error::file(&jinja, e));
        }
        for name in ["chat_template.json", "processor_config.json", "tokenizer_config.json"] {
            let path = dir.join(name);
            if !path.exists() {
                continue;
            }
            let text = files::text(&path)?;
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
                    return Self::tried(source).map(Some).map_err(|e| Error::file(&path, e));
                }
            }
        }
        Ok(None)
    }

    /// A template that renders a chat like those to come.
    fn tried(source: &str) -> Result<Self> {
        let template = Self::new(source)?;
        let asked = [PromptPart::Text("Frontal: "), PromptPart::Image { tokens: 1 }, PromptPart::Text("Findings?")];
        let prompt = template.render(None, &asked)?;
        let shown = prompt.matches("<|image_pad|>").count();
        if shown != 1 {
            return Err(invalid(None, format!("shows the image of a sample chat {shown} times; expected once")));
        }
        if !(prompt.contains("Frontal:") && prompt.contains("Findings?")) {
            return Err(invalid(None, "leaves out what the user of a sample chat says"));
        }
        // A template may have its reasons to refuse such a chat, as some do to take a system turn. What is only text is
        // said plainly or, as some want it, as a list of one part.
        let chat = |said: fn(&str) -> Value| {
            let answer = turn("assistant", said("No pneumothorax."));
            vec![turn("system", said("You are a radiologist.")), turn("user", content(&asked)), answer]
        };
        let plain = template.jinja.render(context(chat(|text| text.into()), false));
        let listed = || template.jinja.render(context(chat(|text| content(&[PromptPart::Text(text)])), false));
        plain.or_else(|error| listed().map_err(|_| error))?;
        Ok(template)
    }

    /// The Jinja text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt's text up to where the answer starts. Every `<` of the parts and of `system` is guarded.
    pub(super) fn render(&self, system: Option<&str>, parts: &[PromptPart]) -> Result<String> {
        let system = system.map(|text| turn("system", guarded(text).into()));
        let turns = system.into_iter().chain([turn("user", content(parts))]).collect();
        match self.jinja.render(context(turns, true))? {
            Rendered::Text(text) => Ok(text),
            Rendered::Raised(message) => Err(invalid(None, message)),
        }
    }
}

fn content(parts: &[PromptPart]) -> Value {
    let part = |part: &PromptPart| match part {
        PromptPart::Text(text) => Value::from_pairs([("type", "text".into()), ("text", Value::from(guarded(text)))]),
        PromptPart::Image { .. } => Value::from_pairs([("type", "image")]),
    };
    parts.iter().map(part).collect()
}

fn turn(role: &str, content: Value) -> Value {
    Value::from_pairs([("role", role.into()), ("content", content)])
}

/// What a template is given. The tools and documents that are not there are `None`, as in transformers.
fn context(messages: Vec<Value>, add_generation_prompt: bool) -> Value {
    Value::from_pairs([
        ("messages", messages.into()),
        ("tools", ().into()),
        ("documents", ().into()),
        ("add_generation_prompt", add_generation_prompt.into()),
        ("eos_token", "<|im_end|>".into()),
        ("pad_token", Value::from("<|endoftext|>")),
    ])
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

/// One template, or the one called `default` of several: a list of names and templates, or an object of them.
fn default_of(value: &serde_json::Value) -> Option<&str> {
    match value {
        serde_json::Value::Array(list) => list.iter().rfind(|t| t["name"] == "default")?["template"].as_str(),
        serde_json::Value::Object(named) => named.get("default")?.as_str(),
        other => other.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    /// A template that renders chats and can be told from others.
    fn called(name: &str) -> String {
        format!("{{# {name} #}}{PLAIN}")
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
        let named = json!([{"name": "rag", "template": "x"}, {"name": "default", "template": called("one")}]);
        write("tokenizer_config.json", &json!({"chat_template": named}).to_string());
        assert_eq!(found().unwrap().unwrap(), called("one"));
        write("processor_config.json", &json!({"chat_template": {"default": called("two")}}).to_string());
        assert_eq!(found().unwrap().unwrap(), called("two"));
        write("chat_template.json", &json!({"chat_template": called("three")}).to_string());
        assert_eq!(found().unwrap().unwrap(), called("three"));
        write("chat_template.jinja", "{% if %}");
        assert!(found().unwrap_err().to_string().contains("chat_template.jinja: chat template: "));
        write("chat_template.jinja", &called("four"));
        assert_eq!(found().unwrap().unwrap(), called("four"));
    }

    #[test]
    fn a_template_that_cannot_render_a_chat_is_refused_when_its_folder_loads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chat_template.jinja");
        let load = |source: &str| {
            std::fs::write(&path, source).unwrap();
            ChatTemplate::of_folder(dir.path()).map(|_| ()).map_err(|e| e.to_string())
        };
        let of_assistant =
            |what: &str| format!("\n{{% if messages[-1].role == 'assistant' %}}{what}{{% endif %}}{PLAIN}");
        let raises = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}";
        load(&format!("{raises}{PLAIN}")).unwrap();
        let of_lists = "{% for m in messages %}{% for part in m.content %}{% if part.type == 'image' %}<|image_pad|>{% else %}\
                        {{ part.text | trim }}{% endif %}{% endfor %}{% endfor %}";
        load(of_lists).unwrap();
        let minus = "-".repeat(20 << 10);
        for (source, expected) in [
            (of_assistant("{{ messages | wrong }}"), "line 2: unknown filter"),
            (of_assistant("{{ messages[-1].content.wrong() }}"), "line 2: unknown method"),
            (of_assistant("{% frame %}"), "line 2: syntax error: unknown statement frame"),
            (of_assistant("{% generation %}"), "line 2: generation without its counterpart"),
            ("{% for m in messages %}{{ m.content }}{% endfor %}".into(), "shows the image of a sample chat 0 times"),
            (format!("{PLAIN}{PLAIN}"), "shows the image of a sample chat 2 times"),
            ("<|image_pad|>".into(), "leaves out what the user"),
            ("{{ raise_exception('never') }}".into(), "never"),
            (minus.clone(), "shows the image of a sample chat 0 times"),
            (format!("{{{{ {minus}1 }}}}"), "chat template: "),
        ] {
            let message = load(&source).unwrap_err();
            assert!(
                message.contains("chat_template.jinja: chat template: ") && message.contains(expected),
                "{message}"
            );
        }
    }

    #[test]
    fn a_template_of_supervised_training_renders_as_the_one_without_its_marks() {
        let [with, without] =
            [include_str!("../../tests/data/with-tags.jinja"), include_str!("../../tests/data/without-tags.jinja")];
        let render = |source: &str| ChatTemplate::tried(source).unwrap().render(Some("Be brief."), &PARTS).unwrap();
        assert_eq!(render(with), render(without));
    }

    #[test]
    fn a_template_asks_for_tools_as_in_transformers() {
        let source = "{% if tools is not none %}tools{% endif %}{{ messages | tojson }}";
        let expected = r#"[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}]"#;
        let parts = [PromptPart::Text("a"), PromptPart::Image { tokens: 1 }];
        assert_eq!(ChatTemplate::new(source).unwrap().render(None, &parts).unwrap(), expected);
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
