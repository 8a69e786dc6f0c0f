//! The frontal radiograph: body, lungs, heart and bones; findings are laid into it at their depth.

use super::{
    canvas::{Canvas, Pose, anywhere, fall, mix, rise},
    devices, lesions,
    patient::{Patient, posterior_rib, sign},
    tail,
};
use crate::phantom::findings::{Findings, Kind, Side};

const SIDES: [Side; 2] = [Side::Left, Side::Right];

pub fn draw(size: u32, pose: Pose, patient: &Patient, findings: &Findings) -> Canvas {
    let mut canvas = Canvas::new(size, pose);
    body(&mut canvas, patient);
    vessels(&mut canvas, patient);
    tail::elevated_diaphragm(&mut canvas, patient, findings);
    lesions::in_the_lungs(&mut canvas, patient, findings);
    lesions::pneumothorax(&mut canvas, patient, findings);
    bones(&mut canvas, patient);
    let enlarged = findings.get(&Kind::Cardiomegaly).map_or(0., |finding| finding.contrast);
    canvas.blend(enlarged, |canvas| mediastinum(canvas, patient, false), |canvas| mediastinum(canvas, patient, true));
    lesions::effusion(&mut canvas, patient, findings);
    lesions::in_the_bones(&mut canvas, patient, findings);
    tail::frontal(&mut canvas, patient, findings);
    devices::frontal(&mut canvas, patient, findings);
    canvas
}

/// Soft tissue with two lungs in it.
fn body(canvas: &mut Canvas, patient: &Patient) {
    let tissue = patient.tissue();
    canvas.paint_all(|u, v, _| {
        let shoulder = 0.13 + 0.42 * rise(-0.02, 0.2, v);
        let outside = fall(shoulder - 0.02, shoulder + 0.02, u.abs());
        let abdomen = mix(tissue, tissue + 0.12, rise(0.7, 0.85, v));
        let air = 0.17 + 0.05 * rise(0.3, 0.8, v) + 0.03 * patient.habitus * rise(0.45, 0.7, v);
        mix(mix(0.03, abdomen, outside), air, patient.lungs(u, v))
    });
    canvas.blob((0.17, patient.base + 0.03), (0.07, 0.045), 0.3, -0.16, anywhere);
}

fn vessels(canvas: &mut Canvas, patient: &Patient) {
    for side in SIDES {
        let s = sign(side);
        let lung = |u: f32, v: f32| patient.lung(side, u, v) * fall(0.1, 0.36, u * s);
        for vessel in &patient.vessels {
            canvas.stroke(&vessel.map(|(u, v)| (u * s, v)), 0.012, 0.075, lung);
        }
        canvas.blob((0.105 * s, 0.46), (0.055, 0.085), 0.2, 0.17, |u, v| patient.lung(side, u, v));
    }
}

/// Spine, great vessels, airway and heart.
fn mediastinum(canvas: &mut Canvas, patient: &Patient, enlarged: bool) {
    let (centre, width, height) =
        if enlarged { (0.075, 0.245 * patient.heart, 0.17) } else { (0.045, 0.15 * patient.heart, 0.145) };
    canvas.paint_all(|u, v, value| {
        let column = fall(0.06, 0.085, u.abs()) * rise(0.02, 0.1, v);
        let knob = fall(0.8, 1.1, distance((u - 0.062, v - 0.31), (0.045, 0.05)));
        let heart = fall(0.9, 1.07, distance((u - centre - 0.35 * (v - 0.68), v - 0.68), (width, height)));
        let airway = fall(0.012, 0.024, u.abs()) * fall(0.36, 0.4, v);
        let discs = 0.5 + 0.5 * rise(0.1, 0.3, ((v * 14.).fract() - 0.5).abs());
        let spine = 0.05 * fall(0.03, 0.045, u.abs()) * discs;
        let tissue = mix(value, value.clamp(0.66, 0.74), column.max(knob));
        mix(tissue, value.clamp(0.70, 0.74), heart) + spine - 0.15 * airway
    });
}

fn bones(canvas: &mut Canvas, patient: &Patient) {
    for side in SIDES {
        let s = sign(side);
        for rib in 0..9 {
            let posterior: Vec<_> =
                (0..7).map(|i| posterior_rib(rib, i as f32 / 6.)).map(|(a, v)| (a * s, v)).collect();
            canvas.stroke(&posterior, 0.017, 0.085, |u, v| 0.25 + 0.75 * patient.lung(side, u, v));
            if rib < 7 {
                let v0 = 0.30 + 0.085 * rib as f32;
                let edge = Patient::lateral_edge(v0 - 0.06).min(0.385);
                let anterior = [(edge * s, v0 - 0.06), (0.28 * s, v0 + 0.01), (0.14 * s, v0 + 0.05)];
                canvas.stroke(&anterior, 0.02, 0.04, |u, v| patient.lung(side, u, v));
            }
        }
        canvas.stroke(
            &[(0.035 * s, 0.215), (0.15 * s, 0.175), (0.27 * s, 0.15), (0.42 * s, 0.11)],
            0.024,
            0.13,
            anywhere,
        );
    }
}

/// Distance from the centre of an ellipse in units of its radii.
fn distance(offset: (f32, f32), radii: (f32, f32)) -> f32 {
    let (x, y) = (offset.0 / radii.0, offset.1 / radii.1);
    (x * x + y * y).sqrt()
}
