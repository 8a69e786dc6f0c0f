//! A bearer token: read from a file or an environment variable, never printed.

use std::{env, fmt, path::Path};

use super::Error;

/// A token. Neither `Debug` nor any error shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// # Errors
    /// Empty, or with characters that a header cannot carry (white space around it is removed).
    pub fn new(token: &str) -> Result<Self, &'static str> {
        let token = token.trim();
        if token.is_empty() {
            return Err("holds no token");
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("holds a token with white space or characters outside ASCII");
        }
        Ok(Self(token.to_owned()))
    }

    /// # Errors
    /// The file cannot be read or holds no usable token.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let failed = |reason: String| Error::TokenFile { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        Self::new(&text).map_err(|reason| failed(reason.into()))
    }

    /// # Errors
    /// The variable is not set or holds no usable token.
    pub fn from_env(name: &str) -> Result<Self, Error> {
        let failed = |reason| Error::TokenVariable { name: name.to_owned(), reason };
        let text = env::var(name).map_err(|_| failed("is not set to text"))?;
        Self::new(&text).map_err(failed)
    }

    /// For a header or a comparison, not for people.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_trimmed_checked_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "s3cret-token\n").unwrap();
        let token = Secret::from_file(&file).unwrap();
        assert_eq!(token.expose(), "s3cret-token");
        assert!(!format!("{token:?}").contains("s3cret"));
        for bad in ["", " \n", "s3cret token", "s3cr\u{e9}t"] {
            std::fs::write(&file, bad).unwrap();
            let message = Secret::from_file(&file).unwrap_err().to_string();
            assert!(message.contains("token file") && !message.contains("s3cr"), "{message}");
        }
        let unset = Secret::from_env("ADDENDUM_NO_SUCH_VARIABLE").unwrap_err().to_string();
        assert!(unset.contains("ADDENDUM_NO_SUCH_VARIABLE"), "{unset}");
    }
}
