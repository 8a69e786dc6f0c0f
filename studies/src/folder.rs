//! Datasets as folders: a file per split that lists the studies, or one file for all, and image files.
//!
//! The list is the LLaVA-style JSON that the paper's code reads, the same as JSON Lines, chat messages, a table or
//! Parquet, see [`Folder::load`]:
//!
//! ```json
//! [{"id": "1", "image": ["images/1.png"],
//!   "conversations": [{"from": "human", "value": "<image> Indication: Cough. Write the findings."},
//!                     {"from": "gpt", "value": "The lungs are clear."}]}]
//! ```
//!
//! Folders come from other programs, often from other people: every path is confined to the folder and every problem
//! is reported with file, line, entry and field.

mod cells;
mod columns;
mod content;
mod context;
mod conversation;
mod cut;
mod entries;
mod files;
mod flat;
mod list;
mod lister;
#[cfg(feature = "parquet")]
mod parquet;
mod paths;
mod record;
mod roles;
mod row;
mod write;

use std::path::{Path, PathBuf};

pub(crate) use write::List;
pub use write::{entry, save, write};

use crate::{
    dataset::{Dataset, Split},
    error::{BadRow, BadRows, Error, Place, Result},
    study::Study,
};
use columns::Fields;
use list::Listing;
use paths::Images;
use row::Row;

/// One split of a dataset folder. Of a study it holds the place in the file; what the file says of it is read when it is
/// asked for, and its images are decoded when its views are loaded.
///
/// ```
/// use addendum_studies::{Dataset, Folder, Phantom, PhantomConfig, Split, folder::write};
///
/// let dir = tempfile::tempdir()?;
/// let phantoms = Phantom::new(PhantomConfig { count: 2, size: 64, ..PhantomConfig::default() })?;
/// write(&dir, Split::Train, &phantoms)?;
///
/// let folder = Folder::load(&dir, Split::Train)?;
/// assert_eq!(folder.len(), 2);
/// assert_eq!(folder.study(1)?.reference, phantoms.study(1)?.reference);
/// assert!(Folder::load(&dir, Split::Test).unwrap_err().to_string().contains("no test file"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Folder {
    listing: Listing,
    images: Images,
}

impl Folder {
    /// Reads the file in `dir` that lists the split: `train`, `val` (or `validation`, `valid`) or `test`, with one of the
    /// endings `json`, `jsonl`, `ndjson`, `csv`, `tsv` and `parquet`; or `studies` with such an ending, whose entries name
    /// their split. The form is told by how the file begins.
    ///
    /// # Conversations
    /// An entry with `conversations` (LLaVA) or `messages` (chat):
    /// - the first turn `from` human (or user) is the prompt, the first one of gpt (or assistant) the report. `role` may
    ///   stand for `from` and `content` for `value`, which may be a list of `{"type": "text"}` and `{"type": "image"}`.
    ///   The prompt has one `<image>` marker, or image part, per image;
    /// - `image` (or `images`): a string or a list of paths, relative to `dir` or to `dir/images`, of files that
    ///   [`crate::decode`] reads; image parts may hold them instead;
    /// - `id`: a string or a number; without one, the number of the entry. Must be unique;
    /// - `indication`, `technique`, `comparison`: strings. Without them, the prompt is searched for headings of these
    ///   names ("Indication: …", also "History:", "Clinical history:"); a section ends at the next heading, at the
    ///   end of its line, or before a sentence that starts with Write, Provide, Generate, Describe or Please;
    /// - `views`: a list of `{"projection": "frontal"|"lateral", "timing": "current"|"prior"}`, one per image. Without
    ///   it, the words frontal, lateral, PA, AP, current and prior (or previous) between the last line or sentence end
    ///   and the marker decide; where no marker has such a label, the images are current frontal, current lateral,
    ///   prior frontal, prior lateral, and any further ones prior frontal.
    ///
    /// # Fields
    /// Any other entry, and the rows of tables, have a field for each thing: an id, images with their views, images of the
    /// prior study, the report or its sections, the clinical context, the patient, the split. `docs/data.md` lists the
    /// names that are known. Of the reference, findings count before a report, and that before an impression; what the
    /// fields do not say of the context is taken from the sections of the report that are no part of the reference.
    ///
    /// # All
    /// Other keys are ignored. `NaN` and `Infinity`, which Python writes, count as null, and null as an absent key. The
    /// rest of the prompt's text is dropped: [`crate::Prompt`] writes its own. Of a report with sections, those that speak
    /// are the reference, see [`crate::sections::spoken`].
    ///
    /// # Errors
    /// Those of [`Folder::read`], and [`Error::Rows`] with all entries that are no studies.
    pub fn load(dir: impl AsRef<Path>, split: Split) -> Result<Self> {
        let folder = Self::read(dir, split)?;
        folder.left_out().map_or(Ok(folder), |rows| Err(Error::Rows(rows)))
    }

