//! The reward server: what it answers, and whom and what it refuses.

mod connections;
mod description;
mod exchanges;
mod isolation;
mod limits;
mod running;
