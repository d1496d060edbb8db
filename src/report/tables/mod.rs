//! `--format parquet`: attempts, listeners and episodes as three tables in a directory, for DuckDB, Spark and the like.
//!
//! Owns columns and their types. Names are those of the other formats, nested ones joined with `_`; what is a time span is in
//! nanoseconds, and its name ends in `_ns`. Attempts are written as they are settled, in groups of rows.

mod attempts;
mod column;
mod listeners;
mod table;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use self::listeners::EpisodeRow;
use self::table::ParquetTable;
use crate::engine::Summary;
use crate::handshake::Attempt;
use crate::listener::Listener;

/// The three tables while they are written. Dropped unfinished, none of them is there.
pub struct TablesReport {
    attempts: ParquetTable<Attempt>,
    listeners: ParquetTable<Listener>,
    episodes: ParquetTable<EpisodeRow>,
}

impl TablesReport {
    /// Begins the tables in a directory, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// The directory cannot be made, or no file in it.
    pub fn create(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = |name: &str| directory.join(format!("{name}.parquet"));
        Ok(Self {
            attempts: ParquetTable::create(&path("attempts"), "attempts", attempts::columns())?,
            listeners: ParquetTable::create(&path("listeners"), "listeners", listeners::columns())?,
            episodes: ParquetTable::create(&path("episodes"), "episodes", listeners::episode_columns())?,
        })
    }

    /// Temporary names of the files that are not in their places.
    #[must_use]
    pub fn unfinished(&self) -> Vec<PathBuf> {
        let names = [self.attempts.unfinished(), self.listeners.unfinished(), self.episodes.unfinished()];
        names.into_iter().flatten().map(Path::to_owned).collect()
    }

    /// Adds a row for a settled attempt.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn attempt(&mut self, attempt: &Attempt) -> io::Result<()> {
        self.attempts.add(attempt)
    }

    /// Writes the rest, and puts all tables in their places.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn finish(mut self, summary: &Summary) -> io::Result<()> {
        for listener in &summary.listeners {
            self.listeners.add(listener)?;
            for episode in &listener.episodes {
                let (server, scan) = (listener.server, listener.scan);
                self.episodes.add(&EpisodeRow { server, scan, episode: episode.clone() })?;
            }
        }
        self.attempts.finish()?;
        self.listeners.finish()?;
        self.episodes.finish()
    }
}
