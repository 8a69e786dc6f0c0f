//! What the group of a ticket is made of: how many reports are sampled, and how many of them edited.

use addendum_replay::TicketId;

use crate::{RunConfig, Variant};

impl RunConfig {
    /// Edited copies in the group of a ticket; its number and the settings alone decide.
    pub fn edited(&self, ticket: TicketId) -> usize {
        if self.variant == Variant::Grpo {
            return 0;
        }
        let share = match self.edited_share_end {
            None => self.edited_share,
            Some(end) => {
                let step = ticket.0 / self.batch_groups;
                let way = (step as f64 / self.edited_share_steps as f64).min(1.0);
                self.edited_share + way * (end - self.edited_share)
            }
        };
        // Sources are as many as copies.
        ((share * self.group_size as f64).round() as usize).min(self.group_size / 2)
    }

    /// Reports sampled for the group of a ticket, those that a selection may choose from included.
    pub fn sampled(&self, ticket: TicketId) -> usize {
        if self.select.needs_spares() { self.group_size } else { self.group_size - self.edited(ticket) }
    }

    /// Reports sampled over the whole run, where every ticket is sampled once.
    pub fn sampled_altogether(&self) -> u64 {
        let of_step = |step: u64| self.sampled(TicketId(step.saturating_mul(self.batch_groups))) as u64;
        let changing = self.edited_share_end.map_or(0, |_| self.edited_share_steps.min(self.steps));
        let constant = (self.steps - changing).saturating_mul(of_step(changing));
        (0..changing).map(of_step).sum::<u64>().saturating_add(constant).saturating_mul(self.batch_groups)
    }

    /// The most reports that are sampled for one group.
    pub fn most_sampled(&self) -> usize {
        // The share goes from its beginning to its end without a turn.
        let last = self.edited_share_steps.saturating_mul(self.batch_groups);
        self.sampled(TicketId(0)).max(self.sampled(TicketId(last)))
    }

    /// Whether a group has candidates that a stage must choose from.
    pub fn selects(&self) -> bool {
        self.variant != Variant::Grpo && self.select.is_on()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SelectConfig, Unedited};

    fn edited(config: &RunConfig, step: u64) -> usize {
        config.edited(TicketId(step * config.batch_groups + 1))
    }

    #[test]
    fn half_of_a_group_is_edited_unless_said_otherwise_and_nothing_of_grpos() {
        for group_size in [2, 4, 6, 8, 10, 16, 34] {
            let config = RunConfig { group_size, ..RunConfig::default() };
            assert_eq!((edited(&config, 3), config.sampled(TicketId(3))), (group_size / 2, group_size / 2));
            let grpo = RunConfig { variant: Variant::Grpo, ..config };
            assert_eq!((edited(&grpo, 3), grpo.sampled(TicketId(3)), grpo.selects()), (0, group_size, false));
        }
    }

    #[test]
    fn the_share_goes_to_its_end_in_equal_parts_and_stays() {
        let annealed =
            RunConfig { edited_share_end: Some(0.0), edited_share_steps: 4, steps: 6, ..RunConfig::default() };
        assert_eq!([0, 1, 2, 3, 4, 5].map(|step| edited(&annealed, step)), [4, 3, 2, 1, 0, 0]);
        assert_eq!((annealed.most_sampled(), annealed.sampled_altogether()), (8, 4 * (4 + 5 + 6 + 7 + 8 + 8)));
        let growing = RunConfig { edited_share: 0.0, edited_share_end: Some(0.5), ..annealed };
        assert_eq!([0, 1, 4, 100].map(|step| edited(&growing, step)), [0, 1, 4, 4]);
        assert_eq!((growing.most_sampled(), growing.sampled(TicketId(1000))), (8, 4));
    }

    #[test]
    fn a_group_is_sampled_whole_where_a_copys_place_may_go_to_a_sample() {
        let select = SelectConfig { unedited: Unedited::Fresh, ..SelectConfig::default() };
        let config = RunConfig { select, ..RunConfig::default() };
        assert_eq!((config.edited(TicketId(0)), config.sampled(TicketId(0))), (4, 8));
        assert!(config.selects() && !RunConfig::default().selects());
    }
}
