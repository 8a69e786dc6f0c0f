//! Prompts whose images were decoded ahead of need, until somebody encodes them.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use addendum_policy::{image::Patches, pack::PromptTokens};

use super::Key;

/// A prompt's tokens, and its images as patches.
pub(super) type Tokenised = (PromptTokens, Vec<Patches>);

/// The oldest first.
#[derive(Default)]
pub struct Decoded(Mutex<VecDeque<(Key, Tokenised)>>);

impl Decoded {
    fn prompts(&self) -> MutexGuard<'_, VecDeque<(Key, Tokenised)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps at most `most`: those that nobody came for leave.
    pub(super) fn put(&self, key: Key, tokenised: Tokenised, most: usize) {
        let mut prompts = self.prompts();
        prompts.push_back((key, tokenised));
        while prompts.len() > most {
            prompts.pop_front();
        }
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.prompts().iter().any(|(known, _)| known == key)
    }

    pub(super) fn take(&self, key: &Key) -> Option<Tokenised> {
        let mut prompts = self.prompts();
        let position = prompts.iter().position(|(known, _)| known == key)?;
        prompts.remove(position).map(|(_, tokenised)| tokenised)
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use addendum_policy::{Policy, pack::EncodedPrompt};
    use addendum_studies::{Dataset, ImageSource, Phantom, PhantomConfig, Prompt, Study};
    use candle_core::{DType, Device};

    use crate::qwen::Prompts;

    /// Studies whose images are files.
    fn studies(folder: &Path, count: usize) -> Vec<Study> {
        let phantoms = Phantom::new(PhantomConfig { count, ..PhantomConfig::default() }).unwrap();
        let file = |mut study: Study| {
            for (index, view) in study.views.iter_mut().enumerate() {
                let ImageSource::Pixels(image) = &view.image else { continue };
                let path = folder.join(format!("{}-{index}.png", study.id.replace('/', "-")));
                image.save(&path).unwrap();
                view.image = ImageSource::File(path);
            }
            study
        };
        (0..count).map(|index| file(phantoms.study(index).unwrap())).collect()
    }

    fn prompts(budget: usize) -> [Arc<Prompts>; 1] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/checkpoints/phantom-tiny");
        [Arc::new(Prompts::new(Arc::new(Policy::load(&dir, DType::F32, &Device::Cpu).unwrap()), budget))]
    }

    fn bits(encoded: &EncodedPrompt) -> (Vec<u32>, Vec<u32>) {
        let features = encoded.features.as_ref().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (encoded.tokens.ids.clone(), features.into_iter().map(f32::to_bits).collect())
    }

    #[test]
    fn a_study_that_was_foreseen_is_encoded_bit_for_bit_without_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let studies = studies(folder.path(), 3);
        let encode = |prompts: &Prompts, study: &Study| prompts.encode(&study.id, &Prompt::new(study));
        let plain = bits(&encode(&prompts(usize::MAX)[0], &studies[0]).unwrap());
        let ahead = prompts(usize::MAX);
        // Of three, two may be kept.
        [2, 0, 1].iter().for_each(|&index| Prompts::foresee(&ahead, &studies[index], 2));
        drop(folder);
        assert_eq!(bits(&encode(&ahead[0], &studies[0]).unwrap()), plain);
        assert!(encode(&ahead[0], &studies[1]).is_ok());
        assert!(encode(&ahead[0], &studies[2]).is_err(), "nobody came for it, but it is still there");
        Prompts::foresee(&ahead, &studies[2], 2);
        assert!(encode(&ahead[0], &studies[2]).is_err(), "what cannot be read ahead is an error when it is needed");
    }

    #[test]
    fn what_is_encoded_or_decoded_is_not_decoded_again() {
        let folder = tempfile::tempdir().unwrap();
        let study = &studies(folder.path(), 1)[0];
        let waiting = |prompts: &[Arc<Prompts>; 1]| prompts[0].decoded.prompts().len();
        for (budget, again) in [(usize::MAX, 0), (0, 1)] {
            let prompts = prompts(budget);
            Prompts::foresee(&prompts, study, 8);
            Prompts::foresee(&prompts, study, 8);
            assert_eq!(waiting(&prompts), 1);
            prompts[0].encode(&study.id, &Prompt::new(study)).unwrap();
            assert_eq!(waiting(&prompts), 0);
            Prompts::foresee(&prompts, study, 8);
            // Features that are not kept are needed anew.
            assert_eq!(waiting(&prompts), again, "with {budget} bytes for features");
        }
    }
}
