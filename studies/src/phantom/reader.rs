//! An ideal reader of the phantoms of version 2: how far any policy can get.
//!
//! The reader knows the generator's probabilities, and of an image one number per kind of finding: the output t of the
//! filter matched to it, normal with variance 1 around d'·contrast where the finding is there and around 0 where it is
//! not. d' is the filter's signal-to-noise ratio at a contrast of 1 (Barrett and Myers, Foundations of Image Science,
//! section 13.2). What a finding that it sees looks like, the reader knows: side, form, and what the comparison study
//! showed of it.

use std::collections::BTreeMap;

use image::GrayImage;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{
    Phantom, PhantomConfig, Purpose,
    case::{self, one_side},
    findings::{Finding, Findings, Kind, Side},
    render, story,
};
use crate::{
    dataset::Split,
    error::{Error, Result},
};

/// Patients over which d' is averaged.
const PATIENTS: usize = 16;
/// Studies over which the rates of the common findings are counted.
const SURVEY: usize = 4000;
/// Contrasts over which the likelihood of a finding is averaged.
const CONTRASTS: usize = 400;

/// An ideal reader of one world at one site.
#[derive(Clone, Debug)]
pub struct Reader {
    kinds: BTreeMap<Kind, Knowledge>,
}

/// What the reader knows of a kind of finding.
#[derive(Clone, Copy, Debug)]
struct Knowledge {
    /// The signal-to-noise ratio at a contrast of 1.
    detectability: f64,
    /// How often a study has it, on the current or the prior view.
    rate: f64,
    /// Of the contrast.
    range: (f64, f64),
    /// Probability that a report tells of it if it is there, and if it is not.
    named: f64,
    invented: f64,
}

impl Reader {
    /// A reader of studies like these, whose filters reach a share of the ideal d'.
    ///
    /// # Errors
    /// [`Error::World`] for phantoms of version 1, which show and tell everything.
    pub fn new(config: &PhantomConfig, share: f64) -> Result<Self> {
        let Some(world) = config.world else {
            return Err(Error::World { field: "version", value: "1".into(), expected: "2" });
        };
        // Rates and filters come from training studies, never from those that are read.
        let survey = Phantom::new(PhantomConfig { split: Split::Train, count: SURVEY, ..config.clone() })?;
        let mut counts = BTreeMap::new();
        for index in 0..SURVEY {
            let case = survey.case(index)?;
            let mut shown = case.current;
            shown.extend(case.prior.into_iter().flatten());
            shown.into_keys().for_each(|kind| *counts.entry(kind).or_insert(0) += 1);
        }
        let lesions = Kind::COMMON.into_iter().filter(|kind| !kind.is_device()).count();
        let know = |kind: Kind| -> Result<(Kind, Knowledge)> {
            let counted = counts.get(&kind).copied().unwrap_or(0) as f64 / SURVEY as f64;
            let rank = Kind::TAIL.into_iter().position(|(tail, _)| tail == kind);
            let rate = rank.map_or(counted, |rank| world.tail_rate(rank, Kind::TAIL.len()));
            let (named, invented) = match (rank, kind.is_device()) {
                (Some(_), _) => (world.tail_named, 0.),
                (None, true) => (1., 0.),
                (None, false) => (1. - world.omitted, world.invented / lesions as f64),
            };
            let (detectability, range) = (share * detectability(&survey, kind)?, story::contrasts(kind, &world));
            Ok((kind, Knowledge { detectability, rate, range, named, invented }))
        };
        let kinds = Kind::all().map(know).collect::<Result<_>>()?;
        Ok(Self { kinds })
    }

    /// d' of every kind at a contrast of 1.
    pub fn detectabilities(&self) -> impl Iterator<Item = (Kind, f64)> {
        self.kinds.iter().map(|(&kind, known)| (kind, known.detectability))
    }

