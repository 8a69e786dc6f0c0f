//! Tiles of attention on a GPU.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{
    Result,
    cuda_backend::{
        WrapErr,
        cudarc::driver::{CudaSlice, CudaStream},
    },
};

use super::pointer::Ptr;
use crate::attention::{
    Segment,
    tiles::{KeyTiles, Tiles},
};

/// Plans that are kept: those of the layers of one pass, and of a few passes beside it.
const PLANS: usize = 8;

/// Tiles of some segments on a GPU.
pub struct Plan {
    segments: Arc<[Segment]>,
    pub key: Key,
    memory: CudaSlice<i32>,
    pub tiles: usize,
    pub ranges: usize,
    pub part_rows: usize,
    pub first: usize,
    pub rows: usize,
    /// Whether every query is in a segment.
    pub whole: bool,
    pub key_tiles: usize,
    pub key_count: usize,
    pub runs: usize,
    /// Cache rows of the tokens.
    cache_rows: usize,
}

/// What a plan depends on besides the segments.
#[derive(Clone, PartialEq)]
pub struct Key {
    pub queries: usize,
    pub keys: usize,
    pub group: usize,
    pub backward: bool,
    pub cache_rows: Vec<usize>,
}

/// Plans that were made, the newest last.
#[derive(Default)]
pub struct Plans(Mutex<Vec<Arc<Plan>>>);

impl Plan {
    fn new(stream: &Arc<CudaStream>, segments: &Arc<[Segment]>, key: Key) -> Result<Self> {
        let single = segments.iter().all(|s| s.query.len() <= 1) && !key.backward;
        let tiles = match single {
            true => Tiles::split(segments, key.queries, key.group),
            false => Tiles::whole(segments, key.group),
        };
        let keys = if key.backward { KeyTiles::new(segments, key.keys) } else { KeyTiles::default() };
        let mut numbers: Vec<i32> = Vec::new();
        let mut push = |part: &[i32]| {
            let start = numbers.len();
            numbers.extend(part);
            numbers.resize(numbers.len().next_multiple_of(4), 0);
            start
        };
        let count = tiles.tiles.len();
        push(tiles.tiles.as_flattened());
        let ranges = push(tiles.ranges.as_flattened());
        let (first, rows) = (push(&tiles.first), push(&tiles.rows));
        let (key_tiles, runs) = (push(keys.tiles.as_flattened()), push(keys.runs.as_flattened()));
        let cache_rows = push(&key.cache_rows.iter().map(|&row| row as i32).collect::<Vec<_>>());
        let covered: usize = segments.iter().map(|s| s.query.len()).sum();
        Ok(Self {
            segments: segments.clone(),
            whole: covered == key.queries,
            key,
            memory: stream.clone_htod(&numbers).w()?,
            tiles: count,
            ranges,
            part_rows: tiles.part_rows,
            first,
            rows,
            key_tiles,
            key_count: keys.tiles.len(),
            runs,
            cache_rows,
        })
    }

    pub fn at(&self, start: usize) -> Ptr<i32> {
        Ptr::of(&self.memory).add(start)
    }

    pub fn cache_rows(&self) -> Ptr<i32> {
        self.at(self.cache_rows)
    }
}

impl Plans {
    /// The plan of these segments.
    pub fn get(&self, stream: &Arc<CudaStream>, segments: &Arc<[Segment]>, key: Key) -> Result<Arc<Plan>> {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |plan: &&Arc<Plan>| Arc::ptr_eq(&plan.segments, segments) && plan.key == key;
        if let Some(plan) = plans.iter().find(known) {
            return Ok(plan.clone());
        }
        let plan = Arc::new(Plan::new(stream, segments, key)?);
        if plans.len() == PLANS {
            plans.remove(0);
        }
        plans.push(plan.clone());
        Ok(plan)
    }
}
