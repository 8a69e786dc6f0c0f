//! The vision tower: patches in, one feature per merged 2x2 patch group out.
//!
//! Most blocks attend within windows; so the patch groups are permuted into window order first and back last.

use std::{collections::BTreeMap, sync::Arc};

use addendum_kernels::{Rotation, Segment, attention, rms_norm, rope, swiglu};
use candle_core::{Device, Tensor};

use super::linear::{Linear, transposed};
use crate::{Error, Result, config::VisionConfig, image::Patches, weights::Weights};

/// The norms' epsilon, a constant of the architecture.
const EPS: f64 = 1e-6;
const ROPE_THETA: f32 = 10_000.0;

/// The tower. Cheap to clone: the weights are shared.
#[derive(Clone, Debug)]
pub struct Vision {
    config: VisionConfig,
    patch_embed: Linear,
    blocks: Vec<Block>,
    merger_norm: Tensor,
    merger_in: Linear,
    merger_out: Linear,
}

#[derive(Clone, Debug)]
struct Block {
    norm1: Tensor,
    norm2: Tensor,
    qkv: Linear,
    proj: Linear,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// How the patches of some images are ordered and which attend to which.
#[derive(Clone, Debug)]
pub struct WindowPlan {
    /// `window_index[i]` is the raster index of the i-th merged patch in window order.
    pub window_index: Vec<u32>,
    /// (row, column) of each patch, in the processor's order.
    pub patch_positions: Vec<[u32; 2]>,
    /// Bounds in patches, in window order.
    pub window_bounds: Vec<usize>,
    /// Bounds in patches of the images.
    pub image_bounds: Vec<usize>,
}

impl WindowPlan {
    /// The plan for images of these grids, (t, h, w) in patches each.
    ///
    /// # Errors
    /// A side that the merged square does not divide.
    pub fn new(config: &VisionConfig, grids: &[[usize; 3]]) -> Result<Self> {
        let merge = config.spatial_merge_size;
        let unit = merge * merge;
        let side = config.window_size / merge / config.patch_size;
        let mut plan =
            Self { window_index: vec![], patch_positions: vec![], window_bounds: vec![0], image_bounds: vec![0] };
        for &[t, h, w] in grids {
            if t == 0 || h == 0 || w == 0 || h % merge != 0 || w % merge != 0 {
                let reason = format!("{t} x {h} x {w} patches; height and width must be multiples of {merge}");
                return Err(Error::invalid("image grid", reason));
            }
            let (rows, cols) = (h / merge, w / merge);
            for _ in 0..t {
                for (r, c) in (0..rows).flat_map(|r| (0..cols).map(move |c| (r, c))) {
                    for (i, j) in (0..merge).flat_map(|i| (0..merge).map(move |j| (i, j))) {
                        plan.patch_positions.push([(r * merge + i) as u32, (c * merge + j) as u32]);
                    }
                }
                let frame = plan.window_index.len();
                for (top, left) in (0..rows).step_by(side).flat_map(|r| (0..cols).step_by(side).map(move |c| (r, c))) {
                    for r in top..(top + side).min(rows) {
                        for c in left..(left + side).min(cols) {
                            plan.window_index.push((frame + r * cols + c) as u32);
                        }
                    }
                    plan.window_bounds.push(plan.window_index.len() * unit);
                }
                plan.image_bounds.push(plan.window_index.len() * unit);
            }
        }
        Ok(plan)
    }

    fn segments(bounds: &[usize]) -> Arc<[Segment]> {
        bounds.windows(2).map(|bounds| Segment::alone(bounds[0]..bounds[1], false)).collect()
    }

    /// Patch order of the windows, from that of the merged patches.
    fn patch_index(&self, unit: usize, device: &Device) -> Result<Tensor> {
        let unit = unit as u32;
        let index: Vec<u32> = self.window_index.iter().flat_map(|&i| i * unit..(i + 1) * unit).collect();
        Ok(Tensor::new(index, device)?)
    }

