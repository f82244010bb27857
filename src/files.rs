//! Files that hold state: private from the moment they exist, and replaced completely or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    ops::{Deref, DerefMut},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use fs4::fs_std::FileExt;
use zeroize::Zeroizing;

/// A path as one shell word (POSIX.1, XCU 2.2), for remedies that are typed or run as they are.
pub fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text;
    }
    // A name that begins with a dash would be taken for an option.
    let dot = if text.starts_with('-') { "./" } else { "" };
    format!("'{dot}{}'", text.replace('\'', "'\\''"))
}

/// Creates a folder, with its parents, that only its owner may access; it may exist already.
///
/// # Errors
/// The error of the system, also when a file has that name.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Identifies a file independently of its path: its device and inode number.
///
/// # Errors
/// The error of the system.
pub fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let about = fs::metadata(path)?;
    Ok((about.dev(), about.ino()))
}

/// The folder that contains a file; for a bare name, the current folder.
pub fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads everything, if it is at most `limit` bytes.
///
/// # Errors
/// The error of the system; [`FileTooLarge`](io::ErrorKind::FileTooLarge) if there is more.
pub fn read_bounded(source: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let length = source.take(limit + 1).read_to_end(&mut content)?;
    if length as u64 > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(content) }
}

/// Reads everything as text, if it is at most `limit` bytes.
///
/// # Errors
/// As [`read_bounded`]; [`InvalidData`](io::ErrorKind::InvalidData) if it is not UTF-8.
pub fn read_text(source: impl Read, limit: u64) -> io::Result<String> {
    let content = Zeroizing::new(read_bounded(source, limit)?); // it may be a key
    let text = str::from_utf8(without_mark(&content)).map(str::to_owned);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// The text without the byte order mark that some editors put in front.
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)
}

/// Twice the space that SQLite needs beside a file before it reads it, in bytes.
const ROOM: usize = 64 * 1024;

/// Whether it says that the disk, or this user's share of it, is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Creates and removes a file of some size beside a file, to find the cause when a library does not report one.
///
/// # Errors
/// The error of the system.
pub fn try_beside(path: &Path) -> io::Result<()> {
    let probe = path.with_extension(format!("probe-{}", std::process::id()));
    let mut options = OpenOptions::new();
    let written = options.write(true).create(true).truncate(true).mode(0o600).open(&probe)?.write_all(&vec![0; ROOM]);
    written.and(fs::remove_file(&probe))
}

/// Replaces a file with mode 0600. Readers see either the old content or the new, even after a power loss.
///
/// # Errors
/// The error of the system: the old content is kept then, unless only syncing the folder failed.
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a path without a folder or a name.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let written = write_new(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The write error is what is reported; failing to remove the leftover adds nothing.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// A file locked by one process, until this is dropped or the process ends.
///
/// The lock is released explicitly: a child process being started has a copy of every open file until it executes its
/// program, and that copy would keep the lock after the file was closed here.
#[derive(Debug)]
pub struct LockedFile(File);

impl LockedFile {
    /// Locks the file, or returns it when another process, or another part of this one, holds the lock.
    ///
    /// # Errors
    /// The error of the system. That the lock is held elsewhere is not an error.
    pub fn exclusively(file: File) -> io::Result<Result<Self, File>> {
        Ok(if FileExt::try_lock_exclusive(&file)? { Ok(Self(file)) } else { Err(file) })
    }

    /// Locks the file as soon as the lock is free; for short work.
    ///
    /// # Errors
    /// The error of the system.
    pub fn wait(file: File) -> io::Result<Self> {
        FileExt::lock_exclusive(&file)?;
        Ok(Self(file))
    }
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for LockedFile {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // If this fails, the lock ends when the file is closed.
        let _ = FileExt::unlock(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A copy of the open file, as in a child process being started, does not keep the lock.
    #[test]
    fn a_lock_ends_with_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let open = || File::create(folder.path().join("file")).unwrap();
        let held = LockedFile::exclusively(open()).unwrap().unwrap();
        let _copy = held.try_clone().unwrap();
        assert!(LockedFile::exclusively(open()).unwrap().is_err());
        drop(held);
        assert!(LockedFile::exclusively(open()).unwrap().is_ok());
    }

    /// A shell reads back the intended path, as one word and not as an option.
    #[test]
    fn a_path_is_one_word_of_a_command() {
        for path in ["/var/lib/a_b-c.d", "/a b", "/it's", "$(reboot)", "-rf", "-it's", "a;b", "/ü", "*", "a\nb", "~"] {
            let command = format!("printf '%s.' {}", word(Path::new(path)));
            let told = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
            let expected = if path.starts_with('-') { format!("./{path}.") } else { format!("{path}.") };
            assert_eq!(String::from_utf8(told.stdout).unwrap(), expected);
        }
        assert_eq!(word(Path::new("/var/lib/a_b-c.d")), "/var/lib/a_b-c.d");
    }

    #[test]
    fn no_more_is_read_than_is_allowed() {
        assert_eq!(read_text(&b"four"[..], 4).unwrap(), "four");
        assert_eq!(read_text(&b"fiver"[..], 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_text(io::repeat(b'x'), 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_text(&[0xFF][..], 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_name_alone_stands_in_this_folder() {
        for (file, folder) in [("x", "."), ("./x", "."), ("a/x", "a"), ("/x", "/"), ("/", "."), ("", ".")] {
            assert_eq!(folder_of(Path::new(file)), Path::new(folder), "{file}");
        }
    }

    #[test]
    fn replaced_files_are_private_and_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("state");
        create_private_folder(&inner).unwrap();
        let path = inner.join("file");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
    }
}
