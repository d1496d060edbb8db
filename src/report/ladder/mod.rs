//! Ladders: message diagrams of single attempts, client on the left and server on the right.
//!
//! Owns the choice of attempts (`selection.rs`), the rows of a ladder (`rows.rs`) and their layout as text (`lanes.rs`, `text.rs`); the
//! page draws the same rows. Does not own where packets come from (`engine/packets`), what a message means
//! (`listener/messages`), nor the sentences (`wording`).

mod lanes;
mod rows;
mod selection;
#[cfg(test)]
mod tests;
mod text;

pub use self::rows::Ladder;
pub(super) use self::rows::{LadderRow, label};
pub use self::selection::{LadderOptions, Selection};
pub use self::text::write;
