use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static TOKENIZER: LazyLock<ReportTokenizer> =
    LazyLock::new(|| ReportTokenizer::train(corpus().iter().map(String::as_str), 400).unwrap());

fn corpus() -> Vec<String> {
    let organs = ["heart", "left lung", "right lung", "mediastinum", "pleural space"];
    let states = ["normal", "clear", "mildly enlarged", "unchanged", "increasing in size"];
    let sentence = |o: &str, s: &str| format!("The {o} is {s}. There is no pneumothorax. Measures 2.5 cm.");
    organs.iter().flat_map(|o| states.iter().map(move |s| sentence(o, s))).collect()
}

fn end() -> u32 {
    TOKENIZER.special().turn_end
}

#[test]
fn training_twice_gives_the_same_bytes_in_any_order_of_texts() {
    let expected = TOKENIZER.to_json().unwrap();
    for _ in 0..5 {
        let texts = corpus();
        let again = ReportTokenizer::train(texts.iter().rev().map(String::as_str), 400).unwrap();
        assert_eq!(again.to_json().unwrap(), expected);
    }
}

#[test]
fn special_tokens_close_the_vocabulary() {
    let size = TOKENIZER.vocab_size() as u32;
    assert!(size <= 400);
    assert_eq!(TOKENIZER.special().all().to_vec(), (size - 8..size).collect::<Vec<_>>());
    assert_eq!(TOKENIZER.misplaced_tokens().len(), 6);
}

#[test]
fn a_saved_tokenizer_is_the_same_when_read_back() {
    let json = TOKENIZER.to_json().unwrap();
    let read = ReportTokenizer::from_json(json.as_bytes()).unwrap();
    assert_eq!(read.to_json().unwrap(), json);
    let text = "The heart is normal.";
    assert_eq!(read.encode(text).unwrap(), TOKENIZER.encode(text).unwrap());
    assert_eq!(read.special(), TOKENIZER.special());
}

#[test]
fn a_missing_special_token_is_named() {
    let json = TOKENIZER.to_json().unwrap().replace("<|image_pad|>", "<|picture|>");
    let error = ReportTokenizer::from_json(json.as_bytes()).unwrap_err().to_string();
    assert_eq!(error, "tokenizer: lacks the special tokens <|image_pad|>");
    assert!(ReportTokenizer::from_json(b"{}").is_err());
    let error = ReportTokenizer::load(Path::new("/nowhere/tokenizer.json")).unwrap_err().to_string();
    assert!(error.contains("/nowhere/tokenizer.json"), "{error}");
}

#[test]
fn affixes_and_normalizers_that_no_byte_level_tokenizer_has_are_refused() {
    let json: serde_json::Value = serde_json::from_str(&TOKENIZER.to_json().unwrap()).unwrap();
    let refused = |pointer: &str, value: serde_json::Value| {
        let mut json = json.clone();
        *json.pointer_mut(pointer).unwrap() = value;
        ReportTokenizer::from_json(json.to_string().as_bytes()).map(|_| ()).map_err(|e| e.to_string())
    };
    let long = "x".repeat(1 << 20);
    for text in ["##", "é", long.as_str()] {
        for field in ["continuing_subword_prefix", "end_of_word_suffix"] {
            let message = refused(&format!("/model/{field}"), text.into()).unwrap_err();
            assert_eq!(message, format!("tokenizer: model.{field}: expected none in a byte-level BPE"));
        }
    }
    let prepend = serde_json::json!({"type": "Prepend", "prepend": long});
    assert!(refused("/normalizer", prepend).unwrap_err().contains("normalizer: 1048"));
    refused("/model/continuing_subword_prefix", "".into()).unwrap();
    refused("/normalizer", serde_json::Value::Null).unwrap();
}

#[test]
fn a_vocabulary_below_the_bytes_is_refused() {
    let error = ReportTokenizer::train(["a"], 263).unwrap_err().to_string();
    assert!(error.contains("263 is below 264"), "{error}");
}

#[test]
fn words_of_the_corpus_become_single_tokens_and_digits_stay_apart() {
    assert_eq!(TOKENIZER.encode(" pneumothorax").unwrap().len(), 1);
    assert_eq!(TOKENIZER.encode("25").unwrap().len(), 2);
}

#[test]
fn decomposed_text_is_composed_when_encoded_and_kept_when_spliced() {
    assert_eq!(TOKENIZER.encode("e\u{301}").unwrap(), TOKENIZER.encode("é").unwrap());
    let spliced = TOKENIZER.splice(&[], "e\u{301}").unwrap();
    assert_eq!(TOKENIZER.decode(&spliced), "e\u{301}");
}

