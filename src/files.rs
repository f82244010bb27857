//! Files that hold state: private from the moment they exist, and replaced whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    ops::{Deref, DerefMut},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use fs4::fs_std::FileExt;
use zeroize::Zeroizing;

/// A path as one word of a command for a shell (POSIX.1, XCU 2.2), for remedies that are typed or run as they stand.
pub fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text;
    }
    // A name that begins with a dash would be an option.
    let dot = if text.starts_with('-') { "./" } else { "" };
    format!("'{dot}{}'", text.replace('\'', "'\\''"))
}

/// Creates a folder that only its owner may enter, with its parents; it may be there already.
///
/// # Errors
/// What the system says; a file of that name is one.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Which file it is, whatever it is called: its device and its number there.
///
/// # Errors
/// What the system says.
pub fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let about = fs::metadata(path)?;
    Ok((about.dev(), about.ino()))
}

/// The folder that a file stands in: a name alone stands in this one.
pub fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// All of it, where it has at most `limit` bytes.
///
/// # Errors
/// What the system says; [`FileTooLarge`](io::ErrorKind::FileTooLarge) where there is more.
pub fn read_bounded(source: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let length = source.take(limit + 1).read_to_end(&mut content)?;
    if length as u64 > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(content) }
}

/// All of it as text, where it has at most `limit` bytes.
///
/// # Errors
/// As [`read_bounded`]; [`InvalidData`](io::ErrorKind::InvalidData) for what is not UTF-8.
pub fn read_text(source: impl Read, limit: u64) -> io::Result<String> {
    let content = Zeroizing::new(read_bounded(source, limit)?); // it may be a key
    let text = str::from_utf8(without_mark(&content)).map(str::to_owned);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// A text without the byte order mark that editors of other systems put in front of it.
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)
}

/// What SQLite needs beside a file before it reads it, twice over, in bytes.
const ROOM: usize = 64 * 1024;

/// Makes a file of some size beside a file and takes it away, for libraries that do not say why they could not.
///
/// # Errors
/// What the system says.
pub fn try_beside(path: &Path) -> io::Result<()> {
    let probe = path.with_extension(format!("probe-{}", std::process::id()));
    let mut options = OpenOptions::new();
    let written = options.write(true).create(true).truncate(true).mode(0o600).open(&probe)?.write_all(&vec![0; ROOM]);
    written.and(fs::remove_file(&probe))
}

/// Replaces a file with mode 0600. Whoever reads it sees the old content or the new, also after a power loss.
///
/// # Errors
/// What the system says: the old content stands then, except when only its folder could not be synchronised.
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a path without a folder or a name.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let written = write_new(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // What failed is told; that a leftover cannot be removed adds nothing to it.
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

/// A file that one process has for itself, until this is dropped or the process ends.
///
/// It is unlocked in so many words: a process that is just being started has a copy of every open file until it becomes
/// its program, and with the copy the lock would live on after the file was closed here.
#[derive(Debug)]
pub struct LockedFile(File);

impl LockedFile {
    /// Locks the file; gives it back when another process, or another part of this one, has locked it.
    ///
    /// # Errors
    /// What the system says of the lock. That somebody else has it is no error.
    pub fn exclusively(file: File) -> io::Result<Result<Self, File>> {
        Ok(if FileExt::try_lock_exclusive(&file)? { Ok(Self(file)) } else { Err(file) })
    }

    /// Locks the file as soon as nobody else has it: for work of a moment.
    ///
    /// # Errors
    /// What the system says of the lock.
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
        // The lock ends with the file at the latest.
        let _ = FileExt::unlock(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Whoever has a copy of the open file, as a process has that is being started, has no part in the lock.
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

    /// A shell gives back what was meant, as one word and no option.
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
