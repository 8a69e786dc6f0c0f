//! Version 2's additions to a patient's story: the long tail, and how well each finding shows.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{
    case::{Case, one_side},
    findings::{Finding, Findings, Kind, Side},
    world::World,
};

/// Devices are metal.
const FAINTEST_DEVICE: f64 = 0.4;
const FAINTEST_TAIL: f64 = 0.3;

/// Adds rare findings, each independent of all others. They are old: the comparison study shows them too.
///
/// Every kind takes the same draws whether it comes or not, so that another rate changes nothing else.
pub fn add_tail(case: &mut Case, world: &World, rng: &mut ChaCha8Rng) {
    for (rank, (kind, _)) in Kind::TAIL.into_iter().enumerate() {
        let (chance, side): (f64, Side) = (rng.random(), one_side(rng));
        if chance < world.tail_rate(rank, Kind::TAIL.len()) {
            let side = if kind.has_side() { side } else { Side::Both };
            let finding = Finding { side, zone: None, degree: None, contrast: 1. };
            case.current.insert(kind, finding);
            if let Some(prior) = &mut case.prior {
                prior.insert(kind, finding);
            }
        }
    }
}

/// The least and the greatest contrast of a kind.
pub fn contrasts(kind: Kind, world: &World) -> (f64, f64) {
    let floor = match kind.tail_words() {
        Some(_) => FAINTEST_TAIL,
        None if kind.is_device() => FAINTEST_DEVICE,
        None => 0.,
    };
    let [least, greatest] = world.visibility;
    (least.max(floor), greatest.max(floor))
}

/// Gives each kind of finding its contrast, the same on all views.
pub fn shade(case: &mut Case, world: &World, rng: &mut ChaCha8Rng) {
    for kind in Kind::all() {
        let share: f64 = rng.random();
        let (least, greatest) = contrasts(kind, world);
        let give = |findings: &mut Findings| {
            if let Some(finding) = findings.get_mut(&kind) {
                finding.contrast = (least + (greatest - least) * share) as f32;
            }
        };
        std::iter::once(&mut case.current).chain(&mut case.prior).for_each(give);
    }
}
