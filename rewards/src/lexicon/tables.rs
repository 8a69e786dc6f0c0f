//! All that the lexicon knows: the tables of phrases, one after the other.

use super::{
    body::{BODY, DEVICES},
    concepts::Concept,
    findings::FINDINGS,
};

/// All concepts. Of two with the same phrase the first would count; a test forbids it.
pub(super) fn concepts() -> impl Iterator<Item = &'static Concept> {
    [FINDINGS, DEVICES, BODY].into_iter().flatten()
}
