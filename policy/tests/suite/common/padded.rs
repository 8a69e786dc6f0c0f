//! Padded batches of the fixtures. Nothing is padded here: a row becomes the case that its mask leaves.

#![allow(dead_code)]

use std::collections::BTreeMap;

use addendum_policy::{Config, model::Model};
use candle_core::Tensor;

use super::network::{Case, floats, image_names, integers, tensors};

/// Rows a, b, c of one file.
pub struct Padded {
    pub file: BTreeMap<String, Tensor>,
    rows: usize,
    columns: usize,
    pub ids: Vec<u32>,
    pub mask: Vec<bool>,
    pub response: Vec<bool>,
}

impl Padded {
    /// A batch of the tiny model's folder.
    pub fn load(name: &str) -> Self {
        Self::of(tensors(&format!("qwen2_5_vl_tiny/{name}.safetensors")), |file| {
            integers(&file["response_mask"]).iter().map(|&m| m == 1).collect()
        })
    }

    /// The batch of the supervised loss, whose labels say what the response is.
    pub fn supervised() -> Self {
        let batch = Self::of(tensors("sft/inputs.safetensors"), |file| {
            integers(&file["labels"]).iter().map(|&label| label != -100).collect()
        });
        let labels = integers(&batch.file["labels"]);
        for (i, &label) in labels.iter().enumerate().filter(|(i, _)| batch.response[*i]) {
            assert_eq!(label, i64::from(batch.ids[i]), "a label is the token in its place");
        }
        batch
    }

    fn of(file: BTreeMap<String, Tensor>, response: impl Fn(&BTreeMap<String, Tensor>) -> Vec<bool>) -> Self {
        let (rows, columns) = file["input_ids"].dims2().unwrap();
        Self {
            rows,
            columns,
            ids: integers(&file["input_ids"]).into_iter().map(|id| id as u32).collect(),
            mask: integers(&file["attention_mask"]).into_iter().map(|m| m == 1).collect(),
            response: response(&file),
            file,
        }
    }

    /// Where the row's own tokens are among all of the batch's.
    pub fn own(&self, row: usize) -> Vec<usize> {
        (row * self.columns..(row + 1) * self.columns).filter(|&i| self.mask[i]).collect()
    }

    pub fn row<'a, T>(&self, row: usize, values: &'a [T]) -> &'a [T] {
        &values[row * self.columns..(row + 1) * self.columns]
    }

    pub fn images(&self, row: usize) -> Vec<String> {
        image_names(["a", "b", "c"][row])
    }

    pub fn cases(&self, config: &Config, model: &Model) -> Vec<Case> {
        (0..self.rows)
            .map(|row| {
                let (response, prompt): (Vec<usize>, Vec<usize>) =
                    self.own(row).into_iter().partition(|&i| self.response[i]);
                assert!(prompt.last() < response.first(), "a response follows its prompt");
                let ids = |at: Vec<usize>| at.into_iter().map(|i| self.ids[i]).collect();
                Case::new(ids(prompt), ids(response), &self.images(row), config, model)
            })
            .collect()
    }

    /// The values of the row's own tokens in `[rows, columns, …]`.
    pub fn tokens_of(&self, row: usize, values: &Tensor) -> Vec<f32> {
        let values = floats(values);
        let width = values.len() / (self.rows * self.columns);
        self.own(row).into_iter().flat_map(|i| values[i * width..(i + 1) * width].to_vec()).collect()
    }

    /// The values of all response tokens in `[rows, columns]`, row by row.
    pub fn responses_of(&self, values: &Tensor) -> Vec<f32> {
        let values = floats(values);
        (0..values.len()).filter(|&i| self.response[i] && self.mask[i]).map(|i| values[i]).collect()
    }
}
