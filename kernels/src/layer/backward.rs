//! The backward pass of a decoder layer on a CPU. What is cheap is computed again: norms, activations, low ranks.

use rayon::prelude::*;

use super::forward::{Frozen, Kept, Scratch, blocks, normalise_all, sized};
use crate::{
    attention::{Heads, Segment, attend_backward},
    norm::denormalise,
    rope::Angles,
    swiglu::gradients as swiglu_gradients,
    threads::{serially, threads},
    vector::{exp, vectorised},
    views::{Mat, MatMut},
};

/// Tokens whose gradients are formed at the same time. Products with transposed weights order them afresh for every
/// block, so it is a larger one than in the forward pass.
pub const BACKWARD_BLOCK: usize = 768;

/// Buffers of a thread.
#[derive(Default)]
struct Gradients {
    forward: Scratch,
    activated: Vec<f32>,
    gate_up: Vec<f32>,
    hidden: Vec<f32>,
}

impl Frozen<'_> {
    /// The gradients of the input, if asked for, and of all factors, from that of the output, `grad` `[tokens, hidden]`.
    pub fn backward(
        &self,
        x: &[f32],
        grad: &[f32],
        kept: Kept,
        segments: &[Segment],
        of_input: bool,
    ) -> (Option<Vec<f32>>, Vec<f32>) {
        let tokens = x.len() / self.hidden();
        let mut dflat = vec![0f32; self.factors];
        let (dmiddle, dattended) = self.after_attention(grad, &kept, tokens, &mut dflat);
        let dqkv = self.through_attention(&kept, segments, &dattended, tokens);
        drop((kept, dattended));
        let dx = self.before_attention(x, dmiddle, &dqkv, tokens, of_input, &mut dflat);
        (dx, dflat)
    }

    /// The gradients of the hidden states between attention and MLP, and of what attention gives.
    fn after_attention(&self, grad: &[f32], kept: &Kept, tokens: usize, dflat: &mut [f32]) -> (Vec<f32>, Vec<f32>) {
        let (hidden, wide, heads) = (self.hidden(), self.down.inputs(), self.o.inputs());
        let mut dmiddle = grad.to_vec();
        let mut dattended = vec![0f32; tokens * heads];
        let blocks = blocks(tokens, BACKWARD_BLOCK);
        let of_middle = MatMut::new(&mut dmiddle, tokens, hidden).bands(blocks.iter().cloned());
        let of_attended = MatMut::new(&mut dattended, tokens, heads).bands(blocks.iter().cloned());
        let tasks = blocks.iter().cloned().zip(of_middle.zip(of_attended)).collect();
        self.sum(tasks, dflat, |(block, (mut dmiddle, dattended)), dflat, scratch| {
            let rows = block.len();
            let of = |width: usize| block.start * width..block.end * width;
            let (gate_up, middle) = (&kept.gate_up[of(2 * wide)], &kept.middle[of(hidden)]);
            let g = Mat::new(&grad[of(hidden)], rows, hidden);

            // The gates' sigmoids wait where the gradients of the gates will be.
            let activated = sized(&mut scratch.activated, rows * wide);
            let dgate_up = sized(&mut scratch.gate_up, rows * 2 * wide);
            vectorised(|| {
                let rows = gate_up.chunks_exact(2 * wide).zip(dgate_up.chunks_exact_mut(2 * wide));
                for ((row, to), y) in rows.zip(activated.chunks_exact_mut(wide)) {
                    let (gate, up) = row.split_at(wide);
                    for ((sigmoid, y), (&gate, &up)) in to.iter_mut().zip(y).zip(gate.iter().zip(up)) {
                        *sigmoid = 1.0 / (1.0 + exp(-gate));
                        *y = gate * *sigmoid * up;
                    }
                }
            });
            let low = &mut scratch.forward.low;
            let dactivated = sized(&mut scratch.forward.activated, rows * wide);
            let dst = MatMut::new(dactivated, rows, wide);
            self.down.backward(Some(dst), g, Mat::new(activated, rows, wide), dflat, low);

            vectorised(|| {
                let rows = gate_up.chunks_exact(2 * wide).zip(dactivated.chunks_exact(wide));
                for ((row, d), to) in rows.zip(dgate_up.chunks_exact_mut(2 * wide)) {
                    let (dgate, dup) = to.split_at_mut(wide);
                    let inputs = row[..wide].iter().zip(&row[wide..]).zip(d);
                    for ((dgate, dup), ((&gate, &up), &d)) in dgate.iter_mut().zip(dup).zip(inputs) {
                        (*dgate, *dup) = swiglu_gradients(gate, up, *dgate, d);
                    }
                }
            });
            let h = sized(&mut scratch.forward.hidden, rows * hidden);
            normalise_all(middle, self.post_norm, self.eps, h);
            let dh = sized(&mut scratch.hidden, rows * hidden);
            let g = Mat::new(dgate_up, rows, 2 * wide);
            self.gate_up.backward(Some(MatMut::new(dh, rows, hidden)), g, Mat::new(h, rows, hidden), dflat, low);
            self.add_through_norm(dmiddle.reborrow(), dh, middle, self.post_norm);

            // The same rows, to be read.
            let g = sized(&mut scratch.forward.hidden, rows * hidden);
            (0..rows).zip(g.chunks_exact_mut(hidden)).for_each(|(i, g)| g.copy_from_slice(dmiddle.row(i)));
            let attended = Mat::new(&kept.attended[of(heads)], rows, heads);
            self.o.backward(Some(dattended), Mat::new(g, rows, hidden), attended, dflat, low);
        });
        (dmiddle, dattended)
    }

    /// The gradient of queries, keys and values before their rotation.
    fn through_attention(&self, kept: &Kept, segments: &[Segment], dattended: &[f32], tokens: usize) -> Vec<f32> {
        let (d, width) = (&self.dims, self.qkv.outputs());
        let mut dqkv = vec![0f32; tokens * width];
        let mut columns = MatMut::new(&mut dqkv, tokens, width);
        let dq = columns.take_columns(d.heads * d.dim);
        let dk = columns.take_columns(d.kv_heads * d.dim);
        let of = |data| Heads { data, stride: d.heads * d.dim, dim: d.dim };
        let (output, grad) = (of(kept.attended.as_slice()), of(dattended));
        attend_backward(d, segments, self.inputs(&kept.qkv), output, grad, [dq, dk, columns]);
        let back = Angles { sign: -1.0, ..self.angles };
        let rotated = (d.heads + d.kv_heads) * d.dim;
        vectorised(|| {
            for (token, row) in dqkv.chunks_exact_mut(width).enumerate() {
                back.rotate(token, &mut row[..rotated], d.dim);
            }
        });
        dqkv
    }

    /// The gradient of the input, if asked for.
    fn before_attention(
        &self,
        x: &[f32],
        mut dx: Vec<f32>,
        dqkv: &[f32],
        tokens: usize,
        of_input: bool,
        dflat: &mut [f32],
    ) -> Option<Vec<f32>> {
        let (hidden, width) = (self.hidden(), self.qkv.outputs());
        let blocks = blocks(tokens, BACKWARD_BLOCK);
        let bands = MatMut::new(&mut dx, tokens, hidden).bands(blocks.iter().cloned());
        self.sum(blocks.iter().cloned().zip(bands).collect(), dflat, |(block, dx), dflat, scratch| {
            let rows = block.len();
            let x = &x[block.start * hidden..block.end * hidden];
            let g = Mat::new(&dqkv[block.start * width..block.end * width], rows, width);
            let h = sized(&mut scratch.forward.hidden, rows * hidden);
            normalise_all(x, self.input_norm, self.eps, h);
            let (h, low) = (Mat::new(h, rows, hidden), &mut scratch.forward.low);
            if !of_input {
                return self.qkv.backward(None, g, h, dflat, low);
            }
            let dh = sized(&mut scratch.hidden, rows * hidden);
            self.qkv.backward(Some(MatMut::new(dh, rows, hidden)), g, h, dflat, low);
            self.add_through_norm(dx, dh, x, self.input_norm);
        });
        of_input.then_some(dx)
    }

    /// Adds to `dx` the gradient `dh` of normalised rows, taken back through the norm of `x`.
    fn add_through_norm(&self, mut dx: MatMut, dh: &mut [f32], x: &[f32], weight: &[f32]) {
        let hidden = self.hidden();
        vectorised(|| {
            for (i, (x, dh)) in x.chunks_exact(hidden).zip(dh.chunks_exact_mut(hidden)).enumerate() {
                denormalise(x, weight, self.eps, dh);
                dx.row(i).iter_mut().zip(dh).for_each(|(dx, dh)| *dx += *dh);
            }
        });
    }

    /// Runs `f` for every task, and adds up what each makes of the factors' gradients, in order.
    fn sum<T: Send>(&self, tasks: Vec<T>, dflat: &mut [f32], f: impl Fn(T, &mut [f32], &mut Gradients) + Sync) {
        let factors = dflat.len();
        let part = |task: T, scratch: &mut Gradients| {
            let mut own = vec![0f32; factors];
            f(task, &mut own, scratch);
            own
        };
        let parts: Vec<Vec<f32>> = if threads() > 1 && tasks.len() > 1 {
            let tasks = tasks.into_par_iter();
            tasks.map_init(Gradients::default, |scratch, task| serially(|| part(task, scratch))).collect()
        } else {
            let mut scratch = Gradients::default();
            tasks.into_iter().map(|task| part(task, &mut scratch)).collect()
        };
        for part in parts {
            vectorised(|| dflat.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part));
        }
    }
}
