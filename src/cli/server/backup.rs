//! `rollcall server backup` and `restore`: save the store as one file, and restore it.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    args::RestoreArgs,
    audit,
    run::{authorities, store},
};
use crate::{
    cli::{confirm::confirm, printer::Printer, views},
    config::Settings,
    failure::{ExitClass, Failure},
    files,
    server::{self, RunError, ServerStore, ServerStoreError, StoreUrl, store::Counts},
};

/// A temporary folder for an unfinished file, or one that is being converted; removed when dropped.
struct Workplace(PathBuf);

impl Workplace {
    fn beside(path: &Path) -> Result<Self, Failure> {
        let folder = files::folder_of(path).join(format!(".rollcall-backup.{}", std::process::id()));
        files::create_private_folder(&folder).map_err(|error| file_failure(&folder, &error))?;
        Ok(Self(folder))
    }

    fn file(&self) -> PathBuf {
        self.0.join("server.db")
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // A remnant is private.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `rollcall server backup`: saves a consistent snapshot while the server runs.
///
/// # Errors
/// That of the file, of the store, of the CA's certificate, or of the output.
pub fn back_up(file: &Path, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let (url, authorities) = (store(settings)?, authorities(settings)?);
    // Create the file first, so that two backups at once cannot write to it.
    let reserved = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    drop(reserved.map_err(|error| file_failure(file, &error))?);
    let done = write(file, || {
        let work = Workplace::beside(file)?;
        let copy = work.file();
        let (counts, verified, head) = {
            let mut told = |rows| out.progress("rows copied", rows, None);
            server::block_on(async {
                // Convert a store of an earlier release to the current format, as a server would.
                let store = ServerStore::open_existing(&url, &authorities.0, authorities.1.as_ref()).await?;
                let counts = store.back_up(&copy, &mut told).await?;
                store.close().await;
                let written = ServerStore::inspect(&StoreUrl::Sqlite(copy.clone())).await?;
                let (verified, head) = audit::verify(&written, Vec::new()).await?;
                written.close().await;
                Ok((counts, verified, head))
            })?
            .map_err(RunError::Store)?
        };
        out.progress_end();
        fs::rename(&copy, file).map_err(|error| file_failure(file, &error))?;
        Ok((counts, verified.is_ok(), head.seq))
    });
    let (counts, whole, records) = done?;
    told(file, counts, whole, records, out)?;
    out.note("it holds names and histories of people: keep it as private as the store; the folder pki is not in it");
    Ok(0)
}

/// Removes the file if the backup fails.
fn write<T>(file: &Path, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let done = work();
    if done.is_err() {
        let _ = fs::remove_file(file);
    }
    done
}

/// `rollcall server restore`: restores the whole backup, or nothing.
///
/// # Errors
/// That of the file, of a store that is not empty, of the CA's certificate, or of the output; `backup.store` for
/// the store itself; `confirm.…`. The existing store is then unchanged.
pub fn restore(args: &RestoreArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let (url, (own, previous)) = (store(settings)?, authorities(settings)?);
    let previous = previous.as_ref();
    if is_store(&args.file, &url) {
        let message = format!("{} is the store itself, not a backup of it", args.file.display());
        return Err(Failure::new(ExitClass::Usage, "backup.store", message)
            .hint("name a file that rollcall server backup has made"));
    }
    files::create_private_folder(&settings.state_folder)
        .map_err(|error| file_failure(&settings.state_folder, &error))?;
    let work = Workplace::beside(&settings.state_folder.join("server.db"))?;
    let copy = work.file();
    let is_cut = copy_whole(&args.file, &copy)?;
    if args.replace {
        let what = format!("this replaces all that the store {url} holds by what is in {}", args.file.display());
        confirm(settings, out, &what, "replace")?;
    }
    let (counts, verified, head) = {
        let mut told = |rows| out.progress("rows restored", rows, None);
        server::block_on(async {
            let backup = ServerStore::open_backup(&copy, &own, previous).await?;
            let (verified, head) = audit::verify(&backup, Vec::new()).await?;
            let target = ServerStore::open(&url, &own, previous).await?;
            let counts = target.restore(&backup, args.replace, Timestamp::now(), &mut told).await?;
            target.close().await;
            backup.close().await;
            Ok::<_, ServerStoreError>((counts, verified, head))
        })?
        .map_err(RunError::Store)?
    };
    out.progress_end();
    told(&args.file, counts, verified.is_ok(), head.seq, out)?;
    if is_cut {
        out.warning(
            "it is a copy of a store without its -wal file: changes that were still in that file are missing",
            Some("make backups with rollcall server backup"),
        );
    }
    out.note(
        "terminals that have seen more than this log holds keep refusing whom they refused, and send their events \
         again; once they have, check: rollcall server audit reconcile --dry-run",
    );
    Ok(0)
}

/// Whether a file is the store's own, under any name.
fn is_store(file: &Path, url: &StoreUrl) -> bool {
    let StoreUrl::Sqlite(store) = url else { return false };
    matches!((files::identity(file), files::identity(store)), (Ok(file), Ok(store)) if file == store)
}

/// Copies a file, including `SQLite`'s log beside one that is being written. Returns whether that log should exist but
/// does not: the file was then copied without it.
fn copy_whole(from: &Path, to: &Path) -> Result<bool, Failure> {
    copy_private(from, to).map_err(|error| file_failure(from, &error))?;
    if !has_log(to).map_err(|error| file_failure(to, &error))? {
        return Ok(false);
    }
    let beside = |file: &Path| {
        let mut name = file.as_os_str().to_owned();
        name.push("-wal");
        PathBuf::from(name)
    };
    match copy_private(&beside(from), &beside(to)) {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(file_failure(&beside(from), &error)),
    }
}

fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = fs::File::open(from)?;
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut from, &mut to).map(drop)
}

/// Whether a `SQLite` file needs a log beside it (its file format, 1.3.3): a backup does not.
fn has_log(file: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    fs::File::open(file)?.take(20).read_to_end(&mut head)?;
    Ok(head.get(19) == Some(&2))
}

fn told(file: &Path, counts: Counts, whole: bool, records: u64, out: &mut Printer) -> Result<(), Failure> {
    if !whole {
        out.warning("the audit log in it is not whole", Some("see where: rollcall server audit verify"));
    }
    let Counts { users, tokens, terminals, events } = counts;
    let (schema, file) = (views::Schema::default(), file.display().to_string());
    out.object(&views::Backup { schema, file, records, whole, users, tokens, terminals, events })
}

fn file_failure(path: &Path, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::AlreadyExists => "name another file: a backup does not overwrite one".into(),
        io::ErrorKind::StorageFull => crate::failure::Remedy::run("df -h"),
        _ => crate::failure::Remedy::run(format!("ls -ld {}", files::word(path))),
    };
    Failure::new(ExitClass::Io, "backup.file", format!("{}: {error}", path.display())).hint(hint)
}
