//! Sources of frames: capture files, standard input, a live interface; and BPF filters.
//!
//! Owns file formats, decompression, merging in time order, libpcap. Does not own what is inside a
//! frame (`packet`).

mod captures;
mod clock_fit;
mod clock_shift;
mod cooked;
mod damage;
mod device;
mod file;
mod filter;
mod follow;
mod input;
mod interface;
mod libpcap;
mod live;
mod memory;
mod open;
mod options;
mod pcap;
mod pcapng;
mod pcapng_writer;
mod points;
mod save;
mod series;
mod source;
mod stream;
mod trim;
mod walk;
mod window;

#[cfg(test)]
mod tests;

pub use captures::{CaptureOptions, Captures};
pub use clock_shift::{ClockDoubt, ClockShift};
pub use device::{Device, devices};
pub use filter::{Filter, FilterError};
pub use follow::{FollowError, FollowedFile};
pub use libpcap::libpcap_version;
pub use live::{CaptureDrops, LiveCapture, LiveError};
pub use memory::{Playback, Recording};
pub use open::{OpenError, OpenReason};
pub(crate) use open::{can_be_read_again, stdin};
pub use options::{LiveOptions, TimeSource, UnknownTimeSource};
pub use pcapng_writer::{PcapngWriter, write_pcapng};
pub use save::{Rotation, Saver};
pub use series::NamedPoint;
pub use source::{CaptureFormat, CaptureInfo, Source, SourceStatus};
