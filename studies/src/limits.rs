//! What an image may be at most; checked before memory is taken.

/// Longest side of an image that is decoded, in pixels.
pub const MAX_SIDE: usize = 1 << 14;
/// Most pixels of an image that is decoded: height × width. Detectors deliver about 20 million.
pub const MAX_PIXELS: usize = 1 << 26;
/// Most bytes of an image file, and of what a compressed DICOM data set inflates to.
pub const MAX_FILE_BYTES: u64 = 1 << 28;