    fn raster_index(&self, device: &Device) -> Result<Tensor> {
        let mut inverse = vec![0u32; self.window_index.len()];
        for (i, &at) in self.window_index.iter().enumerate() {
            inverse[at as usize] = i as u32;
        }
        Ok(Tensor::new(inverse, device)?)
    }
}

impl Vision {
    /// Takes the weights of the tower out of `weights`.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape, by name.
    pub fn new(config: &VisionConfig, weights: &mut Weights) -> Result<Self> {
        let c = config.hidden_size;
        let mut block = |i: usize| -> Result<Block> {
            let name = |part: &str| format!("visual.blocks.{i}.{part}");
            Ok(Block {
                norm1: weights.take(&name("norm1.weight"), &[c])?,
                norm2: weights.take(&name("norm2.weight"), &[c])?,
                qkv: Linear::new(weights, &name("attn.qkv"), c, 3 * c, true)?,
                proj: Linear::new(weights, &name("attn.proj"), c, c, true)?,
                gate: Linear::new(weights, &name("mlp.gate_proj"), c, config.intermediate_size, true)?,
                up: Linear::new(weights, &name("mlp.up_proj"), c, config.intermediate_size, true)?,
                down: Linear::new(weights, &name("mlp.down_proj"), config.intermediate_size, c, true)?,
            })
        };
        let blocks = (0..config.depth).map(&mut block).collect::<Result<_>>()?;
        let merged = c * config.spatial_merge_size * config.spatial_merge_size;
        let (t, p) = (config.temporal_patch_size, config.patch_size);
        let patch = weights.take("visual.patch_embed.proj.weight", &[c, config.in_channels, t, p, p])?;
        Ok(Self {
            patch_embed: Linear { weight: transposed(&patch.reshape((c, config.patch_dim()))?)?, bias: None },
            blocks,
            merger_norm: weights.take("visual.merger.ln_q.weight", &[c])?,
            merger_in: Linear::new(weights, "visual.merger.mlp.0", merged, merged, true)?,
            merger_out: Linear::new(weights, "visual.merger.mlp.2", merged, config.out_hidden_size, true)?,
            config: config.clone(),
        })
    }

    /// The weights by published name, as views.
    pub fn weights(&self) -> Result<BTreeMap<String, Tensor>> {
        let c = &self.config;
        let patch = [c.hidden_size, c.in_channels, c.temporal_patch_size, c.patch_size, c.patch_size];
        let mut weights = BTreeMap::from([
            ("visual.patch_embed.proj.weight".to_string(), self.patch_embed.weight.t()?.reshape(&patch)?),
            ("visual.merger.ln_q.weight".to_string(), self.merger_norm.clone()),
        ]);
        for (name, linear) in [("mlp.0", &self.merger_in), ("mlp.2", &self.merger_out)] {
            linear.publish(&format!("visual.merger.{name}"), &mut weights)?;
        }
        for (i, block) in self.blocks.iter().enumerate() {
            for (norm, weight) in [("norm1", &block.norm1), ("norm2", &block.norm2)] {
                weights.insert(format!("visual.blocks.{i}.{norm}.weight"), weight.clone());
            }
            for (name, linear) in block.linears() {
                linear.publish(&format!("visual.blocks.{i}.{name}"), &mut weights)?;
            }
        }
        Ok(weights)
    }

    /// `patches` `[sum of t·h·w, patch_dim]` of images with the given grids; returns `[patches / merge², out_hidden]`
    /// in raster order.
    pub fn forward(&self, patches: &Tensor, grids: &[[usize; 3]]) -> Result<Tensor> {
        self.blocks(patches, grids, |_| {})
    }

    /// Features of images, all in one pass, one after the other.
    pub fn forward_images(&self, images: &[&Patches], device: &Device) -> Result<Tensor> {
        let grids: Vec<[usize; 3]> = images.iter().map(|image| image.grid).collect();
        let rows: Vec<f32> = images.iter().flat_map(|image| image.rows.iter().copied()).collect();
        let width = self.config.patch_dim();
        let count = rows.len() / width;
        self.forward(&Tensor::from_vec(rows, (count, width), device)?, &grids)
    }

