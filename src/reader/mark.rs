//! A call that has not come back in time, as other processes see it: the thread that made it says so by its name, which
//! the kernel shows everybody and forgets with the thread. The PC/SC service tells nobody.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// Where the kernel keeps the name of a thread, once that thread has said which it is.
#[derive(Debug, Clone, Default)]
pub struct ThreadMark(Arc<OnceLock<PathBuf>>);

impl ThreadMark {
    /// Called by the thread itself.
    pub fn here(&self) {
        if let Ok(thread) = fs::read_link("/proc/thread-self") {
            let _ = self.0.set(Path::new("/proc").join(thread).join("comm"));
        }
    }

    /// From now on, until the thread ends, others see that it hangs at this reader.
    pub fn set(&self, socket: &Path, reader: &str) {
        if let Some(place) = self.0.get() {
            // A system without it tells others nothing.
            let _ = fs::write(place, name(socket, reader));
        }
    }
}

/// At most 15 bytes, which is what the kernel keeps.
fn name(socket: &Path, reader: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (socket, reader).hash(&mut hasher);
    format!("hangs-{:08x}", hasher.finish() & 0xFFFF_FFFF)
}

/// Whether a call of any rollcall into the driver of this reader has outlasted its limit, and has not come back.
pub fn is_set(socket: &Path, reader: &str) -> bool {
    let name = name(socket, reader);
    let below = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let says = |place: PathBuf, word: &str| fs::read_to_string(place).is_ok_and(|text| text.trim_end() == word);
    let processes = below("/proc".into()).filter(|process| process.join("task").is_dir());
    processes.flat_map(|process| below(process.join("task"))).any(|thread| says(thread.join("comm"), &name))
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

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
