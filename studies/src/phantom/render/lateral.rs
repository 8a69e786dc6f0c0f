//! The lateral radiograph: sternum on the left, spine on the right, both lungs over each other.

use super::{
    canvas::{Canvas, Pose, anywhere, fall, mix, rise},
    devices,
    patient::Patient,
    tail,
};
use crate::phantom::findings::{Degree, Findings, Kind, Zone};

pub fn draw(size: u32, pose: Pose, patient: &Patient, findings: &Findings) -> Canvas {
    let mut canvas = Canvas::new(size, pose);
    body(&mut canvas, patient, findings);
    lesions(&mut canvas, patient, findings);
    bones(&mut canvas, patient);
    tail::lateral(&mut canvas, patient, findings, |u, v| lung(patient, u, v));
    devices::lateral(&mut canvas, findings);
    canvas
}

/// How much of the point is lung.
fn lung(patient: &Patient, u: f32, v: f32) -> f32 {
    let t = ((0.62 - v) / 0.52).clamp(0., 1.);
    let (front, back) = (-0.30 + 0.22 * t * t * t, 0.27 - 0.12 * t * t * t);
    let floor = patient.base - 0.15 + 0.16 * rise(0.02, 0.27, u) + 0.05 * fall(-0.3, -0.1, u);
    rise(front - 0.01, front + 0.02, u)
        * fall(back - 0.02, back + 0.01, u)
        * fall(floor - 0.01, floor + 0.015, v)
        * rise(0.09, 0.13, v)
}

fn body(canvas: &mut Canvas, patient: &Patient, findings: &Findings) {
    let tissue = 0.58 + 0.05 * patient.habitus;
    let contrast = |kind: Kind| findings.get(&kind).map_or(0., |finding| finding.contrast);
    let (enlarged, drowned, cloudy) = (contrast(Kind::Cardiomegaly), contrast(Kind::Effusion), contrast(Kind::Edema));
    let fluid =
        findings.get(&Kind::Effusion).map(|effusion| if effusion.degree == Some(Degree::Large) { 0.58 } else { 0.74 });
    let hazy = match findings.get(&Kind::Edema).and_then(|edema| edema.degree) {
        None => 0.,
        Some(Degree::Small) => 0.14,
        Some(Degree::Large) => 0.24,
    };
    canvas.paint_all(|u, v, _| {
        let (front, back) = (-0.34 + 0.16 * fall(0.05, 0.3, v), 0.40 - 0.08 * fall(0., 0.2, v));
        let inside = rise(front - 0.02, front + 0.02, u) * fall(back - 0.02, back + 0.02, u);
        let air = lung(patient, u, v);
        let heart = |centre: f32, width: f32| {
            fall(
                0.85,
                1.1,
                (((u - centre) / width) * ((u - centre) / width) + ((v - 0.64) / 0.17) * ((v - 0.64) / 0.17)).sqrt(),
            )
        };
        let (normal, large) = (heart(-0.16, 0.135 * patient.heart), heart(-0.08, 0.235));
        let heart = if enlarged >= 1. { large } else { mix(normal, large, enlarged) };
        let hilum =
            fall(0., 1., (((u - 0.02) / 0.16) * ((u - 0.02) / 0.16) + ((v - 0.45) / 0.2) * ((v - 0.45) / 0.2)).sqrt());
        let wet = fluid.map_or(0., |level| rise(level - 0.02, level + 0.02, v + 0.25 * (u - 0.2)) * rise(0.0, 0.08, u));
        let chest = 0.24 + 0.20 * heart + (0.10 + cloudy * hazy) * hilum;
        let value = mix(mix(0.03, tissue + 0.08 * rise(0.7, 0.9, v), inside), chest, air);
        mix(value, value.max(0.72), drowned * wet * air)
    });
}

fn lesions(canvas: &mut Canvas, patient: &Patient, findings: &Findings) {
    let mask = |u: f32, v: f32| lung(patient, u, v);
    for (&kind, finding) in findings {
        let [x, y, _] = patient.jitter(kind);
        let at = if finding.zone == Some(Zone::Upper) { (0.03 + 0.04 * x, 0.26) } else { (0.14 + 0.03 * x, 0.62) };
        canvas.faded(finding.contrast, |canvas| match kind {
            Kind::Consolidation => canvas.blob(at, (0.11, 0.10), 0.7, 0.36, mask),
            Kind::Opacity => {
                for (dx, dy) in [(0., 0.), (-0.06, -0.05), (0.06, -0.04), (-0.04, 0.06), (0.05, 0.06)] {
                    canvas.blob((at.0 + dx, at.1 + dy), (0.045, 0.045), 0.1, 0.24, mask);
                }
            }
            Kind::Nodule => canvas.blob((0.05 * x + 0.1, 0.42 + 0.12 * y), (0.04, 0.04), 0.75, 0.42, mask),
            Kind::Atelectasis => {
                for band in 0..3 {
                    let v = 0.64 + 0.04 * band as f32;
                    canvas.stroke(&[(0.04, v), (0.25, v + 0.02)], 0.016, 0.26, mask);
                }
            }
            Kind::Pneumothorax => canvas.blob((0., 0.16), (0.16, 0.09), 0.6, -0.16, mask),
            _ => {}
        });
    }
}

fn bones(canvas: &mut Canvas, patient: &Patient) {
    for vertebra in 0..12 {
        let v = 0.10 + 0.075 * vertebra as f32;
        canvas.blob((0.29 - 0.05 * fall(0.1, 0.4, v), v), (0.055, 0.034), 0.7, 0.16, anywhere);
    }
    for rib in 0..7 {
        let v = 0.16 + 0.085 * rib as f32;
        canvas.stroke(&[(0.26, v), (0.08, v + 0.08), (-0.14, v + 0.15)], 0.014, 0.06, |u, v| lung(patient, u, v));
    }
    canvas.stroke(&[(-0.19, 0.24), (-0.30, 0.45), (-0.325, 0.62)], 0.022, 0.14, anywhere);
}