    /// The report of study `index` by this reader, in the site's favourite words: it tells of what the study's report
    /// tells with a probability above `threshold`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn report(&self, phantom: &Phantom, index: usize, threshold: f64) -> Result<String> {
        let mut told = phantom.case(index)?;
        let mut rng = phantom.stream(index, Purpose::Reading)?;
        for (&kind, known) in &self.kinds {
            // Every kind takes the same draws, so that another threshold changes nothing else.
            let (noise, mistaken) = (normal(&mut rng), mistaken(kind, &mut rng));
            let before = told.prior.as_ref().and_then(|prior| prior.get(&kind));
            let shown = told.current.get(&kind).or(before).copied();
            let t = noise + shown.map_or(0., |finding| known.detectability * f64::from(finding.contrast));
            let told_of = known.told(t) > threshold;
            if shown.is_some() && !told_of {
                told.current.remove(&kind);
                told.prior.iter_mut().for_each(|prior| prior.retain(|&other, _| other != kind));
            } else if shown.is_none() && told_of {
                told.current.insert(kind, mistaken);
            }
        }
        Ok(phantom.modal_report(&told, &phantom.config.world.unwrap_or_default()))
    }
}

impl Knowledge {
    /// The probability that the report tells of a finding whose filter gave `t`.
    fn told(&self, t: f64) -> f64 {
        let (least, greatest) = self.range;
        let log_ratio = |contrast: f64| {
            let mean = self.detectability * contrast;
            mean * t - 0.5 * mean * mean
        };
        let step = (greatest - least) / CONTRASTS as f64;
        let ratios: Vec<f64> = (0..CONTRASTS).map(|i| log_ratio(least + step * (i as f64 + 0.5))).collect();
        let most = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = ratios.iter().map(|ratio| (ratio - most).exp()).sum::<f64>() / CONTRASTS as f64;
        let odds = (most + mean.ln()).min(600.).exp() * self.rate / (1. - self.rate);
        let there = if odds.is_finite() { odds / (1. + odds) } else { 1. };
        there * self.named + (1. - there) * self.invented
    }
}

/// The root mean square over patients of the matched filter's signal-to-noise ratio, for frontal views.
fn detectability(phantom: &Phantom, kind: Kind) -> Result<f64> {
    let noise = render::noise(phantom.config.site);
    let mut energy = 0.;
    for index in 0..PATIENTS {
        let finding = mistaken(kind, &mut phantom.stream(index, Purpose::Reading)?);
        let without = phantom.counterfactual(index, &Findings::new())?;
        let with = phantom.counterfactual(index, &Findings::from([(kind, finding)]))?;
        energy += residual(&with, &without) / (255. * 255. * noise * noise);
    }
    Ok((energy / PATIENTS as f64).sqrt())
}

/// The energy of what is in `with` and no change of brightness and gain makes of `without`: the detector's window, which
/// varies from image to image, does that much by itself.
fn residual(with: &GrayImage, without: &GrayImage) -> f64 {
    let pairs: Vec<(f64, f64)> =
        without.pixels().zip(with.pixels()).map(|(x, y)| (f64::from(x[0]), f64::from(y[0]))).collect();
    let n = pairs.len() as f64;
    let (mx, my) = pairs.iter().fold((0., 0.), |(a, b), (x, y)| (a + x / n, b + y / n));
    let (sxx, sxy, syy) = pairs.iter().fold((0., 0., 0.), |(xx, xy, yy), (x, y)| {
        (xx + (x - mx) * (x - mx), xy + (x - mx) * (y - my), yy + (y - my) * (y - my))
    });
    (syy - sxy * sxy / sxx.max(1.)).max(0.)
}

/// What a reader says who takes noise for a finding.
fn mistaken(kind: Kind, rng: &mut ChaCha8Rng) -> Finding {
    let side = one_side(rng);
    case::finding(kind, if kind.has_side() { side } else { Side::Both }, rng)
}

/// Standard normal (Box and Muller 1958).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2. * (1. - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}
