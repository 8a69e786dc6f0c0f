//! PEFT's `target_modules` and `exclude_modules`: which linear layers of the language model they name.
//!
//! The vision tower is frozen here, so names that would also match its layers, as a bare `gate_proj` does, are read as
//! the language model's. An adapter file that does hold factors of the vision tower is refused where it is read.

use fancy_regex::Regex;
use serde_json::Value;

use crate::{Error, Result, module::Module};

/// Stands for all linear layers but the head.
const ALL_LINEAR: &str = "all-linear";

/// What stands before `layers.N` in the names of the language model's layers, within the model that was adapted.
pub const ROOTS: [&str; 5] = [
    // The whole model, in newer libraries and as published.
    "model.language_model.",
    "model.",
    // Wrapped as LLaVA wraps a language model with a head.
    "language_model.model.",
    // The inner model without the head, and the language model in it.
    "language_model.",
    "",
];

/// What an `adapter_config.json` says about which layers are adapted.
#[derive(Debug)]
pub struct Targets {
    included: Names,
    excluded: Option<Names>,
}

#[derive(Debug)]
enum Names {
    AllLinear,
    /// Whole names, or their ends after a dot.
    Ends(Vec<String>),
    /// Matches whole names.
    Pattern(Box<Regex>),
}

impl Targets {
    /// # Errors
    /// `target_modules` is missing, or one of the two keys is neither a regular expression nor a list of names.
    pub fn parse(json: &Value) -> Result<Self> {
        let included = Names::parse("target_modules", &json["target_modules"])?
            .ok_or_else(|| Error::invalid("target_modules", "missing; expected names or a regular expression"))?;
        Ok(Self { included, excluded: Names::parse("exclude_modules", &json["exclude_modules"])? })
    }

    /// The modules adapted in every one of so many decoder layers, in the order of [`Module::ALL`].
    ///
    /// A layer goes by its name under any of the [`ROOTS`]: files were written against each.
    ///
    /// # Errors
    /// The layers are not all adapted alike, or a pattern takes too long.
    pub fn modules(&self, layers: usize) -> Result<Vec<Module>> {
        let of_layer = |layer: usize| -> Result<Vec<Module>> {
            let mut modules = Vec::new();
            for module in Module::ALL {
                for root in ROOTS {
                    let name = format!("{root}layers.{layer}.{}", module.path());
                    if self.names(&name)? {
                        modules.push(module);
                        break;
                    }
                }
            }
            Ok(modules)
        };
        let first = of_layer(0)?;
        for layer in 1..layers {
            let modules = of_layer(layer)?;
            if modules != first {
                let (first, modules) = (listed(&first), listed(&modules));
                let reason =
                    format!("names {first} in layer 0 and {modules} in layer {layer}; expected all layers alike");
                return Err(Error::invalid("target_modules", reason));
            }
        }
        Ok(first)
    }

    fn names(&self, module: &str) -> Result<bool> {
        let excluded = match &self.excluded {
            Some(names) => names.contain("exclude_modules", module)?,
            None => false,
        };
        Ok(!excluded && self.included.contain("target_modules", module)?)
    }
}

impl Names {
    fn parse(key: &str, value: &Value) -> Result<Option<Self>> {
        match value {
            Value::Null => Ok(None),
            Value::String(text) if text.eq_ignore_ascii_case(ALL_LINEAR) => Ok(Some(Self::AllLinear)),
            Value::String(pattern) => match Regex::new(&format!(r"\A(?:{pattern})\z")) {
                Ok(regex) => Ok(Some(Self::Pattern(Box::new(regex)))),
                Err(error) => Err(Error::invalid(key, format!("{pattern:?} is not a regular expression: {error}"))),
            },
            Value::Array(list) => {
                let names: Option<_> = list.iter().map(|name| name.as_str().map(str::to_string)).collect();
                names.map(Self::Ends).ok_or_else(|| wrong(key, value)).map(Some)
            }
            other => Err(wrong(key, other)),
        }
    }

    fn contain(&self, key: &str, module: &str) -> Result<bool> {
        match self {
            Self::AllLinear => Ok(true),
            Self::Ends(ends) => Ok(ends
                .iter()
                .any(|end| module.strip_suffix(end.as_str()).is_some_and(|r| r.is_empty() || r.ends_with('.')))),
            Self::Pattern(regex) => {
                regex.is_match(module).map_err(|e| Error::invalid(key, format!("on module {module}: {e}")))
            }
        }
    }
}

fn wrong(key: &str, value: &Value) -> Error {
    Error::invalid(key, format!("expected a list of names or a regular expression, got {value}"))
}

/// For messages.
pub fn listed(modules: &[Module]) -> String {
    if modules.is_empty() {
        return "no module".into();
    }
    modules.iter().map(|m| m.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn modules(config: Value) -> Result<Vec<Module>> {
        Targets::parse(&config)?.modules(12)
    }

    #[test]
    fn a_list_names_modules_by_their_ends() {
        let found = modules(json!({"target_modules": ["v_proj", "self_attn.q_proj", "proj", "qkv"]})).unwrap();
        assert_eq!(found, [Module::Q, Module::V]);
    }

    #[test]
    fn a_string_is_a_pattern_of_whole_names_in_any_naming() {
        for pattern in [
            r".*language_model\.layers\.\d+\.self_attn\.(q_proj|v_proj)",
            r"model\.layers\.\d+\.self_attn\.[qv]_proj",
            r"language_model\.layers\.\d+\.self_attn\.[qv]_proj",
            r"layers\.\d+\.self_attn\.[qv]_proj",
            r"^(?!.*(?:visual|merger)).*(?:q_proj|v_proj).*$",
        ] {
            assert_eq!(modules(json!({"target_modules": pattern})).unwrap(), [Module::Q, Module::V], "{pattern}");
        }
        assert_eq!(modules(json!({"target_modules": "q_proj"})).unwrap(), [], "an end is not the whole name");
    }

    #[test]
    fn all_linear_layers_can_be_named_at_once_and_some_excluded() {
        assert_eq!(modules(json!({"target_modules": "all-linear"})).unwrap(), Module::ALL);
        let config = json!({"target_modules": "All-Linear", "exclude_modules": ".*(visual|mlp|_proj[^q]k_proj).*"});
        assert_eq!(modules(config).unwrap(), [Module::Q, Module::K, Module::V, Module::O]);
        let config = json!({"target_modules": "all-linear", "exclude_modules": ["mlp.up_proj", "q_proj"]});
        assert_eq!(modules(config).unwrap(), [Module::K, Module::V, Module::O, Module::Gate, Module::Down]);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_key() {
        for (config, expected) in [
            (json!({}), "target_modules: missing"),
            (json!({"target_modules": 3}), "target_modules: expected a list of names or a regular expression, got 3"),
            (json!({"target_modules": ["q_proj", 3]}), "target_modules: expected a list"),
            (json!({"target_modules": "(q_proj"}), "target_modules: \"(q_proj\" is not a regular expression"),
            (json!({"target_modules": ["q_proj"], "exclude_modules": {}}), "exclude_modules: expected a list"),
            (
                json!({"target_modules": r".*layers\.[0-4]\.self_attn\.q_proj"}),
                "q_proj in layer 0 and no module in layer 5",
            ),
        ] {
            let message = modules(config).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
