//! Least privilege: gives up privileges once the packet socket of a live capture is open, restricts the helper that keeps some,
//! and restricts the analysis of files to its inputs and outputs before the first byte of a capture is read.
//!
//! Owns users, capabilities, no-new-privileges, Landlock and seccomp. Does not own what needs a privilege before that.
//! Everything but the change of user is best effort: an old kernel offers less, and [`confine`] returns what was
//! applied and what was not.
//!
//! Must run while the process has one thread: in Linux users and capabilities belong to threads, and glibc changes the
//! user of all threads, but not their capabilities.

use std::path::PathBuf;

/// The privileges to give up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SandboxPlan {
    /// The user to become, by name; needs root. `None` becomes the user who called sudo, if any.
    pub user: Option<String>,
    /// Files that will be created or written.
    pub writes: Vec<PathBuf>,
}

/// Reasons why privileges could not be given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    /// No such user.
    #[error("-Z {0}: there is no such user")]
    UnknownUser(String),
    /// Only root may change its user.
    #[error("-Z {0}: only root can become another user")]
    NotRoot(String),
    /// A system call failed; the program does not go on as root.
    #[error("becoming user {user}: {step}: {source}; -Z root stays root")]
    Become {
        /// The user.
        user: String,
        /// The step that failed.
        step: &'static str,
        /// The error of the system call.
        source: std::io::Error,
    },
    /// Privileges cannot be given up on this system.
    #[cfg(not(target_os = "linux"))]
    #[error("-Z is supported on Linux only")]
    Unsupported,
}

/// Gives up privileges according to `plan`, and returns messages about what was applied and what could not be.
///
/// # Errors
///
/// The user cannot be changed.
#[cfg(not(target_os = "linux"))]
pub(crate) fn confine(plan: &SandboxPlan) -> Result<Vec<String>, SandboxError> {
    match plan.user {
        Some(_) => Err(SandboxError::Unsupported),
        None => Ok(vec!["privileges are kept: giving them up is supported on Linux only".to_owned()]),
    }
}

/// Rights that an analysis of files needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AnalysisNeeds {
    /// Its captures.
    pub reads: Vec<PathBuf>,
    /// Files that it will create.
    pub writes: Vec<PathBuf>,
    /// It has a filter, which may name hosts, networks and services.
    pub names: bool,
}

/// Restricts this thread, and those that it starts, to what an analysis of files needs. It gets no new privileges, cannot
/// connect anywhere, nor start a program.
///
/// Best effort: a kernel without Landlock or seccomp restricts nothing. A path for which there can be no rule, such as a
/// pipe's, needs none.
#[cfg(not(target_os = "linux"))]
pub(crate) fn confine_to_files(_needs: &AnalysisNeeds) {}

/// Makes the capabilities effective that this process may have, such as those of its file (`setcap cap_net_raw+p`). Where a
/// file's are effective from the start, a program in a container that does not have them cannot even be started.
#[cfg(not(target_os = "linux"))]
pub(crate) fn raise_capabilities() {}

