//! How each rare finding of version 2 changes a radiograph.

use super::{
    canvas::{Canvas, Point, anywhere, fall, mix, rise},
    patient::{CHEST, Patient, sign},
};
use crate::phantom::findings::{Findings, Kind, Side};

/// The dome of the liver or the stomach where lung should be. Comes before all that lies in the lung.
pub fn elevated_diaphragm(canvas: &mut Canvas, patient: &Patient, findings: &Findings) {
    let Some(finding) = findings.get(&Kind::ElevatedDiaphragm) else {
        return;
    };
    let height = 0.15 + 0.015 * patient.jitter(Kind::ElevatedDiaphragm)[0];
    for &side in finding.side.each() {
        let s = sign(side);
        canvas.faded(finding.contrast, |canvas| {
            canvas.paint_all(|u, v, value| {
                let a = (u * s).clamp(0., CHEST + 0.02);
                let top = patient.diaphragm(side, a) - height;
                let tissue = patient.tissue() + 0.12;
                mix(value, tissue, rise(top - 0.012, top + 0.012, v) * patient.lung(side, u, v))
            });
        });
    }
}

/// All others.
pub fn frontal(canvas: &mut Canvas, patient: &Patient, findings: &Findings) {
    for (&kind, finding) in findings {
        canvas.faded(finding.contrast, |canvas| match kind {
            Kind::FreeAir => free_air(canvas, patient),
            Kind::Lymphadenopathy => lymph_nodes(canvas, patient),
            Kind::HiatalHernia => {
                let [x, y, _] = patient.jitter(kind);
                hernia(canvas, (0.03 + 0.015 * x, 0.72 + 0.012 * y));
            }
            Kind::Scoliosis => curved_spine(canvas, patient),
            Kind::MediastinalWidening => wide_mediastinum(canvas),
            Kind::AorticCalcification => calcified_arch(canvas, (0.062, 0.31)),
            Kind::SubcutaneousEmphysema | Kind::PleuralThickening | Kind::Granuloma => {
                for &side in finding.side.each() {
                    match kind {
                        Kind::SubcutaneousEmphysema => air_in_the_wall(canvas, side),
                        Kind::PleuralThickening => thick_pleura(canvas, patient, side),
                        _ => {
                            let [x, y, _] = patient.jitter(kind);
                            specks(canvas, ((0.22 + 0.06 * x) * sign(side), 0.38 + 0.20 * y));
                        }
                    }
                }
            }
            _ => {}
        });
    }
}

/// What shows from the side; `lung` is how much of a point is lung.
pub fn lateral(canvas: &mut Canvas, patient: &Patient, findings: &Findings, lung: impl Fn(f32, f32) -> f32) {
    for (&kind, finding) in findings {
        let [x, y, _] = patient.jitter(kind);
        canvas.faded(finding.contrast, |canvas| match kind {
            Kind::ElevatedDiaphragm => {
                let tissue = patient.tissue() + 0.12;
                canvas.paint_all(|u, v, value| {
                    let top = patient.base - 0.27 + 0.9 * u * u;
                    mix(value, tissue, rise(top - 0.012, top + 0.012, v) * lung(u, v))
                });
            }
            Kind::Lymphadenopathy => {
                canvas.blob((0.02, 0.43), (0.075, 0.065), 0.6, 0.30, &lung);
                canvas.blob((0.0, 0.52), (0.065, 0.06), 0.6, 0.30, &lung);
            }
            Kind::HiatalHernia => hernia(canvas, (0.10 + 0.015 * x, 0.66 + 0.012 * y)),
            Kind::PleuralThickening => {
                canvas.stroke(&[(0.20, 0.30), (0.24, 0.45), (0.245, 0.62)], 0.045, 0.32, &lung);
            }
            Kind::Granuloma => specks(canvas, (0.03 + 0.08 * x, 0.38 + 0.15 * y)),
            Kind::AorticCalcification => calcified_arch(canvas, (0.06, 0.30)),
            Kind::SubcutaneousEmphysema => {
                for streak in 0..5 {
                    let v = 0.25 + 0.07 * streak as f32;
                    canvas.stroke(&[(-0.345, v), (-0.325, v + 0.05)], 0.014, -0.38, anywhere);
                }
            }
            _ => {}
        });
    }
}

/// A black crescent between the right diaphragm and the liver.
fn free_air(canvas: &mut Canvas, patient: &Patient) {
    canvas.paint((-0.5, 0.5), (0., 1.), |u, v, value| {
        let a = -u;
        let x = (a - 0.20) / 0.16;
        let (top, depth) = (patient.diaphragm(Side::Right, a) + 0.02, 0.05 * (1. - x * x).max(0.));
        let air = rise(top, top + 0.012, v) * fall(top + depth, top + depth + 0.012, v) * fall(0.9, 1., x.abs());
        mix(value, 0.06, air)
    });
}

