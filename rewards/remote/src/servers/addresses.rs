//! Where servers are: the addresses of the settings, and those of a file.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Bytes of the longest file of addresses: a thousand servers take less than a tenth.
const LONGEST: u64 = 1 << 20;

/// Addresses of servers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Addresses {
    /// From the settings.
    pub urls: Vec<String>,
    /// One a line, `#` before comments.
    pub file: Option<PathBuf>,
    /// What an address looks like.
    pub form: Form,
}

/// What an address looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `http(s)://host[:port]`: what is asked has paths of its own.
    #[default]
    Host,
    /// With the path that is asked; this one where there is none.
    Path(&'static str),
    /// With the path that this one stands under, or with the whole of it.
    Under(&'static str),
}

/// An address, or a file of them, that cannot be used. Write addresses as the message says, in a file one a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: is {value}, expected {expected}")]
pub struct Unusable {
    /// `urls`, `urls[1]` or `urls_file`.
    pub field: String,
    /// What it is; without what may be a password.
    pub value: String,
    /// What an address looks like.
    pub expected: &'static str,
}

impl Form {
    /// The address in full.
    ///
    /// # Errors
    /// The address as it can be shown, and what was expected.
    pub fn complete(self, url: &str) -> Result<String, (String, &'static str)> {
        let expected = match self {
            Self::Host => "http(s)://host[:port] without a path, user or password",
            Self::Path(_) | Self::Under(_) => "http(s)://host[:port]/path, without user or password",
        };
        let shown = if url.contains('@') { "an address with `@`" } else { url };
        let bad = || (shown.to_owned(), expected);
        let rest = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme)).ok_or_else(bad)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.is_empty() || authority.contains('@') || url.parse::<ureq::http::Uri>().is_err() {
            return Err(bad());
        }
        match self {
            Self::Host if path.trim_matches('/').is_empty() => Ok(url.trim_end_matches('/').to_owned()),
            Self::Host => Err(bad()),
            Self::Path(own) if path.is_empty() => Ok(format!("{url}{own}")),
            Self::Path(_) => Ok(url.to_owned()),
            Self::Under(own) => {
                let base = url.trim_end_matches('/');
                Ok(if base.ends_with(own) { base.to_owned() } else { format!("{base}{own}") })
            }
        }
    }
}

impl Addresses {
    /// Refuses what the settings themselves have wrong; the file is not read.
    ///
    /// # Errors
    /// Neither an address nor a file; what is no address, by its place.
    pub fn validate(&self) -> Result<(), Unusable> {
        if self.urls.is_empty() && self.file.is_none() {
            let value = "empty, and there is no `urls_file`".to_owned();
            return Err(Unusable { field: "urls".into(), value, expected: "addresses of servers" });
        }
        self.named().map(drop)
    }

    /// All of them in full and in order, each once.
    ///
    /// # Errors
    /// As [`Addresses::validate`]; a file that cannot be read; a line that is no address, by file and line; none at all.
    pub fn read(&self) -> Result<Vec<String>, Unusable> {
        let text = self.file.as_deref().map(text).transpose()?;
        self.with(text.as_deref())
    }

    /// The same with `text` for what is in the file.
    pub(super) fn with(&self, text: Option<&str>) -> Result<Vec<String>, Unusable> {
        self.validate()?;
        let mut addresses = self.named()?;
        if let (Some(path), Some(text)) = (&self.file, text) {
            addresses.extend(self.listed(path, text)?);
            if addresses.is_empty() {
                return Err(nobody(path));
            }
        }
        let mut seen = BTreeSet::new();
        addresses.retain(|url| seen.insert(url.clone()));
        Ok(addresses)
    }

    fn named(&self) -> Result<Vec<String>, Unusable> {
        let place = |i, (value, expected)| Unusable { field: format!("urls[{i}]"), value, expected };
        self.urls.iter().enumerate().map(|(i, url)| self.form.complete(url).map_err(|bad| place(i, bad))).collect()
    }

    fn listed(&self, path: &Path, text: &str) -> Result<Vec<String>, Unusable> {
        let read = |(i, line): (usize, &str)| {
            self.form.complete(line).map_err(|(shown, expected)| {
                let place = format!("line {} of {}", i + 1, path.display());
                // What is no address at all may be a secret from another file.
                let value = if like_an_address(&shown) { brief(&shown, &place) } else { place };
                Unusable { field: "urls_file".into(), value, expected }
            })
        };
        addresses(text).map(read).collect()
    }
}

