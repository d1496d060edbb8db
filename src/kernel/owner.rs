//! Processes that hold a socket open.

use std::collections::HashMap;
#[cfg(target_os = "linux")]
use std::io::Read;

#[cfg(target_os = "linux")]
use procfs::{FromRead, process::Stat};

use super::Container;
#[cfg(target_os = "linux")]
use super::holders::{HeldSocket, SocketHolder};

/// Most bytes that are read of `/proc/PID/cgroup`: a dozen lines.
#[cfg(target_os = "linux")]
const MAX_CGROUP: u64 = 64 * 1024;

/// A process that holds a socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Process number, in the PID namespace of `/proc`.
    pub pid: i32,
    /// Command name, `comm`: at most 15 bytes.
    pub command: String,
    /// State of the process when it was looked at.
    pub state: ProcessState,
    /// The container or systemd unit that it runs in.
    pub container: Option<Container>,
    /// True if it waits for the socket's connections by epoll. Workers of nginx hold all sockets of an address, and each
    /// accepts from one.
    pub polls: bool,
    /// Origin of the socket's backlog.
    pub backlog_by: BacklogBy,
}

impl Owner {
    /// Reads the state of the process anew, which every user may; it stays where the process has ended.
    pub fn update_state(&mut self) {
        #[cfg(target_os = "linux")]
        if let Ok(stat) = Stat::from_file(format!("/proc/{}/stat", self.pid))
            && stat.comm == self.command
        {
            self.state = ProcessState::of(stat.state);
        }
    }
}

/// Caller of `listen()` on a socket, as far as its owners show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum BacklogBy {
    /// The program, with a number of its own.
    #[default]
    Program,
    /// The library of a program in Go, which takes `net.core.somaxconn`.
    GoLibrary,
    /// systemd, which holds the socket too: `Backlog=` of a socket unit.
    SocketUnit,
}

/// Command name of the process that starts services and listens for them.
const SYSTEMD: &str = "systemd";

/// State of a process (`/proc/PID/stat`, third field).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum ProcessState {
    /// On a CPU or ready for one.
    Running,
    /// Waiting for an event, as a server does.
    Sleeping,
    /// Waiting for a disk, a network file system or the like; takes no signals.
    Blocked,
    /// Stopped by a signal (SIGSTOP, Ctrl-Z).
    Stopped,
    /// Stopped by a debugger.
    Traced,
    /// Ended, and not yet reaped.
    Zombie,
    /// Any other.
    #[default]
    Unknown,
}

impl ProcessState {
    /// The state for a letter of `/proc/PID/stat`.
    #[must_use]
    pub const fn of(letter: char) -> Self {
        match letter {
            'R' => Self::Running,
            'S' | 'I' => Self::Sleeping,
            'D' => Self::Blocked,
            'T' => Self::Stopped,
            't' => Self::Traced,
            'Z' | 'X' | 'x' => Self::Zombie,
            _ => Self::Unknown,
        }
    }

    /// The name in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Sleeping => "sleeping",
            Self::Blocked => "blocked",
            Self::Stopped => "stopped",
            Self::Traced => "traced",
            Self::Zombie => "zombie",
            Self::Unknown => "unknown",
        }
    }

    /// True if the process cannot accept connections until somebody intervenes.
    #[must_use]
    pub const fn is_halted(self) -> bool {
        matches!(self, Self::Stopped | Self::Traced | Self::Zombie)
    }
}

/// The owners of sockets, by inode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owners {
    by_inode: HashMap<u64, Vec<Owner>>,
    unreadable: usize,
}

impl Owners {
    /// From owners by inode, and the number of processes that could not be looked at. Those that poll a socket come
    /// first, systemd last: it holds the sockets of services that it has started.
    #[must_use]
    pub fn new(mut by_inode: HashMap<u64, Vec<Owner>>, unreadable: usize) -> Self {
        for held in by_inode.values_mut() {
            held.sort_unstable_by_key(|owner| (owner.command == SYSTEMD, !owner.polls, owner.pid));
            if held.last().is_some_and(|last| last.command == SYSTEMD) {
                held.iter_mut().for_each(|owner| owner.backlog_by = BacklogBy::SocketUnit);
            }
        }
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

    /// Number of sockets whose owners are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_inode.len()
    }

