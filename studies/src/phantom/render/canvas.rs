//! A grayscale canvas in anatomical coordinates, with soft-edged shapes.
//!
//! Coordinates: `u` from −0.5 to 0.5 across the image, positive towards the patient's left; `v` from 0 at the top to 1
//! at the bottom. Values: 0 is black (air), 1 is white (metal). Only correctly rounded operations are used, so that
//! pixels are the same on every platform.

/// A point in anatomical coordinates.
pub type Point = (f32, f32);

/// Where the patient stands in front of the detector.
#[derive(Clone, Copy, Debug)]
pub struct Pose {
    /// Shift in the image, as a share of its side.
    pub shift: Point,
    /// Magnification across and down.
    pub zoom: Point,
}

#[derive(Clone, Debug)]
pub struct Canvas {
    size: usize,
    pose: Pose,
    values: Vec<f32>,
}

impl Canvas {
    pub fn new(size: u32, pose: Pose) -> Self {
        let size = size as usize;
        Self { size, pose, values: vec![0.; size * size] }
    }

    /// Row by row from the top.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Replaces each value in the rectangle between two corners by `f(u, v, value)`.
    pub fn paint(&mut self, from: Point, to: Point, mut f: impl FnMut(f32, f32, f32) -> f32) {
        let (columns, rows) = (self.range(from.0 + 0.5, to.0 + 0.5, 0), self.range(from.1, to.1, 1));
        for row in rows {
            let v = self.coordinate(row, 1);
            for column in columns.clone() {
                let u = self.coordinate(column, 0) - 0.5;
                let value = &mut self.values[row * self.size + column];
                *value = f(u, v, *value);
            }
        }
    }

    /// Paints everything.
    pub fn paint_all(&mut self, f: impl FnMut(f32, f32, f32) -> f32) {
        self.paint((-9., -9.), (9., 9.), f);
    }

    /// Adds an ellipse of height `amount` that falls off to nothing between `core` (0 to 1) of its radii and its edge.
    pub fn blob(&mut self, at: Point, radii: Point, core: f32, amount: f32, mask: impl Fn(f32, f32) -> f32) {
        self.paint((at.0 - radii.0, at.1 - radii.1), (at.0 + radii.0, at.1 + radii.1), |u, v, value| {
            let (x, y) = ((u - at.0) / radii.0, (v - at.1) / radii.1);
            let shape = fall(core, 1., (x * x + y * y).sqrt());
            if shape > 0. { value + amount * shape * mask(u, v) } else { value }
        });
    }

    /// Adds a line of height `amount` through `points`, soft over one pixel.
    pub fn stroke(&mut self, points: &[Point], width: f32, amount: f32, mask: impl Fn(f32, f32) -> f32) {
        let pixel = 1. / (self.size as f32 * self.pose.zoom.0);
        let (core, edge) = ((0.5 * width - 0.5 * pixel).max(0.), 0.5 * width + pixel);
        let bound = |pick: fn(&Point) -> f32, best: fn(f32, f32) -> f32| points.iter().map(pick).reduce(best);
        let (Some(u0), Some(u1)) = (bound(|p| p.0, f32::min), bound(|p| p.0, f32::max)) else {
            return;
        };
        let (Some(v0), Some(v1)) = (bound(|p| p.1, f32::min), bound(|p| p.1, f32::max)) else {
            return;
        };
        self.paint((u0 - edge, v0 - edge), (u1 + edge, v1 + edge), |u, v, value| {
            let squared = points.windows(2).map(|ends| to_segment((u, v), ends[0], ends[1])).fold(9., f32::min);
            if squared >= edge * edge {
                return value;
            }
            value + amount * fall(core, edge, squared.sqrt()) * mask(u, v)
        });
    }

    /// Draws what is there without a finding and what is there with it, and mixes them: all of the latter at a contrast
    /// of 1.
    pub fn blend(&mut self, contrast: f32, without: impl FnOnce(&mut Self), with: impl FnOnce(&mut Self)) {
        if contrast >= 1. {
            return with(self);
        }
        let mut other = self.clone();
        without(self);
        with(&mut other);
        for (value, other) in self.values.iter_mut().zip(other.values) {
            *value = mix(*value, other, contrast);
        }
    }

    /// Draws over what is there, as faintly as `contrast` says.
    pub fn faded(&mut self, contrast: f32, draw: impl FnOnce(&mut Self)) {
        self.blend(contrast, |_| {}, draw);
    }

    fn coordinate(&self, index: usize, axis: usize) -> f32 {
        let (shift, zoom) = self.axis(axis);
        ((index as f32 + 0.5) / self.size as f32 - 0.5 - shift) / zoom + 0.5
    }

    fn range(&self, from: f32, to: f32, axis: usize) -> std::ops::Range<usize> {
        let (shift, zoom) = self.axis(axis);
        let pixel = |x: f32| ((x - 0.5) * zoom + 0.5 + shift) * self.size as f32;
        let clamp = |x: f32| (x.max(0.) as usize).min(self.size);
        clamp(pixel(from).floor())..clamp(pixel(to).ceil())
    }

    fn axis(&self, axis: usize) -> (f32, f32) {
        let Pose { shift, zoom } = self.pose;
        if axis == 0 { (shift.0, zoom.0) } else { (shift.1, zoom.1) }
    }
}

/// 0 below `from`, 1 above `to`, smooth between.
pub fn rise(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0., 1.);
    t * t * (3. - 2. * t)
}

/// 1 below `from`, 0 above `to`, smooth between.
pub fn fall(from: f32, to: f32, x: f32) -> f32 {
    1. - rise(from, to, x)
}

pub fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + (b - a) * share
}

/// No mask: a shape shows everywhere.
pub fn anywhere(_: f32, _: f32) -> f32 {
    1.
}

/// Squared distance of `p` to the segment from `a` to `b`.
fn to_segment(p: Point, a: Point, b: Point) -> f32 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (px, py) = (p.0 - a.0, p.1 - a.1);
    let length = dx * dx + dy * dy;
    let t = if length > 0. { ((px * dx + py * dy) / length).clamp(0., 1.) } else { 0. };
    let (x, y) = (px - t * dx, py - t * dy);
    x * x + y * y
}
