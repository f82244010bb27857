//! Shows other processes that a call hangs in the driver of a reader, because the PC/SC service does not. The thread
//! that made the call says so in its name, which the kernel shows to everybody and drops with the thread.
//!
//! If the program ends before its call, the service keeps the connection until the call returns, just as it does for a
//! call that only waits for another program. So an empty file in the temporary folder marks the connection that hangs.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use super::holders::{connections, own};

/// Where the kernel keeps the name of a thread, once that thread has identified itself.
#[derive(Debug, Clone, Default)]
pub struct ThreadMark(Arc<OnceLock<PathBuf>>);

impl ThreadMark {
    /// Called by the thread itself.
    pub fn here(&self) {
        if let Ok(thread) = fs::read_link("/proc/thread-self") {
            let _ = self.0.set(Path::new("/proc").join(thread).join("comm"));
        }
    }

    /// From now until the call returns, other processes see that it hangs at this reader.
    pub fn set(&self, socket: &Path, reader: &str) {
        if let Some(place) = self.0.get() {
            // A system without /proc shows other processes nothing.
            let _ = fs::write(place, name(socket, reader));
        }
        // Remove what an earlier call left.
        is_left(socket, reader);
        for inode in own(socket) {
            let _ = fs::File::create_new(env::temp_dir().join(format!("{}{inode}", prefix(socket, reader))));
        }
    }
}

/// At most 15 bytes, the kernel's limit.
fn name(socket: &Path, reader: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (socket, reader).hash(&mut hasher);
    format!("hangs-{:08x}", hasher.finish() & 0xFFFF_FFFF)
}

/// Prefix of the files for this reader; the inode of the connection follows.
fn prefix(socket: &Path, reader: &str) -> String {
    format!("rollcall-{}-", name(socket, reader))
}

/// Whether a program that has ended left a hanging call. The files of calls that returned are removed.
fn is_left(socket: &Path, reader: &str) -> bool {
    let (prefix, Ok(all)) = (prefix(socket, reader), connections(socket)) else { return false };
    let mut is_left = false;
    for file in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        let inode = file.file_name().to_str().and_then(|name| name.strip_prefix(&prefix)?.parse::<u32>().ok());
        match inode.map(|inode| all.get(&inode)) {
            Some(None) => drop(fs::remove_file(file.path())),
            Some(Some(peer)) => is_left |= *peer == 0,
            None => {}
        }
    }
    is_left
}

/// Whether any rollcall's call into the driver of this reader has exceeded its limit and not returned.
pub fn is_set(socket: &Path, reader: &str) -> bool {
    is_left(socket, reader) || is_running(socket, reader)
}

/// Whether the program that made such a call still runs.
fn is_running(socket: &Path, reader: &str) -> bool {
    let name = name(socket, reader);
    let below = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let says = |place: PathBuf, word: &str| fs::read_to_string(place).is_ok_and(|text| text.trim_end() == word);
    let processes = below("/proc".into()).filter(|process| process.join("task").is_dir());
    processes.flat_map(|process| below(process.join("task"))).any(|thread| says(thread.join("comm"), &name))
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::net::{UnixListener, UnixStream},
        sync::mpsc,
        thread,
    };

    use super::*;

    /// Seen only for the connection that is named: others of ended programs may merely be waiting.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_program_leaves_hanging_is_seen_after_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("service");
        let listener = UnixListener::bind(&socket).unwrap();
        let connect = || (UnixStream::connect(&socket).unwrap(), listener.accept().unwrap());
        let (client, served) = connect();
        ThreadMark::default().set(&socket, "r");
        assert!(!is_set(&socket, "r"), "it is no thread, and has not ended");
        drop(client);
        assert!(is_set(&socket, "r") && !is_set(&socket, "another"));
        let (waits, _served) = connect();
        drop((waits, served));
        assert!(!is_set(&socket, "r"));
        let prefix = prefix(&socket, "r");
        let mut files = fs::read_dir(env::temp_dir()).unwrap().flatten();
        assert!(!files.any(|file| file.file_name().to_string_lossy().starts_with(&prefix)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn others_see_a_call_that_hangs_until_it_comes_back() {
        let (socket, reader) = (Path::new("/run/x"), format!("Reader {}", std::process::id()));
        let (mark, (go_on, waits), (tell, there)) = (ThreadMark::default(), mpsc::channel::<()>(), mpsc::channel());
        let hanging = thread::spawn({
            let mark = mark.clone();
            move || {
                mark.here();
                tell.send(()).unwrap();
                let _ = waits.recv();
            }
        });
        there.recv().unwrap();
        assert!(!is_set(socket, &reader));
        mark.set(socket, &reader);
        assert!(is_set(socket, &reader));
        assert!(!is_set(socket, "another") && !is_set(Path::new("/run/y"), &reader));
        drop(go_on);
        hanging.join().unwrap();
        assert!(!is_set(socket, &reader));
    }
}
