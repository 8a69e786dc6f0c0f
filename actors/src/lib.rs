//! The actors of Addendum: sampler, editor, reward, replay, learner, evaluator, recorder
