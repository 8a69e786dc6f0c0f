//! Which servers there are: those of the settings, and those of a file that may change while a run is under way.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::VllmError;

/// Addresses of servers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Addresses {
    /// From the settings: `http(s)://host[:port]` each.
    pub urls: Vec<String>,
    /// One a line, `#` before comments; read again when it changes.
    pub file: Option<PathBuf>,
}

impl Addresses {
    /// # Errors
    /// Neither an address nor a file; what is no address, by its place.
    pub fn validate(&self) -> Result<(), VllmError> {
        if self.urls.is_empty() && self.file.is_none() {
            return Err(VllmError::config(
                "urls",
                "is empty, and there is no `urls_file`; expected addresses of vLLM servers",
            ));
        }
        for (i, url) in self.urls.iter().enumerate() {
            address(url).map_err(|reason| VllmError::config(format!("urls[{i}]"), reason))?;
        }
        Ok(())
    }

    /// All of them in order, each once.
    ///
    /// # Errors
    /// A file that cannot be read; a line that is no address, by file and line.
    pub(super) fn read(&self) -> Result<Vec<String>, VllmError> {
        let bad = |reason| VllmError::config("urls", reason);
        let mut addresses = self.urls.iter().map(|url| address(url)).collect::<Result<Vec<_>, _>>().map_err(bad)?;
        if let Some(path) = &self.file {
            addresses.extend(listed(path)?);
        }
        let mut seen = BTreeSet::new();
        addresses.retain(|url| seen.insert(url.clone()));
        Ok(addresses)
    }

    /// When the file was changed last; `None` without one, or where it is gone.
    pub(super) fn changed(&self) -> Option<SystemTime> {
        std::fs::metadata(self.file.as_ref()?).and_then(|file| file.modified()).ok()
    }
}

fn listed(path: &Path) -> Result<Vec<String>, VllmError> {
    let bad = |reason| VllmError::config("urls_file", reason);
    let text = std::fs::read_to_string(path).map_err(|error| bad(format!("{}: {error}", path.display())))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let lines = lines.enumerate().filter(|(_, line)| !line.is_empty());
    let read = |(i, line)| address(line).map_err(|reason| bad(format!("{}, line {}: {reason}", path.display(), i + 1)));
    lines.map(read).collect()
}

/// An address without its last slash.
///
/// # Errors
/// What is no address of a server.
fn address(url: &str) -> Result<String, String> {
    let expected = || format!("is {url}, expected http(s)://host[:port] without a path");
    let url = url.trim_end_matches('/');
    let rest = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme)).ok_or_else(expected)?;
    if rest.is_empty() || rest.contains(['/', '?', '#', '@']) || url.parse::<ureq::http::Uri>().is_err() {
        return Err(expected());
    }
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_from_the_settings_and_the_file_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("servers.txt");
        std::fs::write(&path, "# the second rack\nhttp://b:8000/ # slow\n\nhttp://a:8000\n").unwrap();
        let addresses = Addresses { urls: vec!["http://a:8000".into()], file: Some(path.clone()) };
        assert_eq!(addresses.read().unwrap(), ["http://a:8000", "http://b:8000"]);
        std::fs::write(&path, "http://a:8000\nb:8000\n").unwrap();
        let message = addresses.read().unwrap_err().to_string();
        assert!(message.contains("servers.txt, line 2: is b:8000, expected"), "{message}");
    }

    #[test]
    fn what_is_no_address_is_named_by_its_place() {
        for bad in ["", "a:8000", "ftp://a", "http://", "http://a/v1", "http://user@a", "http://a?b"] {
            let addresses = Addresses { urls: vec!["http://a".into(), bad.into()], file: None };
            let message = addresses.validate().unwrap_err().to_string();
            assert!(message.contains("urls[1]"), "{bad}: {message}");
        }
        assert!(Addresses::default().validate().unwrap_err().to_string().contains("urls"));
    }
}
