//! The files of a published RadGraph model: a `.tar.gz` with `config.json`, `vocabulary/` and `weights.th`, or a folder
//! with the same contents.
//!
//! An archive is read in memory and nothing is ever written, so an entry can go nowhere; entries that try are refused
//! all the same, and so is what unpacks to far more than weights do.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read},
    path::{Component, Path},
};

use candle_core::Device;
use flate2::bufread::GzDecoder;

use super::super::weights::{Weights, refuse, regular};
use addendum_rewards::Result;

/// The longest text file that is read.
const LONGEST_TEXT: u64 = 16 << 20;

/// How much an archive may unpack to: this, and so many times its own size. Weights hardly compress.
const UNPACKED: (u64, u64) = (64 << 20, 16);

/// What a model consists of.
pub(super) struct Archive {
    pub(super) config: Vec<u8>,
    /// The lines of each file in `vocabulary/`, by name.
    pub(super) vocabulary: BTreeMap<String, Vec<String>>,
    pub(super) weights: Weights,
}

impl Archive {
    /// # Errors
    /// Unreadable, truncated or foreign files, missing parts, and archives that look like an attack.
    pub(super) fn open(path: &Path, device: &Device) -> Result<Self> {
        if path.is_dir() { Self::folder(path, device) } else { Self::packed(path, device) }
    }

    fn folder(path: &Path, device: &Device) -> Result<Self> {
        let read = |file: &Path| std::fs::read(file).map_err(|error| refuse(file, error));
        let names = path.join("vocabulary");
        let mut vocabulary = BTreeMap::new();
        for entry in std::fs::read_dir(&names).map_err(|error| refuse(&names, error))? {
            let file = entry.map_err(|error| refuse(&names, error))?.path();
            if let Some(name) = file.file_name().and_then(|name| name.to_str()) {
                vocabulary.insert(name.to_owned(), lines(&file, read(&file)?)?);
            }
        }
        let weights = ["weights.th", "weights.safetensors"].map(|name| path.join(name));
        let weights = weights.iter().find(|file| file.exists()).unwrap_or(&weights[0]);
        Ok(Self { config: read(&path.join("config.json"))?, vocabulary, weights: Weights::open(weights, device)? })
    }

    fn packed(path: &Path, device: &Device) -> Result<Self> {
        let file = regular(path)?;
        let size = file.metadata().map_err(|error| refuse(path, error))?.len();
        let limit = UNPACKED.0.saturating_add(UNPACKED.1.saturating_mul(size));
        let unpacked = Limited { inner: GzDecoder::new(BufReader::new(file)), left: limit, limit };
        let Parts { config, vocabulary, weights } = parts(path, unpacked).map_err(|reason| refuse(path, reason))?;
        let missing = |name: &str| refuse(path, format!("`{name}` is missing"));
        let weights = weights.ok_or_else(|| missing("weights.th"))?;
        Ok(Self {
            config: config.ok_or_else(|| missing("config.json"))?,
            vocabulary,
            weights: Weights::of_bytes(&path.join("weights.th"), weights, device)?,
        })
    }
}

/// # Errors
/// A file that cannot be read, or is not compressed with gzip.
pub(super) fn is_packed(path: &Path) -> Result<()> {
    let mut magic = [0; 2];
    match regular(path)?.read_exact(&mut magic).map_err(|error| refuse(path, error))? {
        () if magic == [0x1f, 0x8b] => Ok(()),
        () => Err(refuse(path, "is neither a folder nor compressed with gzip")),
    }
}

/// What was found in an archive.
#[derive(Default)]
struct Parts {
    config: Option<Vec<u8>>,
    vocabulary: BTreeMap<String, Vec<String>>,
    weights: Option<Vec<u8>>,
}

