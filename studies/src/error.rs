//! What can go wrong with a dataset, always with the file, entry and field that caused it.

mod decode;
mod dicom;
mod row;

use std::path::PathBuf;

pub use decode::DecodeError;
pub use dicom::DicomError;
pub use row::{BadRow, BadRows, Place, Problem};

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A problem with a dataset or one of its images.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program asked for a study beyond the last one. Ask for an index below `Dataset::len`.
    #[error("study {index} asked of a dataset of {len} studies")]
    OutOfRange {
        /// The index that was asked for.
        index: usize,
        /// How many studies there are.
        len: usize,
    },
    /// The side of phantom images is out of its range. Set `size` within it.
    #[error("phantom image size {size}: expected {min} to {max} pixels")]
    PhantomSize {
        /// As it was set, in pixels.
        size: u32,
        /// The least.
        min: u32,
        /// The largest.
        max: u32,
    },
    /// A knob of a phantom world is out of its range. Set it as the message says.
    #[error("phantom world: {field} is {value}, expected {expected}")]
    World {
        /// Its name under `[data.phantoms.world]`.
        field: &'static str,
        /// As it was set.
        value: String,
        /// The range.
        expected: &'static str,
    },
    /// A file or folder of a dataset could not be read or written: it is not there, permissions are missing, or the
    /// disk is full.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The one that the system refused.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The dataset folder lacks the list of studies of a split. Add it under one of the names in the message; `addendum
    /// data from` makes folders from public datasets.
    #[error("{}: no {split} file in this dataset folder; expected one of {expected}", dir.display())]
    NoSplit {
        /// The dataset folder.
        dir: PathBuf,
        /// `train`, `val` or `test`.
        split: &'static str,
        /// The file names that would do.
        expected: String,
    },
    /// A folder is not laid out as the owners of its dataset say, or the new folder cannot be made there. See that the
    /// download is complete and unpacked, and that the right folder is named.
    #[error("{}: {reason}", dir.display())]
    Layout {
        /// The folder, or the part of it that is meant.
        dir: PathBuf,
        /// What is missing there, or in the way.
        reason: String,
    },
    /// A file of a public dataset is not as its owners say, such as a table without a column. Fetch it again; another
    /// version of the dataset may be laid out otherwise.
    #[error("{}: {reason}", path.display())]
    Source {
        /// The file that was read.
        path: PathBuf,
        /// What is missing or wrong in it, with its line where it has any.
        reason: String,
    },
    /// Two files claim to be the same split, as `train.json` and `train.csv` do. Remove or rename the one that is not
    /// meant.
    #[error("{}: {} and {} are both the {split} split; expected one file", dir.display(), found[0], found[1])]
    TwoFiles {
        /// The dataset folder.
        dir: PathBuf,
        /// `train`, `val` or `test`.
        split: &'static str,
        /// The names of both files.
        found: [String; 2],
    },
    /// A file of a dataset folder is no list of entries in the format that its ending names. Correct the file or its
    /// ending.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file that was read.
        path: PathBuf,
        /// Why it is no list of entries.
        reason: String,
    },
    /// A dataset file ceases to be a list of entries at this place, as after an interrupted copy. Correct it there, or
    /// make the file again.
    #[error("{place}: {reason}")]
    Broken {
        /// The first entry that cannot be read.
        place: Place,
        /// What is wrong there.
        reason: String,
    },
    /// Entries of a file are no studies: a field is missing, an image is not there, a report is empty. Correct each of
    /// them by its file, line and field, or leave all of them out with `data.skip_bad = true`.
    #[error("{0}")]
    Rows(BadRows),
    /// An entry is no study. Correct the fields that the message names.
    #[error("{0}")]
    Entry(BadRow),
    /// A list of studies was written to while a program used it. Leave it alone while a run goes on, and start again.
    #[error("{0}: was changed since the studies were listed")]
    Changed(Place),
    /// An image of a study cannot be used. Replace or convert the file, or take its study out of the list; `addendum
    /// data check` finds all of them beforehand.
    #[error("{}: cannot decode the image: {reason}", path.display())]
    Image {
        /// The image's file.
        path: PathBuf,
        /// What keeps it from being decoded.
        reason: DecodeError,
    },
    /// An image could not be written: most often the disk is full.
    #[error("{}: cannot write the image: {reason}", path.display())]
    ImageWrite {
        /// The image's file.
        path: PathBuf,
        /// What the encoder or the system said.
        reason: image::ImageError,
    },
}

impl Error {
    /// Turns an I/O error into one that names `path`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |reason| Self::Io { path, reason }
    }

    pub(crate) fn entry(place: Place, problems: Vec<Problem>) -> Self {
        Self::Entry(BadRow { place, problems })
    }
}
