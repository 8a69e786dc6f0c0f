//! Labels of tokens to spans of tokens, in the two ways that the reference has.
//!
//! Both see the tokens between start and end token; the score's way also looks at the end token's label.

use std::ops::RangeInclusive;

use addendum_rewards::EntityType;

/// The label of a token in the B-I-O scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Outside,
    Begin(EntityType),
    Inside(EntityType),
    /// An entity without a part, or of one token; only the editor's way knows it.
    Whole(EntityType),
}

impl Tag {
    /// Reads `O`, `B-ANATOMY`, `I-NON-DISEASE`, `S-DISEASE`, `DISEASE` and the like.
    pub(super) fn parse(label: &str) -> Option<Self> {
        let kind = |name: &str| match name {
            "ANATOMY" => Some(EntityType::Anatomy),
            "ABNORMALITY" => Some(EntityType::Abnormality),
            "DISEASE" => Some(EntityType::Disease),
            "NON-ABNORMALITY" => Some(EntityType::NonAbnormality),
            "NON-DISEASE" => Some(EntityType::NonDisease),
            _ => None,
        };
        match label.split_once('-') {
            _ if label == "O" => Some(Self::Outside),
            Some(("B", name)) => kind(name).map(Self::Begin),
            Some(("I", name)) => kind(name).map(Self::Inside),
            Some(("S", name)) => kind(name).map(Self::Whole),
            _ => kind(label).map(Self::Whole),
        }
    }
}

/// Tokens of an entity and its type.
pub(super) type Span = (RangeInclusive<usize>, EntityType);

/// The published score's way, quirks included.
///
/// A span takes the type of its first token whatever follows. One that reaches the end token only because that is
/// itself labelled inside an entity is kept if no span ended directly before a beginning since the last outside
/// label, and forgotten otherwise. A span never starts inside.
pub(super) fn for_score(tags: &[Tag]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut open: Option<(usize, EntityType)> = None;
    // The reference leaves its end marker set after a span that another one follows at once.
    let mut marked = false;
    let last = tags.len().saturating_sub(1);
    for i in 1..last {
        let next = tags[i + 1];
        let span = match (tags[i], next) {
            (Tag::Begin(kind), Tag::Inside(_)) => {
                open = Some((i, kind));
                continue;
            }
            (Tag::Begin(kind), Tag::Begin(_) | Tag::Outside) => Some((i..=i, kind)),
            (Tag::Inside(_), Tag::Begin(_) | Tag::Outside) => open.map(|(start, kind)| (start..=i, kind)),
            _ => continue,
        };
        spans.extend(span);
        marked = next != Tag::Outside;
        if !marked {
            open = None;
        }
    }
    if let (Some((start, kind)), false) = (open, marked) {
        spans.push((start..=last - 1, kind));
    }
    spans
}

/// The editor's way: a span goes on as long as the tokens are inside an entity of its own type.
pub(super) fn for_editing(tags: &[Tag]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut open = false;
    for (i, &tag) in tags.iter().enumerate().take(tags.len().saturating_sub(1)).skip(1) {
        match (tag, spans.last_mut()) {
            (Tag::Begin(kind) | Tag::Whole(kind), _) => {
                spans.push((i..=i, kind));
                open = true;
            }
            (Tag::Inside(kind), Some((span, of))) if open && kind == *of => *span = *span.start()..=i,
            _ => open = false,
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use addendum_fixtures::fixture;

    #[derive(Deserialize)]
    struct Case {
        name: String,
        tokens: Vec<String>,
        labels: Vec<String>,
        ratescore_post_process: Option<Vec<(String, EntityType)>>,
        extractor_decode: Option<Vec<(String, EntityType)>>,
    }

    #[test]
    fn parity_spans_of_labels_in_both_ways() {
        let cases: Vec<Case> = serde_json::from_slice(&fixture("rewards/rate/span_decoding.json")).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            // The reference's batch has labels for its padding too, which it never looks at.
            let labels = &case.labels[..case.tokens.len()];
            let tags: Vec<Tag> = labels.iter().map(|label| Tag::parse(label).unwrap()).collect();
            let words = |spans: Vec<Span>| -> Vec<(String, EntityType)> {
                spans.into_iter().map(|(span, kind)| (case.tokens[span].join("|"), kind)).collect()
            };
            if let Some(expected) = &case.ratescore_post_process {
                assert_eq!(&words(for_score(&tags)), expected, "{}", case.name);
            }
            if let Some(expected) = &case.extractor_decode {
                assert_eq!(&words(for_editing(&tags)), expected, "{}", case.name);
            }
        }
    }

    #[test]
    fn sequences_without_words_have_no_spans() {
        let inside = Tag::Inside(EntityType::Anatomy);
        for tags in [&[][..], &[inside], &[inside, inside]] {
            assert!(for_score(tags).is_empty() && for_editing(tags).is_empty());
        }
    }
}
