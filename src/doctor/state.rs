//! Checks the state folder and its database: writable, with free space, undamaged, not locked.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    time::Duration,
};

use super::{Finding, Probe, ProbeReport};
use crate::{
    failure::{Failure, Remedy},
    files::{self, word},
    terminal::presence::store::{TerminalStore, TerminalStoreError},
};

/// The database grows by pages; with less space than this it soon cannot.
const ROOM: u64 = 4 * 1024 * 1024;

pub fn probe() -> Probe {
    Probe { name: "state", subject: None, limit: Duration::from_secs(10), silent, work: Box::new(inspect) }
}

/// The disk of the state folder does not answer.
pub fn silent() -> Finding {
    Finding::fault(
        "state.slow",
        "the state folder does not answer in time",
        Remedy::with("see whether its disk answers", "df"),
    )
}

fn inspect(report: &ProbeReport) {
    let folder = &report.context.settings.state_folder;
    if !folder.exists() {
        report.found(Finding::skipped(format!("there is no {} yet: nothing was enrolled or read", folder.display())));
        return;
    }
    let room = rustix::fs::statvfs(folder).map(|about| about.f_bavail.saturating_mul(about.f_frsize));
    let found = writable(folder).or_else(|| full(folder, room.unwrap_or(u64::MAX))).unwrap_or_else(|| database(folder));
    report.found(found.fact("folder", folder.display().to_string()).fact("free_bytes", room.ok()));
}

/// Whether a file can be created there, and written: a full disk allows only the former.
fn writable(folder: &Path) -> Option<Finding> {
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    let made = fs::OpenOptions::new().create_new(true).write(true).open(&probe);
    let written = made.and_then(|mut file| file.write_all(&[0; 4096]).and_then(|()| file.sync_all()));
    let _ = fs::remove_file(&probe);
    written.err().map(|error| unwritable(folder, &error))
}

fn unwritable(folder: &Path, error: &io::Error) -> Finding {
    let name = folder.display();
    match error.kind() {
        _ if files::is_full(error) => no_room(folder),
        io::ErrorKind::ReadOnlyFilesystem => Finding::fault(
            "store.read-only",
            format!("{name} is mounted for reading only"),
            Remedy::run(format!("sudo mount -o remount,rw \"$(findmnt -nT {} -o TARGET)\"", word(folder))),
        ),
        io::ErrorKind::PermissionDenied => Finding::fault(
            "store.read-only",
            format!("this user may not write to {name}"),
            Remedy::run(format!("sudo chown -R \"$USER\" {}", word(folder))),
        ),
        _ => Finding::fault("store.io", format!("{name} cannot be written: {error}"), Remedy::run("sudo dmesg | tail")),
    }
}

/// What prevents writing, as far as can be seen without writing.
pub fn obstacle(folder: &Path) -> Option<Finding> {
    use rustix::fs::{Access, access, statvfs};
    match access(folder, Access::WRITE_OK) {
        Ok(()) => statvfs(folder).ok().and_then(|about| full(folder, about.f_bavail.saturating_mul(about.f_frsize))),
        Err(rustix::io::Errno::NOENT) => None,
        Err(error) => Some(unwritable(folder, &error.into())),
    }
}

fn full(folder: &Path, room: u64) -> Option<Finding> {
    (room < ROOM).then(|| no_room(folder))
}

fn no_room(folder: &Path) -> Finding {
    Finding::fault(
        "store.full",
        format!("the disk of {} is full", folder.display()),
        Remedy::run(format!("du -xah \"$(findmnt -nT {} -o TARGET)\" | sort -h | tail", word(folder))),
    )
}

fn database(folder: &Path) -> Finding {
    match TerminalStore::open_if_there(folder) {
        Ok(None) => Finding::good("no user list yet"),
        Ok(Some(mut store)) => match store.check().and_then(|()| store.entries()) {
            Ok(entries) => Finding::good(format!("the user list can be read: {} here", entries.len())),
            Err(error) => held(folder, error),
        },
        Err(error) => held(folder, error),
    }
}

/// The lock is held by another process, which the remedy names.
pub fn held(folder: &Path, error: TerminalStoreError) -> Finding {
    let file = word(&folder.join("terminal.db"));
    let away = word(&folder.join("terminal.db.damaged"));
    let remedy = match &error {
        TerminalStoreError::Locked { .. } => Some(Remedy::run(format!("fuser -v {file}"))),
        TerminalStoreError::Damaged { .. } => Some(Remedy::run(format!("mv {file} {away}"))),
        _ => None,
    };
    let mut found = Finding::from(Failure::from(error));
    found.remedy = remedy.or(found.remedy);
    found
}
