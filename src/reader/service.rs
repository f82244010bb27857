//! What the socket of the PC/SC service says, where the library tells too little: whether anybody listens, whether we
//! are let in, and which version of its protocol it speaks.
//!
//! PC/SC Lite: a client connects and sends the command VERSION; the service repeats it with its own version and a code.

use std::{
    ffi::OsString,
    fs,
    io::{self, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

pub use crate::card::link::{MissingGate, ProtocolVersion};

/// Where PC/SC Lite of today's distributions listens, unless `PCSCLITE_CSOCK_NAME` names another place.
const SOCKET: &str = "/run/pcscd/pcscd.comm";
/// How D-Bus is reached, over which the service asks polkit.
const BUS: &str = "/run/dbus/system_bus_socket";
/// What starts polkit when it is asked something.
const POLKIT: [&str; 2] =
    ["/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service", "/usr/lib/systemd/system/polkit.service"];
/// The command with which every client begins.
const VERSION: u32 = 0x11;
/// What the service says when it speaks the client's version.
const SUCCESS: u32 = 0;

/// What the socket says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketAnswer {
    /// There is no such file.
    Missing,
    /// The file is there, and nobody listens.
    Abandoned,
    /// This user may not write to it.
    Forbidden,
    /// Somebody accepts connections, and says nothing in time.
    Silent,
    /// Closed before anything was read: this user is refused.
    Refused,
    /// Closed after the version was read.
    HungUp,
    /// The service speaks this version, and takes the usual one.
    Agreed(ProtocolVersion),
    /// The service speaks this version, and does not take the usual one.
    Disagreed(ProtocolVersion),
    /// Something else went wrong.
    Unclear,
}

/// Where the service listens.
pub fn socket(environment: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    environment("PCSCLITE_CSOCK_NAME").filter(|name| !name.is_empty()).map_or_else(|| SOCKET.into(), PathBuf::from)
}

/// Where the library of this process looks for it.
pub(in crate::reader) fn own_socket() -> PathBuf {
    socket(&|name| std::env::var_os(name))
}

/// Asks at the socket itself, for at most this long.
pub fn ask(socket: &Path, limit: Duration) -> SocketAnswer {
    // To connect can block as well: the queue of a service that hangs is full some time.
    let (answer, answers) = mpsc::sync_channel(1);
    let path = socket.to_owned();
    let ask = move || {
        let _ = answer.send(greet(&path, limit));
    };
    if thread::Builder::new().name("pcsc-socket".to_owned()).spawn(ask).is_err() {
        return SocketAnswer::Unclear;
    }
    answers.recv_timeout(limit.saturating_mul(2)).unwrap_or(SocketAnswer::Silent)
}

fn greet(socket: &Path, limit: Duration) -> SocketAnswer {
    match UnixStream::connect(socket) {
        Ok(stream) => converse(&stream, limit).unwrap_or_else(|error| spoken(error.kind())),
        Err(error) => match error.kind() {
            ErrorKind::NotFound => SocketAnswer::Missing,
            ErrorKind::ConnectionRefused => SocketAnswer::Abandoned,
            ErrorKind::PermissionDenied => SocketAnswer::Forbidden,
            _ => SocketAnswer::Unclear,
        },
    }
}

/// What an error after the connection says. A peer that closes with something unread in its queue resets the connection
/// (unix(7)): it had not heard us yet.
const fn spoken(kind: ErrorKind) -> SocketAnswer {
    match kind {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => SocketAnswer::Refused,
        ErrorKind::UnexpectedEof => SocketAnswer::HungUp,
        ErrorKind::WouldBlock | ErrorKind::TimedOut => SocketAnswer::Silent,
        _ => SocketAnswer::Unclear,
    }
}

fn converse(mut stream: &UnixStream, limit: Duration) -> io::Result<SocketAnswer> {
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let ours = ProtocolVersion::USUAL;
    // Length of the body and command; then the version and a place for the code, all in the machine's order.
    let words = [12, VERSION, ours.major, ours.minor, SUCCESS];
    stream.write_all(&words.map(u32::to_ne_bytes).concat())?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    let word = |at: usize| answer.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_ne_bytes);
    let theirs = ProtocolVersion { major: word(0), minor: word(4) };
    Ok(if word(8) == SUCCESS { SocketAnswer::Agreed(theirs) } else { SocketAnswer::Disagreed(theirs) })
}

