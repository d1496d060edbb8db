//! Processes that hold a socket open.

use std::collections::HashMap;

use super::ListenSocket;

/// A process that holds a socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Process number, in the PID namespace of `/proc`.
    pub pid: i32,
    /// Its command name, `comm`: at most 15 bytes.
    pub command: String,
}

/// The owners of sockets, by inode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owners {
    by_inode: HashMap<u64, Vec<Owner>>,
    unreadable: usize,
}

impl Owners {
    /// From owners by inode, and the number of processes that could not be looked at.
    #[must_use]
    pub fn new(mut by_inode: HashMap<u64, Vec<Owner>>, unreadable: usize) -> Self {
        by_inode.values_mut().for_each(|held| held.sort_unstable());
        Self { by_inode, unreadable }
    }

    /// Owners of the socket with `inode`, by process number; empty when none is known.
    ///
    /// Nobody, and [`Self::unreadable`] is 0: the kernel itself (NFS, MPTCP) or a process of another PID
    /// namespace holds it.
    #[must_use]
    pub fn of(&self, inode: u64) -> &[Owner] {
        self.by_inode.get(&inode).map_or(&[], Vec::as_slice)
    }

    /// Number of processes whose files the caller may not see: one of them may be the owner.
    #[must_use]
    pub const fn unreadable(&self) -> usize {
        self.unreadable
    }
}

/// Finds the processes that hold `sockets`, from `/proc/*/fd`.
///
/// Without CAP_SYS_PTRACE only the caller's own processes can be seen; the others are counted. A process
/// that ends meanwhile is passed over. Outside Linux, and without `/proc`, nobody is found.
#[must_use]
pub fn owners(sockets: &[ListenSocket]) -> Owners {
    #[cfg(target_os = "linux")]
    return scan(sockets);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = sockets;
        Owners::default()
    }
}

#[cfg(target_os = "linux")]
fn scan(sockets: &[ListenSocket]) -> Owners {
    use procfs::ProcError;
    use procfs::process::{FDTarget, all_processes};

    let wanted: std::collections::HashSet<u64> = sockets.iter().map(|socket| socket.inode).collect();
    let mut by_inode: HashMap<u64, Vec<Owner>> = HashMap::new();
    let mut unreadable = 0;
    for process in all_processes().into_iter().flatten().flatten() {
        let files = match process.fd() {
            Ok(files) => files,
            Err(ProcError::PermissionDenied(_)) => {
                unreadable += 1;
                continue;
            }
            Err(_) => continue,
        };
        let mut held: Vec<u64> = files
            .flatten()
            .filter_map(|file| match file.target {
                FDTarget::Socket(inode) if wanted.contains(&inode) => Some(inode),
                _ => None,
            })
            .collect();
        // One process may hold a socket by several descriptors.
        held.sort_unstable();
        held.dedup();
        if held.is_empty() {
            continue;
        }
        let command = process.stat().map_or_else(|_| "?".to_owned(), |stat| stat.comm);
        for inode in held {
            let owner = Owner { pid: process.pid, command: command.clone() };
            by_inode.entry(inode).or_default().push(owner);
        }
    }
    Owners::new(by_inode, unreadable)
}
