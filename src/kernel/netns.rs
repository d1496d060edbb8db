//! Network namespaces of this machine: finding them, entering them, and naming them.
//!
//! Owns discovery by `/proc/PID/net` and `/run/netns`. Does not own what is read inside (`reader`).
//!
//! A namespace is recognised by the inode of `net/tcp` in `/proc`: each namespace registers that file anew, and unlike
//! `/proc/PID/ns/net` every user may read it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::KernelError;

/// Directories in which namespaces have names: the one of `ip netns`, and its old place.
const NAMED: [&str; 2] = ["/run/netns", "/var/run/netns"];

/// The namespaces that are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NetnsChoice {
    /// Every namespace that has a process or a name, as far as permitted.
    #[default]
    All,
    /// Namespace of the calling thread.
    Own,
    /// The one of this process.
    Process(u32),
    /// The one with this name in `ip netns`.
    Named(String),
}

impl FromStr for NetnsChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "self" => Ok(Self::Own),
            "" | "." | ".." => Err("expected all, self, a process number or a name of `ip netns`".to_owned()),
            path if path.contains('/') => Err(format!("'{path}' is a path; expected a name of `ip netns`")),
            number if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                number.parse().map(Self::Process).map_err(|_| format!("'{number}' is no process number"))
            }
            name => Ok(Self::Named(name.to_owned())),
        }
    }
}

/// Identity of a network namespace while it exists: the inode of its `net/tcp` in `/proc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct NetnsId(u64);

impl NetnsId {
    /// The calling thread's namespace.
    ///
    /// # Errors
    ///
    /// No `/proc` is mounted; not Linux.
    pub fn own() -> Result<Self, KernelError> {
        Self::at(Path::new("/proc/thread-self/net/tcp"))
    }

    fn of_process(pid: u32) -> Result<Self, KernelError> {
        Self::at(Path::new(&format!("/proc/{pid}/net/tcp")))
    }

    fn at(path: &Path) -> Result<Self, KernelError> {
        let metadata =
            fs::metadata(path).map_err(|source| KernelError::File { path: path.to_owned(), source })?;
        Ok(Self(metadata.ino()))
    }
}

/// A network namespace, with the names that people know it by.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Netns {
    /// Identity of the namespace. Every user may read it, unlike `inode`.
    pub id: NetnsId,
    /// True for the namespace that the program runs in.
    pub own: bool,
    /// The number that `lsns` and `ls -l /proc/PID/ns` show; `None` where that may not be read.
    pub inode: Option<u64>,
    /// The lowest process number in it; `None` if no process is there.
    pub pid: Option<u32>,
    /// Name of the namespace in `ip netns`; `None` without one.
    pub name: Option<String>,
}

impl Netns {
    /// The words to put before a command so that it runs in this namespace; empty for the own one.
    #[must_use]
    pub fn command_prefix(&self) -> String {
        match (self.own, &self.name, self.pid) {
            (true, ..) => String::new(),
            (false, Some(name), _) => format!("ip netns exec {name} "),
            (false, None, Some(pid)) => format!("nsenter -t {pid} -n "),
            (false, None, None) => String::new(),
        }
    }

    /// The path that `setns` enters it by.
    pub(super) fn path(&self) -> Option<PathBuf> {
        if let Some(pid) = self.pid {
            return Some(PathBuf::from(format!("/proc/{pid}/ns/net")));
        }
        named_path(self.name.as_deref()?)
    }
}

/// Shown as a person would name it: by its `ip netns` name, else by a process in it.
impl std::fmt::Display for Netns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.own, &self.name, self.pid) {
            (true, ..) => f.write_str("own"),
            (false, Some(name), _) => f.write_str(name),
            (false, None, Some(pid)) => write!(f, "PID {pid}"),
            (false, None, None) => f.write_str("unnamed"),
        }
    }
}

/// Namespaces that exist now.
///
/// # Errors
///
/// The chosen one does not exist or may not be seen; no `/proc` is mounted.
pub(super) fn discover(choice: &NetnsChoice) -> Result<Vec<Netns>, KernelError> {
    let own = NetnsId::own()?;
    match choice {
        NetnsChoice::Own => Ok(vec![own_netns(own)]),
        NetnsChoice::Process(pid) => {
            let id = NetnsId::of_process(*pid).map_err(|error| match error {
                KernelError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                    KernelError::NoSuchProcess(*pid)
                }
                error => error,
            })?;
            Ok(vec![Netns { id, own: id == own, inode: inode_of(*pid), pid: Some(*pid), name: None }])
        }
        NetnsChoice::Named(name) => {
            let (path, id) = match named_path(name).map(|path| (inside(&path), path)) {
                Some((Ok(id), path)) => (path, id),
                Some((Err(source), path)) => return Err(KernelError::Enter { path, source }),
                None => return Err(KernelError::NoSuchNetns(name.clone())),
            };
            let inode = fs::metadata(path).ok().map(|metadata| metadata.ino());
            Ok(vec![Netns { id, own: id == own, inode, pid: None, name: Some(name.clone()) }])
        }
        NetnsChoice::All => Ok(all(own)),
    }
}

