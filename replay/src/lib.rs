//! Tickets, the freshness gate, rollout groups and the replay buffer
