//! Which study a ticket draws: a seeded shuffle of the training set per epoch, and any study at all when its place is
//! drawn again.

use std::sync::Arc;

use rand::{Rng, seq::SliceRandom};

use crate::{Drawn, Plan, Stream, TicketId, stream};

/// The order of studies; depends on the seed and the number of studies only, or on the plan that is followed.
#[derive(Debug)]
pub struct StudyOrder {
    seed: u64,
    studies: usize,
    plan: Option<Arc<Plan>>,
    /// The shuffles of the last two epochs asked for: retries reach back at most a few steps.
    recent: [Option<Epoch>; 2],
}

#[derive(Debug)]
struct Epoch {
    number: u64,
    order: Vec<usize>,
}

impl StudyOrder {
    /// `studies` must be at least one.
    pub fn new(seed: u64, studies: usize) -> Self {
        Self { seed, studies: studies.max(1), plan: None, recent: [None, None] }
    }

    /// The order of a run that trains on what an earlier one did.
    #[must_use]
    pub fn following(self, plan: Arc<Plan>) -> Self {
        Self { plan: Some(plan), ..self }
    }

    /// Whether a plan is followed.
    pub(crate) fn is_planned(&self) -> bool {
        self.plan.is_some()
    }

    /// What a ticket draws. A planned place has one draw, the one that was trained on.
    pub(crate) fn drawn(&mut self, ticket: TicketId, draw: u32) -> Drawn {
        let planned = self.plan.as_ref().and_then(|plan| plan.place(ticket));
        planned.unwrap_or_else(|| Drawn { ticket, draw, study: self.study_of(ticket, draw) })
    }

    /// The index of the study of a ticket's `draw`, counted from zero. The first draws of an epoch visit every study
    /// once; a later one takes any study, by a stream of (seed, ticket, draw) alone.
    pub fn study_of(&mut self, ticket: TicketId, draw: u32) -> usize {
        if let Some(planned) = self.plan.as_ref().and_then(|plan| plan.place(ticket)) {
            return planned.study;
        }
        if draw > 0 {
            return stream(self.seed, Stream::Redraw, ticket.0, draw.into()).random_range(0..self.studies);
        }
        let studies = self.studies as u64;
        let (number, position) = (ticket.0 / studies, (ticket.0 % studies) as usize);
        self.epoch(number).order[position]
    }

    fn epoch(&mut self, number: u64) -> &Epoch {
        if self.recent[1].as_ref().is_some_and(|epoch| epoch.number == number) {
            self.recent.swap(0, 1);
        }
        let (seed, studies) = (self.seed, self.studies);
        if self.recent[0].as_ref().is_some_and(|epoch| epoch.number != number) {
            self.recent.swap(0, 1);
            self.recent[0] = None;
        }
        self.recent[0].get_or_insert_with(|| {
            let mut order: Vec<usize> = (0..studies).collect();
            order.shuffle(&mut stream(seed, Stream::Shuffle, number, 0));
            Epoch { number, order }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_visits_every_study_once_in_an_order_of_its_own() {
        let mut order = StudyOrder::new(7, 50);
        let mut epoch = |e: u64| (0..50).map(|i| order.study_of(TicketId(e * 50 + i), 0)).collect::<Vec<_>>();
        let (first, second, first_again) = (epoch(0), epoch(1), epoch(0));
        assert_ne!(first, second);
        assert_eq!(first, first_again);
        for mut seen in [first, second] {
            seen.sort_unstable();
            assert_eq!(seen, (0..50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn going_back_and_forth_between_three_epochs_gives_the_same_studies() {
        let mut jumping = StudyOrder::new(3, 5);
        for id in [0, 12, 6, 1, 11, 0, 7, 13, 2] {
            let fresh = StudyOrder::new(3, 5).study_of(TicketId(id), 0);
            assert_eq!(jumping.study_of(TicketId(id), 0), fresh);
        }
    }

    #[test]
    fn later_draws_take_any_study_and_leave_the_epochs_alone() {
        let mut order = StudyOrder::new(3, 5);
        let first: Vec<_> = (0..5).map(|id| order.study_of(TicketId(id), 0)).collect();
        let later: Vec<_> = (1..50).map(|draw| order.study_of(TicketId(2), draw)).collect();
        assert_eq!(later, (1..50).map(|draw| StudyOrder::new(3, 5).study_of(TicketId(2), draw)).collect::<Vec<_>>());
        assert!((0..5).all(|study| later.contains(&study)));
        assert_ne!(later, (1..50).map(|draw| order.study_of(TicketId(3), draw)).collect::<Vec<_>>());
        assert_eq!(first, (0..5).map(|id| order.study_of(TicketId(id), 0)).collect::<Vec<_>>());
    }
}
