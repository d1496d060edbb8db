//! Channels between threads that hand over work all the time.
//!
//! Owns how they wait: a little while before they sleep. Who sleeps has to be woken, and the kernel likes to wake a
//! thread on the processor of the one that wakes it, where they then take turns until the kernel notices: runs of half
//! a second had their threads side by side for only two thirds of the time.

use std::sync::mpsc::{self, TryRecvError, TrySendError};
use std::thread;

/// How often others are given way to before a thread sleeps: some tenths of a millisecond, about as long as a
/// parcel of batches takes.
const PATIENCE: u32 = 1_000;

/// Sends to a [`Receiver`].
pub(super) struct Sender<T>(mpsc::SyncSender<T>);

/// Receives from a [`Sender`].
pub(super) struct Receiver<T>(mpsc::Receiver<T>);

/// A channel that holds so many at most.
pub(super) fn channel<T>(most: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::sync_channel(most);
    (Sender(sender), Receiver(receiver))
}

impl<T> Sender<T> {
    /// Sends, and waits for room if there is none; says whether anyone will receive it.
    pub(super) fn send(&self, value: T) -> bool {
        let mut value = value;
        for _ in 0..PATIENCE {
            match self.0.try_send(value) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => value = back,
            }
            thread::yield_now();
        }
        self.0.send(value).is_ok()
    }

    /// Sends if there is room.
    pub(super) fn offer(&self, value: T) {
        let _ = self.0.try_send(value);
    }
}

impl<T> Receiver<T> {
    /// Receives, and waits for it if there is nothing; `None` when nobody sends any more.
    pub(super) fn receive(&self) -> Option<T> {
        for _ in 0..PATIENCE {
            match self.0.try_recv() {
                Ok(value) => return Some(value),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => thread::yield_now(),
            }
        }
        self.0.recv().ok()
    }

    /// Receives what is there.
    pub(super) fn poll(&self) -> Option<T> {
        self.0.try_recv().ok()
    }
}
