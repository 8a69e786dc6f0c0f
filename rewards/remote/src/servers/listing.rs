//! A file of addresses that changes while a run is under way, read so that one half written does no harm.

use std::time::Instant;

use super::{
    Addresses, LOOK, Unusable,
    addresses::{names_nobody, nobody, text},
};

/// The addresses as they were taken last, and what was seen of their file since.
#[derive(Debug)]
pub struct Listing {
    addresses: Addresses,
    /// What is in force, and what another look must find again before it is: somebody may be writing.
    taken: Option<String>,
    seen: Option<String>,
    looked: Instant,
    /// What is wrong with the file, told once.
    problem: Option<Unusable>,
}

impl Listing {
    /// The addresses of the settings and, at once, those of the file.
    ///
    /// # Errors
    /// As [`Addresses::read`].
    pub fn new(addresses: Addresses, now: Instant) -> Result<(Self, Vec<String>), Unusable> {
        let taken = addresses.file.as_deref().map(text).transpose()?;
        let listed = addresses.with(taken.as_deref())?;
        Ok((Self { addresses, seen: taken.clone(), taken, looked: now, problem: None }, listed))
    }

    /// Looks at the file, if it is time to: the addresses, if they are others from now on. A changed file counts once a
    /// second look has found the same in it.
    ///
    /// # Errors
    /// What is wrong with the file, once; the addresses from before stay.
    pub fn look(&mut self, now: Instant) -> Result<Option<Vec<String>>, Unusable> {
        let Some(path) = self.addresses.file.as_deref().filter(|_| now.duration_since(self.looked) >= LOOK) else {
            return Ok(None);
        };
        self.looked = now;
        let found = text(path);
        let seen = std::mem::replace(&mut self.seen, found.as_ref().ok().cloned());
        let read = match found {
            // Another program may be about to put another file in its place.
            Ok(found) if Some(&found) != seen.as_ref() => return Ok(None),
            Ok(found) if Some(&found) == self.taken.as_ref() => {
                self.problem = None;
                return Ok(None);
            }
            // Whoever empties it is writing it, or has lost it.
            Ok(found) if names_nobody(&found) => Err(nobody(path)),
            Ok(found) => self.addresses.with(Some(&found)).map(|addresses| (addresses, found)),
            Err(_) if seen.is_some() => return Ok(None),
            Err(error) => Err(error),
        };
        match read {
            Ok((addresses, found)) => {
                (self.taken, self.problem) = (Some(found), None);
                Ok(Some(addresses))
            }
            Err(error) if self.problem.as_ref() == Some(&error) => Ok(None),
            Err(error) => {
                self.problem = Some(error.clone());
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    struct Bench {
        _folder: tempfile::TempDir,
        path: PathBuf,
        listing: Listing,
        now: Instant,
    }

    impl Bench {
        fn new(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("servers.txt");
            fs::write(&path, text).unwrap();
            let (addresses, now) = (Addresses { file: Some(path.clone()), ..Addresses::default() }, Instant::now());
            Self { _folder: folder, listing: Listing::new(addresses, now).unwrap().0, path, now }
        }

        /// Another look, when it is time for one.
        fn look(&mut self) -> Result<Option<Vec<String>>, Unusable> {
            self.now += LOOK;
            self.listing.look(self.now)
        }

        fn write(&self, text: &str) {
            fs::write(&self.path, text).unwrap();
        }
    }

    #[test]
    fn an_address_that_is_still_being_written_is_not_taken() {
        let mut bench = Bench::new("http://10.0.0.1\n");
        // All of these are addresses.
        for part in ["http://10.0.0.1\nhttp://10.0.0.1", "http://10.0.0.1\nhttp://10.0.0.12", ""] {
            bench.write(part);
            assert_eq!(bench.look(), Ok(None), "{part}");
        }
        bench.write("http://10.0.0.1\nhttp://10.0.0.12:8000\n");
        assert_eq!(bench.look(), Ok(None));
        assert_eq!(bench.listing.look(bench.now + LOOK / 2), Ok(None), "too soon for a second look");
        let both = ["http://10.0.0.1", "http://10.0.0.12:8000"].map(str::to_owned).to_vec();
        assert_eq!(bench.look(), Ok(Some(both)));
        assert_eq!(bench.look(), Ok(None));
    }

    #[test]
    fn the_last_line_may_lack_its_end() {
        let mut bench = Bench::new("http://a\n");
        bench.write("http://b");
        assert_eq!((bench.look(), bench.look()), (Ok(None), Ok(Some(vec!["http://b".into()]))));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_once_and_changes_nothing() {
        let mut bench = Bench::new("http://a\n");
        for (spoilt, told) in [("b:8000\n", "line 1"), ("# nobody\n", "names no server")] {
            bench.write(spoilt);
            assert_eq!(bench.look(), Ok(None));
            assert!(bench.look().unwrap_err().to_string().contains(told));
            assert_eq!((bench.look(), bench.look()), (Ok(None), Ok(None)));
        }
        fs::remove_file(&bench.path).unwrap();
        assert_eq!(bench.look(), Ok(None), "it may be about to be replaced");
        assert!(bench.look().is_err());
        assert_eq!(bench.look(), Ok(None));
        bench.write("http://a\n");
        assert_eq!((bench.look(), bench.look()), (Ok(None), Ok(None)), "as it was");
    }

    #[test]
    fn without_a_file_nothing_changes() {
        let (addresses, now) = (Addresses { urls: vec!["http://a".into()], ..Addresses::default() }, Instant::now());
        let (mut listing, listed) = Listing::new(addresses, now).unwrap();
        assert_eq!((listed, listing.look(now + LOOK)), (vec!["http://a".to_owned()], Ok(None)));
    }
}
