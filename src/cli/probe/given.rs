//! The group that a probe is given.

use std::{collections::BTreeMap, path::Path};

use addendum::policy::{Config, checkpoint::parse, pack::PromptTokens};
use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};

/// A prompt with responses of one length, and their rewards.
pub struct Given {
    pub tokens: PromptTokens,
    /// Patches `[patches, patch_dim]` with the images' (t, h, w) in patches.
    pub images: Option<(Tensor, Vec<[usize; 3]>)>,
    pub responses: Vec<Vec<u32>>,
    pub rewards: Vec<f64>,
}

impl Given {
    /// # Errors
    /// By file and tensor: what is missing, or is not what a group of this model consists of.
    pub fn read(path: &Path, config: &Config) -> Result<Self> {
        let name = || path.display().to_string();
        let bytes = std::fs::read(path).with_context(|| format!("{}: cannot be read", name()))?;
        let tensors = parse(&bytes, &Device::Cpu).with_context(name)?;
        Self::of(&tensors, config).with_context(name)
    }

    fn of(tensors: &BTreeMap<String, Tensor>, config: &Config) -> Result<Self> {
        let ids = numbers(tensors, "prompt", ["P"], config.text.vocab_size)?;
        let [count, length] = shape(tensors, "responses", ["G", "T"], DType::I64)?;
        ensure!(count > 0 && length > 0, "responses: [{count}, {length}], expected at least one token");
        let responses = numbers(tensors, "responses", ["G", "T"], config.text.vocab_size)?;
        let [rewarded] = shape(tensors, "rewards", ["G"], DType::F32)?;
        ensure!(rewarded == count, "rewards: of {rewarded} responses, expected {count}");
        let rewards = tensors["rewards"].to_dtype(DType::F64)?.to_vec1()?;

        let merge = config.vision.spatial_merge_size;
        let images = images(tensors, config)?;
        let grids = images.as_ref().map_or(&[][..], |(_, grids)| grids);
        Ok(Self {
            tokens: PromptTokens::new(ids, config.image_token_id, grids, merge)?,
            images,
            responses: responses.chunks(length).map(<[u32]>::to_vec).collect(),
            rewards,
        })
    }
}

fn images(tensors: &BTreeMap<String, Tensor>, config: &Config) -> Result<Option<(Tensor, Vec<[usize; 3]>)>> {
    let names = ["pixel_values", "image_grid_thw"];
    match names.map(|name| tensors.contains_key(name)) {
        [false, false] => return Ok(None),
        [true, true] => (),
        [first, _] => {
            let (one, other) = if first { (names[0], names[1]) } else { (names[1], names[0]) };
            bail!("{other}: missing, expected beside {one}");
        }
    }
    let [patches, width] = shape(tensors, names[0], ["patches", "patch_dim"], DType::F32)?;
    let expected = config.vision.patch_dim();
    ensure!(width == expected, "{}: {width} values of a patch, expected {expected}", names[0]);
    let [_, axes] = shape(tensors, names[1], ["images", "3"], DType::I64)?;
    ensure!(axes == 3, "{}: {axes} numbers of an image, expected 3", names[1]);
    let grids = numbers(tensors, names[1], ["images", "3"], usize::MAX)?;
    let grids: Vec<[usize; 3]> = grids.chunks(3).map(|grid| [grid[0], grid[1], grid[2]].map(|n| n as usize)).collect();
    let merge = config.vision.spatial_merge_size;
    let whole = |&[t, h, w]: &[usize; 3]| t * h * w > 0 && h % merge == 0 && w % merge == 0;
    if let Some(odd) = grids.iter().find(|grid| !whole(grid)) {
        bail!("{}: {odd:?}, expected heights and widths of whole merged patches ({merge} x {merge})", names[1]);
    }
    let sum: usize = grids.iter().map(|grid| grid.iter().product::<usize>()).sum();
    ensure!(patches == sum, "{}: {patches} patches, expected {sum}, as {} says", names[0], names[1]);
    Ok(Some((tensors[names[0]].clone(), grids)))
}

