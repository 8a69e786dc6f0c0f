//! What settings follow from others where nobody gave them: the algorithm's customary objective, and numbers that are
//! the same quantity in two places.

use addendum_policy::algorithm::{usual_config, usual_objective};
use toml::{Table, Value};

use super::Settings;

/// A key that is, unless it is given, what another one is.
const FOLLOWS: [(&str, &str); 4] = [
    ("learner.temperature", "sampling.temperature"),
    ("learner.objective.norm_length", "sampling.max_new_tokens"),
    ("learner.schedule.total_steps", "run.steps"),
    ("evaluation.max_new_tokens", "sampling.max_new_tokens"),
];

/// `given` with what follows from it.
pub(super) fn complete(given: &Table) -> Table {
    let defaults = Settings::default().table().unwrap_or_default();
    let mut complete = usual(given);
    merge(&mut complete, given.clone());
    for (key, source) in FOLLOWS {
        if get(given, key).is_none()
            && let Some(value) = get(&complete, source).or_else(|| get(&defaults, source))
        {
            // A length in tokens may be a real number where it divides.
            let real = get(&defaults, key).is_some_and(Value::is_float);
            let value = match value {
                Value::Integer(number) if real => Value::Float(*number as f64),
                other => other.clone(),
            };
            set(&mut complete, key, value);
        }
    }
    complete
}

/// The key that `key` takes its value from, where it was not given itself.
pub(super) fn followed(given: &Table, key: &str) -> Option<&'static str> {
    let (_, source) = FOLLOWS.iter().find(|(follows, _)| *follows == key && get(given, key).is_none())?;
    Some(source)
}

/// What the paper of the named algorithm uses, if one is named.
fn usual(given: &Table) -> Table {
    let mut table = Table::new();
    let Some(name) = get(given, "algorithm.name").and_then(Value::as_str) else { return table };
    if let Some(Ok(mut objective)) = usual_objective(name).map(Table::try_from) {
        objective.remove("norm_length");
        set(&mut table, "learner.objective", Value::Table(objective));
    }
    if let Some(Ok(config)) = usual_config(name).map(Table::try_from) {
        table.insert("algorithm".into(), Value::Table(config));
    }
    table
}

fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((first, rest)) => get(table.get(first)?.as_table()?, rest),
        None => table.get(key),
    }
}

/// Sets a key by its path.
pub fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.to_string(), value)),
        Some((first, rest)) => {
            let entry = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = entry {
                set(inner, rest, value);
            }
        }
    }
}

/// Puts `over` on top of `under`.
pub fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => drop(under.insert(key, value)),
        }
    }
}
