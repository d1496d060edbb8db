//! Finds the processes that hold sockets, which needs CAP_SYS_PTRACE for those of other users.
//!
//! Owns the search, which reads nothing that these processes write. Does not own reading the files that describe them
//! (`owner`): those are only opened here, so that it can be done without privileges.

use std::collections::HashSet;
use std::fs::File;

use procfs::ProcError;
use procfs::process::{FDTarget, Process, all_processes};
use serde::{Deserialize, Serialize};

/// A process that holds sockets, with the open files that describe it.
pub(super) struct SocketHolder {
    /// Process number, in the PID namespace of `/proc`.
    pub(super) pid: i32,
    /// The wanted sockets that it holds.
    pub(super) held: Vec<HeldSocket>,
    /// `/proc/PID/stat`.
    pub(super) stat: Option<File>,
    /// `/proc/PID/cgroup`.
    pub(super) cgroup: Option<File>,
    /// The program's file.
    pub(super) program: Option<File>,
}

/// A socket that a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeldSocket {
    /// The socket's inode.
    pub(super) inode: u64,
    /// True if the process waits for its connections by epoll.
    pub(super) polls: bool,
}

/// Hands each process that holds one of the wanted sockets to `take`. Returns the number of processes that could not be
/// looked at.
pub(super) fn find(wanted: &HashSet<u64>, take: &mut dyn FnMut(SocketHolder)) -> usize {
    let mut unreadable = 0;
    for process in all_processes().into_iter().flatten().flatten() {
        match held_by(&process, wanted) {
            Ok(held) if !held.is_empty() => {
                let open = |name| File::open(format!("/proc/{}/{name}", process.pid)).ok();
                let (stat, cgroup, program) = (open("stat"), open("cgroup"), open("exe"));
                take(SocketHolder { pid: process.pid, held, stat, cgroup, program });
            }
            Err(ProcError::PermissionDenied(_)) => unreadable += 1,
            // No wanted socket, or a process that has ended.
            Ok(_) | Err(_) => {}
        }
    }
    unreadable
}

fn held_by(process: &Process, wanted: &HashSet<u64>) -> Result<Vec<HeldSocket>, ProcError> {
    let (mut held, mut epolls) = (Vec::new(), Vec::new());
    for file in process.fd()?.flatten() {
        match file.target {
            FDTarget::Socket(inode) if wanted.contains(&inode) => held.push(inode),
            FDTarget::AnonInode(kind) if kind.contains("eventpoll") => epolls.push(file.fd),
            _ => {}
        }
    }
    if held.is_empty() {
        return Ok(Vec::new());
    }
    // One process may hold a socket by several descriptors.
    held.sort_unstable();
    held.dedup();
    let fdinfo =
        |fd: i32| super::read_proc(&format!("/proc/{}/fdinfo/{fd}", process.pid)).unwrap_or_default();
    let polled: HashSet<u64> =
        epolls.into_iter().flat_map(|fd| polled_inodes(&fdinfo(fd)).collect::<Vec<_>>()).collect();
    Ok(held.into_iter().map(|inode| HeldSocket { inode, polls: polled.contains(&inode) }).collect())
}

/// The inodes that an epoll descriptor watches: `tfd: 8 events: 19 data: 8 pos:0 ino:1b2c sdev:9`, in hexadecimal.
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

    #[test]
    fn an_epoll_descriptor_names_what_it_watches() {
        let fdinfo = "pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t1057\n\
                      tfd:        8 events: 2019 data: 7f0000000008  pos:0 ino:1b2c sdev:9\n\
                      tfd:        9 events: 2019 data: 7f0000000009  pos:0 ino:ff sdev:9\n";
        assert_eq!(polled_inodes(fdinfo).collect::<Vec<_>>(), [0x1b2c, 0xff]);
        assert_eq!(polled_inodes("tfd: 8 events: 19\n").count(), 0, "before Linux 4.14");
    }
}
