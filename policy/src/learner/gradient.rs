//! Log-probabilities of packed responses, and the adapter's gradient from their gradients.
//!
//! Plainly, the graph of the forward pass is kept until the backward pass. Recomputing (gradient checkpointing, Chen et
//! al. 2016), only the input of every layer is kept: the backward pass goes through the layers from the last to the
//! first, computes each again and multiplies by its Jacobian. Values and gradients are the same to rounding.

use addendum_kernels::{LogProbs, pull};
use candle_core::{Tensor, Var, backprop::GradStore};

use crate::{Adapter, Error, Result, model::Language, optim::Tensors, pack::Packed};

/// The adapter's factors as variables, one for each layer, an adapter made of them, and one with their values.
pub struct Live {
    pub vars: Vec<Var>,
    pub trained: Adapter,
    pub frozen: Adapter,
}

/// A forward pass that can be differentiated once.
pub struct Forward<'a> {
    pub output: LogProbs,
    language: &'a Language,
    packed: &'a Packed,
    live: &'a Live,
    recompute: Option<Recompute>,
}

struct Recompute {
    /// The input of every layer.
    inputs: Vec<Tensor>,
    /// The output of the last.
    last: Var,
}

impl<'a> Forward<'a> {
    pub fn new(
        language: &'a Language,
        packed: &'a Packed,
        live: &'a Live,
        temperature: f64,
        recompute: bool,
    ) -> Result<Self> {
        if !recompute {
            let output = packed.log_probs(language, Some(&live.trained), temperature)?;
            return Ok(Self { output, language, packed, live, recompute: None });
        }
        let mut x = packed.embed(language)?.detach();
        let mut inputs = Vec::with_capacity(language.layers());
        for i in 0..language.layers() {
            let next = packed.layer(language, Some(&live.frozen), i, &x)?.detach();
            inputs.push(x);
            x = next;
        }
        let last = Var::from_tensor(&x)?;
        let output = packed.head_log_probs(language, &language.normalise(&last)?, temperature)?;
        Ok(Self { output, language, packed, live, recompute: Some(Recompute { inputs, last }) })
    }

    /// The gradient of `sum(slope * log_probs)` for the factors of every layer.
    pub fn backward(self, slope: &Tensor) -> Result<Vec<Tensor>> {
        let Self { output, language, packed, live, recompute } = self;
        let store = (output.log_probs * slope)?.sum_all()?.backward()?;
        let Some(Recompute { mut inputs, last }) = recompute else {
            return live.vars.iter().map(|var| gradient(&store, var)).collect();
        };
        let mut above = gradient(&store, &last)?;
        drop((store, last, output.entropy));
        let mut gradients = Vec::with_capacity(inputs.len());
        while let Some(input) = inputs.pop() {
            let layer = inputs.len();
            let x = Var::from_tensor(&input)?;
            let y = packed.layer(language, Some(&live.trained), layer, &x)?;
            let store = pull(&y, above)?.backward()?;
            gradients.push(gradient(&store, &live.vars[layer])?);
            above = gradient(&store, &x)?;
        }
        gradients.reverse();
        Ok(gradients)
    }
}

fn gradient(store: &GradStore, var: &Var) -> Result<Tensor> {
    let gradient = store.get(var.as_tensor()).ok_or_else(|| Error::invalid("a layer", "received no gradient"))?;
    Ok(gradient.detach())
}

/// The gradient of every variable; one that received none is an error, because candle drops gradients silently.
pub fn collect_gradients<'a>(
    store: &GradStore,
    vars: impl IntoIterator<Item = (&'a String, &'a Var)>,
) -> Result<Tensors> {
    vars.into_iter()
        .map(|(name, var)| match store.get(var.as_tensor()) {
            Some(gradient) => Ok((name.clone(), gradient.detach())),
            None => Err(Error::invalid(format!("variable {name}"), "received no gradient")),
        })
        .collect()
}
