//! What one study is like, and what is wrong or odd about it by itself.

use std::sync::Arc;

use addendum::{
    policy::Processor,
    rewards::{Labeller, Labels, Lexicon},
    studies::{Dataset, Folder, ImageSource, Pixels, Prompt, Study},
};
use image::GrayImage;

use super::{finding::Kind, limits::Limits};

/// A shorter side, in pixels, is hardly that of a radiograph.
const SMALL: usize = 64;
/// Levels that are as good as black, and as far from white.
const DARK: u8 = 8;
/// The share of pixels that may be otherwise: markers and dust.
const OTHERWISE: f64 = 0.001;
/// Fewer words are hardly a report.
const FEW_WORDS: usize = 3;

/// What the studies are held to.
pub struct Check {
    processor: Option<Processor>,
    pub limits: Limits,
    /// Whether images are opened.
    images: bool,
    lexicon: Lexicon,
}

/// What a study is like.
#[derive(Default)]
pub struct Examined {
    pub id: String,
    /// The id, if the file gives one.
    pub named: Option<String>,
    pub patient: Option<String>,
    pub images: usize,
    /// Words of the reference.
    pub words: usize,
    pub report_tokens: Option<usize>,
    pub prompt_tokens: Option<usize>,
    pub labels: Labels,
    pub problems: Vec<(Kind, String)>,
    pub warnings: Vec<(Kind, String)>,
}

impl Check {
    pub fn new(processor: Option<Processor>, limits: Limits, images: bool) -> Self {
        Self { processor, limits, images, lexicon: Lexicon::new() }
    }

    /// Reads a study as a run would.
    pub fn examine(&self, folder: &Folder, index: usize) -> Examined {
        let mut found = Examined::default();
        let (study, (named, patient)) = match folder.study(index).and_then(|study| Ok((study, folder.names(index)?))) {
            Ok(read) => read,
            Err(error) => {
                found.problems.push((Kind::Entry, error.to_string()));
                return found;
            }
        };
        (found.id, found.images) = (study.id.clone(), study.views.len());
        (found.named, found.patient) = (named, patient);
        self.read_report(study.reference.text(), &mut found);
        if self.images {
            self.open_images(study, &mut found);
        }
        found
    }

    fn read_report(&self, report: &str, found: &mut Examined) {
        found.words = report.split_whitespace().count();
        if found.words < FEW_WORDS {
            found.warnings.push((Kind::Short, format!("the reference is hardly a report: {report:?}")));
        }
        match self.lexicon.label(&[report]) {
            Ok(labels) => found.labels = labels.first().copied().unwrap_or_default(),
            Err(error) => found.problems.push((Kind::Entry, error.to_string())),
        }
        let Some(processor) = &self.processor else { return };
        match processor.tokenizer().encode_report(report) {
            Ok(tokens) => {
                found.report_tokens = Some(tokens.len());
                let most = self.limits.report;
                if tokens.len() > most {
                    let reason =
                        format!("the reference has {} tokens; a sampled report has at most {most}", tokens.len());
                    found.warnings.push((Kind::Length, reason));
                }
            }
            Err(error) => found.problems.push((Kind::Entry, error.to_string())),
        }
    }

    /// Decodes the images once, and counts the prompt's tokens if all of them can be read.
    fn open_images(&self, mut study: Study, found: &mut Examined) {
        let before = found.problems.len();
        for view in &mut study.views {
            let name = match &view.image {
                ImageSource::File(path) => path.display().to_string(),
                ImageSource::Pixels(_) => "image".into(),
            };
            match view.load() {
                Ok(pixels) => {
                    found.warnings.extend(odd(&pixels).map(|(kind, what)| (kind, format!("{name}: {what}"))));
                    // Their size alone decides how many tokens they are.
                    view.image = ImageSource::Pixels(Arc::new(blank(&pixels)));
                }
                Err(error) => found.problems.push((Kind::Image, error.to_string())),
            }
        }
        let Some(processor) = self.processor.as_ref().filter(|_| found.problems.len() == before) else { return };
        match processor.tokenise(&Prompt::new(&study)) {
            Ok((prompt, _)) => {
                found.prompt_tokens = Some(prompt.ids.len());
                if let Some(most) = self.limits.prompt.filter(|most| prompt.ids.len() > *most) {
                    let reason = format!("the prompt has {} tokens, expected at most {most}", prompt.ids.len());
                    found.problems.push((Kind::Length, reason));
                }
            }
            Err(error) => found.problems.push((Kind::Image, error.to_string())),
        }
    }
}

fn blank(pixels: &Pixels) -> GrayImage {
    GrayImage::new(pixels.width() as u32, pixels.height() as u32)
}

/// What makes an image unlike a radiograph.
fn odd(pixels: &Pixels) -> Option<(Kind, String)> {
    let (height, width) = (pixels.height(), pixels.width());
    if height.min(width) < SMALL {
        return Some((Kind::Small, format!("is small: {height} × {width} pixels")));
    }
    let levels = pixels.levels();
    let share =
        |is: &dyn Fn(u8) -> bool| levels.iter().filter(|level| is(**level)).count() as f64 / levels.len() as f64;
    let nearly_all = |is: &dyn Fn(u8) -> bool| share(is) >= 1.0 - OTHERWISE;
    let middle = levels.get(levels.len() / 2).copied().unwrap_or_default();
    if nearly_all(&|level| level <= DARK) {
        Some((Kind::Blank, "is black".into()))
    } else if nearly_all(&|level| level >= u8::MAX - DARK) {
        Some((Kind::Blank, "is white".into()))
    } else if nearly_all(&|level| level.abs_diff(middle) <= DARK) {
        Some((Kind::Blank, format!("is nothing but gray of level {middle}")))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_one_level_are_odd_but_for_markers_and_radiographs_are_not() {
        let kind = |levels: Vec<u8>| odd(&Pixels::new(100, 100, 1, levels)).map(|(_, what)| what);
        let level = |level: u8| {
            let mut levels = vec![level; 10_000];
            levels[5] = 128;
            levels
        };
        assert_eq!(kind(level(3)).as_deref(), Some("is black"));
        assert_eq!(kind(level(250)).as_deref(), Some("is white"));
        assert_eq!(kind(level(90)).as_deref(), Some("is nothing but gray of level 90"));
        assert_eq!(kind((0..10_000).map(|i| (i / 40) as u8).collect()), None);
        let mut dark = level(0);
        dark[..50].fill(200);
        assert_eq!(kind(dark), None);
        assert_eq!(odd(&Pixels::new(300, 63, 1, vec![])).unwrap().1, "is small: 300 × 63 pixels");
    }
}
