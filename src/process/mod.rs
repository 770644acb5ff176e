//! Master, workers, helpers: the table, the channel, the policy.
