//! How attention is cut into tiles for a GPU; `cuda/attention.cu` has the other half.

use std::ops::Range;

use super::segment::{Segment, in_order};

/// Rows of queries in a tile: tokens times the query heads of a key head.
pub const QUERIES: usize = 64;
/// Keys in a tile.
pub const KEYS: usize = 64;
/// Keys that a tile of a decoding step reads at most. It depends on nothing, so a token's sums don't depend on what is
/// beside it.
const DECODE_KEYS: usize = 128;

/// Tiles of queries and the ranges of keys that they see, as the kernels read them.
#[derive(Debug, Default, PartialEq)]
pub struct Tiles {
    /// token, tokens, range, ranges, limit, step, part, 0
    pub tiles: Vec<[i32; 8]>,
    /// start, length
    pub ranges: Vec<[i32; 2]>,
    /// Rows of partial results of a key head; 0 where results are final.
    pub part_rows: usize,
    /// The partial results of token i are `rows[first[i]..first[i + 1]]`.
    pub first: Vec<i32>,
    pub rows: Vec<i32>,
}

/// Tiles of keys and the runs of queries that see them.
#[derive(Debug, Default, PartialEq)]
pub struct KeyTiles {
    /// key, keys, run, runs
    pub tiles: Vec<[i32; 4]>,
    /// token, tokens, limit, step
    pub runs: Vec<[i32; 4]>,
}

/// Tokens of a tile, where `group` query heads share a key head.
fn tokens(group: usize) -> usize {
    (QUERIES / group).max(1)
}

impl Tiles {
    /// Every tile goes over all keys of its tokens.
    pub fn whole(segments: &[Segment], group: usize) -> Self {
        let mut tiles = Self::default();
        for s in in_order(segments) {
            for j in (0..s.query.len()).step_by(tokens(group)) {
                let count = tokens(group).min(s.query.len() - j);
                let seen = s.own.start..s.own.start + s.seen(j + count - 1);
                let ranges: Vec<_> = s.before.iter().cloned().chain([seen]).filter(|r| !r.is_empty()).collect();
                let (limit, step) = match s.own.is_empty() {
                    true => (ranges.last().map_or(0, Range::len), 0),
                    false => (s.seen(j), usize::from(s.causal)),
                };
                tiles.push(s.query.start + j, count, &ranges, limit, step, 0);
            }
        }
        tiles
    }

    /// Keys of single queries in parts, to be combined; those that neighbours have in common are read once for them all.
    pub fn split(segments: &[Segment], queries: usize, group: usize) -> Self {
        let mut tiles = Self::default();
        let mut parts = vec![Vec::new(); queries];
        let order = in_order(segments);
        let alike = |a: &&Segment, b: &&Segment| a.before == b.before && a.query.end == b.query.start;
        for run in order.chunk_by(alike) {
            for same in run.chunks(tokens(group)) {
                let first = same[0].query.start;
                for range in same[0].before.iter().flat_map(|range| chunks(range.clone())) {
                    tiles.part(&mut parts, first, same.len(), range, group);
                }
                for s in same {
                    for range in chunks(s.own.start..s.own.start + s.seen(0)) {
                        tiles.part(&mut parts, s.query.start, 1, range, group);
                    }
                }
            }
        }
        tiles.first.push(0);
        for part in parts {
            tiles.rows.extend(part);
            tiles.first.push(tiles.rows.len() as i32);
        }
        tiles
    }

    fn part(&mut self, parts: &mut [Vec<i32>], first: usize, tokens: usize, range: Range<usize>, group: usize) {
        let limit = range.len();
        self.push(first, tokens, &[range], limit, 0, self.part_rows);
        for part in &mut parts[first..first + tokens] {
            part.push(self.part_rows as i32);
            self.part_rows += group;
        }
    }

    fn push(&mut self, token: usize, tokens: usize, keys: &[Range<usize>], limit: usize, step: usize, part: usize) {
        let numbers = [token, tokens, self.ranges.len(), keys.len(), limit, step, part, 0];
        self.tiles.push(numbers.map(|n| n as i32));
        self.ranges.extend(keys.iter().map(|range| [range.start, range.len()].map(|n| n as i32)));
    }
}

fn chunks(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(DECODE_KEYS).map(move |start| start..range.end.min(start + DECODE_KEYS))
}

impl KeyTiles {
    /// Every key is in one tile, seen or not.
    pub fn new(segments: &[Segment], keys: usize) -> Self {
        let order = in_order(segments);
        let ranges = order.iter().flat_map(|s| s.before.iter().chain([&s.own]));
        let mut bounds: Vec<usize> = ranges.flat_map(|range| [range.start, range.end]).chain([0, keys]).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let mut tiles = Self::default();
        for part in bounds.windows(2) {
            for key in (part[0]..part[1]).step_by(KEYS) {
                let end = part[1].min(key + KEYS);
                let run = tiles.runs.len();
                order.iter().for_each(|s| tiles.see(s, key..end, run));
                let numbers = [key, end - key, run, tiles.runs.len() - run];
                tiles.tiles.push(numbers.map(|n| n as i32));
            }
        }
        tiles
    }