/// The sizes of a tensor of as many axes as have names here.
fn shape<const N: usize>(
    tensors: &BTreeMap<String, Tensor>,
    name: &str,
    axes: [&str; N],
    dtype: DType,
) -> Result<[usize; N]> {
    let expected = || format!("expected {dtype:?} [{}]", axes.join(", "));
    let tensor = tensors.get(name).with_context(|| format!("{name}: missing, {}", expected()))?;
    match <[usize; N]>::try_from(tensor.dims()) {
        Ok(sizes) if tensor.dtype() == dtype => Ok(sizes),
        _ => bail!("{name}: {:?} {:?}, {}", tensor.dtype(), tensor.dims(), expected()),
    }
}

/// The values of a tensor of whole numbers from 0 to below `end`, row by row.
fn numbers<const N: usize>(
    tensors: &BTreeMap<String, Tensor>,
    name: &str,
    axes: [&str; N],
    end: usize,
) -> Result<Vec<u32>> {
    shape(tensors, name, axes, DType::I64)?;
    let values: Vec<i64> = tensors[name].flatten_all()?.to_vec1()?;
    let number = |&value: &i64| u32::try_from(value).ok().filter(|&value| (value as usize) < end);
    values
        .iter()
        .map(|value| number(value).with_context(|| format!("{name}: {value}, expected at least 0 and below {end}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let mut config = Config::tiny(100);
        config.image_token_id = 99;
        config
    }

    fn given() -> BTreeMap<String, Tensor> {
        let new = |values: &[i64], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
        let patches = Tensor::zeros((16, config().vision.patch_dim()), DType::F32, &Device::Cpu).unwrap();
        BTreeMap::from([
            ("prompt".into(), new(&[5, 99, 99, 99, 99, 6], &[6])),
            ("responses".into(), new(&[1, 2, 3, 4, 5, 6], &[2, 3])),
            ("rewards".into(), Tensor::new(&[0.5f32, -1.0], &Device::Cpu).unwrap()),
            ("pixel_values".into(), patches),
            ("image_grid_thw".into(), new(&[1, 4, 4], &[1, 3])),
        ])
    }

    #[test]
    fn a_group_is_read_as_it_lies_in_the_file() {
        let group = Given::of(&given(), &config()).unwrap();
        assert_eq!((group.tokens.ids.len(), &group.tokens.image_at[..]), (6, &[1, 2, 3, 4][..]));
        assert_eq!(group.responses, [[1, 2, 3], [4, 5, 6]]);
        assert_eq!(group.rewards, [0.5, -1.0]);
        assert_eq!(group.images.unwrap().1, [[1, 4, 4]]);
    }

    #[test]
    fn what_is_no_group_is_refused_by_tensor_with_what_was_expected() {
        let refused = |name: &str, tensor: Option<Tensor>| {
            let mut tensors = given();
            tensors.remove(name);
            tensors.extend(tensor.map(|tensor| (name.into(), tensor)));
            format!("{:#}", Given::of(&tensors, &config()).err().unwrap())
        };
        let new = |values: &[i64], shape: &[usize]| Some(Tensor::from_slice(values, shape, &Device::Cpu).unwrap());
        let floats = |shape: (usize, usize)| Some(Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap());
        for (message, expected) in [
            (refused("prompt", None), "prompt: missing, expected I64 [P]"),
            (refused("prompt", floats((1, 2))), "prompt: F32 [1, 2], expected I64 [P]"),
            (refused("prompt", new(&[100], &[1])), "prompt: 100, expected at least 0 and below 100"),
            (refused("responses", new(&[-1], &[1, 1])), "responses: -1, expected at least 0"),
            (refused("responses", new(&[], &[2, 0])), "responses: [2, 0], expected at least one token"),
            (refused("responses", new(&[1, 2], &[1, 2])), "rewards: of 2 responses, expected 1"),
            (refused("pixel_values", None), "pixel_values: missing, expected beside image_grid_thw"),
            (refused("image_grid_thw", None), "image_grid_thw: missing, expected beside pixel_values"),
            (refused("image_grid_thw", new(&[1, 3, 4], &[1, 3])), "image_grid_thw: [1, 3, 4], expected heights"),
            (refused("image_grid_thw", new(&[1, 4, 8], &[1, 3])), "pixel_values: 16 patches, expected 32"),
            (refused("prompt", new(&[5, 99, 6], &[3])), "an image of 1 x 4 x 4 patches needs 4 image tokens"),
        ] {
            assert!(message.contains(expected), "{message:?} lacks {expected:?}");
        }
    }
}