    /// As [`Folder::load`], but leaves out the entries that are no studies: a missing or mistyped field, an id that an
    /// entry before has, markers that do not match the images, an image that is missing or outside the folder, a split
    /// that is not the file's.
    ///
    /// # Errors
    /// A missing or unreadable file, two files for the split, a file that ceases to be a list of entries.
    pub fn read(dir: impl AsRef<Path>, split: Split) -> Result<Self> {
        let dir = dir.as_ref();
        let found = files::find(dir, split)?;
        let images = Images::new(dir)?;
        Ok(Self { listing: list::list(&found, split, &images)?, images })
    }

    /// The file in `dir` that lists a split.
    ///
    /// # Errors
    /// None, or two of them; a file in no form that is read.
    pub fn file(dir: impl AsRef<Path>, split: Split) -> Result<PathBuf> {
        Ok(files::find(dir.as_ref(), split)?.path)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.listing.studies.writing.path
    }

    /// The entries that were left out.
    pub fn bad(&self) -> &[BadRow] {
        &self.listing.bad
    }

    /// The same as a message tells them; none if every entry is a study.
    pub fn left_out(&self) -> Option<BadRows> {
        let (path, entries) = (self.path().to_path_buf(), self.listing.entries as usize);
        (!self.bad().is_empty()).then(|| BadRows { path, entries, rows: self.bad().to_vec() })
    }

    /// What the studies are, in a line: the file's name, size and CRC-32, and the entries that were left out of it.
    pub fn identity(&self) -> String {
        let (bytes, crc) = self.listing.read;
        let name = self.path().file_name().unwrap_or_default().to_string_lossy();
        let mut identity = format!("{name} {bytes} bytes, crc32 {crc:08x}");
        if !self.bad().is_empty() {
            let numbers: Vec<u8> = self.bad().iter().flat_map(|row| row.place.entry.to_le_bytes()).collect();
            let crc = crc32fast::hash(&numbers);
            identity += &format!(", without {} entries, crc32 {crc:08x}", self.bad().len());
        }
        identity
    }

    /// Where the study at `index` stands.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn place(&self, index: usize) -> Result<Place> {
        self.listing.studies.place(index)
    }

    /// The id of the study at `index` and its patient, as far as the file tells.
    ///
    /// # Errors
    /// As [`Dataset::study`].
    pub fn names(&self, index: usize) -> Result<(Option<String>, Option<String>)> {
        let row = self.row(index)?;
        Ok((row.id, row.patient))
    }

    fn row(&self, index: usize) -> Result<Row> {
        let studies = &self.listing.studies;
        let place = studies.place(index)?;
        let record = studies.record(index)?;
        Row::read(&record, &Fields::of(&record)).map_err(|problems| Error::entry(place, problems))
    }
}

impl Dataset for Folder {
    fn len(&self) -> usize {
        self.listing.studies.len()
    }

    fn study(&self, index: usize) -> Result<Study> {
        let place = self.place(index)?;
        let study = self.row(index)?.study(place.entry, &self.images);
        study.map_err(|problem| Error::entry(place, vec![problem]))
    }
}