    /// The runs of a segment's queries that see keys, none of which lies beside a range that another is in.
    fn see(&mut self, s: &Segment, keys: Range<usize>, first_run: usize) {
        let holds = |range: &&Range<usize>| range.start <= keys.start && keys.end <= range.end;
        for _ in s.before.iter().filter(holds) {
            let whole = [s.query.start, s.query.len(), keys.len(), 0].map(|n| n as i32);
            match self.runs[first_run..].last_mut() {
                Some([token, tokens, limit, 0])
                    if (*limit, *token + *tokens) == (whole[2], whole[0]) && s.before.len() == 1 =>
                {
                    *tokens += whole[1];
                }
                _ => self.runs.push(whole),
            }
        }
        if holds(&&s.own) {
            let before = keys.start - s.own.start;
            // The first query that sees any of them.
            let Some(j) = (0..s.query.len()).find(|&j| s.seen(j) > before) else { return };
            let numbers = [s.query.start + j, s.query.len() - j, s.seen(j) - before, usize::from(s.causal)];
            self.runs.push(numbers.map(|n| n as i32));
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Segments of a prompt with responses that share beginnings.
    #[allow(clippy::single_range_in_vec_init)]
    fn segments(rng: &mut ChaCha8Rng) -> (Vec<Segment>, usize) {
        let prompt = rng.random_range(1..150);
        let mut segments = vec![Segment::alone(0..prompt, rng.random_range(0..2) == 0)];
        let mut end = prompt;
        for _ in 0..rng.random_range(0..5) {
            let stem = end..end + rng.random_range(1..90);
            segments.push(Segment { query: stem.clone(), before: vec![0..prompt], own: stem.clone(), causal: true });
            end = stem.end;
            if rng.random_range(0..2) == 0 {
                let leaf = end..end + rng.random_range(1..70);
                let before = vec![0..prompt, stem];
                segments.push(Segment { query: leaf.clone(), before, own: leaf.clone(), causal: true });
                end = leaf.end;
            }
        }
        (segments, end)
    }

    /// How often each query sees each key.
    fn expected(segments: &[Segment], queries: usize, keys: usize) -> Vec<Vec<u32>> {
        let mut seen = vec![vec![0; keys]; queries];
        for s in segments {
            for j in 0..s.query.len() {
                let row = &mut seen[s.query.start + j];
                s.before.iter().cloned().flatten().for_each(|key| row[key] += 1);
                (s.own.start..s.own.start + s.seen(j)).for_each(|key| row[key] += 1);
            }
        }
        seen
    }

    /// The same by tiles of queries, checking that none is too large.
    fn by_tiles(tiles: &Tiles, queries: usize, keys: usize, group: usize) -> Vec<Vec<u32>> {
        let mut seen = vec![vec![0; keys]; queries];
        for &[token, tokens, range, ranges, limit, step, _, _] in &tiles.tiles {
            assert!(tokens as usize * group <= QUERIES.max(group));
            for i in 0..tokens {
                for r in range..range + ranges {
                    let [start, length] = tiles.ranges[r as usize];
                    let visible = if r == range + ranges - 1 { length.min(limit + i * step) } else { length };
                    (start..start + visible).for_each(|key| seen[(token + i) as usize][key as usize] += 1);
                }
            }
        }
        seen
    }

    #[test]
    fn tiles_of_queries_and_of_keys_pair_what_segments_pair() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for _ in 0..50 {
            let (segments, tokens) = segments(&mut rng);
            let expected = expected(&segments, tokens, tokens);
            for group in [1, 7, 8] {
                assert_eq!(by_tiles(&Tiles::whole(&segments, group), tokens, tokens, group), expected);
            }
            let tiles = KeyTiles::new(&segments, tokens);
            let (mut seen, mut owned) = (vec![vec![0; tokens]; tokens], vec![0; tokens]);
            for &[key, keys, run, runs] in &tiles.tiles {
                assert!(keys as usize <= KEYS);
                (key..key + keys).for_each(|key| owned[key as usize] += 1);
                for &[token, count, limit, step] in &tiles.runs[run as usize..(run + runs) as usize] {
                    for i in 0..count {
                        for j in 0..keys.min(limit + i * step) {
                            seen[(token + i) as usize][(key + j) as usize] += 1;
                        }
                    }
                }
            }
            assert_eq!(seen, expected);
            assert_eq!(owned, vec![1; tokens]);
        }
    }

    #[test]
    fn the_parts_of_a_decoding_step_are_all_its_keys_once() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for group in [1, 7, 8] {
            let (mut segments, mut at) = (Vec::new(), 0);
            for _ in 0..4 {
                let prompt = at..at + rng.random_range(1..700);
                at = prompt.end;
                for _ in 0..rng.random_range(1..12) {
                    let own = at..at + rng.random_range(1..300);
                    at = own.end + 5;
                    let query = segments.len()..segments.len() + 1;
                    segments.push(Segment { query, before: vec![prompt.clone()], own, causal: true });
                }
            }
            let tiles = Tiles::split(&segments, segments.len(), group);
            assert_eq!(by_tiles(&tiles, segments.len(), at, group), expected(&segments, segments.len(), at));
            let mut rows = vec![vec![]; segments.len()];
            for &[token, tokens, .., part, _] in &tiles.tiles {
                (0..tokens).for_each(|i| rows[(token + i) as usize].push(part + i * group as i32));
            }
            for (token, mut rows) in rows.into_iter().enumerate() {
                let range = tiles.first[token] as usize..tiles.first[token + 1] as usize;
                let mut told = tiles.rows[range].to_vec();
                rows.sort_unstable();
                told.sort_unstable();
                assert_eq!(rows, told);
            }
        }
    }
}
