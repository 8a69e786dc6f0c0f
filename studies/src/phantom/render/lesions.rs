//! How each finding changes a frontal radiograph. Devices are elsewhere.

use super::{
    canvas::{Canvas, Point, anywhere, fall, mix, rise},
    patient::{CHEST, Patient, posterior_rib, sign},
};
use crate::phantom::findings::{Degree, Finding, Findings, Kind, Side, Zone};

/// Edema, consolidation, opacity, nodule and atelectasis.
pub fn in_the_lungs(canvas: &mut Canvas, patient: &Patient, findings: &Findings) {
    for (&kind, finding) in findings {
        for &side in finding.side.each() {
            canvas.faded(finding.contrast, |canvas| match kind {
                Kind::Edema => edema(canvas, patient, side, finding),
                Kind::Consolidation => consolidation(canvas, patient, side, finding),
                Kind::Opacity => opacity(canvas, patient, side, finding),
                Kind::Nodule => nodule(canvas, patient, side),
                Kind::Atelectasis => atelectasis(canvas, patient, side, findings),
                _ => {}
            });
        }
    }
}

/// Fluid in the pleural space.
pub fn effusion(canvas: &mut Canvas, patient: &Patient, findings: &Findings) {
    if let Some(finding) = findings.get(&Kind::Effusion) {
        let draw = |canvas: &mut Canvas, side| fluid(canvas, patient, side, finding);
        finding.side.each().iter().for_each(|&side| canvas.faded(finding.contrast, |canvas| draw(canvas, side)));
    }
}

/// Air in the pleural space.
pub fn pneumothorax(canvas: &mut Canvas, patient: &Patient, findings: &Findings) {
    if let Some(finding) = findings.get(&Kind::Pneumothorax) {
        let draw = |canvas: &mut Canvas, side| air(canvas, patient, side, finding);
        finding.side.each().iter().for_each(|&side| canvas.faded(finding.contrast, |canvas| draw(canvas, side)));
    }
}

/// Two broken ribs in the lateral chest wall: a dark gap between bright, displaced ends.
pub fn in_the_bones(canvas: &mut Canvas, patient: &Patient, findings: &Findings) {
    let Some(finding) = findings.get(&Kind::Fracture) else {
        return;
    };
    let first = 4 + usize::from(patient.jitter(Kind::Fracture)[0] > 0.);
    for &side in finding.side.each() {
        for rib in [first, first + 1] {
            canvas.faded(finding.contrast, |canvas| broken_rib(canvas, side, rib));
        }
    }
}

fn broken_rib(canvas: &mut Canvas, side: Side, rib: usize) {
    let s = sign(side);
    let at = |t: f32, drop: f32| {
        let (a, v) = posterior_rib(rib, t);
        (a * s, v + drop)
    };
    canvas.stroke(&[at(0.76, 0.), at(0.80, 0.01)], 0.036, -0.16, anywhere);
    canvas.stroke(&[at(0.60, -0.012), at(0.75, -0.016)], 0.020, 0.38, anywhere);
    canvas.stroke(&[at(0.81, 0.022), at(0.97, 0.016)], 0.020, 0.38, anywhere);
}

/// Haze like bat's wings around both hila, thick vessels, and short septal lines at the chest wall.
fn edema(canvas: &mut Canvas, patient: &Patient, side: Side, finding: &Finding) {
    let (s, large) = (sign(side), finding.degree == Some(Degree::Large));
    let lung = |u: f32, v: f32| patient.lung(side, u, v);
    canvas.blob((0.13 * s, 0.48), (0.20, 0.27), 0.25, if large { 0.38 } else { 0.22 }, lung);
    for vessel in &patient.vessels {
        canvas.stroke(&vessel.map(|(u, v)| (u * s, v)), 0.02, if large { 0.10 } else { 0.08 }, lung);
    }
    for line in 0..if large { 4 } else { 2 } {
        let v = 0.60 + 0.035 * line as f32;
        canvas.stroke(&[(0.31 * s, v), (0.385 * s, v)], 0.010, 0.14, lung);
    }
}

/// Dense and even, with dark airways in it.
fn consolidation(canvas: &mut Canvas, patient: &Patient, side: Side, finding: &Finding) {
    let (at, grow) = place(patient, Kind::Consolidation, side, finding.zone);
    let lung = |u: f32, v: f32| patient.lung(side, u, v);
    let s = sign(side);
    const LOBULES: [(Point, f32); 4] =
        [((-0.03, 0.02), 0.105), ((0.05, -0.035), 0.085), ((0.035, 0.05), 0.09), ((-0.04, -0.06), 0.07)];
    for ((x, y), radius) in LOBULES {
        canvas.blob((at.0 + x * s * grow, at.1 + y * grow), (radius * grow, radius * grow), 0.35, 0.24, lung);
    }
    canvas.stroke(&[(at.0 - 0.07 * s, at.1 - 0.03), (at.0 + 0.05 * s, at.1 - 0.015)], 0.008, -0.14, lung);
    canvas.stroke(&[(at.0 - 0.07 * s, at.1 - 0.01), (at.0 + 0.03 * s, at.1 + 0.05)], 0.008, -0.14, lung);
}

