//! Draws radiographs of a patient with findings. Knows nothing of reports.

mod canvas;
mod detector;
mod devices;
mod frontal;
mod lateral;
mod lesions;
mod patient;
mod tail;

use image::GrayImage;
use rand_chacha::ChaCha8Rng;

pub use detector::noise;
pub use patient::Patient;

use super::{findings::Findings, site::Site};
use crate::study::Projection;

/// One exposure, `size` × `size`. Position, exposure and noise come from `rng`, everything else from the arguments.
pub fn radiograph(
    site: Site,
    size: u32,
    projection: Projection,
    patient: &Patient,
    findings: &Findings,
    rng: &mut ChaCha8Rng,
) -> GrayImage {
    let pose = detector::position(site, patient.zoom, rng);
    let canvas = match projection {
        Projection::Frontal => frontal::draw(size, pose, patient, findings),
        Projection::Lateral => lateral::draw(size, pose, patient, findings),
    };
    detector::expose(site, &canvas, size, rng)
}
