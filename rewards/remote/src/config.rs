//! How a service is reached: the settings of a client.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Backoff, Error, Secret,
    servers::{Addresses, Form, Unusable},
};

/// How a service is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceConfig {
    /// Where the service is, with the path, as in `http://127.0.0.1:5000/predict`; http or https. Without a path it is the
    /// service's own. Proxies are not used, redirections not followed.
    #[schemars(extend("x-resume" = "free"))]
    pub url: String,
    /// Further addresses of the same service on other hosts. Which one is asked follows from how fast each has been, and
    /// what one fails at is asked of another.
    #[schemars(extend("x-resume" = "free"))]
    pub urls: Vec<String>,
    /// A file with further addresses, one a line, `#` before comments. It is read again when it changes, so that servers
    /// join and leave a run under way.
    #[schemars(extend("x-resume" = "free"))]
    pub urls_file: Option<PathBuf>,
    /// The environment variable that holds the bearer token; no token where absent.
    #[schemars(extend("x-resume" = "free"))]
    pub token_variable: Option<String>,
    /// The file that holds the bearer token; goes before `token_variable`.
    #[schemars(extend("x-resume" = "free"))]
    pub token_file: Option<PathBuf>,
    /// Seconds for one request: connecting, sending, and the whole answer; more than 0 and at most 86400.
    #[schemars(extend("x-resume" = "free"))]
    pub timeout_seconds: f64,
    /// Bytes of the longest answer; longer ones are refused.
    #[schemars(extend("x-resume" = "free"))]
    pub longest_answer_bytes: u64,
    /// Pairs or sentences per request, 1 to 1024. More than one pair is understood by `addendum serve-rewards` only: the EditGRPO
    /// code answers such a request with means.
    #[schemars(extend("x-resume" = "free"))]
    pub batch: usize,
    /// Requests at a time, 1 to 1024; of several servers, at each. A slow server among fast ones is asked for fewer.
    #[schemars(extend("x-resume" = "free"))]
    pub parallel: usize,
    /// How often and how long a failed request is made again. Of several servers, a request is made so often at each, and
    /// waits for any of them until the deadline.
    pub backoff: Backoff,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            urls: Vec::new(),
            urls_file: None,
            token_variable: None,
            token_file: None,
            timeout_seconds: 60.,
            longest_answer_bytes: 64 << 20,
            batch: 1,
            parallel: 4,
            backoff: Backoff::default(),
        }
    }
}

impl ServiceConfig {
    /// Everything at its default but the address.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// What messages call it: its first address, and how many more there are.
    pub fn name(&self) -> String {
        let mut urls = self.urls().map(|url| if url.contains('@') { "an address with `@`" } else { url });
        let file = self.urls_file.as_ref().map(|path| path.display().to_string());
        match (urls.next(), urls.count()) {
            (None, _) => file.unwrap_or_default(),
            (Some(url), 0) if file.is_none() => url.to_owned(),
            (Some(url), 0) => format!("{url} and those in {}", file.unwrap_or_default()),
            (Some(url), more) => format!("{url} and {more} more"),
        }
    }

    /// How many servers there are at the moment, 1 where that cannot be told.
    pub fn servers(&self) -> usize {
        let listed = self.addresses(Form::Path("")).ok().and_then(|addresses| addresses.read().ok());
        listed.map_or(1, |listed| listed.len())
    }

    /// Whether there is one address, and no file that may name others.
    pub(super) fn is_alone(&self) -> bool {
        self.urls().count() == 1 && self.urls_file.is_none()
    }

    fn urls(&self) -> impl Iterator<Item = &str> {
        [self.url.as_str()].into_iter().filter(|url| !url.is_empty()).chain(self.urls.iter().map(String::as_str))
    }

    /// All addresses.
    ///
    /// # Errors
    /// None, or what is no address.
    pub(super) fn addresses(&self, form: Form) -> Result<Addresses, Error> {
        let bad = |field: &str, value, expected: &str| {
            Err(Error::Config { url: self.name(), field: field.into(), value, expected: expected.into() })
        };
        let named = !self.url.is_empty() || (self.urls.is_empty() && self.urls_file.is_none());
        if named && let Err((value, expected)) = form.complete(&self.url) {
            return bad("url", value, expected);
        }
        // By their own places.
        let others = Addresses { urls: self.urls.clone(), file: self.urls_file.clone(), form };
        match others.validate() {
            Err(Unusable { field, value, expected }) if !self.urls.is_empty() => bad(&field, value, expected),
            _ => Ok(Addresses { urls: self.urls().map(str::to_owned).collect(), ..others }),
        }
    }

    /// # Errors
    /// A value that makes no sense.
    pub(super) fn validate(&self) -> Result<(), Error> {
        let bad = |field: &str, value: String, expected: &str| {
            Err(Error::Config { url: self.name(), field: field.into(), value, expected: expected.into() })
        };
        if !(0.001..=86_400.).contains(&self.timeout_seconds) {
            return bad("timeout_seconds", self.timeout_seconds.to_string(), "seconds, more than 0 and at most 86400");
        }
        for (field, value) in [("batch", self.batch), ("parallel", self.parallel)] {
            if !(1..=1024).contains(&value) {
                return bad(field, value.to_string(), "1 to 1024");
            }
        }
        match self.backoff.problem() {
            Some((field, value, expected)) => bad(field, value, expected),
            None => Ok(()),
        }
    }

    /// For one request.
    pub(super) fn timeout(&self) -> Duration {
        Duration::try_from_secs_f64(self.timeout_seconds).unwrap_or_default()
    }

    /// # Errors
    /// A token that cannot be read.
    pub(super) fn token(&self) -> Result<Option<Secret>, Error> {
        match (&self.token_file, &self.token_variable) {
            (Some(file), _) => Secret::from_file(file).map(Some),
            (None, Some(name)) => Secret::from_env(name).map(Some),
            (None, None) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_several_or_a_file_are_all_of_them() {
        let all = |config: &ServiceConfig| config.addresses(Form::Path("/predict")).unwrap().read().unwrap();
        assert_eq!(all(&ServiceConfig::at("http://a:5000/ask")), ["http://a:5000/ask"]);
        let several =
            ServiceConfig { urls: vec!["http://b".into(), "http://a/x".into()], ..ServiceConfig::at("http://a/x") };
        assert_eq!(all(&several), ["http://a/x", "http://b/predict"]);
        assert_eq!((several.name().as_str(), several.servers()), ("http://a/x and 2 more", 2));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("servers.txt");
        std::fs::write(&path, "http://c\n").unwrap();
        let file = ServiceConfig { urls_file: Some(path.clone()), ..ServiceConfig::default() };
        assert_eq!(all(&file), ["http://c/predict"]);
        assert_eq!(file.name(), path.display().to_string());
        let both = ServiceConfig { url: "http://a".into(), ..file };
        assert_eq!(all(&both), ["http://a/predict", "http://c/predict"]);
        assert!(both.name().starts_with("http://a and those in "));
    }

    #[test]
    fn what_is_no_address_is_named_by_its_field() {
        let message = |config: ServiceConfig| config.addresses(Form::Path("/x")).unwrap_err().to_string();
        assert!(message(ServiceConfig::default()).contains("`url`"));
        let several = ServiceConfig { urls: vec!["http://b".into(), "b:5000".into()], ..ServiceConfig::at("http://a") };
        assert!(message(several.clone()).contains("`urls[1]` is b:5000, expected http(s)://"));
        assert!(message(ServiceConfig { url: "a".into(), ..several }).contains("`url` is a, expected"));
    }
}
