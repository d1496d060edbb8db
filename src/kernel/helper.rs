//! A process that keeps the privileges which reading other network namespaces takes, after the program has given up its own.
//!
//! The helper finds namespaces, opens descriptors inside one, finds who holds a socket, and passes the descriptors on; nothing else is
//! ever asked of it, and it reads nothing of what it opens. It ends with the program: the socket between them closes. Owns
//! both ends of that socket. Does not own the restrictions of the process (`sandbox`), nor what is read (`reader`, `owner`).

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::holders::{self, HeldSocket, SocketHolder};
use super::netns::{self, Netns, NetnsChoice, NetnsId};
use super::netns_files::{NetnsFile, NetnsFiles};

/// The only argument of the program when it is started as the helper.
pub const HELPER_ARGUMENT: &str = "--netns-helper";

/// Longest wait for an answer: a search looks at the files of every process of the machine.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Most bytes of a message, which a socket sends at once by the kernel's default (`net.core.wmem_default`, 212,992).
const MESSAGE_LEN: usize = 128 * 1024;

/// Most descriptors of a message: those of a namespace.
const MESSAGE_FDS: usize = 32;

/// Most sockets whose holders are looked for at once: numbers of up to 21 bytes.
const MAX_INODES: usize = 4096;

/// A question of the program.
#[derive(Debug, Serialize, Deserialize)]
enum NetnsRequest {
    /// The namespaces that exist.
    Discover,
    /// The descriptors of one that the latest `Discover` found.
    Open(NetnsId),
    /// The processes that hold these sockets.
    Holders(Vec<u64>),
}

/// A message of an answer. The last one is `Files`, `Failed` or `Done`.
#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    /// A namespace.
    Netns(Netns),
    /// Descriptors of a namespace, in the order in which they are passed.
    Files { files: Vec<NetnsFile>, without_conntrack: Option<String>, inode: Option<u64> },
    /// A process, and which of its files are passed: state, cgroup, program.
    Holder { pid: i32, held: Vec<HeldSocket>, files: [bool; 3] },
    /// The answer cannot be had, for this reason.
    Failed(String),
    /// Everything was said; this many processes could not be looked at.
    Done { unreadable: usize },
}