fn parts(archive: &Path, unpacked: impl Read) -> Result<Parts, String> {
    let mut parts = Parts::default();
    let mut tar = tar::Archive::new(unpacked);
    for entry in tar.entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| format!("it is not a whole tar archive: {error}"))?;
        let path = entry.path().map_err(|error| error.to_string())?.into_owned();
        let fail = |reason: &str| format!("entry `{}`: {reason}", path.display());
        let mut names = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
                Component::CurDir => {}
                _ => return Err(fail("its path leads out of the archive")),
            }
        }
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            return Err(fail("it is neither a file nor a folder"));
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut read = |limit: u64| {
            let size = entry.size();
            if size > limit {
                return Err(fail(&format!("it has {size} bytes; expected at most {limit}")));
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(|error| fail(&error.to_string()))?;
            if bytes.len() as u64 == size { Ok(bytes) } else { Err(fail("the archive ends within it")) }
        };
        let doubled = match names[..] {
            ["config.json"] => parts.config.replace(read(LONGEST_TEXT)?).is_some(),
            ["weights.th" | "weights.safetensors"] => parts.weights.replace(read(u64::MAX)?).is_some(),
            ["vocabulary", name] => {
                let lines = lines(&archive.join(&path), read(LONGEST_TEXT)?).map_err(|error| error.to_string())?;
                parts.vocabulary.insert(name.to_owned(), lines).is_some()
            }
            // Whatever else an archive holds is skipped, unread.
            _ => false,
        };
        if doubled {
            return Err(fail("it stands in the archive twice"));
        }
    }
    // Reading on to the end makes the decoder check its sum.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(|error| error.to_string())?;
    Ok(parts)
}

fn lines(file: &Path, bytes: Vec<u8>) -> Result<Vec<String>> {
    let text = String::from_utf8(bytes).map_err(|_| refuse(file, "it is not UTF-8"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// A stream that fails, and does not just end, when it gets longer than expected.
struct Limited<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::other(format!("it unpacks to more than {} bytes, which weights do not", self.limit))
        })?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use tar::{Builder, EntryType, Header};

    use super::*;
    use crate::testing::folder;

    /// A packed archive with entries of any name and kind.
    fn packed(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, kind, bytes) in entries {
            let mut header = Header::new_old();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            tar.append(&header, *bytes).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    fn refusal(bytes: &[u8]) -> String {
        let mut file = tempfile::Builder::new().suffix(".tar.gz").tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let error = Archive::open(file.path(), &Device::Cpu).err().expect("the archive was accepted").to_string();
        assert!(error.contains(".tar.gz"), "{error}");
        error
    }

    #[test]
    fn entries_that_lead_elsewhere_are_refused_by_name() {
        for name in ["../config.json", "vocabulary/../../x", "/etc/passwd"] {
            let error = refusal(&packed(&[(name, EntryType::Regular, b"{}")]));
            assert!(error.contains(name) && error.contains("leads out"), "{error}");
        }
        for kind in [EntryType::Symlink, EntryType::Link, EntryType::Fifo] {
            let error = refusal(&packed(&[("weights.th", kind, b"")]));
            assert!(error.contains("neither a file nor a folder"), "{error}");
        }
    }

    #[test]
    fn archives_that_unpack_without_end_are_refused() {
        let zeros = vec![0; 100 << 20];
        let bytes = packed(&[("weights.th", EntryType::Regular, &zeros)]);
        assert!(bytes.len() < 1 << 20);
        let error = refusal(&bytes);
        assert!(error.contains("unpacks to more than"), "{error}");
        let error = refusal(&packed(&[("unread", EntryType::Regular, &zeros)]));
        assert!(error.contains("unpacks to more than"), "{error}");
    }

    #[test]
    fn doubled_missing_and_malformed_parts_are_refused_by_name() {
        let config = ("config.json", EntryType::Regular, &b"{}"[..]);
        assert!(refusal(&packed(&[config, config])).contains("twice"));
        assert!(refusal(&packed(&[config])).contains("`weights.th` is missing"));
        let weights = ("weights.th", EntryType::Regular, &b"no weights at all"[..]);
        let error = refusal(&packed(&[config, weights]));
        assert!(error.contains("weights.th") && error.contains("neither a PyTorch checkpoint"), "{error}");
        assert!(refusal(b"no archive").contains("archive"));
    }

    #[test]
    fn a_damaged_archive_is_refused() {
        let whole = std::fs::read(folder("rewards/radgraph/xl").join("radgraph-xl.tar.gz")).unwrap();
        for share in [0, 1, 30, 70, 99] {
            refusal(&whole[..whole.len() * share / 100]);
        }
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x10;
        refusal(&damaged);
    }
}