/// Whether somebody meant an address: it has a scheme, a port, or is a remark of ours.
fn like_an_address(shown: &str) -> bool {
    let port = shown.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    shown.contains("://") || shown.contains(' ') || port
}

/// Characters of a line that are shown.
const SHOWN: usize = 80;

fn brief(line: &str, place: &str) -> String {
    let shown: String = line.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    format!("{shown} in {place}")
}

/// Whether a file of addresses has none.
pub(super) fn names_nobody(text: &str) -> bool {
    addresses(text).next().is_none()
}

/// Lines that are neither empty nor comments, by their places.
fn addresses(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.enumerate().filter(|(_, line)| !line.is_empty())
}

/// What is in a file of addresses.
pub(super) fn text(path: &Path) -> Result<String, Unusable> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    match read {
        Ok(length) if length as u64 > LONGEST => {
            Err(unusable(format!("{}, which has more than {LONGEST} bytes", path.display())))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(unusable(format!("{}: {error}", path.display()))),
    }
}

pub(super) fn nobody(path: &Path) -> Unusable {
    unusable(format!("{}, which names no server", path.display()))
}

fn unusable(value: String) -> Unusable {
    Unusable { field: "urls_file".into(), value, expected: "a file with an address in each line" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_from_the_settings_and_the_file_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("servers.txt");
        std::fs::write(&path, "# the second rack\nhttp://b:8000/ # slow\n\nhttp://a:8000\n").unwrap();
        let addresses = Addresses { urls: vec!["http://a:8000".into()], file: Some(path.clone()), form: Form::Host };
        assert_eq!(addresses.read().unwrap(), ["http://a:8000", "http://b:8000"]);
        std::fs::write(&path, "http://a:8000\nb:8000\n").unwrap();
        let message = addresses.read().unwrap_err().to_string();
        assert!(message.starts_with("urls_file: is b:8000 in line 2 of ") && message.contains("servers.txt, expected"));
        let alone = Addresses { urls: vec![], ..addresses };
        std::fs::write(&path, "# nobody\n").unwrap();
        assert!(alone.read().unwrap_err().to_string().contains("servers.txt, which names no server"));
        // A token's file, named by mistake.
        std::fs::write(&path, "sk-5ecret.token/with+signs=\n").unwrap();
        let message = alone.read().unwrap_err().to_string();
        assert!(message.contains("line 1 of ") && !message.contains("5ecret"), "{message}");
        std::fs::write(&path, format!("http://{}@a\n", "x".repeat(9000))).unwrap();
        assert!(alone.read().unwrap_err().to_string().len() < 400);
        std::fs::remove_file(&path).unwrap();
        assert!(alone.read().unwrap_err().to_string().contains("servers.txt: No such file"));
        std::fs::write(&path, vec![b'#'; LONGEST as usize + 1]).unwrap();
        assert!(alone.read().unwrap_err().to_string().contains("more than 1048576 bytes"));
    }

    #[test]
    fn what_is_no_address_is_named_by_its_place() {
        for bad in
            ["", "a:8000", "ftp://a", "http://", "http://a/v1", "http://user:hunter2@a", "http://a?b", "http://a b"]
        {
            let addresses = Addresses { urls: vec!["http://a".into(), bad.into()], ..Addresses::default() };
            let message = addresses.validate().unwrap_err().to_string();
            assert!(message.contains("urls[1]") && !message.contains("hunter2"), "{bad}: {message}");
        }
        assert!(Addresses::default().validate().unwrap_err().to_string().contains("urls"));
    }

    #[test]
    fn a_path_is_kept_or_filled_in() {
        let complete = |form: Form, url| form.complete(url).unwrap();
        let predict = Form::Path("/predict");
        assert_eq!(complete(predict, "http://a:5000"), "http://a:5000/predict");
        assert_eq!(complete(predict, "http://a:5000/"), "http://a:5000/");
        assert_eq!(complete(predict, "https://a/rewards/predict"), "https://a/rewards/predict");
        assert!(predict.complete("http:///predict").is_err());
        let chat = Form::Under("/chat/completions");
        for url in ["http://a/v1", "http://a/v1/", "http://a/v1/chat/completions"] {
            assert_eq!(complete(chat, url), "http://a/v1/chat/completions");
        }
    }
}
