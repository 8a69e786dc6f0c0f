//! Tubes, lines and pacemakers: bright, thin and sharp.

use super::{
    canvas::{Canvas, Point, anywhere},
    patient::{Patient, sign},
};
use crate::phantom::findings::{Findings, Kind};

/// A wire's width and brightness.
const WIRE: (f32, f32) = (0.011, 0.42);

pub fn frontal(canvas: &mut Canvas, patient: &Patient, findings: &Findings) {
    for (&kind, finding) in findings {
        let [x, y, _] = patient.jitter(kind);
        canvas.faded(finding.contrast, |canvas| match kind {
            Kind::Tube => {
                canvas.stroke(&[(0.004, -0.05), (-0.002, 0.15), (0.002, 0.30 + 0.012 * y)], 0.020, 0.55, anywhere);
            }
            Kind::Line => {
                let s = sign(finding.side);
                let entry = (0.20 + 0.02 * x) * s;
                let tip = (-0.055, 0.47 + 0.02 * y);
                wire(canvas, &[(entry, -0.02), (entry * 0.95, 0.10), (0.10 * s, 0.20), (-0.045, 0.29), tip]);
            }
            Kind::Pacemaker => {
                let (u, v) = (0.27 + 0.015 * x, 0.24 + 0.012 * y);
                generator(canvas, (u, v));
                let heart = [(0.10, 0.19), (-0.05, 0.26), (-0.06, 0.55), (0.0, 0.72), (0.09, 0.75)];
                wire(canvas, &[&[(u - 0.05, v - 0.02)], &heart[..]].concat());
            }
            _ => {}
        });
    }
}

pub fn lateral(canvas: &mut Canvas, findings: &Findings) {
    for (&kind, finding) in findings {
        canvas.faded(finding.contrast, |canvas| match kind {
            Kind::Tube => canvas.stroke(&[(0.03, -0.05), (0.05, 0.15), (0.07, 0.30)], 0.018, 0.45, anywhere),
            Kind::Line => wire(canvas, &[(-0.08, 0.02), (-0.03, 0.20), (-0.01, 0.46)]),
            Kind::Pacemaker => {
                generator(canvas, (-0.24, 0.24));
                wire(canvas, &[(-0.2, 0.24), (-0.02, 0.28), (-0.02, 0.55), (-0.16, 0.74)]);
            }
            _ => {}
        });
    }
}

fn wire(canvas: &mut Canvas, path: &[Point]) {
    canvas.stroke(path, WIRE.0, WIRE.1, anywhere);
}

/// The metal can of a pacemaker.
fn generator(canvas: &mut Canvas, at: Point) {
    canvas.blob(at, (0.062, 0.052), 0.85, 0.9, anywhere);
}
