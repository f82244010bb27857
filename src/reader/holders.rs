//! Finds the processes that are connected to the PC/SC service, by asking the kernel, because the service does not say.
//!
//! `sock_diag(7)` gives the other end of every connection to the service's socket, and `/proc/PID/fd` its owner.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};

use crate::failure::Remedy;

/// The kernel's name for this program.
const OURS: &str = "rollcall";
const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_DONE: u16 = 3;
/// A request for all sockets.
const REQUEST_DUMP: u16 = 0x301;
const AF_UNIX: u8 = 1;
/// Show name and peer.
const SHOW: u32 = 1 | 4;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_PEER: u16 = 2;
/// Length of `nlmsghdr`, and of the `unix_diag_msg` after it.
const HEADER: usize = 16;

/// A process with a connection to the service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceClient {
    /// Its process id.
    pub pid: u32,
    /// The kernel's name for it, at most 15 characters.
    pub name: String,
}

/// The processes that are connected.
#[derive(Debug, Default)]
pub struct Holders {
    /// Those that can be named, without this process.
    pub seen: Vec<ServiceClient>,
    /// Whether there are some that this user may not see.
    pub hidden: bool,
}

impl Holders {
    /// All but this process. If the kernel gives an error, none is seen and some may be hidden.
    pub fn of(socket: &Path) -> Self {
        peers(socket).map_or_else(|_| Self { seen: Vec::new(), hidden: true }, |inodes| owners(&inodes))
    }

    /// Whether there are any.
    pub const fn any(&self) -> bool {
        self.hidden || !self.seen.is_empty()
    }

    /// In words, for people.
    pub fn words(&self) -> String {
        let names: Vec<_> = self.seen.iter().map(|one| format!("{} (PID {})", one.name, one.pid)).collect();
        match (names.is_empty(), self.hidden) {
            (false, _) => names.join(", "),
            (true, true) => "a program that only root may see".to_owned(),
            (true, false) => "nobody".to_owned(),
        }
    }

    /// What to type. `is_held` says that one of them holds the reader exclusively, and is not only waiting for the
    /// driver. Ending a waiting program would not help, so it is not suggested. Nor is ending another rollcall: it
    /// holds a card for one tap or one enrollment, and never exclusively.
    pub fn remedy(&self, is_held: bool) -> Remedy {
        let others: Vec<_> = self.seen.iter().filter(|one| one.name != OURS).collect();
        match others.as_slice() {
            [one] if is_held && !self.hidden => Remedy::run(format!("kill {}", one.pid)),
            // The kernel does not say which of them holds the card.
            [_, ..] if is_held => "end the one that uses the reader".into(),
            _ if !self.seen.is_empty() => Remedy::with(
                "wait until it has finished with the card; if it never does, the driver hangs, and ending programs does not help",
                "sudo systemctl restart pcscd",
            ),
            _ if self.hidden => Remedy::with("run as root to see who", "sudo -E rollcall doctor"),
            _ => Remedy::run("rollcall doctor"),
        }
    }

    /// As JSON, for programs.
    pub fn json(&self) -> Value {
        self.seen.iter().map(|one| json!({"pid": one.pid, "name": one.name})).collect()
    }
}

/// Whether any `watch` uses this service, whoever runs it and wherever its state lies. A watch of another user counts
/// if it may be one of the connections that this user cannot see.
pub fn is_watched(socket: &Path) -> bool {
    let inodes = peers(socket).ok();
    let known = inodes.as_ref().map(owners);
    let own = std::process::id();
    processes().filter(|(pid, process)| *pid != own && is_watch(process)).any(|(_, process)| {
        match sockets(&process).zip(inodes.as_ref()) {
            Some((mut sockets, inodes)) => sockets.any(|inode| inodes.contains(&inode)),
            None => known.as_ref().is_none_or(|known| known.hidden),
        }
    })
}

