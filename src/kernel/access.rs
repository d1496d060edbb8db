//! Access to what needs a privilege: by this process, or by a helper that has kept its privileges.

use super::KernelError;
use super::helper::{Helper, HelperError};
use super::netns::{self, Netns, NetnsChoice};
use super::netns_files::NetnsFiles;
use super::owner::{FoundOwners, Owners, owners};

/// Opens by a helper, while there is one, and else as far as this process may.
#[derive(Debug, Default)]
pub struct Access {
    helper: Option<Helper>,
    /// The reason why the helper was given up, until it is taken.
    lost: Option<HelperError>,
}

impl Access {
    /// By a helper, which has all of [`NetnsChoice::All`].
    #[must_use]
    pub const fn by(helper: Helper) -> Self {
        Self { helper: Some(helper), lost: None }
    }

    /// The reason why the helper was given up, once.
    pub(super) fn take_lost(&mut self) -> Option<HelperError> {
        self.lost.take()
    }

    /// Asks the helper; `None` without one, and for good when it does not answer.
    fn ask<T>(&mut self, question: impl FnOnce(&Helper) -> Result<T, HelperError>) -> Option<T> {
        match question(self.helper.as_ref()?) {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.helper = None;
                self.lost = Some(error);
                None
            }
        }
    }

    /// The chosen namespaces that exist.
    pub(super) fn discover(&mut self, choice: &NetnsChoice) -> Result<Vec<Netns>, KernelError> {
        if *choice == NetnsChoice::All
            && let Some(found) = self.ask(Helper::discover)
        {
            return Ok(found);
        }
        netns::discover(choice)
    }

    /// Descriptors inside a namespace.
    pub(super) fn open(&mut self, netns: &Netns) -> Result<NetnsFiles, KernelError> {
        match self.ask(|helper| helper.open(netns.id)) {
            Some(opened) => opened.map_err(KernelError::Helper),
            None => NetnsFiles::open(netns),
        }
    }

    /// The owners of the sockets with these inodes.
    pub(super) fn owners(&mut self, inodes: &[u64]) -> Owners {
        let asked = self.ask(|helper| {
            let mut found = FoundOwners::default();
            let unreadable = helper.holders(inodes, &mut |holder| found.add(holder))?;
            Ok(found.owners(unreadable))
        });
        asked.unwrap_or_else(|| owners(inodes.iter().copied()))
    }
}
