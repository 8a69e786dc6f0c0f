//! Values of options, as text: shared by settings and the command line.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use anyhow::{Result, bail};
use serde::de::DeserializeOwned;

/// An argument that names a variant as configuration files do.
///
/// # Errors
/// No variant has that name; the message lists them.
pub fn variant<T: DeserializeOwned>(name: &str) -> Result<T, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

/// An argument of the form `NAME=VALUE`.
///
/// # Errors
/// Another form, or what the name or the value says of itself.
pub fn pair<K: FromStr<Err: Display>, V: FromStr<Err: Display>>(text: &str) -> Result<(K, V), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let key = name.trim().parse().map_err(|error| format!("{error}"))?;
    Ok((key, value.trim().parse().map_err(|error| format!("{name}: {error}"))?))
}

/// Pairs as a map.
///
/// # Errors
/// A name that comes twice.
pub fn unique<K: Clone + Display + Ord, V: Clone>(option: &str, pairs: &[(K, V)]) -> Result<BTreeMap<K, V>> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        if map.insert(key.clone(), value.clone()).is_some() {
            bail!("{option}: `{key}` comes twice");
        }
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_a_name_and_a_value_and_come_once() {
        let parsed = |text| pair::<String, f64>(text);
        assert_eq!(parsed("rate = 0.5"), Ok(("rate".into(), 0.5)));
        assert!(parsed("rate").unwrap_err().contains("NAME=VALUE"));
        assert!(parsed("rate=much").unwrap_err().contains("rate"));
        let pairs = [parsed("a=1").unwrap(), parsed("b=1").unwrap(), parsed("a=2").unwrap()];
        assert_eq!(unique("--rewards", &pairs[..2]).unwrap().len(), 2);
        assert!(unique("--rewards", &pairs).unwrap_err().to_string().contains("--rewards: `a` comes twice"));
    }
}
