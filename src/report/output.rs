//! Destinations of results: standard output, or a file that is replaced as a whole.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Stdout, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use super::new_file::NewFile;
use super::{ReportOptions, wanted_by_environment};

/// One destination of results, buffered. Dropped without [`Output::commit`], a file that was to be
/// replaced keeps what it had.
pub enum Output {
    /// Standard output.
    Stdout(BufWriter<Stdout>),
    /// Something that cannot be replaced: a device, a pipe, a symbolic link such as `/dev/stdout`, or a
    /// file in a directory that is not writable.
    InPlace(BufWriter<File>),
    /// A new file beside the old one, which takes its place at the end.
    Replacing {
        /// The new file.
        new: BufWriter<NewFile>,
        /// The place it will take.
        path: PathBuf,
    },
}

impl Output {
    /// Standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::Stdout(BufWriter::new(io::stdout()))
    }

    /// The file at `path`. It is opened, and so proved writable, before the work begins.
    ///
    /// # Errors
    ///
    /// The file cannot be opened for writing.
    pub fn file(path: &Path) -> io::Result<Self> {
        let old = match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.is_file() => return Self::in_place(path),
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if old.as_ref().is_some_and(|old| old.permissions().readonly()) {
            // Renaming over it would work where writing to it is forbidden.
            return Self::in_place(path);
        }
        match beside(path, old.as_ref()) {
            Ok(new) => Ok(Self::Replacing { new: BufWriter::new(new), path: path.to_owned() }),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Self::in_place(path),
            Err(error) => Err(error),
        }
    }

    /// Proves that a file can be written at `path`, before long work whose results are to go there. Changes nothing
    /// of what is there.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn probe(path: &Path) -> io::Result<()> {
        if fs::symlink_metadata(path).is_ok() {
            return OpenOptions::new().append(true).create(true).open(path).map(drop);
        }
        beside(path, None).map(drop)
    }

    /// The name of the new file, if it has one, while it has not taken its place.
    #[must_use]
    pub fn unfinished(&self) -> Option<&Path> {
        match self {
            Self::Stdout(_) | Self::InPlace(_) => None,
            Self::Replacing { new, .. } => new.get_ref().name(),
        }
    }

    /// Columns of the terminal that results go to, or 80, which fits mails and tickets, too.
    #[must_use]
    pub fn width(&self) -> usize {
        let terminal = match self {
            Self::Stdout(stdout) => terminal_size::terminal_size_of(stdout.get_ref()),
            Self::InPlace(file) => terminal_size::terminal_size_of(file.get_ref()),
            Self::Replacing { .. } => None,
        };
        // Below 40 a row cannot be kept together; beyond 120 sentences are hard to read.
        terminal.map_or(ReportOptions::WIDTH, |(width, _)| usize::from(width.0).clamp(40, 120))
    }

    /// True if results are to be coloured where the user did not choose: as the environment sets it
    /// standard output or a terminal, never in a file.
    #[must_use]
    pub fn wants_colour(&self) -> bool {
        match self {
            Self::Stdout(_) => wanted_by_environment(),
            Self::InPlace(file) => file.get_ref().is_terminal() && wanted_by_environment(),
            Self::Replacing { .. } => false,
        }
    }

    /// Writes out what is buffered, and puts a new file in its place.
    ///
    /// # Errors
    ///
    /// Writing or renaming fails.
    pub fn commit(self) -> io::Result<()> {
        match self {
            Self::Stdout(mut out) => out.flush(),
            Self::InPlace(mut file) => file.flush(),
            Self::Replacing { new, path } => {
                let new = new.into_inner().map_err(io::IntoInnerError::into_error)?;
                new.put_at(&path)
            }
        }
    }

    fn in_place(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        Ok(Self::InPlace(BufWriter::new(file)))
    }
}

/// A file in the directory of `path`, with the owner and the permissions of the file it will replace, or what a new one
/// gets.
fn beside(path: &Path, old: Option<&Metadata>) -> io::Result<NewFile> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Checked apart: the new file's error would name the temporary file.
    fs::metadata(directory)?;
    let new = NewFile::in_directory(directory)?;
    if let Some(old) = old {
        let own = new.as_file().metadata()?;
        if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
            let given = fchown(new.as_file(), Some(old.uid()), Some(old.gid()));
            // Whom that is forbidden writes in place, or else replaces it all the same.
            if given.is_err() && OpenOptions::new().write(true).open(path).is_ok() {
                return Err(ErrorKind::PermissionDenied.into());
            }
        }
        new.as_file().set_permissions(old.permissions())?;
    }
    Ok(new)
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::InPlace(out) => out.write(bytes),
            Self::Replacing { new, .. } => new.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::InPlace(out) => out.flush(),
            Self::Replacing { new, .. } => new.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_changes_only_when_committed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        fs::write(&path, "old").unwrap();

        let mut output = Output::file(&path).unwrap();
        output.write_all(b"half of the n").unwrap();
        drop(output);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(directory.path()), ["report.json"], "nothing is left behind");

        let mut output = Output::file(&path).unwrap();
        output.write_all(b"new").unwrap();
        output.commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(directory.path()), ["report.json"]);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_the_old_file_or_of_the_umask() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

        let old = directory.path().join("old");
        fs::write(&old, "").unwrap();
        fs::set_permissions(&old, Permissions::from_mode(0o640)).unwrap();
        Output::file(&old).unwrap().commit().unwrap();
        assert_eq!(mode(&old), 0o640);

        let (new, model) = (directory.path().join("new"), directory.path().join("model"));
        fs::write(&model, "").unwrap();
        Output::file(&new).unwrap().commit().unwrap();
        assert_eq!(mode(&new), mode(&model));
    }

    #[test]
    fn a_file_keeps_its_owner() {
        if !nix::unistd::geteuid().is_root() {
            // Past the capture of a test's output.
            let _ = writeln!(io::stderr(), "SKIPPED: a_file_keeps_its_owner: only root can give a file away");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("old");
        fs::write(&path, "").unwrap();
        std::os::unix::fs::chown(&path, Some(12), Some(34)).unwrap();
        Output::file(&path).unwrap().commit().unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (12, 34));
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_links_are_written_in_place() {
        assert!(matches!(Output::file(Path::new("/dev/null")), Ok(Output::InPlace(_))));
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mut output = Output::file(&link).unwrap();
        output.write_all(b"through the link").unwrap();
        assert!(!output.wants_colour(), "it is a file behind it");
        output.commit().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "through the link");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_missing_directory_is_an_error_before_the_work() {
        let directory = tempfile::tempdir().unwrap();
        let error = Output::file(&directory.path().join("none/report.json")).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(!error.to_string().contains(".hsanalyze-"), "{error}");
    }

    #[test]
    fn a_place_is_tried_without_a_trace() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old"), directory.path().join("new"));
        fs::write(&old, "kept").unwrap();
        for path in [&old, &new] {
            Output::probe(path).unwrap();
        }
        assert_eq!(fs::read_to_string(&old).unwrap(), "kept");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let error = Output::probe(&directory.path().join("none/curve.svg")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