    /// The patch embedding, each block's output (window order), and the features.
    pub fn trace(&self, patches: &Tensor, grids: &[[usize; 3]]) -> Result<Vec<Tensor>> {
        let mut trace = Vec::new();
        let features = self.blocks(patches, grids, |x| trace.push(x.clone()))?;
        trace.push(features);
        Ok(trace)
    }

    /// The features; `see` is shown the patch embedding and each block's output.
    fn blocks(&self, patches: &Tensor, grids: &[[usize; 3]], mut see: impl FnMut(&Tensor)) -> Result<Tensor> {
        let plan = WindowPlan::new(&self.config, grids)?;
        let (tokens, width) = patches.dims2()?;
        if tokens != plan.patch_positions.len() || width != self.config.patch_dim() {
            let reason = format!(
                "expected [{}, {}] for grids {grids:?}, got [{tokens}, {width}]",
                plan.patch_positions.len(),
                self.config.patch_dim()
            );
            return Err(Error::invalid("image patches", reason));
        }
        let device = patches.device();
        let unit = self.config.spatial_merge_size * self.config.spatial_merge_size;
        let order = plan.patch_index(unit, device)?;
        let rotation = self.rotation(&plan, device)?.select(&order)?;
        let windows = WindowPlan::segments(&plan.window_bounds);
        let images = WindowPlan::segments(&plan.image_bounds);

        let embedded = self.patch_embed.forward(patches)?;
        see(&embedded);
        let mut x = embedded.index_select(&order, 0)?;
        for (i, block) in self.blocks.iter().enumerate() {
            let full = self.config.fullatt_block_indexes.contains(&i);
            x = block.forward(&x, &rotation, if full { &images } else { &windows }, self.config.heads)?;
            see(&x);
        }
        let x = rms_norm(&x, &self.merger_norm, EPS)?.reshape((tokens / unit, unit * self.config.hidden_size))?;
        let x = self.merger_out.forward(&self.merger_in.forward(&x)?.gelu_erf()?)?;
        Ok(x.index_select(&plan.raster_index(device)?, 0)?)
    }

    /// Rows turn the first half of the frequencies, columns the second.
    fn rotation(&self, plan: &WindowPlan, device: &Device) -> Result<Rotation> {
        let half = self.config.hidden_size / self.config.heads / 2;
        let frequencies: Vec<f32> =
            (0..half / 2).map(|i| 1.0 / ROPE_THETA.powf(2.0 * i as f32 / half as f32)).collect();
        let angles: Vec<f32> = plan
            .patch_positions
            .iter()
            .flatten()
            .flat_map(|&position| frequencies.iter().map(move |f| position as f32 * f))
            .collect();
        Ok(Rotation::new(&angles, half, device)?)
    }
}

impl Block {
    fn linears(&self) -> [(&'static str, &Linear); 5] {
        [
            ("attn.qkv", &self.qkv),
            ("attn.proj", &self.proj),
            ("mlp.gate_proj", &self.gate),
            ("mlp.up_proj", &self.up),
            ("mlp.down_proj", &self.down),
        ]
    }

    fn forward(&self, x: &Tensor, rotation: &Rotation, segments: &Arc<[Segment]>, heads: usize) -> Result<Tensor> {
        let (tokens, c) = x.dims2()?;
        let qkv = self.qkv.forward(&rms_norm(x, &self.norm1, EPS)?)?;
        let part = |i: usize| qkv.narrow(1, i * c, c)?.contiguous()?.reshape((tokens, heads, c / heads));
        // A GPU attends in the weights' type.
        let dtype = if x.device().is_cpu() { x.dtype() } else { self.qkv.weight.dtype() };
        let [q, k, v] = [rope(&part(0)?, rotation)?, rope(&part(1)?, rotation)?, part(2)?].map(|t| t.to_dtype(dtype));
        let attended = attention(&q?, &k?, &v?, segments)?.to_dtype(x.dtype())?;
        let x = (x + self.proj.forward(&attended.reshape((tokens, c))?)?)?;
        let h = rms_norm(&x, &self.norm2, EPS)?;
        let h = self.down.forward(&swiglu(&self.gate.forward(&h)?, &self.up.forward(&h)?)?)?;
        Ok((x + h)?)
    }
}