/// The calling thread's.
fn own_netns(id: NetnsId) -> Netns {
    let inode = fs::metadata("/proc/thread-self/ns/net").ok().map(|metadata| metadata.ino());
    Netns { id, own: true, inode, ..Netns::default() }
}

/// Finds the namespaces that have processes or a name; the own one comes first.
fn all(own: NetnsId) -> Vec<Netns> {
    let mut found = BTreeMap::from([(own, own_netns(own))]);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    for pid in pids {
        // A process that ends meanwhile is passed over.
        let Ok(id) = NetnsId::of_process(pid) else { continue };
        let netns = found.entry(id).or_insert_with(|| Netns { id, ..Netns::default() });
        netns.pid = netns.pid.or(Some(pid));
        netns.inode = netns.inode.or_else(|| inode_of(pid));
    }
    for (name, path) in named() {
        let inode = fs::metadata(&path).ok().map(|metadata| metadata.ino());
        if let Some(known) = found.values_mut().find(|netns| inode.is_some() && netns.inode == inode) {
            known.name = Some(name);
        } else if let Ok(id) = inside(&path) {
            let netns = found.entry(id).or_insert_with(|| Netns { id, ..Netns::default() });
            netns.name = Some(name);
            netns.inode = inode;
        }
    }
    let mut all: Vec<Netns> = found.into_values().collect();
    all.sort_by_key(|netns| (!netns.own, netns.pid.unwrap_or(u32::MAX), netns.id));
    all
}

/// The namespace's number, where the caller may read it.
fn inode_of(pid: u32) -> Option<u64> {
    fs::metadata(format!("/proc/{pid}/ns/net")).ok().map(|metadata| metadata.ino())
}

/// The namespaces with names.
fn named() -> Vec<(String, PathBuf)> {
    let mut named = BTreeMap::new();
    for entry in NAMED.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten() {
        if let Ok(name) = entry.file_name().into_string() {
            named.entry(name).or_insert_with(|| entry.path());
        }
    }
    named.into_iter().collect()
}

fn named_path(name: &str) -> Option<PathBuf> {
    NAMED.iter().map(|directory| Path::new(directory).join(name)).find(|path| path.exists())
}

/// The identity of the namespace behind `path`, which needs the privilege to enter it.
fn inside(path: &Path) -> io::Result<NetnsId> {
    in_netns(path, || NetnsId::own().map_err(io::Error::other))
}

/// Runs `body` on a thread that has entered the namespace of `path`.
///
/// # Errors
///
/// The namespace is gone, or the caller may not enter it (CAP_SYS_ADMIN); those of `body`.
pub(super) fn in_netns<T: Send>(path: &Path, body: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let file = File::open(path)?;
    std::thread::scope(|scope| {
        let inside = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, || {
            // Of this thread only, which ends with `body`: there is no way back for it.
            nix::sched::setns(&file, nix::sched::CloneFlags::CLONE_NEWNET)?;
            body()
        })?;
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_word_a_number_or_a_name() {
        assert_eq!("all".parse(), Ok(NetnsChoice::All));
        assert_eq!("self".parse(), Ok(NetnsChoice::Own));
        assert_eq!("1234".parse(), Ok(NetnsChoice::Process(1234)));
        assert_eq!("blue".parse(), Ok(NetnsChoice::Named("blue".to_owned())));
        for wrong in ["", ".", "..", "/run/netns/blue", "99999999999"] {
            assert!(wrong.parse::<NetnsChoice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_own_namespace_is_found_once_and_needs_no_prefix() {
        let all = discover(&NetnsChoice::All).unwrap();
        assert_eq!(all.iter().filter(|netns| netns.own).count(), 1);
        assert!(all[0].own && all[0].pid.is_some());
        assert_eq!(all[0].command_prefix(), "");
        let this = discover(&NetnsChoice::Process(std::process::id())).unwrap();
        assert_eq!((this[0].id, this[0].own), (all[0].id, true));
    }

    #[test]
    fn a_command_is_run_inside_by_name_or_by_process() {
        let netns = Netns { pid: Some(7), ..Netns::default() };
        assert_eq!((netns.command_prefix(), netns.to_string()), ("nsenter -t 7 -n ".into(), "PID 7".into()));
        let named = Netns { name: Some("blue".to_owned()), ..netns };
        assert_eq!(
            (named.command_prefix(), named.to_string()),
            ("ip netns exec blue ".into(), "blue".into())
        );
    }
}