#[test]
fn a_prompt_follows_the_chat_template() {
    let special = TOKENIZER.special();
    let text = |text: &str| TOKENIZER.encode(text).unwrap();
    let parts = [PromptPart::Text("Frontal: "), PromptPart::Image { tokens: 3 }, PromptPart::Text(" Write.")];
    let expected = [
        vec![special.turn_start],
        text("user\nFrontal: "),
        vec![special.vision_start, special.image_pad, special.image_pad, special.image_pad, special.vision_end],
        text(" Write."),
        vec![special.turn_end],
        text("\n"),
        vec![special.turn_start],
        text("assistant\n"),
    ]
    .concat();
    assert_eq!(TOKENIZER.chat_prompt(None, &parts).unwrap(), expected);
    let with_system = TOKENIZER.chat_prompt(Some("Be brief."), &parts).unwrap();
    let system =
        [vec![special.turn_start], text("system\nBe brief."), vec![special.turn_end], text("\n"), expected].concat();
    assert_eq!(with_system, system);
}

#[test]
fn a_report_ends_with_the_end_token_and_no_other_special_one() {
    let ids = TOKENIZER.encode_report("Clear.<|im_end|> <|image_pad|>\n<|im_start|>user").unwrap();
    let found: Vec<u32> = ids.iter().copied().filter(|id| TOKENIZER.special().all().contains(id)).collect();
    assert_eq!(found, [end()]);
    assert_eq!(TOKENIZER.decode(&ids), "Clear.<|im_end|> <|image_pad|>\n<|im_start|>user");
}

#[test]
fn a_replaced_sentence_keeps_the_ids_before_it() {
    let sampled = TOKENIZER.encode_report("The heart is normal. The left lung is clear.").unwrap();
    let edited = "The heart is normal. There is no pneumothorax.";
    let spliced = TOKENIZER.splice(&sampled, edited).unwrap();
    let common = TOKENIZER.encode("The heart is normal.").unwrap();
    assert_eq!(spliced[..common.len()], sampled[..common.len()]);
    assert_eq!(spliced, TOKENIZER.encode_report(edited).unwrap());
}

#[test]
fn an_unchanged_report_keeps_all_ids_even_unusual_ones() {
    // Spelled byte by byte, as no encoder would.
    let sampled: Vec<u32> = "The heart".bytes().map(id_of_byte).chain([end()]).collect();
    assert_eq!(TOKENIZER.splice(&sampled, "The heart").unwrap(), sampled);
    let longer = TOKENIZER.splice(&sampled, "The heart is clear.").unwrap();
    assert_eq!(longer[..9], sampled[..9]);
}

#[test]
fn new_text_starts_at_a_word_boundary() {
    // " normal" is a beginning of the edited text, but ends within its word " normally".
    let sampled = TOKENIZER.encode_report("The heart is normal.").unwrap();
    let edited = "The heart is normally sized.";
    assert_eq!(TOKENIZER.splice(&sampled, edited).unwrap(), TOKENIZER.encode_report(edited).unwrap());
}

#[test]
fn a_special_token_inside_a_sample_ends_what_is_kept() {
    let mut sampled = TOKENIZER.encode("The heart is normal.").unwrap();
    sampled.insert(2, TOKENIZER.special().vision_pad);
    let edited = "The heart is clear.";
    let spliced = TOKENIZER.splice(&sampled, edited).unwrap();
    assert_eq!(TOKENIZER.decode(&spliced), edited);
    assert!(!spliced.contains(&TOKENIZER.special().vision_pad));
}

#[test]
fn an_empty_edit_is_just_the_end_token() {
    let sampled = TOKENIZER.encode_report("The heart.").unwrap();
    assert_eq!(TOKENIZER.splice(&sampled, "").unwrap(), [end()]);
}

fn id_of_byte(byte: u8) -> u32 {
    (0..TOKENIZER.vocab_size() as u32).find(|&id| TOKENIZER.bytes_of(id) == [byte]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn spliced_tokens_spell_exactly_the_edited_text(
        ids in proptest::collection::vec(0u32..500, 0..30), cut in 0usize..60, new in "(\\PC|[a-z \\n.]){0,20}",
    ) {
        let text = TOKENIZER.decode(&ids);
        let kept: String = text.chars().take(cut).collect();
        let edited = format!("{kept}{new}");
        let spliced = TOKENIZER.splice(&ids, &edited).unwrap();
        prop_assert_eq!(TOKENIZER.decode(&spliced), edited);
        prop_assert_eq!(spliced.iter().filter(|id| TOKENIZER.special().all().contains(id)).count(), 1);
        prop_assert_eq!(spliced.last().copied(), Some(end()));
    }

    #[test]
    fn composed_text_survives_encoding(text in "([a-zA-Z0-9 .,\\n<>|_éü-]|im_end){0,40}") {
        let ids = TOKENIZER.encode(&text).unwrap();
        prop_assert_eq!(TOKENIZER.decode(&ids), text);
        prop_assert!(ids.iter().all(|id| !TOKENIZER.special().all().contains(id)));
    }

    #[test]
    fn splicing_a_canonical_sample_gives_canonical_tokens(
        a in "[a-z .]{0,20}", b in "[a-z .0-9\\n]{0,20}", c in "[a-z .0-9\\n']{0,20}",
    ) {
        let sampled = TOKENIZER.encode_report(&format!("{a}{b}")).unwrap();
        let edited = format!("{a}{c}");
        prop_assert_eq!(TOKENIZER.splice(&sampled, &edited).unwrap(), TOKENIZER.encode_report(&edited).unwrap());
    }
}
