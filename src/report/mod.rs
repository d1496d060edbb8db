//! How results are shown.

pub mod queues;
