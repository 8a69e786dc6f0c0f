//! Dead letters as a dataset folder: what was given up, with the reason, to be looked at and trained on again.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use addendum_replay::{DeadLetter, TicketId};
use addendum_studies::{Dataset, ImageSource, Study, View, folder as studies};
use serde_json::{Value, json};

use crate::{
    RunError,
    compute::{Failure, guarded},
    disk::{UNFINISHED, put_in_place, write_synced},
};

/// The studies of a dataset folder.
const STUDIES: &str = "train.json";
/// Those that cannot be read at all.
const UNREADABLE: &str = "unreadable.json";
const IMAGES: &str = "images";

/// Studies whose images are copied; of more, the entries alone are written.
const MOST_COPIED: usize = 256;

/// Where the dead letters of a run are.
pub(crate) fn folder(run: &Path) -> PathBuf {
    run.join("dead_letters")
}

/// Writes the dead letters of `run`: the studies in the form of a dataset folder's training split, each once, with
/// `dead_letter` for the reason, and beside it the files of their images as they are. What cannot be read as a study is
/// listed in a file of its own.
///
/// # Errors
/// Names the file that could not be written. A study or image that cannot be read is no error: it may be the reason.
pub(crate) fn write(
    run: &Path,
    dataset: &dyn Dataset,
    letters: &BTreeMap<TicketId, DeadLetter>,
) -> Result<(), RunError> {
    let folder = folder(run);
    let images = folder.join(IMAGES);
    fs::create_dir_all(&images).map_err(RunError::io(&images))?;
    let by_study: BTreeMap<usize, (TicketId, &DeadLetter)> =
        letters.iter().map(|(ticket, letter)| (letter.study, (*ticket, letter))).collect();
    let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
    for (copied, (index, (ticket, letter))) in by_study.into_iter().enumerate() {
        // It may have died because reading it panics.
        let (list, mut entry) =
            match guarded(|| dataset.study(index).map_err(|error| Failure::Refused(error.to_string()))) {
                Ok(study) => {
                    let names = names(&study, index);
                    if copied < MOST_COPIED {
                        for (name, view) in names.iter().zip(&study.views) {
                            copy(view, &folder.join(name));
                        }
                    }
                    (&mut readable, studies::entry(&study, &names))
                }
                Err(error) => (&mut unreadable, json!({"unreadable": error.to_string()})),
            };
        entry["dead_letter"] = json!({
            "ticket": ticket.0, "index": index, "attempts": letter.attempts, "lost": letter.lost, "error": letter.error,
        });
        list.push(entry);
    }
    write_list(&folder, STUDIES, readable)?;
    match unreadable.is_empty() && !folder.join(UNREADABLE).exists() {
        true => Ok(()),
        false => write_list(&folder, UNREADABLE, unreadable),
    }
}

fn write_list(folder: &Path, name: &str, entries: Vec<Value>) -> Result<(), RunError> {
    let (place, beside) = (folder.join(name), folder.join(format!("{UNFINISHED}{name}")));
    let text = serde_json::to_vec_pretty(&Value::Array(entries));
    write_synced(&beside, &text.map_err(|error| RunError::io(&beside)(error.into()))?)?;
    put_in_place(&beside, &place)
}

fn names(study: &Study, index: usize) -> Vec<String> {
    let extension = |view: &View| match &view.image {
        ImageSource::File(path) => path.extension().map(PathBuf::from),
        ImageSource::Pixels(_) => None,
    };
    let name = |(i, view): (usize, &View)| {
        let extension = extension(view).unwrap_or_else(|| "png".into());
        format!("{IMAGES}/{index:06}_{i}.{}", extension.display())
    };
    study.views.iter().enumerate().map(name).collect()
}

/// A file is copied as it is, damage included. What is not there stays away.
fn copy(view: &View, to: &Path) {
    if to.exists() {
        return;
    }
    let _ = match &view.image {
        ImageSource::File(path) => fs::copy(path, to).is_ok(),
        ImageSource::Pixels(_) => studies::save(view, to).is_ok(),
    };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use addendum_studies::{Folder, Projection, Reference, Split, Timing};

    use super::*;

    fn study(id: &str, image: ImageSource) -> Study {
        Study {
            id: id.into(),
            views: vec![View { projection: Projection::Lateral, timing: Timing::Current, image }],
            indication: Some("Cough.".into()),
            technique: None,
            comparison: None,
            reference: Reference::new("The lungs are clear."),
        }
    }

    fn letter(study: usize) -> DeadLetter {
        DeadLetter { study, attempts: 3, lost: 0, error: "connection refused".into() }
    }

    #[test]
    fn dead_letters_are_a_dataset_folder_that_says_why() {
        let run = tempfile::tempdir().unwrap();
        let pixels = ImageSource::Pixels(Arc::new(image::GrayImage::new(2, 3)));
        let (file, damaged) = (run.path().join("x.png"), run.path().join("damaged.png"));
        image::GrayImage::new(3, 2).save(&file).unwrap();
        fs::write(&damaged, "no image").unwrap();
        let studies = vec![
            study("memory", pixels),
            study("trained", ImageSource::File(file.clone())),
            study("file", ImageSource::File(file)),
            study("damaged", ImageSource::File(damaged)),
        ];
        // Study 2 died twice.
        let letters = [(4, 0), (5, 2), (9, 2), (11, 3)].map(|(ticket, study)| (TicketId(ticket), letter(study))).into();
        write(run.path(), &studies, &letters).unwrap();
        write(run.path(), &studies, &letters).unwrap();

        let folder = run.path().join("dead_letters");
        let read = Folder::load(&folder, Split::Train).unwrap();
        let ids: Vec<_> = (0..read.len()).map(|i| read.study(i).unwrap().id).collect();
        assert_eq!(ids, ["memory", "file", "damaged"]);
        let first = read.study(0).unwrap();
        assert_eq!(first.indication.as_deref(), Some("Cough."));
        assert_eq!(first.reference.text(), "The lungs are clear.");
        assert_eq!(first.views[0].projection, Projection::Lateral);
        assert!(first.views[0].load().is_ok() && read.study(1).unwrap().views[0].load().is_ok());
        assert!(read.study(2).unwrap().views[0].load().is_err(), "the file is as damaged as it was");
        let text = fs::read_to_string(folder.join(STUDIES)).unwrap();
        let entries: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(entries[1]["dead_letter"]["ticket"], 9);
        assert_eq!(entries[1]["dead_letter"]["error"], "connection refused");
    }

    #[test]
    fn a_study_that_cannot_be_read_at_all_is_told_with_its_error() {
        let run = tempfile::tempdir().unwrap();
        write(run.path(), &Vec::<Study>::new(), &[(TicketId(0), letter(7))].into()).unwrap();
        let text = fs::read_to_string(run.path().join("dead_letters/unreadable.json")).unwrap();
        assert!(text.contains("unreadable\": ") && text.contains("\"index\": 7"), "{text}");
    }
}
