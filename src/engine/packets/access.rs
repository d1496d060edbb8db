//! The way to the packets of listed attempts, whatever the input is.

use std::path::PathBuf;

use super::recorder::SharedRecorder;
use super::second_pass;
use super::store::{PacketLimits, PacketStore};
use crate::capture::{CaptureOptions, FilterError, NamedPoint};
use crate::handshake::Attempt;

/// The way to the packets of the attempts that an output lists.
#[derive(Debug, Clone)]
pub enum PacketAccess {
    /// A second pass over these files, with the filter of the first.
    Files {
        /// The files, as they were given.
        paths: Vec<PathBuf>,
        /// The BPF expression, if there is one.
        filter: Option<String>,
        /// Names of points, each with a file.
        points: Vec<NamedPoint>,
    },
    /// A recorder beside the analysis.
    Recorder(SharedRecorder),
}

impl PacketAccess {
    /// Takes note of a settled attempt: its packets are kept if it is `listed`, else forgotten.
    pub fn settle(&self, attempt: &Attempt, listed: bool) {
        match self {
            Self::Files { .. } => {}
            Self::Recorder(recorder) => recorder.lock().settle(attempt, listed),
        }
    }

    /// Forgets the packets of an attempt that is not listed any more.
    pub fn release(&self, ordinal: u64) {
        match self {
            Self::Files { .. } => {}
            Self::Recorder(recorder) => recorder.lock().release(ordinal),
        }
    }

    /// The packets of these attempts.
    ///
    /// # Errors
    ///
    /// The filter cannot be compiled any more; a file that cannot be opened any more is left out.
    pub fn collect(&self, attempts: &[&Attempt], limits: &PacketLimits) -> Result<PacketStore, FilterError> {
        match self {
            Self::Files { .. } if attempts.is_empty() => Ok(PacketStore::default()),
            Self::Files { paths, filter, points } => {
                let options = CaptureOptions { filter: filter.clone(), points: points.clone() };
                second_pass::collect(paths, &options, attempts, limits)
            }
            Self::Recorder(recorder) => Ok(recorder.lock().take()),
        }
    }
}
