//! Addendum