/// Whether a process is our program, running `watch`.
fn is_watch(process: &Path) -> bool {
    let words = fs::read(process.join("cmdline")).unwrap_or_default();
    command(process) == OURS && words.split(|byte| *byte == 0).skip(1).any(|word| word == b"watch")
}

/// The inodes of the other ends of all connections to this socket, without those of programs that have ended.
fn peers(path: &Path) -> io::Result<BTreeSet<u32>> {
    Ok(connections(path)?.into_values().filter(|inode| *inode != 0).collect())
}

/// The service's ends of this process's connections, by inode.
pub(super) fn own(path: &Path) -> BTreeSet<u32> {
    let own: BTreeSet<_> = sockets(Path::new("/proc/self")).into_iter().flatten().collect();
    let all = connections(path).unwrap_or_default();
    all.into_iter().filter(|(_, peer)| own.contains(peer)).map(|(inode, _)| inode).collect()
}

/// The service's ends of all connections to this socket, by inode, with the inodes of the other ends: 0 where the
/// program has ended while a call that it made has not returned.
pub(super) fn connections(path: &Path) -> io::Result<BTreeMap<u32, u32>> {
    let socket = Socket::new(Domain::from(AF_NETLINK), Type::DGRAM, Some(Protocol::from(NETLINK_SOCK_DIAG)))?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    (&socket).write_all(&request())?;
    let name = path.as_os_str().as_encoded_bytes();
    let (mut found, mut room) = (BTreeMap::new(), vec![0; 64 * 1024]);
    loop {
        let length = (&socket).read(&mut room)?;
        if length == 0 || collect(room.get(..length).unwrap_or_default(), name, &mut found) {
            return Ok(found);
        }
    }
}

