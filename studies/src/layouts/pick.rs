//! Which radiographs of a study are kept.

use std::{collections::HashMap, fs, path::PathBuf};

use super::{
    conversion::Tally,
    options::{Options, Priors, Views},
    record::{Image, Seen},
};
use crate::{error::Result, study::Projection};

/// The images of a source. Each is looked for once.
pub struct Files {
    /// Canonical.
    root: PathBuf,
    there: HashMap<String, bool>,
}

impl Files {
    pub fn new(root: PathBuf) -> Self {
        Self { root, there: HashMap::new() }
    }

    /// Whether the image is a file below the source; the tally is told if it is not.
    fn has(&mut self, image: &Image, tally: &mut Tally) -> bool {
        if let Some(there) = self.there.get(&image.file) {
            return *there;
        }
        let problem = match fs::canonicalize(self.root.join(&image.file)) {
            _ if image.file.split('/').any(|part| part == "..") => Some("a path out of the source folder"),
            Ok(file) if !file.starts_with(&self.root) => Some("a link out of the source folder"),
            Ok(file) if !file.is_file() => Some("not a file"),
            Ok(_) => None,
            Err(_) => Some("the image file is missing"),
        };
        if let Some(problem) = problem {
            tally.image(problem, &image.file);
        }
        self.there.insert(image.file.clone(), problem.is_none());
        problem.is_none()
    }
}

/// A radiograph that was picked.
pub type Picked = (Projection, String);

/// The radiographs of the study itself, frontal ones first; or why there is none.
pub fn current(
    images: &[Image],
    options: &Options,
    files: &mut Files,
    tally: &mut Tally,
) -> Result<Vec<Picked>, &'static str> {
    for image in images.iter().filter(|image| image.seen.projection(options.unknown_is_frontal).is_none()) {
        let unknown = image.seen == Seen::Unknown;
        tally.image(if unknown { "no view position is known" } else { "neither frontal nor lateral" }, &image.file);
    }
    let picked = pick(images, options.views, options, files, tally);
    let lateral = |image: &Image| matches!(image.seen, Seen::Lateral(_));
    match picked.is_empty() {
        false => Ok(picked),
        true if images.is_empty() => Err("no image is listed"),
        true if options.views == Views::Frontal && images.iter().any(lateral) => Err("no frontal image"),
        true => Err("no image that can be used"),
    }
}

/// The radiographs of a prior study.
pub fn prior(images: &[Image], options: &Options, files: &mut Files, tally: &mut Tally) -> Vec<Picked> {
    let views = match options.priors {
        Priors::None => return Vec::new(),
        Priors::Frontal => Views::Frontal,
        Priors::Both => Views::Both,
        Priors::All => Views::All,
    };
    pick(images, views, options, files, tally)
}

fn pick(images: &[Image], views: Views, options: &Options, files: &mut Files, tally: &mut Tally) -> Vec<Picked> {
    let mut ranked: Vec<(Projection, u8, &Image)> = Vec::new();
    for image in images {
        let known = image.seen.projection(options.unknown_is_frontal);
        ranked.extend(known.map(|(projection, rank)| (projection, rank, image)));
    }
    ranked.sort_by_key(|(projection, rank, image)| (*projection, *rank, &image.file));
    let mut picked: Vec<Picked> = Vec::new();
    for (projection, _, image) in ranked {
        let enough = match views {
            Views::Frontal => projection == Projection::Lateral || !picked.is_empty(),
            Views::Both => picked.iter().any(|(known, _)| *known == projection),
            Views::All => false,
        };
        if !enough && files.has(image, tally) {
            picked.push((projection, image.file.clone()));
        }
    }
    picked
}
