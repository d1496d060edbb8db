//! Least privilege: gives up privileges once the packet socket of a live capture is open.
//!
//! Owns users, capabilities, no-new-privileges and Landlock. Does not own what needs a privilege before that.
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

#[cfg(target_os = "linux")]
pub(crate) use linux::confine;

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::CString;
    use std::io;
    use std::path::{Path, PathBuf};

    use caps::CapSet;
    use landlock::{
        ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
        RulesetStatus, Scope, path_beneath_rules,
    };
    use nix::unistd::{Gid, Uid, User, geteuid, initgroups, setgroups, setresgid, setresuid};

    use super::{SandboxError, SandboxPlan};

    /// Paths read while capturing: counters and sockets, interface statistics, and the local time zone.
    const READ: [&str; 4] = ["/proc", "/sys", "/etc/localtime", "/usr/share/zoneinfo"];

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
        applied.push(match landlock(&writes) {
            Ok(status) => format!("Landlock: {}", describe(&status)),
            Err(error) => format!("Landlock: not applied ({error})"),
        });
        Ok(applied)
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

    fn landlock(writes: &[PathBuf]) -> Result<RulesetStatus, RulesetError> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        // A file is replaced by creating one beside it and renaming that.
        let write = read
            | AccessFs::WriteFile
            | AccessFs::Truncate
            | AccessFs::MakeReg
            | AccessFs::RemoveFile
            | AccessFs::Refer;
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(RIGHTS))?
            .handle_access(AccessNet::from_all(RIGHTS))?
            .scope(Scope::from_all(RIGHTS))?
            .create()?
            .add_rules(path_beneath_rules(READ, read))?
            .add_rules(path_beneath_rules(writes, write))?
            .restrict_self()?;
        Ok(status.ruleset)
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