/// Black streaks beside the ribs, up to the neck.
fn air_in_the_wall(canvas: &mut Canvas, side: Side) {
    let s = sign(side);
    for streak in 0..7 {
        let v = 0.18 + 0.07 * streak as f32;
        let a = Patient::lateral_edge(v + 0.03).min(CHEST);
        canvas.stroke(&[((a + 0.03) * s, v), ((a + 0.065) * s, v + 0.055)], 0.016, -0.40, anywhere);
    }
    for (a, v) in [(0.10, 0.04), (0.16, 0.08), (0.23, 0.10)] {
        canvas.blob((a * s, v), (0.035, 0.016), 0.4, -0.34, anywhere);
    }
}

/// Lumps at both hila.
fn lymph_nodes(canvas: &mut Canvas, patient: &Patient) {
    let [x, y, _] = patient.jitter(Kind::Lymphadenopathy);
    for side in [Side::Left, Side::Right] {
        let s = sign(side);
        for (a, v, radius) in [(0.125, 0.42, 0.064), (0.145, 0.51, 0.058), (0.11, 0.57, 0.045)] {
            let at = ((a + 0.008 * x) * s, v + 0.012 * y);
            canvas.blob(at, (radius, radius), 0.6, 0.30, |u, v| patient.lung(side, u, v));
        }
    }
}

/// Stomach behind the heart: a bright wall, air above a level of fluid.
fn hernia(canvas: &mut Canvas, at: Point) {
    canvas.paint((at.0 - 0.12, at.1 - 0.12), (at.0 + 0.12, at.1 + 0.12), |u, v, value| {
        let (x, y) = ((u - at.0) / 0.092, (v - at.1) / 0.08);
        let distance = (x * x + y * y).sqrt();
        let content = mix(0.30, 0.86, rise(0.1, 0.25, y));
        let filled = mix(value, content, fall(0.76, 0.86, distance));
        mix(filled, 0.92, rise(0.76, 0.86, distance) * fall(0.98, 1.08, distance))
    });
}

/// A second, curved column of vertebrae over the straight one.
fn curved_spine(canvas: &mut Canvas, patient: &Patient) {
    let s = if patient.jitter(Kind::Scoliosis)[0] > 0. { 1. } else { -1. };
    const CURVE: [Point; 7] =
        [(0.0, 0.06), (0.055, 0.20), (0.09, 0.36), (0.06, 0.52), (-0.02, 0.67), (-0.075, 0.82), (-0.05, 0.97)];
    let curve = CURVE.map(|(u, v)| (u * s, v));
    canvas.stroke(&curve, 0.075, 0.09, anywhere);
    for ends in curve.windows(2) {
        for step in 0..3 {
            let t = step as f32 / 3.;
            let at = (mix(ends[0].0, ends[1].0, t), mix(ends[0].1, ends[1].1, t));
            canvas.blob(at, (0.045, 0.021), 0.7, 0.22, anywhere);
        }
    }
}

/// A lumpy white rim inside the chest wall.
fn thick_pleura(canvas: &mut Canvas, patient: &Patient, side: Side) {
    let s = sign(side);
    canvas.paint_all(|u, v, value| {
        let a = u * s;
        let lumps = ((v * 9.).fract() - 0.5).abs();
        let inner = Patient::lateral_edge(v).min(CHEST) - 0.03 - 0.03 * lumps;
        let rim = rise(inner - 0.012, inner + 0.006, a) * rise(0.22, 0.27, v) * fall(0.62, 0.67, v);
        mix(value, value.max(0.62), rim * patient.lung(side, u, v))
    });
}

/// The shadow of the great vessels, twice as wide.
fn wide_mediastinum(canvas: &mut Canvas) {
    canvas.paint_all(|u, v, value| {
        let (x, y) = (u / 0.165, (v - 0.28) / 0.21);
        let wide = fall(0.86, 1., (x * x + y * y).sqrt());
        mix(value, value.clamp(0.66, 0.74), wide)
    });
}

/// Three tiny specks, as bright as metal.
fn specks(canvas: &mut Canvas, at: Point) {
    for (x, y) in [(0., 0.), (0.034, 0.018), (-0.008, 0.044)] {
        canvas.blob((at.0 + x, at.1 + y), (0.019, 0.019), 0.6, 0.75, anywhere);
    }
}

/// A thin white arc around the aortic knob.
fn calcified_arch(canvas: &mut Canvas, centre: Point) {
    const ARC: [Point; 6] = [(-0.1, -1.), (0.5, -0.87), (0.87, -0.5), (1., 0.), (0.87, 0.5), (0.5, 0.87)];
    canvas.stroke(&ARC.map(|(x, y)| (centre.0 + 0.048 * x, centre.1 + 0.053 * y)), 0.017, 0.42, anywhere);
}
