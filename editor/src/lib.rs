//! The post-rollout editor of EditGRPO
