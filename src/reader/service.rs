//! Asks the socket of the PC/SC service directly where the library says too little: whether anybody listens, whether
//! this user is let in, and which version of its protocol the service speaks.
//!
//! In PC/SC Lite a client connects and sends the command VERSION; the service returns it with its own version and a
//! code.

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

/// Where PC/SC Lite listens on current distributions, unless `PCSCLITE_CSOCK_NAME` names another place.
const SOCKET: &str = "/run/pcscd/pcscd.comm";
/// The socket of D-Bus, over which the service asks polkit.
const BUS: &str = "/run/dbus/system_bus_socket";
/// The files that start polkit on demand.
const POLKIT: [&str; 2] =
    ["/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service", "/usr/lib/systemd/system/polkit.service"];
/// Where systemd looks for units before those of packages: a link to nowhere masks the unit.
const MASKS: [&str; 2] = ["/etc/systemd/system/polkit.service", "/run/systemd/system/polkit.service"];
/// The first command of every client.
const VERSION: u32 = 0x11;
/// The service's code when it speaks the client's version.
const SUCCESS: u32 = 0;

/// The socket's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketAnswer {
    /// There is no such file.
    Missing,
    /// The file exists, but nobody listens.
    Abandoned,
    /// This user may not write to it.
    Forbidden,
    /// The connection is accepted, but nothing is answered in time.
    Silent,
    /// Closed before anything was read: this user is refused.
    Refused,
    /// Closed after our version was read.
    HungUp,
    /// The service speaks this version, and accepts the usual one.
    Agreed(ProtocolVersion),
    /// The service speaks this version, and does not accept the usual one.
    Disagreed(ProtocolVersion),
    /// Something else went wrong.
    Unclear,
}

/// Where the service listens.
pub fn socket(environment: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    environment("PCSCLITE_CSOCK_NAME").filter(|name| !name.is_empty()).map_or_else(|| SOCKET.into(), PathBuf::from)
}

/// Where this process's library looks for the service.
pub(in crate::reader) fn own_socket() -> PathBuf {
    socket(&|name| std::env::var_os(name))
}

/// Asks the socket itself, for at most this long.
pub fn ask(socket: &Path, limit: Duration) -> SocketAnswer {
    // Connecting can block as well: a hanging service's queue fills up some time.
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

/// What an error after connecting means. A peer that closes with unread data in its queue resets the connection
/// (unix(7)): it had not read our request yet.
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
    // Length of the body and command; then the version and room for the code, all in native byte order.
    let words = [12, VERSION, ours.major, ours.minor, SUCCESS];
    stream.write_all(&words.map(u32::to_ne_bytes).concat())?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    let word = |at: usize| answer.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_ne_bytes);
    let theirs = ProtocolVersion { major: word(0), minor: word(4) };
    Ok(if word(8) == SUCCESS { SocketAnswer::Agreed(theirs) } else { SocketAnswer::Disagreed(theirs) })
}

/// What the service lacks to ask polkit, if anything.
pub(super) fn missing_gate() -> Option<MissingGate> {
    gate_of(
        |path| UnixStream::connect(path).is_ok(),
        |path| fs::exists(path).unwrap_or(true),
        |path| fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null")),
        &fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(),
    )
}

fn gate_of(
    answers: impl Fn(&Path) -> bool,
    exists: impl Fn(&Path) -> bool,
    leads_nowhere: impl Fn(&Path) -> bool,
    mounts: &str,
) -> Option<MissingGate> {
    let any = |files: [&str; 2], is_so: &dyn Fn(&Path) -> bool| files.iter().any(|file| is_so(Path::new(file)));
    if !answers(Path::new(BUS)) {
        Some(MissingGate::Bus)
    } else if !any(POLKIT, &exists) {
        Some(MissingGate::Polkit)
    } else if any(MASKS, &leads_nowhere) {
        Some(MissingGate::Masked)
    } else {
        hides_processes(mounts).then_some(MissingGate::Processes)
    }
}

/// Whether `/proc` shows users only their own processes.
fn hides_processes(mounts: &str) -> bool {
    mounts.lines().filter(|line| line.split(' ').nth(4) == Some("/proc")).any(|line| {
        let options = line.split([' ', ',']).filter_map(|option| option.strip_prefix("hidepid="));
        options.into_iter().any(|mode| !matches!(mode, "0" | "off"))
    })
}

/// Where the service's program lies, running or not.
pub fn daemon(environment: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = environment("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join("pcscd")).find(|file| file.is_file())
}

/// Whether there is no service to start. A user who names a socket has a service somewhere else.
pub(super) fn is_missing(environment: &dyn Fn(&str) -> Option<OsString>, socket: SocketAnswer) -> bool {
    let is_named = environment("PCSCLITE_CSOCK_NAME").is_some_and(|name| !name.is_empty());
    cfg!(target_os = "linux") && socket == SocketAnswer::Missing && !is_named && daemon(environment).is_none()
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::PermissionsExt, net::UnixListener};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(500);

    /// The answer for a service that treats its first client like this.
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
        // Waits for our request, and does not read it.
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
        // Root may connect to anything.
        let expected =
            if rustix::process::geteuid().is_root() { SocketAnswer::Abandoned } else { SocketAnswer::Forbidden };
        assert_eq!(ask(&path, LIMIT), expected);
    }

    #[test]
    fn what_the_service_needs_to_ask_polkit() {
        let hidden = "22 1 0:21 / /proc rw,nosuid - proc proc rw,hidepid=2\n";
        assert_eq!(gate_of(|_| false, |_| true, |_| true, hidden), Some(MissingGate::Bus));
        assert_eq!(gate_of(|_| true, |_| false, |_| true, hidden), Some(MissingGate::Polkit));
        let there = |path: &Path| path == Path::new(POLKIT[1]);
        assert_eq!(gate_of(|_| true, there, |path| path == Path::new(MASKS[1]), hidden), Some(MissingGate::Masked));
        assert_eq!(gate_of(|_| true, there, |_| false, hidden), Some(MissingGate::Processes));
        assert_eq!(gate_of(|_| true, there, |_| false, ""), None);
    }

    #[test]
    fn hidepid_is_seen_in_the_options_of_proc_only() {
        let line = |place: &str, options: &str| format!("22 1 0:21 / {place} rw,nosuid - proc proc {options}\n");
        for (text, hides) in [
            (line("/proc", "rw,hidepid=2"), true),
            (line("/proc", "rw,hidepid=invisible"), true),
            (line("/proc", "rw,hidepid=0"), false),
            (line("/proc", "rw,hidepid=off"), false),
            (line("/proc", "rw"), false),
            (line("/mnt/proc", "rw,hidepid=2"), false),
        ] {
            assert_eq!(hides_processes(&text), hides, "{text}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_service_is_missing_where_nothing_could_be_it() {
        let bare = |name: &str| (name == "PATH").then(|| "/nowhere".into());
        let has_one = daemon(&bare).is_some();
        assert_eq!(is_missing(&bare, SocketAnswer::Missing), !has_one);
        assert!(!is_missing(&bare, SocketAnswer::Abandoned));
        let elsewhere = |name: &str| Some(if name == "PATH" { "/nowhere".into() } else { "/run/x".into() });
        assert!(!is_missing(&elsewhere, SocketAnswer::Missing));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pcscd"), "").unwrap();
        let installed = |name: &str| (name == "PATH").then(|| folder.path().as_os_str().to_owned());
        assert!(!is_missing(&installed, SocketAnswer::Missing));
    }
}