/// What the service would need to ask polkit, and is not there.
pub(super) fn missing_gate() -> Option<MissingGate> {
    gate_of(|path| UnixStream::connect(path).is_ok(), |path| fs::exists(path).unwrap_or(true))
}

fn gate_of(answers: impl Fn(&Path) -> bool, exists: impl Fn(&Path) -> bool) -> Option<MissingGate> {
    if !answers(Path::new(BUS)) {
        return Some(MissingGate::Bus);
    }
    let installed = POLKIT.iter().any(|file| exists(Path::new(file)));
    (!installed).then_some(MissingGate::Polkit)
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::PermissionsExt, net::UnixListener};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(500);

    /// What a service that does this with its first client is taken for.
    fn met(serve: impl FnOnce(UnixStream) + Send + 'static) -> SocketAnswer {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service");
        let listener = UnixListener::bind(&path).unwrap();
        let served = thread::spawn(move || serve(listener.accept().unwrap().0));
        let answer = ask(&path, LIMIT);
        served.join().unwrap();
        answer
    }

    fn answering(minor: u32, code: u32) -> impl FnOnce(UnixStream) + Send {
        move |mut client| {
            let mut said = [0; 20];
            client.read_exact(&mut said).unwrap();
            assert_eq!(said, [12u32, 0x11, 4, 4, 0].map(u32::to_ne_bytes).concat()[..]);
            client.write_all(&[4, minor, code].map(u32::to_ne_bytes).concat()).unwrap();
        }
    }

    #[test]
    fn a_service_is_known_by_what_it_does() {
        let version = |minor| ProtocolVersion { major: 4, minor };
        assert_eq!(met(answering(4, 0)), SocketAnswer::Agreed(version(4)));
        assert_eq!(met(answering(5, 0x8010_001E)), SocketAnswer::Disagreed(version(5)));
        assert_eq!(met(answering(3, 0x8010_001D)), SocketAnswer::Disagreed(version(3)));
        let after_reading = |mut client: UnixStream| client.read_exact(&mut [0; 20]).unwrap();
        assert_eq!(met(after_reading), SocketAnswer::HungUp);
        // It waits for our words, and does not read them.
        let unheard = |client: UnixStream| {
            let mut room = [std::mem::MaybeUninit::uninit(); 20];
            assert!(socket2::SockRef::from(&client).peek(&mut room).unwrap() > 0);
        };
        assert_eq!(met(unheard), SocketAnswer::Refused);
    }

    #[test]
    fn a_service_that_says_nothing_holds_nobody_up() {
        let (done, wait) = mpsc::channel::<()>();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service");
        let listener = UnixListener::bind(&path).unwrap();
        let holds = thread::spawn(move || {
            let client = listener.accept().unwrap();
            let _ = wait.recv();
            drop(client);
        });
        assert_eq!(ask(&path, Duration::from_millis(50)), SocketAnswer::Silent);
        drop(done);
        holds.join().unwrap();
    }

    #[test]
    fn no_file_nobody_behind_it_and_no_right_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service");
        assert_eq!(ask(&path, LIMIT), SocketAnswer::Missing);
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(ask(&path, LIMIT), SocketAnswer::Abandoned);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        // Root may do all.
        let expected =
            if rustix::process::geteuid().is_root() { SocketAnswer::Abandoned } else { SocketAnswer::Forbidden };
        assert_eq!(ask(&path, LIMIT), expected);
    }

    #[test]
    fn what_the_service_needs_to_ask_polkit() {
        assert_eq!(gate_of(|_| false, |_| true), Some(MissingGate::Bus));
        assert_eq!(gate_of(|_| true, |_| false), Some(MissingGate::Polkit));
        assert_eq!(gate_of(|_| true, |path| path == Path::new(POLKIT[1])), None);
    }
}
