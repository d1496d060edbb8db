//! Processes that hold a socket open.

use std::collections::{HashMap, HashSet};

use super::Container;

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
    /// True if its program is written in Go, whose listeners take `net.core.somaxconn` as their backlog.
    pub is_go: bool,
}

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
    /// first.
    #[must_use]
    pub fn new(mut by_inode: HashMap<u64, Vec<Owner>>, unreadable: usize) -> Self {
        by_inode.values_mut().for_each(|held| held.sort_unstable_by_key(|owner| (!owner.polls, owner.pid)));
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
    let wanted: HashSet<u64> = inodes.into_iter().collect();
    #[cfg(target_os = "linux")]
    return scan(&wanted);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = wanted;
        Owners::default()
    }
}

#[cfg(target_os = "linux")]
fn scan(wanted: &HashSet<u64>) -> Owners {
    use std::path::Path;

    use procfs::ProcError;
    use procfs::process::{FDTarget, all_processes};

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
        let (mut held, mut epolls) = (Vec::new(), Vec::new());
        for file in files.flatten() {
            match file.target {
                FDTarget::Socket(inode) if wanted.contains(&inode) => held.push(inode),
                FDTarget::AnonInode(kind) if kind.contains("eventpoll") => epolls.push(file.fd),
                _ => {}
            }
        }
        // One process may hold a socket by several descriptors.
        held.sort_unstable();
        held.dedup();
        if held.is_empty() {
            continue;
        }
        let stat = process.stat().ok();
        let cgroup = super::read_proc(&format!("/proc/{}/cgroup", process.pid)).unwrap_or_default();
        let fdinfo = |fd| super::read_proc(&format!("/proc/{}/fdinfo/{fd}", process.pid)).unwrap_or_default();
        let polled: HashSet<u64> =
            epolls.into_iter().flat_map(|fd: i32| polled_inodes(&fdinfo(fd)).collect::<Vec<_>>()).collect();
        let owner = Owner {
            pid: process.pid,
            command: stat.as_ref().map_or_else(|| "?".to_owned(), |stat| stat.comm.clone()),
            state: stat.map_or(ProcessState::Unknown, |stat| ProcessState::of(stat.state)),
            container: Container::parse(&cgroup),
            polls: false,
            is_go: super::elf::is_go_program(Path::new(&format!("/proc/{}/exe", process.pid))),
        };
        for inode in held {
            let owner = Owner { polls: polled.contains(&inode), ..owner.clone() };
            by_inode.entry(inode).or_default().push(owner);
        }
    }
    Owners::new(by_inode, unreadable)
}

/// The inodes that an epoll descriptor watches: `tfd: 8 events: 19 data: 8 pos:0 ino:1b2c sdev:9`, in hexadecimal.
#[cfg(target_os = "linux")]
pub(super) fn polled_inodes(fdinfo: &str) -> impl Iterator<Item = u64> + '_ {
    let watched = fdinfo.lines().filter(|line| line.starts_with("tfd:"));
    watched.filter_map(|line| {
        let ino = line.split_ascii_whitespace().find_map(|field| field.strip_prefix("ino:"))?;
        u64::from_str_radix(ino, 16).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn an_epoll_descriptor_names_what_it_watches() {
        let fdinfo = "pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t1057\n\
                      tfd:        8 events: 2019 data: 7f0000000008  pos:0 ino:1b2c sdev:9\n\
                      tfd:        9 events: 2019 data: 7f0000000009  pos:0 ino:ff sdev:9\n";
        assert_eq!(polled_inodes(fdinfo).collect::<Vec<_>>(), [0x1b2c, 0xff]);
        assert_eq!(polled_inodes("tfd: 8 events: 19\n").count(), 0, "before Linux 4.14");
    }

    #[test]
    fn who_polls_a_socket_comes_before_who_only_holds_it() {
        let owner = |pid, polls| Owner {
            pid,
            command: "nginx".to_owned(),
            state: ProcessState::Sleeping,
            container: None,
            polls,
            is_go: false,
        };
        let held = vec![owner(1, false), owner(3, true), owner(2, false)];
        let owners = Owners::new(HashMap::from([(7, held)]), 0);
        assert_eq!(owners.of(7).iter().map(|owner| owner.pid).collect::<Vec<_>>(), [3, 1, 2]);
    }
}