    /// True if no owner is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_inode.is_empty()
    }

    /// Forgets the owners of all other sockets.
    pub fn retain(&mut self, mut wanted: impl FnMut(u64) -> bool) {
        self.by_inode.retain(|&inode, _| wanted(inode));
    }

    /// Adds owners that were found later.
    pub fn extend(&mut self, later: Self) {
        self.by_inode.extend(later.by_inode);
        self.unreadable = later.unreadable;
    }

    /// Number of processes whose files the caller may not see: one of them may be the owner.
    #[must_use]
    pub const fn unreadable(&self) -> usize {
        self.unreadable
    }
}

/// Finds the processes that hold the sockets with these inodes, from `/proc/*/fd`; in all namespaces, because inodes of
/// sockets are the machine's.
///
/// Without CAP_SYS_PTRACE only the caller's own processes can be seen; the others are counted. A process
/// that ends meanwhile is passed over. Outside Linux, and without `/proc`, nobody is found.
#[must_use]
pub fn owners(inodes: impl IntoIterator<Item = u64>) -> Owners {
    #[cfg(target_os = "linux")]
    {
        let mut found = FoundOwners::default();
        let wanted = inodes.into_iter().collect();
        let unreadable = super::holders::find(&wanted, &mut |holder| found.add(holder));
        found.owners(unreadable)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = inodes;
        Owners::default()
    }
}

/// Owners, from the processes that were found to hold sockets.
#[cfg(target_os = "linux")]
#[derive(Default)]
pub(super) struct FoundOwners(HashMap<u64, Vec<Owner>>);

#[cfg(target_os = "linux")]
impl FoundOwners {
    pub(super) fn add(&mut self, holder: SocketHolder) {
        let SocketHolder { pid, held, stat, cgroup, program } = holder;
        let stat = stat.and_then(|stat| Stat::from_read(stat).ok());
        let mut text = Vec::new();
        // A process that has ended meanwhile has no cgroup to be read.
        let _ = cgroup.map(|cgroup| cgroup.take(MAX_CGROUP).read_to_end(&mut text));
        let owner = Owner {
            pid,
            command: stat.as_ref().map_or_else(|| "?".to_owned(), |stat| stat.comm.clone()),
            state: stat.map_or(ProcessState::Unknown, |stat| ProcessState::of(stat.state)),
            container: Container::parse(&String::from_utf8_lossy(&text)),
            polls: false,
            backlog_by: match program {
                Some(program) if super::elf::is_go_program(&program) => BacklogBy::GoLibrary,
                Some(_) | None => BacklogBy::Program,
            },
        };
        for HeldSocket { inode, polls } in held {
            self.0.entry(inode).or_default().push(Owner { polls, ..owner.clone() });
        }
    }

    pub(super) fn owners(self, unreadable: usize) -> Owners {
        Owners::new(self.0, unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_polls_a_socket_comes_before_who_only_holds_it() {
        let owner = |pid, polls| Owner {
            pid,
            command: "nginx".to_owned(),
            state: ProcessState::Sleeping,
            container: None,
            polls,
            backlog_by: BacklogBy::Program,
        };
        let held = vec![owner(1, false), owner(3, true), owner(2, false)];
        let systemd = Owner { command: "systemd".to_owned(), ..owner(1, true) };
        let activated = vec![systemd, owner(9, false)];
        let owners = Owners::new(HashMap::from([(7, held), (8, activated)]), 0);
        assert_eq!(owners.of(7).iter().map(|owner| owner.pid).collect::<Vec<_>>(), [3, 1, 2]);
        let of_unit = owners.of(8).iter().map(|owner| (owner.command.as_str(), owner.backlog_by));
        let unit = BacklogBy::SocketUnit;
        assert_eq!(of_unit.collect::<Vec<_>>(), [("nginx", unit), ("systemd", unit)]);
    }
}
