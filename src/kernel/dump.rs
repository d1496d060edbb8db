//! A netlink dump: one request, and the messages of its answer.
//!
//! Owns the framing and the errors in it. Does not own what a message means (`diag`, `rtnl`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use netlink_packet_core::NetlinkBuffer;
use netlink_sys::{Socket, SocketAddr as NetlinkAddr};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use super::KernelError;

/// Message types of netlink itself (`linux/netlink.h`).
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// NLM_F_REQUEST and NLM_F_DUMP (`linux/netlink.h`).
const REQUEST_A_DUMP: u16 = 0x1 | 0x300;

/// Bytes of `struct nlmsghdr`.
pub(super) const HEADER_LEN: usize = 16;

/// The kernel sends dumps in datagrams of at most 32 KiB (`netlink_dump`, whatever larger buffer is offered).
const DATAGRAM_LEN: usize = 32 * 1024;

/// The request for a dump.
pub(super) struct Dump<'a> {
    /// The message type.
    pub(super) kind: u16,
    /// The message behind the header.
    pub(super) payload: &'a [u8],
    /// Name of the dump in error messages.
    pub(super) what: &'static str,
}

/// Takes the type and the payload of a message, or the reason why it is not usable.
pub(super) type Take<'a> = dyn FnMut(u16, &[u8]) -> Result<(), String> + 'a;

/// A socket connected to the kernel (port 0), so that no other process can answer in its place.
pub(super) fn connect(protocol: isize) -> io::Result<OwnedFd> {
    let socket = Socket::new(protocol)?;
    socket.connect(&NetlinkAddr::new(0, 0))?;
    // The type of the crate cannot be made of a descriptor that another process has passed.
    socket.as_fd().try_clone_to_owned()
}

/// Sends the request, and hands each message of the answer to `take`.
pub(super) fn dump(socket: &OwnedFd, request: &Dump<'_>, take: &mut Take<'_>) -> Result<(), KernelError> {
    let at = |step| move |errno: Errno| KernelError::Netlink { step, source: errno.into() };
    send(socket.as_raw_fd(), &request.bytes(), MsgFlags::empty()).map_err(at("send()"))?;
    let mut buffer = vec![0; DATAGRAM_LEN];
    loop {
        // MSG_TRUNC: the datagram's real length, so that a cut one is noticed.
        let length = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
            Ok(length) => length,
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(at("recv()")(errno)),
        };
        let Some(datagram) = buffer.get(..length) else {
            let reason = format!("cut to {DATAGRAM_LEN} bytes");
            return Err(KernelError::Answer { length, offset: DATAGRAM_LEN, reason });
        };
        if parse(datagram, request.what, take)? == Progress::Complete {
            return Ok(());
        }
    }
}

impl Dump<'_> {
    fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(HEADER_LEN + self.payload.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.payload.len());
        bytes.extend_from_slice(&length.to_ne_bytes());
        bytes.extend_from_slice(&self.kind.to_ne_bytes());
        bytes.extend_from_slice(&REQUEST_A_DUMP.to_ne_bytes());
        // Sequence number and port: one request at a time, and the socket identifies it to the kernel.
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(self.payload);
        bytes
    }
}

/// State of a dump: more datagrams follow, or it is complete.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Another datagram follows.
    More,
    /// NLMSG_DONE has come.
    Complete,
}

/// Reads one datagram of an answer: netlink messages back to back, each aligned to 4 bytes.
pub(super) fn parse(
    datagram: &[u8],
    what: &'static str,
    take: &mut Take<'_>,
) -> Result<Progress, KernelError> {
    let mut offset = 0;
    while let Some(rest) = datagram.get(offset..).filter(|rest| !rest.is_empty()) {
        let wrong = |reason: String| KernelError::Answer { length: datagram.len(), offset, reason };
        let message = NetlinkBuffer::new_checked(rest).map_err(|error| wrong(error.to_string()))?;
        let payload = rest.get(HEADER_LEN..message.length() as usize).unwrap_or_default();
        match message.message_type() {
            // Both carry an errno, negated; NLMSG_DONE has 0 or nothing when all went well.
            NLMSG_ERROR | NLMSG_DONE => {
                let code = payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                if code != 0 {
                    let source = io::Error::from_raw_os_error(code.saturating_neg());
                    return Err(KernelError::Netlink { step: what, source });
                }
                return Ok(Progress::Complete);
            }
            NLMSG_NOOP => {}
            kind => take(kind, payload).map_err(wrong)?,
        }
        offset += (message.length() as usize).next_multiple_of(4);
    }
    Ok(Progress::More)
}
