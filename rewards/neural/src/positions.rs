//! How an encoder's attention sees positions: not at all (BERT), by one bias per distance (MPNet), or by comparing
//! content with projected distances (DeBERTa).

use addendum_kernels::encoder::add_picked;
use candle_core::{Device, Result, Tensor};

use super::layers::Linear;

/// The position part of every layer's attention.
pub(super) enum Positions {
    /// Positions are in the embeddings only.
    Absolute,
    /// `[buckets, heads]`, added to the scores of all layers.
    Bias(Tensor),
    Disentangled(Disentangled),
}

/// What [`Positions`] needs to know of sequences of one length; the same in every layer.
pub(super) enum Table {
    None,
    /// `[heads, 1, length, length]`.
    Bias(Tensor),
    /// The rows `first..first + count` of the projected distances that occur, and `[length, length]`: which of them
    /// query and key have.
    Rows {
        first: usize,
        count: usize,
        index: Tensor,
    },
}

/// DeBERTa's projected distances (He et al. 2021, section 3.1), which depend on the weights alone.
pub(super) struct Disentangled {
    layers: Vec<Projected>,
    /// Distances are cut to `-span..span`.
    span: usize,
    /// Distances beyond half of `buckets` share logarithmic buckets up to `longest`; `None` without buckets.
    buckets: Option<(usize, usize)>,
    device: Device,
}

/// `[heads, width, 2 span]` each.
struct Projected {
    key: Option<Tensor>,
    query: Option<Tensor>,
}

impl Positions {
    /// The factor of the scores for heads of a width: 1/√(width × number of summands).
    pub(super) fn scale(&self, width: usize) -> f64 {
        let summands = match self {
            Self::Disentangled(positions) => 1 + positions.summands(),
            _ => 1,
        };
        1. / ((width * summands) as f64).sqrt()
    }

    pub(super) fn table(&self, length: usize) -> Result<Table> {
        match self {
            Self::Absolute => Ok(Table::None),
            Self::Bias(bias) => {
                let heads = bias.dim(1)?;
                let bucket = |(query, key)| mpnet_bucket(query, key) as u32;
                let index: Vec<u32> = pairs(length).map(bucket).collect();
                let index = Tensor::from_vec(index, length * length, bias.device())?;
                let bias = bias.index_select(&index, 0)?.t()?.reshape((heads, 1, length, length))?;
                Ok(Table::Bias(bias.contiguous()?))
            }
            Self::Disentangled(positions) => positions.table(length),
        }
    }

    /// Adds the position part to scores `[heads, sequences, length, length]` of scaled queries and of keys, both
    /// `[heads, sequences, length, width]`.
    pub(super) fn add(
        &self,
        layer: usize,
        scores: Tensor,
        query: &Tensor,
        key: &Tensor,
        table: &Table,
    ) -> Result<Tensor> {
        match (self, table) {
            (_, Table::Bias(bias)) => scores.broadcast_add(bias),
            (Self::Disentangled(positions), Table::Rows { first, count, index }) => {
                let projected = &positions.layers[layer];
                let mut scores = scores;
                if let Some(keys) = &projected.key {
                    scores = add_picked(scores, &compare(query, keys, *first, *count)?, index, false)?;
                }
                if let Some(queries) = &projected.query {
                    // The scale is in the query only, and there is none here.
                    let key = (key * self.scale(key.dim(3)?))?;
                    scores = add_picked(scores, &compare(&key, queries, *first, *count)?, index, true)?;
                }
                Ok(scores)
            }
            _ => Ok(scores),
        }
    }
}

/// `x` `[heads, sequences, length, width]` against some columns of `table` `[heads, width, rows]`.
fn compare(x: &Tensor, table: &Tensor, first: usize, count: usize) -> Result<Tensor> {
    let (heads, sequences, length, width) = x.dims4()?;
    let table = table.narrow(2, first, count)?.contiguous()?;
    let product = x.reshape((heads, sequences * length, width))?.matmul(&table)?;
    product.reshape((heads, sequences, length, count))
}

/// All (query, key) positions, row by row.
fn pairs(length: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..length).flat_map(move |query| (0..length).map(move |key| (query, key)))
}

impl Disentangled {
    /// Projects the distance table once per layer. `names` are the layers that project keys and queries of distances.
    pub(super) fn new(
        distances: &Tensor,
        layers: &[(Option<Linear>, Option<Linear>)],
        heads: usize,
        buckets: Option<(usize, usize)>,
    ) -> Result<Self> {
        let rows = distances.dim(0)?;
        let split = |linear: &Option<Linear>| {
            let Some(linear) = linear else { return Ok(None) };
            let projected = linear.forward(distances)?;
            let width = projected.dim(1)? / heads;
            projected.reshape((rows, heads, width))?.permute((1, 2, 0))?.contiguous().map(Some)
        };
        let project =
            |(key, query): &(Option<Linear>, Option<Linear>)| Ok(Projected { key: split(key)?, query: split(query)? });
        let layers = layers.iter().map(project).collect::<Result<_>>()?;
        Ok(Self { layers, span: rows / 2, buckets, device: distances.device().clone() })
    }

    fn summands(&self) -> usize {
        self.layers.first().map_or(0, |layer| usize::from(layer.key.is_some()) + usize::from(layer.query.is_some()))
    }

    fn table(&self, length: usize) -> Result<Table> {
        let span = self.span as i64;
        let row = |distance: i64| {
            let distance = match self.buckets {
                Some((buckets, longest)) => log_bucket(distance, buckets, longest),
                None => distance,
            };
            (distance + span).clamp(0, 2 * span - 1)
        };
        let furthest = length as i64 - 1;
        let (first, last) = (row(-furthest), row(furthest));
        let index = pairs(length).map(|(query, key)| (row(query as i64 - key as i64) - first) as u32).collect();
        let index = Tensor::from_vec::<_, u32>(index, (length, length), &self.device)?;
        Ok(Table::Rows { first: first as usize, count: (last - first) as usize + 1, index })
    }
}

/// DeBERTa's bucket of a distance: itself up to half of `buckets`, logarithmic beyond, in f32 like the reference.
fn log_bucket(distance: i64, buckets: usize, longest: usize) -> i64 {
    let half = (buckets / 2) as i64;
    if distance.abs() <= half {
        return distance;
    }
    let mid = half as f32;
    let log = (distance.abs() as f32 / mid).ln() / ((longest as f32 - 1.) / mid).ln();
    ((log * (mid - 1.)).ceil() as i64 + half) * distance.signum()
}

/// MPNet's bucket of a distance (the bidirectional one of T5): 32 buckets, half of them for each direction, the first
/// half of those exact and the others logarithmic up to distance 128. The reference fixes both numbers in code.
fn mpnet_bucket(query: usize, key: usize) -> usize {
    const EACH: usize = MPNET_BUCKETS / 2;
    const EXACT: usize = EACH / 2;
    let distance = query.abs_diff(key);
    let bucket = if distance < EXACT {
        distance
    } else {
        let log = (distance as f32 / EXACT as f32).ln() / (128f32 / EXACT as f32).ln();
        (EXACT + (log * (EACH - EXACT) as f32) as usize).min(EACH - 1)
    };
    if key > query { EACH + bucket } else { bucket }
}

/// The rows that MPNet's distance table has at least.
pub(super) const MPNET_BUCKETS: usize = 32;
