//! The screen of a live run: listeners, episodes and problem attempts, drawn from plain figures.
//!
//! Owns what the screen shows (`model.rs`), what keys do to it (`view.rs`) and its layout (`draw.rs` and the panes). All of it is
//! pure: figures and keys in, characters out. Does not own the terminal, nor where figures come from
//! (`command/live/screen.rs`).

mod bars;
mod draw;
mod lines;
mod model;
mod panes;
#[cfg(test)]
mod tests;
mod view;

pub use self::draw::draw;
pub use self::lines::{ladder_lines, report_lines};
pub use self::model::{ListenerKey, ListenerNow, MAX_ATTEMPTS, ScreenModel, ScreenNow};
pub use self::view::{ScreenRequest, ScreenView};
