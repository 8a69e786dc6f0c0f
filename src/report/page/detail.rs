//! How much there is on a page, so that no page is too large.

/// How much there is on a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Detail {
    /// Studies of each part of the gallery.
    pub studies: usize,
    /// The longer side of a picture, in pixels; 0 for none.
    pub picture: u32,
    /// Points of a curve.
    pub points: usize,
    /// Characters of a text.
    pub text: usize,
}

/// From all that is worth seeing to what fits in any case.
pub(super) const DETAILS: [Detail; 4] = [
    Detail { studies: 8, picture: 320, points: 200, text: 2000 },
    Detail { studies: 6, picture: 256, points: 120, text: 1200 },
    Detail { studies: 4, picture: 160, points: 60, text: 600 },
    Detail { studies: 2, picture: 0, points: 30, text: 300 },
];
