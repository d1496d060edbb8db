//! A new file that takes the place of an old one, or of none, when it is complete.
//!
//! The file has no name until then where the system allows that (`O_TMPFILE`, open(2)): whatever ends the program before,
//! nothing is left behind. Elsewhere it has a temporary name beside its place.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tempfile::{Builder, TempPath};

/// Beginning of the names that new files have until they are put in their places.
const PREFIX: &str = ".hsanalyze-";

/// A file that is not in its place yet. Dropped, it is gone.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    /// `None` without a name.
    name: Option<TempPath>,
}

impl NewFile {
    /// An empty file for this directory, with the permissions that the umask leaves.
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub(super) fn in_directory(directory: &Path) -> io::Result<Self> {
        if let Some(file) = unnamed::create(directory) {
            return Ok(Self { file, name: None });
        }
        let mut builder = Builder::new();
        builder.prefix(PREFIX).permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let new = builder.tempfile_in(directory).map_err(|error| match error.raw_os_error() {
            Some(_) => error,
            // The message would name the temporary file.
            None => error.kind().into(),
        })?;
        let (file, name) = new.into_parts();
        Ok(Self { file, name: Some(name) })
    }

    pub(super) const fn as_file(&self) -> &File {
        &self.file
    }

    /// Temporary name of the file; `None` without one.
    pub(super) fn name(&self) -> Option<&Path> {
        self.name.as_deref()
    }

    /// Puts the file at `path`, in its directory, in place of what is there.
    ///
    /// # Errors
    ///
    /// The file cannot be linked or renamed.
    pub(super) fn put_at(self, path: &Path) -> io::Result<()> {
        let name = match self.name {
            Some(name) => name,
            None => match unnamed::link(&self.file, path) {
                // A file that exists can only be replaced by renaming.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let directory = path.parent().unwrap_or(Path::new(""));
                    let link = |name: &Path| unnamed::link(&self.file, name);
                    Builder::new().prefix(PREFIX).make_in(directory, link)?.into_temp_path()
                }
                done => return done,
            },
        };
        Ok(name.persist(path)?)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Files without a name, which only Linux has.
#[cfg(target_os = "linux")]
mod unnamed {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::{Path, PathBuf};

    use nix::fcntl::{AT_FDCWD, AtFlags};
    use nix::unistd::linkat;

    /// `None` where the file system has no such files, or nothing could give them a name later.
    pub(super) fn create(directory: &Path) -> Option<File> {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let file =
            OpenOptions::new().write(true).mode(0o666).custom_flags(libc::O_TMPFILE).open(directory).ok()?;
        place(&file).exists().then_some(file)
    }

    pub(super) fn link(file: &File, name: &Path) -> io::Result<()> {
        Ok(linkat(AT_FDCWD, &place(file), AT_FDCWD, name, AtFlags::AT_SYMLINK_FOLLOW)?)
    }

    fn place(file: &File) -> PathBuf {
        format!("/proc/self/fd/{}", file.as_raw_fd()).into()
    }
}

#[cfg(not(target_os = "linux"))]
mod unnamed {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    pub(super) const fn create(_: &Path) -> Option<File> {
        None
    }

    pub(super) fn link(_: &File, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_file_has_no_name_where_the_system_allows_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut new = NewFile::in_directory(directory.path()).unwrap();
        new.write_all(b"half").unwrap();
        let names = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(names, usize::from(new.name().is_some()));
        let place = directory.path().join("report");
        std::fs::write(&place, "old").unwrap();
        new.put_at(&place).unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"half");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_named_file_takes_its_place_too() {
        let directory = tempfile::tempdir().unwrap();
        let (file, name) = Builder::new().prefix(PREFIX).tempfile_in(directory.path()).unwrap().into_parts();
        let mut new = NewFile { file, name: Some(name) };
        new.write_all(b"new").unwrap();
        let place = directory.path().join("report");
        new.put_at(&place).unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
