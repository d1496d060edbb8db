//! A private network namespace for one thread, and the sysctls inside it.
//!
//! Owns the namespace's making and the guard that no setting outside of it is ever written. Does not
//! own what stands in the namespace (`network`, `tun`).
//!
//! The namespace has no name and no mount: it exists as long as the threads and sockets inside it, so
//! nothing stays behind however the process ends, SIGKILL included. Network namespaces belong to
//! threads (`unshare(2)`), which lets one process hold several experiments side by side.

use std::fs;
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

/// The link that names the calling thread's network namespace. Not `/proc/self`: that is the main
/// thread, which stays outside.
const THREAD_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// `CAP_SYS_ADMIN` (`linux/capability.h`), which `unshare(CLONE_NEWNET)` requires.
const CAP_SYS_ADMIN: u32 = 21;

/// Making or setting up a namespace failed.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// Neither the privilege to make a network namespace nor a user namespace that would give it.
    #[error(
        "not allowed to make a network namespace ({0}): run as root (CAP_SYS_ADMIN), or allow user \
         namespaces (user.max_user_namespaces above 0; kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu)"
    )]
    Forbidden(Errno),
    /// The kernel lacks network namespaces, or a limit is reached.
    #[error(
        "cannot make a network namespace: {0} (needs CONFIG_NET_NS; user.max_net_namespaces limits their number)"
    )]
    Unshare(Errno),
    /// A file under `/proc` could not be read or written.
    #[error("{}: {source}", path.display())]
    Proc {
        /// The file.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// The thread is not where it should be; nothing was written.
    #[error("refusing to set {name}: the thread is not in its private network namespace")]
    Outside {
        /// The sysctl.
        name: String,
    },
}

/// Makes sure that this process may make network namespaces: where `CAP_SYS_ADMIN` is missing, moves
/// it into a user namespace of its own in which it has it. User and group ids map to themselves, so
/// files are written as the same user as before.
///
/// Call it before the first thread is started: the kernel moves only single-threaded processes
/// (`unshare(2)`, EINVAL).
///
/// # Errors
///
/// [`NamespaceError::Forbidden`] where the system allows no user namespaces.
pub fn acquire_privilege() -> Result<(), NamespaceError> {
    if has_sys_admin()? {
        return Ok(());
    }
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(NamespaceError::Forbidden)?;
    // user_namespaces(7): without CAP_SETGID outside, gid_map may be written only once setgroups is denied.
    write_proc(Path::new("/proc/self/setgroups"), "deny")?;
    write_proc(Path::new("/proc/self/uid_map"), &format!("{user} {user} 1"))?;
    write_proc(Path::new("/proc/self/gid_map"), &format!("{group} {group} 1"))
}

fn has_sys_admin() -> Result<bool, NamespaceError> {
    let path = Path::new("/proc/thread-self/status");
    let status =
        fs::read_to_string(path).map_err(|source| NamespaceError::Proc { path: path.to_owned(), source })?;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    Ok(effective & (1 << CAP_SYS_ADMIN) != 0)
}

/// The calling thread's private network namespace. Threads it starts are in it too.
///
/// Neither `Send` nor `Sync`: another thread would be in another namespace.
#[derive(Debug)]
pub struct Namespace {
    inode: u64,
    outside: u64,
    _this_thread: PhantomData<*const ()>,
}

impl Namespace {
    /// Moves the calling thread into a new, empty network namespace. There is no way back: let the
    /// thread end.
    ///
    /// # Errors
    ///
    /// [`NamespaceError`]; the thread has not moved then.
    pub fn enter() -> Result<Self, NamespaceError> {
        let outside = current_inode()?;
        unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
            Errno::EPERM => NamespaceError::Forbidden(errno),
            errno => NamespaceError::Unshare(errno),
        })?;
        let namespace = Self { inode: current_inode()?, outside, _this_thread: PhantomData };
        namespace.guard("anything")?;
        Ok(namespace)
    }

    /// The namespace's number, as in `/proc/PID/ns`.
    #[must_use]
    pub const fn inode(&self) -> u64 {
        self.inode
    }

    /// Sets `name`, for example `net.ipv4.tcp_synack_retries`, in this namespace only: the kernel resolves
    /// `/proc/sys/net` by the namespace of the thread that opens the file, and that thread is checked to be inside,
    /// every time.
    ///
    /// # Errors
    ///
    /// The thread is not in the namespace, or the kernel has no such setting or refuses the value.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<(), NamespaceError> {
        self.guard(name)?;
        write_proc(&sysctl_path(name), value)
    }

    fn guard(&self, name: &str) -> Result<(), NamespaceError> {
        let here = current_inode()?;
        if here != self.inode || here == self.outside {
            return Err(NamespaceError::Outside { name: name.to_owned() });
        }
        Ok(())
    }
}

fn sysctl_path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name.replace('.', "/"))
}

fn current_inode() -> Result<u64, NamespaceError> {
    let path = Path::new(THREAD_NAMESPACE);
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.ino()),
        Err(source) => Err(NamespaceError::Proc { path: path.to_owned(), source }),
    }
}

fn write_proc(path: &Path, value: &str) -> Result<(), NamespaceError> {
    fs::write(path, value).map_err(|source| NamespaceError::Proc { path: path.to_owned(), source })
}
