//! Phantoms: procedurally drawn chest radiographs whose findings are visible in the pixels, with reports to match.
//!
//! They serve to train and test the whole pipeline without a download. They are not medicine: shapes and words are
//! those of a schoolbook, simplified until a very small model can learn them.
//!
//! Version 1 is fixed to the bit. Version 2 is a [`World`] with knobs: findings that fade into the noise, a long tail of
//! rare ones, reports that leave out and make up, as long as real ones.
//!
//! # Randomness
//! Every study is made from ChaCha8 streams. The 256-bit key is made of the seed (8 bytes, little-endian), the site,
//! the split and the purpose (one byte each); the 64-bit stream number is the index of
//! the study. Distinct keys and stream numbers give distinct streams, hence splits and sites share no randomness, a
//! study does not depend on how many there are, and rendering does not disturb the words. The image size is no part
//! of the key: the same study can be drawn at several sizes. Version 2 has a stream for each kind of decision, so that
//! what reports say can be changed without changing what the images show.

mod background;
mod case;
mod findings;
mod habits;
mod phrases;
mod reader;
mod render;
mod report;
mod site;
mod story;
mod voice;
mod world;

use std::sync::Arc;

use image::GrayImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use findings::{CHEXPERT, Degree, Finding, Findings, Kind, Side, Zone};
pub use reader::Reader;
pub use site::Site;
pub use world::World;

use crate::{
    dataset::{Dataset, Split},
    error::{Error, Result},
    study::{ImageSource, Projection, Reference, Study, Timing, View},
};
use case::Case;
use render::Patient;
use voice::Voice;

/// Smallest image side, in pixels: below it findings vanish.
pub const MIN_SIZE: u32 = 56;
/// Largest image side, in pixels.
pub const MAX_SIZE: u32 = 4096;

/// Which phantoms to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhantomConfig {
    /// Decides everything that is drawn; see the module on randomness.
    pub seed: u64,
    /// The hospital, with its tones and its phrasing.
    pub site: Site,
    /// Splits of the same seed have no study in common.
    pub split: Split,
    /// Number of studies.
    pub count: usize,
    /// Side of the square images in pixels, [`MIN_SIZE`] to [`MAX_SIZE`].
    pub size: u32,
    /// The knobs of version 2; version 1 without them.
    pub world: Option<World>,
}

/// Share of normal studies in version 1: about the share of MIMIC-CXR reports without a finding.
const NORMAL: f64 = 0.6;

impl Default for PhantomConfig {
    fn default() -> Self {
        Self { seed: 0, site: Site::A, split: Split::Train, count: 1000, size: 112, world: None }
    }
}

/// A dataset of phantoms, made on the fly.
#[derive(Clone, Debug)]
pub struct Phantom {
    config: PhantomConfig,
}

/// What a random stream is for. The number goes into its key.
#[derive(Clone, Copy)]
enum Purpose {
    /// The first four are those of version 1. Its story includes all that version 2 decides with streams of their own.
    Story = 1,
    Body = 2,
    Words = 3,
    Exposure = 4,
    /// Common findings, comparison study, views, indication.
    Findings = 5,
    Tail = 6,
    Visibility = 7,
    Anatomy = 8,
    Detector = 9,
    /// What the report names, leaves out and makes up.
    Habits = 10,
    /// Which of the equivalent phrasings.
    Phrasing = 11,
    /// Where the findings stand in the report.
    Order = 12,
    /// The noise of an ideal reader's filters, and what it is mistaken for.
    Reading = 13,
}

impl Phantom {
    /// # Errors
    /// [`Error::PhantomSize`] if the image size is out of range, [`Error::World`] if a knob is.
    pub fn new(config: PhantomConfig) -> Result<Self> {
        config.world.iter().try_for_each(World::validate)?;
        if !(MIN_SIZE..=MAX_SIZE).contains(&config.size) {
            return Err(Error::PhantomSize { size: config.size, min: MIN_SIZE, max: MAX_SIZE });
        }
        Ok(Self { config })
    }

    /// As it was given.
    pub fn config(&self) -> &PhantomConfig {
        &self.config
    }