#[cfg(target_os = "linux")]
pub(crate) use linux::{confine, confine_helper, confine_to_files, may_enter_namespaces, raise_capabilities};

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;
    use std::env::consts::ARCH;
    use std::ffi::CString;
    use std::io;
    use std::path::{Path, PathBuf};

    use caps::{CapSet, Capability};
    use landlock::{
        ABI, Access, AccessFs, AccessNet, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
        Scope, path_beneath_rules,
    };
    use nix::unistd::{Gid, Uid, User, geteuid, initgroups, setgroups, setresgid, setresuid};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, apply_filter,
    };

    use super::{AnalysisNeeds, SandboxError, SandboxPlan};

    /// Paths read while capturing: counters and sockets, interface statistics, and the local time zone.
    const READ: [&str; 4] = ["/proc", "/sys", "/etc/localtime", "/usr/share/zoneinfo"];

    /// Paths read beside the captures of an analysis: how busy the processors are, and how many this process may use.
    const SYSTEM_READ: [&str; 3] = ["/proc/loadavg", "/proc/self", "/sys/fs/cgroup"];

    /// Paths read for the names in a filter (getaddrinfo(3), getservbyname(3)).
    const NAMES_READ: [&str; 8] = [
        "/etc/services",
        "/etc/protocols",
        "/etc/networks",
        "/etc/hosts",
        "/etc/host.conf",
        "/etc/nsswitch.conf",
        "/etc/resolv.conf",
        "/etc/ethers",
    ];

    /// System calls that no analysis makes, and that an attacker in its place would: to start a program, to reach another
    /// process, to get at more of the kernel.
    const NEVER: [i64; 24] = [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_open_by_handle_at,
        libc::SYS_kexec_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_personality,
    ];

    /// Capabilities of the helper: to enter namespaces; to look at processes, and at those of other users; to follow
    /// connection tracking.
    const HELPER_CAPABILITIES: [Capability; 4] = [
        Capability::CAP_SYS_ADMIN,
        Capability::CAP_SYS_PTRACE,
        Capability::CAP_DAC_READ_SEARCH,
        Capability::CAP_NET_ADMIN,
    ];

    /// System calls of the helper, beside those whose arguments are restricted: to answer, to read directories and links, to
    /// run a thread that enters a namespace, and what the C library needs for memory and threads.
    const HELPER_CALLS: [i64; 46] = [
        libc::SYS_recvmsg,
        libc::SYS_sendmsg,
        libc::SYS_bind,
        libc::SYS_connect,
        libc::SYS_getsockname,
        libc::SYS_setsockopt,
        libc::SYS_read,
        libc::SYS_lseek,
        libc::SYS_close,
        libc::SYS_fcntl,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_getdents64,
        libc::SYS_readlinkat,
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_futex,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_restart_syscall,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_yield,
        libc::SYS_prctl,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_prlimit64,
        libc::SYS_tgkill,
        libc::SYS_exit,
        libc::SYS_exit_group,
        // Older names of calls above, where a processor has them.
        #[cfg(target_arch = "x86_64")]
        libc::SYS_readlink,
        #[cfg(not(target_arch = "x86_64"))]
        libc::SYS_readlinkat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_stat,
        #[cfg(not(target_arch = "x86_64"))]
        libc::SYS_statx,
    ];

    /// FIONBIO (`asm-generic/ioctls.h`); the C library's type of it depends on the platform.
    const NON_BLOCKING: i32 = 0x5421;

    /// The newest Landlock rights that are requested; older kernels enforce those they support.
    const RIGHTS: ABI = ABI::V6;

    /// Gives up privileges according to `plan`, and returns messages about what was applied and what could not be.
    ///
    /// # Errors
    ///
    /// The user cannot be changed.
    pub(crate) fn confine(plan: &SandboxPlan) -> Result<Vec<String>, SandboxError> {
        let user = target(plan)?;
        // Looked up before the change: afterwards a directory on the way may be closed.
        let writes = writable_paths(&plan.writes);
        let mut applied = Vec::new();
        // First, while CAP_SETPCAP is there.
        applied.push(match caps::clear(None, CapSet::Bounding) {
            Ok(()) => "capability bounding set: emptied".to_owned(),
            Err(_) => "capability bounding set: kept (emptying it needs CAP_SETPCAP)".to_owned(),
        });
        applied.push(match user {
            Some(user) => become_user(&user).map(|()| format!("user: {} (uid {})", user.name, user.uid))?,
            None if geteuid().is_root() => {
                "user: still root, without its capabilities (-Z nobody becomes a user with no rights)"
                    .to_owned()
            }
            None => format!("user: uid {}, as it was called", geteuid()),
        });
        applied.push(match clear_capabilities() {
            Ok(()) => "capabilities: none".to_owned(),
            Err(error) => format!("capabilities: kept ({error})"),
        });
        applied.push(match nix::sys::prctl::set_no_new_privs() {
            Ok(()) => "no-new-privileges: set".to_owned(),
            Err(errno) => format!("no-new-privileges: not set ({errno})"),
        });
        applied.push(match landlock(&READ, &[], &writes) {
            Ok(status) => format!("Landlock: {}", describe(&status)),
            Err(error) => format!("Landlock: not applied ({error})"),
        });
        Ok(applied)
    }

    /// Makes the capabilities effective that this process may have, such as those of its file (`setcap cap_net_raw+p`).
    /// Where a file's are effective from the start, a program in a container that does not have them cannot even be
    /// started.
    pub(crate) fn raise_capabilities() {
        // Opening a capture says what is missing.
        let _ = caps::read(None, CapSet::Permitted)
            .and_then(|permitted| caps::set(None, CapSet::Effective, &permitted));
    }

    /// True if this process may enter other network namespaces now.
    pub(crate) fn may_enter_namespaces() -> bool {
        caps::has_cap(None, CapSet::Effective, Capability::CAP_SYS_ADMIN).unwrap_or(false)
    }

    /// Restricts the helper to the capabilities that it is for, and to the system calls that it makes: it starts no program,
    /// opens no file for writing, and no socket but of netlink.
    ///
    /// Landlock would hide the files of other processes from it.
    ///
    /// # Errors
    ///
    /// The kernel offers less. The helper is not to serve then.
    pub(crate) fn confine_helper() -> Result<(), Box<dyn std::error::Error>> {
        let kept = caps::read(None, CapSet::Permitted)?
            .intersection(&HELPER_CAPABILITIES.into_iter().collect())
            .copied()
            .collect();
        // Without CAP_SETPCAP it stays, and is of no use: no program is started.
        let _ = caps::clear(None, CapSet::Bounding);
        let _ = caps::clear(None, CapSet::Ambient);
        caps::clear(None, CapSet::Inheritable)?;
        caps::set(None, CapSet::Effective, &kept)?;
        caps::set(None, CapSet::Permitted, &kept)?;
        nix::sys::prctl::set_no_new_privs()?;
        let if_argument = |number, operation, value: i32| {
            let value = u64::from(value.cast_unsigned());
            let condition = SeccompCondition::new(number, SeccompCmpArgLen::Dword, operation, value)?;
            SeccompRule::new(vec![condition])
        };
        // O_TMPFILE is these and O_DIRECTORY.
        let writing = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC;
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            HELPER_CALLS.into_iter().map(|call| (call, Vec::new())).collect();
        rules.extend([
            (
                libc::SYS_openat,
                vec![if_argument(2, SeccompCmpOp::MaskedEq(u64::from(writing.cast_unsigned())), 0)?],
            ),
            // Sockets of events are made non-blocking.
            (libc::SYS_ioctl, vec![if_argument(1, SeccompCmpOp::Eq, NON_BLOCKING)?]),
            (libc::SYS_setns, vec![if_argument(1, SeccompCmpOp::Eq, libc::CLONE_NEWNET)?]),
            (libc::SYS_socket, vec![if_argument(0, SeccompCmpOp::Eq, libc::AF_NETLINK)?]),
        ]);
        // As of a kernel that does not have it: then the C library tries an older one.
        let refused = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
        let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, ARCH.try_into()?)?;
        Ok(apply_filter(&BpfProgram::try_from(filter)?)?)
    }

    /// Restricts this thread, and those that it starts, to what an analysis of files needs. It gets no new privileges,
    /// cannot connect anywhere, nor start a program.
    ///
    /// Best effort: a kernel without Landlock or seccomp restricts nothing. A path for which there can be no rule, such as
    /// a pipe's, needs none.
    pub(crate) fn confine_to_files(needs: &AnalysisNeeds) {
        // Old kernels offer less: the analysis goes on without.
        let _ = nix::sys::prctl::set_no_new_privs();
        let names = NAMES_READ.iter().filter(|_| needs.names);
        let system: Vec<&str> = SYSTEM_READ.iter().chain(names).copied().collect();
        let _ = landlock(&system, &needs.reads, &writable_paths(&needs.writes));
        let _ = forbid_system_calls(needs.names);
    }

    /// Has the kernel refuse calls that no analysis makes; sockets only where no name of a filter is looked up.
    ///
    /// A list of what is allowed would be shorter to argue for, but depends on the version of the C library, and fails
    /// where that changes.
    fn forbid_system_calls(names: bool) -> Result<(), Box<dyn std::error::Error>> {
        // Pairs of sockets stay: they lead nowhere, and signals are delivered by one.
        let sockets = [libc::SYS_socket].into_iter().filter(|_| !names);
        // Without conditions a rule applies to every call.
        let rules: BTreeMap<i64, Vec<_>> =
            NEVER.into_iter().chain(sockets).map(|call| (call, Vec::new())).collect();
        let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, ARCH.try_into()?)?;
        Ok(apply_filter(&BpfProgram::try_from(filter)?)?)
    }

    /// The user to become.
    struct NewUser {
        name: String,
        uid: Uid,
        gid: Gid,
    }

    fn target(plan: &SandboxPlan) -> Result<Option<NewUser>, SandboxError> {
        let root = geteuid().is_root();
        match &plan.user {
            Some(name) if !root => Err(SandboxError::NotRoot(name.clone())),
            Some(name) => match User::from_name(name) {
                Ok(Some(user)) if user.uid.is_root() => Ok(None),
                Ok(Some(user)) => Ok(Some(NewUser { name: user.name, uid: user.uid, gid: user.gid })),
                Ok(None) | Err(_) => Err(SandboxError::UnknownUser(name.clone())),
            },
            None if root => Ok(sudo_caller()),
            None => Ok(None),
        }
    }

    /// The user who called sudo, from its environment variables.
    fn sudo_caller() -> Option<NewUser> {
        let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
        let uid = Uid::from_raw(number("SUDO_UID")?);
        let gid = Gid::from_raw(number("SUDO_GID")?);
        let known = User::from_uid(uid).ok().flatten();
        let name = known.map_or_else(|| uid.to_string(), |user| user.name);
        (!uid.is_root()).then_some(NewUser { name, uid, gid })
    }

    fn become_user(user: &NewUser) -> Result<(), SandboxError> {
        let failed = |step| {
            move |errno: nix::errno::Errno| SandboxError::Become {
                user: user.name.clone(),
                step,
                source: io::Error::from(errno),
            }
        };
        let groups = match CString::new(user.name.as_str()) {
            Ok(name) => initgroups(&name, user.gid),
            Err(_) => setgroups(&[user.gid]),
        };
        groups.map_err(failed("setting its groups"))?;
        setresgid(user.gid, user.gid, user.gid).map_err(failed("setting its group"))?;
        setresuid(user.uid, user.uid, user.uid).map_err(failed("setting its uid"))
    }

    fn clear_capabilities() -> Result<(), caps::errors::CapsError> {
        // Linux before 4.3 has no ambient set, and so nothing in it.
        let _ = caps::clear(None, CapSet::Ambient);
        caps::clear(None, CapSet::Inheritable)?;
        caps::clear(None, CapSet::Effective)?;
        caps::clear(None, CapSet::Permitted)
    }

    /// Paths that must be writable for these files: their directories, existing files themselves, and the targets of
    /// symbolic links.
    fn writable_paths(files: &[PathBuf]) -> Vec<PathBuf> {
        // A name with strftime(3) conversions is not known yet.
        let named = |path: &Path| !path.as_os_str().as_encoded_bytes().contains(&b'%');
        let directory = |file: &Path| match file.ancestors().skip(1).find(|directory| named(directory)) {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let existing = files.iter().filter_map(|file| file.canonicalize().ok());
        // A symbolic link to a file that does not exist is followed when that is created.
        let target = |file: &PathBuf| Some(directory(file).join(file.read_link().ok()?));
        let links = |file: &PathBuf| std::iter::successors(target(file), target).take(40).collect::<Vec<_>>();
        let linked = files.iter().flat_map(links).map(|file| directory(&file)).collect::<Vec<_>>();
        files.iter().map(|file| directory(file)).chain(existing).chain(linked).collect()
    }

    /// Allows reading `system` and `reads`, and writing `writes`; nothing else.
    fn landlock(
        system: &[&str],
        reads: &[PathBuf],
        writes: &[PathBuf],
    ) -> Result<RulesetStatus, Box<dyn std::error::Error>> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        // A file is replaced by creating one beside it and renaming that.
        let write = read
            | AccessFs::WriteFile
            | AccessFs::Truncate
            | AccessFs::MakeReg
            | AccessFs::RemoveFile
            | AccessFs::Refer;
        let mut rules = Ruleset::default()
            .handle_access(AccessFs::from_all(RIGHTS))?
            .handle_access(AccessNet::from_all(RIGHTS))?
            .scope(Scope::from_all(RIGHTS))?
            .create()?
            .add_rules(path_beneath_rules(system, read))?;
        // Without a rule a file could not be opened: where descriptors are too few for that, nothing is restricted.
        for path in writes.iter().filter(|path| path.metadata().is_ok()) {
            drop(PathFd::new(path)?);
        }
        rules = rules.add_rules(path_beneath_rules(writes, write))?;
        for path in reads.iter().filter(|path| path.metadata().is_ok()) {
            // Landlock has no rules for pipes and the like, and does not restrict them.
            let before = rules.try_clone();
            drop(PathFd::new(path)?);
            rules = match (rules.add_rules(path_beneath_rules([path], read)), before) {
                (Ok(added), _) => added,
                (Err(_), Ok(before)) => before,
                (Err(error), Err(_)) => return Err(error.into()),
            };
        }
        Ok(rules.restrict_self()?.ruleset)
    }

    fn describe(status: &RulesetStatus) -> &'static str {
        match status {
            RulesetStatus::FullyEnforced => {
                "fully enforced: reads /proc, /sys and the time zone, writes only in the directories of its output files"
            }
            RulesetStatus::PartiallyEnforced => {
                "enforced as far as this kernel can: reads /proc, /sys and the time zone, writes only in the directories of its \
                 output files"
            }
            RulesetStatus::NotEnforced => "not enforced: this kernel does not offer it",
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::{self, File};
    use std::io::{self, ErrorKind, Write};
    use std::net::TcpStream;

    use super::*;

    /// True if this kernel has Landlock (5.13), and it is switched on.
    fn has_landlock() -> bool {
        use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
        let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        strict.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
    }

    #[test]
    fn an_analysis_reaches_its_own_files_and_no_others() {
        if !has_landlock() {
            // Past the capture of a test's output.
            let _ = writeln!(io::stderr(), "NOT RUN: an_analysis_reaches_its_own_files: no Landlock");
            return;
        }
        let (inputs, outputs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (own, other) = (inputs.path().join("own"), inputs.path().join("other"));
        for path in [&own, &other] {
            fs::write(path, "bytes").unwrap();
        }
        let (pipe, _writer) = io::pipe().unwrap();
        let piped = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&pipe));
        let reads = vec![own.clone(), PathBuf::from(piped), inputs.path().join("missing")];
        let writes = vec![outputs.path().join("report")];
        let needs = AnalysisNeeds { reads, writes, names: false };
        // Landlock restricts threads: not the one that runs other tests.
        let confined = std::thread::spawn(move || {
            let (reads, writes) = (needs.reads.clone(), needs.writes.clone());
            confine_to_files(&needs);
            let denied = |result: io::Result<()>| result.err().map(|error| error.kind());
            assert_eq!(fs::read(&own).unwrap(), b"bytes");
            File::open(&reads[1]).unwrap();
            fs::write(&writes[0], "report").unwrap();
            fs::rename(&writes[0], writes[0].with_extension("new")).unwrap();
            for path in [&other, &PathBuf::from("/etc/passwd")] {
                assert_eq!(denied(File::open(path).map(drop)), Some(ErrorKind::PermissionDenied), "{path:?}");
            }
            assert_eq!(denied(File::open(&reads[2]).map(drop)), Some(ErrorKind::NotFound));
            assert_eq!(denied(fs::write(&own, "")), Some(ErrorKind::PermissionDenied));
            assert_eq!(denied(fs::remove_file(&other)), Some(ErrorKind::PermissionDenied));
            assert_eq!(denied(fs::write(inputs.path().join("new"), "")), Some(ErrorKind::PermissionDenied),);
            // From Linux 6.7 on connections are forbidden too; before that nobody listens on this port.
            assert!(TcpStream::connect("127.0.0.1:9").is_err());
            // Programs started from here inherit it.
            let child = std::thread::spawn(move || File::open(&other).map(drop));
            assert_eq!(denied(child.join().unwrap()), Some(ErrorKind::PermissionDenied));
        });
        confined.join().unwrap();
    }

    #[test]
    fn the_helper_opens_files_for_reading_and_sockets_of_netlink_only() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let confined = std::thread::spawn(move || {
            let path = file.path();
            confine_helper().unwrap();
            let refused =
                |result: io::Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::Unsupported);
            File::open(path).unwrap();
            std::thread::spawn(|| File::open("/proc/self/net/tcp").unwrap()).join().unwrap();
            refused(File::options().append(true).open(path).map(drop));
            refused(File::options().read(true).write(true).open(path).map(drop));
            refused(File::create(path.with_extension("new")).map(drop));
            refused(fs::remove_file(path));
            refused(TcpStream::connect("127.0.0.1:9").map(drop));
            refused(std::os::unix::net::UnixStream::pair().map(drop));
            refused(std::process::Command::new("true").status().map(drop));
            let other = File::open("/proc/self/ns/mnt").unwrap();
            let entered = nix::sched::setns(other, nix::sched::CloneFlags::CLONE_NEWNS);
            assert_eq!(entered, Err(nix::errno::Errno::ENOSYS));
            file
        });
        drop(confined.join().unwrap());
    }

    #[test]
    fn an_analysis_starts_no_program_and_opens_no_socket() {
        let (own, refused) = (std::process::Command::new("true"), Some(ErrorKind::PermissionDenied));
        let confined = |names| {
            let mut own = std::process::Command::new(own.get_program());
            std::thread::spawn(move || {
                confine_to_files(&AnalysisNeeds { names, ..AnalysisNeeds::default() });
                let socket = std::net::UdpSocket::bind("127.0.0.1:0").err().map(|error| error.kind());
                (own.status().err().map(|error| error.kind()), socket)
            })
        };
        assert_eq!(confined(false).join().unwrap(), (refused, refused));
        // Names are looked up by UDP.
        assert_eq!(confined(true).join().unwrap(), (refused, None));
    }
}
