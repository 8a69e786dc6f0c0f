//! Padded batches against the reference implementation: whichever side the padding is on, a row is what it is alone.

use crate::common::{network::*, padded::Padded};
use addendum_policy::{model::Model, positions::padded_positions};

const BATCHES: [&str; 2] = ["case_d_left", "case_d_right"];

#[test]
fn parity_positions_of_padded_batches() {
    let config = config();
    for name in BATCHES {
        let batch = Padded::load(name);
        let expected = integers(&batch.file["position_ids"]);
        let deltas = integers(&batch.file["rope_deltas"]);
        let images_of_rows = integers(&batch.file["mm_token_type_ids"]);
        let count = batch.ids.len();
        for (row, &wanted_delta) in deltas.iter().enumerate() {
            let (_, grids) = images(&batch.images(row));
            let (ids, mask) = (batch.row(row, &batch.ids), batch.row(row, &batch.mask));
            let merge = config.vision.spatial_merge_size;
            let (positions, delta) = padded_positions(ids, mask, config.image_token_id, &grids, merge).unwrap();
            assert_eq!(delta, wanted_delta, "{name}, row {row}: rope delta");
            let first = row * ids.len();
            for i in (0..ids.len()).filter(|&i| mask[i]) {
                let at = first + i;
                let wanted = [expected[at], expected[count + at], expected[2 * count + at]];
                assert_eq!(positions[i].map(i64::from), wanted, "{name}, row {row}, token {i}");
                assert_eq!(ids[i] == config.image_token_id, images_of_rows[at] == 1, "{name}, row {row}, token {i}");
            }
            assert!((0..ids.len()).all(|i| mask[i] || positions[i] == [0; 3]), "{name}, row {row}: padding");
        }
    }
}

#[test]
fn parity_logits_log_probs_and_entropies_of_padded_batches() {
    let (config, weights) = (config(), weights());
    let model = Model::new(&config, &weights).unwrap();
    for name in BATCHES {
        let batch = Padded::load(name);
        let cases = batch.cases(&config, &model);
        for (row, case) in cases.iter().enumerate() {
            let expected = batch.tokens_of(row, &batch.file["logits"]);
            near(&logits(&model, case, None), &expected, 4e-4, 0.0, &format!("{name}, row {row}"));
        }
        for temperature in [1.0, 0.7] {
            let found = packed(&cases).log_probs(&model.language, None, temperature).unwrap();
            for (key, found) in [("logprobs", found.log_probs), ("entropies", found.entropy)] {
                let key = format!("{key}_t{temperature:.1}");
                let expected = batch.responses_of(&batch.file[&key]);
                near(&floats(&found), &expected, 4e-4, 0.0, &format!("{key} of {name}"));
            }
        }
    }
}