fn request() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40);
    bytes.extend(40u32.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST_DUMP.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([AF_UNIX, 0, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(SHOW.to_ne_bytes());
    bytes.extend([0xFF; 8]);
    bytes
}

/// Collects the connections from one datagram; returns whether it was the last.
fn collect(mut rest: &[u8], name: &[u8], found: &mut BTreeMap<u32, u32>) -> bool {
    while let Some((length, kind)) = u32_at(rest, 0).zip(u16_at(rest, 4)) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(message) = rest.get(HEADER..length) else { return true };
        if kind != SOCK_DIAG_BY_FAMILY {
            return kind == NLMSG_DONE || kind == 2;
        }
        found.extend(connection(message, name));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

/// The socket that a message describes, and its peer, if the socket has this name.
fn connection(message: &[u8], name: &[u8]) -> Option<(u32, u32)> {
    let own = u32_at(message, 4)?;
    let (mut rest, mut named, mut peer) = (message.get(HEADER..)?, false, None);
    while let Some((length, kind)) = u16_at(rest, 0).zip(u16_at(rest, 2)) {
        let length = usize::from(length);
        let value = rest.get(4..length)?;
        match kind {
            UNIX_DIAG_NAME => named = value.strip_suffix(&[0]).unwrap_or(value) == name,
            UNIX_DIAG_PEER => peer = u32_at(value, 0),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    peer.filter(|_| named).map(|peer| (own, peer))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

/// The processes that own these sockets.
fn owners(inodes: &BTreeSet<u32>) -> Holders {
    let (mut seen, mut known) = (Vec::new(), BTreeSet::new());
    let own = std::process::id();
    for (pid, process) in processes() {
        let Some(sockets) = sockets(&process) else { continue };
        let mine: Vec<_> = sockets.filter(|inode| inodes.contains(inode)).collect();
        if !mine.is_empty() && pid != own {
            seen.push(ServiceClient { pid, name: command(&process) });
        }
        known.extend(mine);
    }
    seen.sort();
    Holders { seen, hidden: inodes.iter().any(|inode| !known.contains(inode)) }
}

/// All processes, by id and folder.
fn processes() -> impl Iterator<Item = (u32, PathBuf)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
}

/// The inodes of its sockets; none where this user may not see them.
fn sockets(process: &Path) -> Option<impl Iterator<Item = u32>> {
    let files = fs::read_dir(process.join("fd")).ok()?;
    Some(files.flatten().filter_map(|file| inode(&file.path())))
}

/// The kernel's name for it.
fn command(process: &Path) -> String {
    fs::read_to_string(process.join("comm")).unwrap_or_default().trim_end().to_owned()
}

/// `socket:[12345]`
fn inode(file: &Path) -> Option<u32> {
    let target = fs::read_link(file).ok()?;
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn the_kernel_tells_who_is_connected_to_a_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service");
        let listener = UnixListener::bind(&path).unwrap();
        assert!(peers(&path).unwrap().is_empty());
        let client = UnixStream::connect(&path).unwrap();
        let _served = listener.accept().unwrap();
        let inodes = peers(&path).unwrap();
        assert_eq!(inodes.len(), 1);
        // The only one is this process, which is left out and not hidden.
        let found = owners(&inodes);
        assert!(found.seen.is_empty() && !found.hidden, "{found:?}");
        assert!(peers(&folder.path().join("another")).unwrap().is_empty());
        let own = own(&path);
        assert!(own.len() == 1 && connections(&path).unwrap().keys().eq(&own));
        // The connection of a program that has ended remains until the service closes its end, but nobody holds it.
        drop(client);
        assert!(peers(&path).unwrap().is_empty());
        assert_eq!(connections(&path).unwrap(), own.into_iter().map(|inode| (inode, 0)).collect());
    }

    #[test]
    fn nobody_is_told_to_end_a_watch() {
        let client = |pid, name: &str| ServiceClient { pid, name: name.to_owned() };
        let told = |seen: &[ServiceClient], hidden: bool, is_held: bool| {
            let holders = Holders { seen: seen.to_vec(), hidden };
            assert!(holders.any());
            holders.remedy(is_held).command.map(|command| command.to_string())
        };
        let ours_and_another = [client(7, "rollcall"), client(9, "scdaemon")];
        let restart = Some("sudo systemctl restart pcscd".to_owned());
        assert_eq!(told(&ours_and_another, false, true), Some("kill 9".into()));
        // It may only be waiting, as we are.
        assert_eq!(told(&ours_and_another, false, false), restart);
        assert_eq!(told(&[client(7, "rollcall")], false, true), restart);
        // Nor any of several that may merely have a context open, seen or not.
        assert_eq!(told(&[client(9, "scdaemon"), client(11, "firefox")], false, true), None);
        assert_eq!(told(&[client(9, "scdaemon")], true, true), None);
        assert_eq!(told(&[], true, false), Some("sudo -E rollcall doctor".into()));
        assert!(!Holders::default().any());
    }

    #[test]
    fn a_watch_is_known_by_its_words() {
        let folder = tempfile::tempdir().unwrap();
        for (name, words, is_one) in [
            ("rollcall", "/usr/bin/rollcall\0watch\0", true),
            ("rollcall", "rollcall\0-o\0ndjson\0watch\0--plain\0", true),
            ("rollcall", "rollcall\0readers\0--watch\0", false),
            ("watch", "watch\0rollcall\0users\0", false),
            ("rollcall", "", false),
        ] {
            fs::write(folder.path().join("comm"), format!("{name}\n")).unwrap();
            fs::write(folder.path().join("cmdline"), words).unwrap();
            assert_eq!(is_watch(folder.path()), is_one, "{words}");
        }
    }

    #[test]
    fn what_the_kernel_would_never_say_does_no_harm() {
        let mut found = BTreeMap::new();
        for bytes in [&[][..], &[1; 15], &[0xFF; 40], &[0; 64], &40u32.to_ne_bytes()] {
            collect(bytes, b"x", &mut found);
        }
        assert!(found.is_empty());
    }
}