/// The reason why the helper cannot be asked any more.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// The helper could not be started.
    #[error("cannot be started: {0}")]
    Start(#[source] io::Error),
    /// The helper has ended, or does not answer.
    #[error("does not answer: {0}")]
    Lost(#[source] io::Error),
    /// The answer does not fit the question.
    #[error("its answer is not understood")]
    Answer,
}

/// The program's end: asks a running helper. The helper ends when this is dropped.
#[derive(Debug)]
pub struct Helper {
    socket: OwnedFd,
    child: Child,
}

impl Helper {
    /// Starts the running program once more, as the helper, with the privileges of the caller. For programs that call
    /// [`serve_helper`] when their only argument is [`HELPER_ARGUMENT`].
    ///
    /// # Errors
    ///
    /// No `/proc`, no process or no socket is to be had.
    pub fn start() -> Result<Self, HelperError> {
        let start = || {
            // The ends of a socket pair lead nowhere else, and messages stay whole.
            let kind = SocketType::SEQPACKET;
            let (socket, other) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
            set_socket_timeout(&socket, Timeout::Recv, Some(LONGEST_WAIT))?;
            set_socket_timeout(&socket, Timeout::Send, Some(LONGEST_WAIT))?;
            let mut command = Command::new("/proc/self/exe");
            command.arg0("hsanalyze").arg(HELPER_ARGUMENT).env_clear().current_dir("/");
            let child = command.stdin(other).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            Ok(Self { socket, child })
        };
        start().map_err(HelperError::Start)
    }

    /// Process number of the helper.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The namespaces that have a process or a name.
    pub(super) fn discover(&self) -> Result<Vec<Netns>, HelperError> {
        let mut found = Vec::new();
        self.ask(&NetnsRequest::Discover, &mut |reply, _| {
            Ok(match reply {
                Reply::Netns(netns) => {
                    found.push(netns);
                    None
                }
                reply => Some(reply),
            })
        })?;
        Ok(found)
    }

    /// Descriptors inside a namespace, or the reason why there are none.
    pub(super) fn open(&self, id: NetnsId) -> Result<Result<NetnsFiles, String>, HelperError> {
        let mut opened = None;
        let last = self.ask(&NetnsRequest::Open(id), &mut |reply, fds| match reply {
            Reply::Files { files, without_conntrack, inode } if files.len() == fds.len() => {
                let open = files.into_iter().zip(fds).collect();
                opened = Some(NetnsFiles { open, without_conntrack, inode });
                Ok(Some(Reply::Done { unreadable: 0 }))
            }
            reply => Ok(Some(reply)),
        })?;
        match (opened, last) {
            (Some(opened), _) => Ok(Ok(opened)),
            (None, Reply::Failed(reason)) => Ok(Err(reason)),
            (None, _) => Err(HelperError::Answer),
        }
    }

    /// Hands each process that holds one of these sockets to `take`. Returns the number of processes that could not be
    /// looked at.
    pub(super) fn holders(
        &self,
        inodes: &[u64],
        take: &mut dyn FnMut(SocketHolder),
    ) -> Result<usize, HelperError> {
        let mut most = 0;
        for inodes in inodes.chunks(MAX_INODES) {
            let last = self.ask(&NetnsRequest::Holders(inodes.to_vec()), &mut |reply, fds| match reply {
                Reply::Holder { pid, held, files } => {
                    let mut fds = fds.into_iter().map(File::from);
                    let [stat, cgroup, program] = files.map(|passed| if passed { fds.next() } else { None });
                    take(SocketHolder { pid, held, stat, cgroup, program });
                    Ok(None)
                }
                reply => Ok(Some(reply)),
            })?;
            let Reply::Done { unreadable } = last else { return Err(HelperError::Answer) };
            most = most.max(unreadable);
        }
        Ok(most)
    }

    /// Sends a request, and hands the messages of the answer to `take` until it gives one back, the last.
    fn ask(
        &self,
        request: &NetnsRequest,
        take: &mut dyn FnMut(Reply, Vec<OwnedFd>) -> Result<Option<Reply>, HelperError>,
    ) -> Result<Reply, HelperError> {
        let mut buffer = vec![0; MESSAGE_LEN];
        send(&self.socket, request, &[]).map_err(HelperError::Lost)?;
        loop {
            let received = receive(&self.socket, &mut buffer).map_err(HelperError::Lost)?;
            let (reply, fds) = received.ok_or_else(|| HelperError::Lost(ErrorKind::UnexpectedEof.into()))?;
            if let Some(last) = take(reply, fds)? {
                return Ok(last);
            }
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // The helper ends when it finds the socket closed. Until then it may be at work; who has ended by now is not left behind.
        let _ = self.child.try_wait();
    }
}

/// The helper's end: answers what comes on `socket`, until the program at the other end has ended.
///
/// # Errors
///
/// `socket` is none that [`Helper::start`] made; the program cannot be answered.
pub fn serve_helper(socket: impl AsFd) -> io::Result<()> {
    let socket = socket.as_fd();
    let mut buffer = vec![0; MESSAGE_LEN];
    let mut found = Vec::new();
    while let Some((request, _)) = receive(socket, &mut buffer)? {
        match request {
            NetnsRequest::Discover => {
                found = netns::discover(&NetnsChoice::All).unwrap_or_default();
                for netns in &found {
                    send(socket, &Reply::Netns(netns.clone()), &[])?;
                }
                send(socket, &Reply::Done { unreadable: 0 }, &[])?;
            }
            NetnsRequest::Open(id) => match found.iter().find(|netns| netns.id == id) {
                Some(netns) => pass_files(socket, netns)?,
                None => send(socket, &Reply::Failed("there is no such network namespace".to_owned()), &[])?,
            },
            NetnsRequest::Holders(inodes) => {
                let wanted: HashSet<u64> = inodes.into_iter().collect();
                let mut passed = Ok(());
                let unreadable = holders::find(&wanted, &mut |holder| {
                    if passed.is_ok() {
                        passed = pass_holder(socket, holder);
                    }
                });
                passed?;
                send(socket, &Reply::Done { unreadable }, &[])?;
            }
        }
    }
    Ok(())
}

fn pass_files(socket: BorrowedFd<'_>, netns: &Netns) -> io::Result<()> {
    match NetnsFiles::open(netns) {
        Ok(NetnsFiles { open, without_conntrack, inode }) => {
            let fds: Vec<BorrowedFd<'_>> = open.iter().map(|(_, fd)| fd.as_fd()).collect();
            let files = open.iter().map(|&(of, _)| of).collect();
            send(socket, &Reply::Files { files, without_conntrack, inode }, &fds)
        }
        Err(error) => send(socket, &Reply::Failed(error.to_string()), &[]),
    }
}

fn pass_holder(socket: BorrowedFd<'_>, holder: SocketHolder) -> io::Result<()> {
    let SocketHolder { pid, held, stat, cgroup, program } = holder;
    let opened = [stat, cgroup, program];
    let files = [0, 1, 2].map(|at| opened[at].is_some());
    let fds: Vec<BorrowedFd<'_>> = opened.iter().flatten().map(AsFd::as_fd).collect();
    send(socket, &Reply::Holder { pid, held, files }, &fds)
}

/// Sends a message with descriptors.
fn send(socket: impl AsFd, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(ErrorKind::ArgumentListTooLong.into());
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Waits for a message; `None` when the other end was closed.
fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            fds.extend(passed);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(ErrorKind::InvalidData, "a message was cut"));
    }
    let message = serde_json::from_slice(buffer.get(..received.bytes).unwrap_or_default())?;
    Ok(Some((message, fds)))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A helper that is a thread, and its end.
    fn with_helper(test: impl FnOnce(&Helper)) -> io::Result<()> {
        with_thread(|socket| serve_helper(socket), test)
    }

    /// A helper that is a thread which does this at its end, and what that gives.
    fn with_thread<T: Send + 'static>(
        serve: impl FnOnce(&OwnedFd) -> T + Send + 'static,
        test: impl FnOnce(&Helper),
    ) -> T {
        let (socket, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let serving = thread::spawn(move || serve(&other));
        // Any process that ends.
        let child = Command::new("true").spawn().unwrap();
        let helper = Helper { socket, child };
        test(&helper);
        drop(helper);
        serving.join().unwrap()
    }

    #[test]
    fn it_opens_what_it_has_found_and_nothing_else() {
        let ended = with_helper(|helper| {
            let own = NetnsId::own().unwrap();
            assert!(helper.open(own).unwrap().is_err(), "nothing was found yet");
            let found = helper.discover().unwrap();
            assert!(found.iter().any(|netns| netns.id == own && netns.own));
            let mut files = helper.open(own).unwrap().unwrap();
            assert!(files.inode.is_some() && files.take(NetnsFile::SockDiag).is_some());
            assert!(files.take(NetnsFile::Sysctl(0)).is_some());
            assert!(helper.open(NetnsId::default()).unwrap().is_err());
        });
        ended.unwrap();
    }

    #[test]
    fn who_holds_a_socket_is_described_by_files_that_were_passed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = nix::sys::stat::fstat(&listener).unwrap().st_ino;
        let ended = with_helper(|helper| {
            // More than a message may ask for.
            let wanted: Vec<u64> = (0..5000).map(|other| u64::MAX - other).chain([inode]).collect();
            let mut holders = Vec::new();
            helper.holders(&wanted, &mut |holder| holders.push(holder)).unwrap();
            assert_eq!(holders.len(), 1);
            assert_eq!(holders[0].pid.cast_unsigned(), std::process::id());
            assert_eq!(holders[0].held, [HeldSocket { inode, polls: false }]);
            let cgroup = io::read_to_string(holders[0].cgroup.as_mut().unwrap()).unwrap();
            assert_eq!(cgroup, std::fs::read_to_string("/proc/self/cgroup").unwrap());
            assert!(holders[0].stat.is_some() && holders[0].program.is_some());
        });
        ended.unwrap();
    }

    #[test]
    fn a_file_that_could_not_be_opened_stands_for_no_other() {
        let open = |path| Some(File::open(path).unwrap());
        let serve = move |socket: &OwnedFd| {
            let mut buffer = vec![0; MESSAGE_LEN];
            assert!(receive::<NetnsRequest>(socket, &mut buffer).unwrap().is_some());
            let (stat, program) = (open("/proc/self/stat"), open("/proc/self/exe"));
            let holder = SocketHolder { pid: 1, held: Vec::new(), stat, cgroup: None, program };
            pass_holder(socket.as_fd(), holder).unwrap();
            send(socket, &Reply::Done { unreadable: 0 }, &[]).unwrap();
        };
        let mut holders = Vec::new();
        with_thread(serve, |helper| {
            helper.holders(&[7], &mut |holder| holders.push(holder)).unwrap();
        });
        let inode = |file: &Option<File>| nix::sys::stat::fstat(file.as_ref().unwrap()).unwrap().st_ino;
        assert!(holders[0].cgroup.is_none());
        assert_eq!(inode(&holders[0].program), inode(&open("/proc/self/exe")));
    }

    #[test]
    fn it_ends_where_it_does_not_understand_and_so_does_who_asks() {
        let ended = with_helper(|helper| {
            send(&helper.socket, &"what is not asked", &[]).unwrap();
            assert!(matches!(helper.discover(), Err(HelperError::Lost(_))));
        });
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