/// Patchy: several soft spots with lung between them.
fn opacity(canvas: &mut Canvas, patient: &Patient, side: Side, finding: &Finding) {
    let (at, grow) = place(patient, Kind::Opacity, side, finding.zone);
    const SPOTS: [Point; 6] = [(0., 0.), (-0.8, -0.5), (0.75, -0.65), (-0.65, 0.75), (0.8, 0.6), (0.1, -1.1)];
    canvas.blob(at, (0.14, 0.14), 0., 0.10, |u, v| patient.lung(side, u, v));
    for (i, (x, y)) in SPOTS.into_iter().enumerate() {
        let spot = (at.0 + 0.085 * grow * x, at.1 + 0.085 * grow * y);
        let radius = if i % 2 == 0 { 0.05 } else { 0.042 };
        canvas.blob(spot, (radius, radius), 0.1, 0.27, |u, v| patient.lung(side, u, v));
    }
}

/// Small, round, dense and sharp.
fn nodule(canvas: &mut Canvas, patient: &Patient, side: Side) {
    let [x, y, grow] = patient.jitter(Kind::Nodule);
    let radius = 0.040 + 0.005 * grow;
    let at = ((0.25 + 0.045 * x) * sign(side), 0.43 + 0.13 * y);
    canvas.blob(at, (radius, radius), 0.75, 0.50, |u, v| patient.lung(side, u, v));
}

/// Bright bands across the base, above the diaphragm or the fluid on it.
fn atelectasis(canvas: &mut Canvas, patient: &Patient, side: Side, findings: &Findings) {
    let s = sign(side);
    let fluid = findings.get(&Kind::Effusion).is_some_and(|effusion| effusion.side.each().contains(&side));
    let [x, y, tilt] = patient.jitter(Kind::Atelectasis);
    let v = if fluid { 0.615 } else { 0.665 } + 0.012 * y;
    for (band, reach) in [(0., 0.36), (0.042, 0.32), (0.080, 0.35)] {
        let ends = [((0.13 + 0.02 * x) * s, v + band + 0.012 * tilt), (reach * s, v + band - 0.012 * tilt)];
        canvas.stroke(&ends, 0.018, 0.34, |u, v| patient.lung(side, u, v));
    }
}

/// Fluid that fills the angle from below and climbs the chest wall.
fn fluid(canvas: &mut Canvas, patient: &Patient, side: Side, finding: &Finding) {
    let s = sign(side);
    let [level, ..] = patient.jitter(Kind::Effusion);
    let fluid = patient.tissue() + 0.13;
    let (middle, wall) = if finding.degree == Some(Degree::Large) { (0.60, 0.42) } else { (0.795, 0.655) };
    canvas.paint((-0.5, 0.3), (0.5, 1.), |u, v, value| {
        let a = u * s;
        let x = (a / CHEST).clamp(0., 1.1);
        let surface = mix(middle, wall, x * x * x) + 0.012 * level;
        let wet = rise(surface - 0.012, surface + 0.018, v) * chest_cavity(a, v);
        mix(value, value.max(fluid), wet)
    });
}

/// Air between chest wall and collapsed lung: black, without vessels, behind a thin white line.
fn air(canvas: &mut Canvas, patient: &Patient, side: Side, finding: &Finding) {
    let s = sign(side);
    let [grow, ..] = patient.jitter(Kind::Pneumothorax);
    let (gap, depth) = if finding.degree == Some(Degree::Large) { (0.155, 0.22) } else { (0.085, 0.13) };
    let gap = gap + 0.006 * grow;
    canvas.paint_all(|u, v, value| {
        let a = u * s;
        let lung = patient.lung(side, u, v);
        if lung == 0. {
            return value;
        }
        let edge = Patient::lateral_edge((v - depth).max(0.1)).min(CHEST) - gap;
        let outside = rise(edge - 0.006, edge + 0.012, a).max(fall(depth + 0.085, depth + 0.105, v));
        let line = fall(0.006, 0.016, (a - edge).abs()) * rise(depth + 0.08, depth + 0.1, v);
        let collapsed = value + 0.07 * lung * (1. - outside);
        mix(collapsed, 0.035, outside * lung) + 0.26 * line * lung
    });
}

fn place(patient: &Patient, kind: Kind, side: Side, zone: Option<Zone>) -> (Point, f32) {
    let [x, y, grow] = patient.jitter(kind);
    let (a, v) = if zone == Some(Zone::Upper) { (0.20, 0.30) } else { (0.25, 0.64) };
    (((a + 0.02 * x) * sign(side), v + 0.02 * y), 1. + 0.08 * grow)
}

/// The half of the chest `a` to the side of the midline, whether it holds lung or fluid.
fn chest_cavity(a: f32, v: f32) -> f32 {
    let edge = Patient::lateral_edge(v);
    rise(0.06, 0.09, a) * fall(edge - 0.01, edge + 0.015, a) * fall(0.90, 0.96, v)
}
