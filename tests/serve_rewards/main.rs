//! The reward server: what it answers, and whom and what it refuses.

mod exchanges;
mod limits;
mod running;
