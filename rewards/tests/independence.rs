//! What the neural back ends say of a text has the same bits whatever else they read with it.

use std::path::{Path, PathBuf};

use addendum_rewards::{
    Entity, EntityExtractor, GraphExtractor, Labeller,
    neural::{Chexbert, Radgraph, RateExtractor, RateModels},
};
use candle_core::Device;
use proptest::{prelude::*, test_runner::TestRunner};

const TEXTS: [&str; 9] = [
    "Edema.",
    "No.",
    "No pleural effusion or pneumothorax.",
    "Small right pleural effusion.",
    "The heart is mildly enlarged, and the mediastinal contours are unchanged since the prior examination.",
    "Right lower lobe opacity may represent pneumonia.",
    "The tip of the endotracheal tube is 4.2 cm above the carina.",
    "Lungs are clear. Heart size is normal. No acute osseous abnormality. No effusion.",
    "正常 🫁 Ünbekannt",
];

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/rewards").join(path)
}

/// Text, kind and the bits of the embedding.
type Bits = Vec<(String, String, Vec<u32>)>;

fn entities(extractor: &RateExtractor, texts: &[&str]) -> Vec<Bits> {
    let bits =
        |e: &Entity| (e.text.clone(), format!("{:?}", e.kind), e.embedding.iter().map(|x| x.to_bits()).collect());
    extractor.extract(texts).unwrap().iter().map(|entities| entities.iter().map(bits).collect()).collect()
}

#[test]
fn a_text_reads_the_same_alone_and_among_others() {
    let rate = RateModels::load(&fixture("rate/ner"), &fixture("rate/embedder"), &Device::Cpu).unwrap();
    let extractors = [rate.for_score(), rate.for_editing()];
    let chexbert = Chexbert::load(&fixture("chexbert/chexbert.pth"), &fixture("chexbert"), &Device::Cpu).unwrap();
    let archive = fixture("radgraph/xl/radgraph-xl.tar.gz");
    let radgraph = Radgraph::load(&archive, &fixture("radgraph/xl/bert"), &Device::Cpu).unwrap();
    let alone = |text: &&str| {
        let entities = extractors.each_ref().map(|extractor| entities(extractor, &[text]).remove(0));
        (entities, chexbert.label(&[text]).unwrap()[0], radgraph.graph(&[text]).unwrap().remove(0))
    };
    let expected: Vec<_> = TEXTS.iter().map(alone).collect();
    assert!(expected.iter().any(|(entities, ..)| !entities[0].is_empty()));
    let lists = prop::collection::vec(0..TEXTS.len(), 1..30);
    let outcome = TestRunner::new(ProptestConfig::with_cases(24)).run(&lists, |picks| {
        let texts: Vec<&str> = picks.iter().map(|&i| TEXTS[i]).collect();
        let together = extractors.each_ref().map(|extractor| entities(extractor, &texts));
        let (labels, graphs) = (chexbert.label(&texts).unwrap(), radgraph.graph(&texts).unwrap());
        for (at, &i) in picks.iter().enumerate() {
            prop_assert_eq!([&together[0][at], &together[1][at]], expected[i].0.each_ref());
            prop_assert_eq!(&labels[at], &expected[i].1);
            prop_assert_eq!(&graphs[at], &expected[i].2);
        }
        Ok(())
    });
    outcome.unwrap();
}
