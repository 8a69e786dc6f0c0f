//! What a report tells of a case: hospitals have habits of what they name, readers overlook and mistake.
//!
//! The result is a case again. Whoever writes the report knows no other, so that nothing in it contradicts what it says.

use rand::{Rng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    case::{self, Case, one_side},
    findings::{Kind, Side},
    world::World,
};

/// `case` as its report tells it.
///
/// Every kind takes the same draws whether it is there or not, so that another probability changes nothing else.
pub fn told(case: &Case, world: &World, rng: &mut ChaCha8Rng) -> Case {
    let mut told = case.clone();
    let lesions = Kind::COMMON.into_iter().filter(|kind| !kind.is_device());
    let omissions = lesions.clone().map(|kind| (kind, world.omitted));
    let tail = Kind::TAIL.into_iter().map(|(kind, _)| (kind, 1. - world.tail_named));
    for (kind, silence) in omissions.chain(tail) {
        let chance: f64 = rng.random();
        if chance < silence && case.current.contains_key(&kind) {
            told.current.remove(&kind);
            if let Some(prior) = &mut told.prior {
                prior.remove(&kind);
            }
        }
    }
    let unknown = |kind: &Kind| {
        !case.current.contains_key(kind) && !case.prior.as_ref().is_some_and(|prior| prior.contains_key(kind))
    };
    let absent: Vec<Kind> = lesions.filter(unknown).collect();
    if rng.random_bool(world.invented)
        && let Some(&kind) = absent.choose(rng)
    {
        let side = one_side(rng);
        let side = if kind.has_side() { side } else { Side::Both };
        told.current.insert(kind, case::finding(kind, side, rng));
    }
    told
}
