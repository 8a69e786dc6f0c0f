//! A patient's body: the proportions that all radiographs of one study share.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::canvas::{Point, fall, mix, rise};
use crate::phantom::findings::{Kind, Side};

/// Lateral end of a lung at its base.
pub const CHEST: f32 = 0.40;

#[derive(Clone, Debug)]
pub struct Patient {
    /// −1 slim to 1 heavy.
    pub habitus: f32,
    /// Width of a normal heart relative to the average one.
    pub heart: f32,
    /// Lowest point of the lungs.
    pub base: f32,
    /// Magnification across and down.
    pub zoom: Point,
    /// Vessels as lines from the hilum outwards, for a lung on the positive side.
    pub vessels: Vec<[Point; 3]>,
    /// Three numbers in −1 to 1 per kind of finding: where exactly and how big.
    jitter: [[f32; 3]; Kind::COUNT],
}

impl Patient {
    pub fn sample(rng: &mut ChaCha8Rng) -> Self {
        let habitus = rng.random_range(-1f32..1.);
        let mut jitter = [[0.; 3]; Kind::COUNT];
        let (common, tail) = jitter.split_at_mut(Kind::COMMON.len());
        let fill = |jitter: &mut [[f32; 3]], rng: &mut ChaCha8Rng| {
            jitter.iter_mut().flatten().for_each(|value| *value = rng.random_range(-1f32..1.));
        };
        fill(common, rng);
        let heart = rng.random_range(0.94f32..1.05);
        let base = rng.random_range(0.845f32..0.875);
        let zoom = (1. + 0.03 * habitus + rng.random_range(-0.015f32..0.015), rng.random_range(0.97f32..1.03));
        let vessels = (0..9).map(|i| vessel(i, rng)).collect();
        // Last, so that version 1 draws what it always drew.
        fill(tail, rng);
        Self { habitus, heart, base, zoom, vessels, jitter }
    }

    /// Brightness of the chest wall.
    pub fn tissue(&self) -> f32 {
        0.56 + 0.05 * self.habitus
    }

    /// How this patient's finding of a kind departs from the average one.
    pub fn jitter(&self, kind: Kind) -> [f32; 3] {
        self.jitter[kind as usize]
    }

    /// Height of the diaphragm `a` to the side of the midline; the right one stands higher.
    pub fn diaphragm(&self, side: Side, a: f32) -> f32 {
        let x = (a - 0.17) / (CHEST - 0.17);
        let base = if side == Side::Right { self.base - 0.02 } else { self.base };
        base - 0.10 * (1. - x * x).max(0.)
    }

    /// How far a lung reaches to the side at height `v`.
    pub fn lateral_edge(v: f32) -> f32 {
        let t = ((0.78 - v) / 0.68).clamp(0., 1.);
        0.05 + (CHEST - 0.05) * (1. - t * t * t).sqrt() * (1. - 0.12 * t)
    }

    /// How much of the point is lung, 0 to 1.
    pub fn lung(&self, side: Side, u: f32, v: f32) -> f32 {
        let a = u * sign(side);
        if a <= 0.03 || v <= 0.08 {
            return 0.;
        }
        let edge = Self::lateral_edge(v);
        let floor = self.diaphragm(side, a);
        rise(0.055, 0.085, a)
            * fall(edge - 0.012, edge + 0.012, a)
            * fall(floor - 0.012, floor + 0.012, v)
            * rise(0.095, 0.13, v)
    }

    /// How much of the point is lung of either side.
    pub fn lungs(&self, u: f32, v: f32) -> f32 {
        self.lung(if u < 0. { Side::Right } else { Side::Left }, u, v)
    }
}

/// +1 for the patient's left, which is on the right of the image.
pub fn sign(side: Side) -> f32 {
    if side == Side::Right { -1. } else { 1. }
}

fn vessel(index: usize, rng: &mut ChaCha8Rng) -> [Point; 3] {
    let turn = (index as f32 - 4.) / 4.;
    let (mut u, mut v) = (0.10 + rng.random_range(0f32..0.03), 0.46 + 0.07 * turn);
    let mut line = [(u, v); 3];
    for point in &mut line[1..] {
        u += (0.11 - 0.05 * turn.abs()) * rng.random_range(0.8f32..1.2);
        v += 0.16 * turn + rng.random_range(-0.03f32..0.03);
        *point = (u, v);
    }
    line
}

/// A point on a posterior rib, `t` from 0 at the spine to 1 at the chest wall.
pub fn posterior_rib(rib: usize, t: f32) -> (f32, f32) {
    let v = 0.13 + 0.076 * rib as f32;
    let end = Patient::lateral_edge(v + 0.05);
    let a = mix(0.05, end, t);
    (a, v - 0.03 * t * (1. - t) * 4. * 0.6 + 0.075 * t * t)
}