    /// What is to be seen on the current views of study `index`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn findings(&self, index: usize) -> Result<Findings> {
        Ok(self.case(index)?.current)
    }

    /// Which CheXpert observations the report of study `index` asserts, in the order of [`CHEXPERT`].
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn labels(&self, index: usize) -> Result<[bool; 14]> {
        let told = self.told(index)?;
        Ok(findings::chexpert(&told.current, told.pneumonia()))
    }

    /// What the report of study `index` says is there: in version 1 all that is.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn named(&self, index: usize) -> Result<Findings> {
        Ok(self.told(index)?.current)
    }

    /// The current frontal radiograph of the patient of study `index` if these were the findings, all else being equal.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn counterfactual(&self, index: usize, findings: &Findings) -> Result<GrayImage> {
        let mut exposure = self.exposure(index)?;
        Ok(self.radiograph(Projection::Frontal, &self.patient(index)?, findings, &mut exposure))
    }

    fn case(&self, index: usize) -> Result<Case> {
        let Some(world) = &self.config.world else {
            return Ok(case::sample(NORMAL, &mut self.stream(index, Purpose::Story)?));
        };
        let mut case = case::sample(world.normal, &mut self.stream(index, Purpose::Findings)?);
        story::add_tail(&mut case, world, &mut self.stream(index, Purpose::Tail)?);
        story::shade(&mut case, world, &mut self.stream(index, Purpose::Visibility)?);
        Ok(case)
    }

    /// The case as its report tells it.
    fn told(&self, index: usize) -> Result<Case> {
        let case = self.case(index)?;
        match &self.config.world {
            Some(world) => Ok(habits::told(&case, world, &mut self.stream(index, Purpose::Habits)?)),
            None => Ok(case),
        }
    }

    /// The reference report of study `index`, without its images.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn report(&self, index: usize) -> Result<String> {
        let (told, site) = (self.told(index)?, self.config.site);
        let Some(world) = &self.config.world else {
            return Ok(report::write(&told, site, &mut self.stream(index, Purpose::Words)?));
        };
        let voice = Voice { site, phrasings: world.phrasings, rng: &mut self.stream(index, Purpose::Phrasing)? };
        Ok(report::write_to_length(&told, world.sentences, voice, Some(&mut self.stream(index, Purpose::Order)?)))
    }

    /// The report of study `index` in the site's favourite words and order: what there is to know of a report but its
    /// accidents. Version 1 has its own report.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn retold(&self, index: usize) -> Result<String> {
        match &self.config.world {
            Some(world) => Ok(self.modal_report(&self.told(index)?, world)),
            None => self.report(index),
        }
    }

    /// The same for a reader that finds nothing but devices on any image.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn told_nothing(&self, index: usize) -> Result<String> {
        let mut told = self.told(index)?;
        told.current.retain(|kind, _| kind.is_device());
        told.prior.iter_mut().for_each(|prior| prior.retain(|kind, _| kind.is_device()));
        Ok(self.modal_report(&told, &self.config.world.unwrap_or_default()))
    }

    fn modal_report(&self, told: &Case, world: &World) -> String {
        // One phrasing leaves nothing to chance.
        let rng = &mut ChaCha8Rng::from_seed([0; 32]);
        report::write_to_length(told, world.sentences, Voice { site: self.config.site, phrasings: 1, rng }, None)
    }

    fn patient(&self, index: usize) -> Result<Patient> {
        let purpose = if self.config.world.is_some() { Purpose::Anatomy } else { Purpose::Body };
        Ok(Patient::sample(&mut self.stream(index, purpose)?))
    }

    fn exposure(&self, index: usize) -> Result<ChaCha8Rng> {
        self.stream(index, if self.config.world.is_some() { Purpose::Detector } else { Purpose::Exposure })
    }

    fn radiograph(
        &self,
        projection: Projection,
        patient: &Patient,
        findings: &Findings,
        exposure: &mut ChaCha8Rng,
    ) -> GrayImage {
        render::radiograph(self.config.site, self.config.size, projection, patient, findings, exposure)
    }

    fn views(&self, index: usize, case: &Case) -> Result<Vec<View>> {
        let patient = self.patient(index)?;
        let mut exposure = self.exposure(index)?;
        let mut views = Vec::new();
        let mut expose = |projection, timing, findings: &Findings| {
            let image = self.radiograph(projection, &patient, findings, &mut exposure);
            views.push(View { projection, timing, image: ImageSource::Pixels(Arc::new(image)) });
        };
        expose(Projection::Frontal, Timing::Current, &case.current);
        if case.lateral {
            expose(Projection::Lateral, Timing::Current, &case.current);
        }
        if let Some(prior) = &case.prior {
            expose(Projection::Frontal, Timing::Prior, prior);
        }
        Ok(views)
    }

    fn stream(&self, index: usize, purpose: Purpose) -> Result<ChaCha8Rng> {
        let PhantomConfig { seed, site, split, count, .. } = self.config;
        if index >= count {
            return Err(Error::OutOfRange { index, len: count });
        }
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..11].copy_from_slice(&[site as u8, split as u8, purpose as u8]);
        let mut stream = ChaCha8Rng::from_seed(key);
        stream.set_stream(index as u64);
        Ok(stream)
    }
}

impl Dataset for Phantom {
    fn len(&self) -> usize {
        self.config.count
    }

    fn study(&self, index: usize) -> Result<Study> {
        let PhantomConfig { seed, site, split, .. } = self.config;
        let case = self.case(index)?;
        let report = self.report(index)?;
        let technique = match (case.portable, case.lateral) {
            (true, _) => "Portable.",
            (false, true) => "PA and lateral.",
            (false, false) => "PA.",
        };
        Ok(Study {
            id: format!("phantom-{seed}-{site:?}-{split}-{index:06}"),
            views: self.views(index, &case)?,
            indication: case.indication.map(str::to_owned),
            technique: Some(technique.to_owned()),
            comparison: case.prior.as_ref().map(|_| "Prior radiograph.".to_owned()),
            reference: Reference::new(report),
        })
    }
}
