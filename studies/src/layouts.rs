//! Public datasets as their owners lay them out, converted to a dataset folder that [`crate::Folder`] reads.
//!
//! A [`Layout`] knows where one dataset keeps its images, reports, dates and splits, and turns them into [`Record`]s.
//! [`convert`] does the rest, the same for all of them: it joins the prior study, picks views, cuts the reference out of
//! the report, splits by patient, and writes. Whatever it leaves out is counted by reason in a [`Conversion`]. It decodes
//! no image and, unless asked to, copies none: `images` in the new folder is a link to the source.
//!
//! The same source and options give the same bytes.

mod chexpert_plus;
mod conversion;
mod convert;
mod find;
mod iu_xray;
mod mimic_cxr;
mod options;
mod padchest_gr;
mod pick;
mod place;
mod record;
mod rexgradient;
mod splits;
mod table;
mod text;

pub use chexpert_plus::ChexpertPlus;
pub use conversion::{Conversion, Counted, SplitCounts, Tally};
pub use convert::convert;
pub use iu_xray::IuXray;
pub use mimic_cxr::MimicCxr;
pub use options::{Language, Options, Placeholders, Placement, Priors, Section, Splits, Views};
pub use padchest_gr::PadchestGr;
pub use record::{Image, Layout, Record, Report, Seen};
pub use rexgradient::Rexgradient;
