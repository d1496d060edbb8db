//! The TUN device: where packets leave the kernel as bytes and come back as bytes.
//!
//! Owns the device's file descriptor. Does not own addresses and routes (`network`) nor what happens
//! to the packets (`path`). The device is not persistent: it goes with the descriptor.

#![expect(unsafe_code, reason = "nix has no ioctl for TUN devices")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;

const DEVICE: &str = "/dev/net/tun";

nix::ioctl_readwrite_bad!(
    /// `TUNSETIFF` (`linux/if_tun.h`): `_IOW('T', 202, int)`, though it takes a `struct ifreq`.
    tun_set_interface,
    nix::request_code_write!(b'T', 202, std::mem::size_of::<libc::c_int>()),
    libc::ifreq
);

/// Making a TUN device failed.
#[derive(Debug, thiserror::Error)]
pub enum TunError {
    /// The device node is missing.
    #[error("{DEVICE} does not exist: load the module (modprobe tun) or give the container the device")]
    Missing,
    /// The device node may not be opened.
    #[error("{DEVICE}: permission denied: run as root, or give the user read and write access to it")]
    Denied,
    /// Opening it failed otherwise.
    #[error("{DEVICE}: {0}")]
    Open(io::Error),
    /// The kernel would not make the interface.
    #[error("{DEVICE}: cannot make an interface: {0} (needs CAP_NET_ADMIN in the namespace)")]
    Create(Errno),
}

/// A TUN interface of the calling thread's network namespace; raw IP, no packet information header,
/// no offloads, non-blocking.
#[derive(Debug)]
pub struct Tun {
    file: File,
    name: String,
}

impl Tun {
    /// Makes the interface; the kernel names it.
    ///
    /// # Errors
    ///
    /// [`TunError`] names the missing permission.
    pub fn create() -> Result<Self, TunError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(DEVICE)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => TunError::Missing,
                io::ErrorKind::PermissionDenied => TunError::Denied,
                _ => TunError::Open(error),
            })?;
        // SAFETY: ifreq is plain old data; all zeros is an empty name and no flags.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // Both flags fit: IFF_TUN is 1, IFF_NO_PI 0x1000.
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        // SAFETY: the descriptor is open, and `request` is a whole ifreq that outlives the call; the
        // kernel reads it and writes the chosen name back into it.
        unsafe { tun_set_interface(file.as_raw_fd(), &raw mut request) }.map_err(TunError::Create)?;
        let name = request
            .ifr_name
            .iter()
            .take_while(|&&c| c != 0)
            .map(|&c| char::from(c.cast_unsigned()))
            .collect();
        Ok(Self { file, name })
    }

    /// The interface's name, `tun0` in a fresh namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads the next packet that the kernel sent; `None` when there is none.
    ///
    /// # Errors
    ///
    /// The interface is down or gone.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match (&self.file).read(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands a packet to the kernel, which has processed it when this returns: without NAPI the
    /// driver runs the receive path in the writer's context (`tun_get_user`).
    ///
    /// # Errors
    ///
    /// The interface is down or gone, or the packet is no IP packet.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        (&self.file).write_all(packet)
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
