//! The commands: they wire arguments, engine and reports together, and decide nothing else.

pub mod analyse;
pub mod listeners;
pub mod live;

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Everything was done.
    Done,
    /// An attempt has a verdict that `--fail-on` names.
    Found,
    /// An input was damaged or packets could not be saved; what could be read was reported.
    Damaged,
}

impl Status {
    /// The exit status of the process.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Found => 1,
            Self::Damaged => 2,
        }
    }
}
