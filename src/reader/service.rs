//! Asks the socket of the PC/SC service directly where the library says too little: whether anybody listens, whether
//! this user is let in, which version of its protocol the service speaks, and whether it then works.
//!
//! In PC/SC Lite a client connects and sends the command VERSION; the service returns it with its own version and a
//! code. Then the client asks for a context, which is answered with a code, too.

use std::{
    ffi::OsString,
    fs,
    io::{self, ErrorKind, Read, Write},
    os::unix::{fs::FileTypeExt, net::UnixStream},
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
/// Opens a context, which every program needs; the service closes it with the connection.
const ESTABLISH_CONTEXT: u32 = 0x01;
/// The scope in which the library opens contexts.
const SCOPE_SYSTEM: u32 = 2;
/// The service's code for a request that it grants: it speaks the client's version, or has opened a context.
const SUCCESS: u32 = 0;

/// The socket's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketAnswer {
    /// There is no such file.
    Missing,
    /// The file exists, but nobody listens.
    Abandoned,
    /// There is a folder or an ordinary file of that name.
    NotASocket,
    /// This user may not write to it.
    Forbidden,
    /// The connection is accepted, but nothing is answered in time.
    Silent,
    /// Closed before anything was read: this user is refused.
    Refused,
    /// Closed after our version was read.
    HungUp,
    /// The service speaks this version, accepts the usual one, and then serves a client of that version.
    Agreed(ProtocolVersion),
    /// The service accepts the usual version, and then fails.
    Failed,
    /// The service speaks this version, and does not accept the usual one.
    Disagreed(ProtocolVersion),
    /// Something else went wrong.
    Unclear,
}

/// The variable that names another socket than the usual one.
pub(in crate::reader) const SOCKET_VARIABLE: &str = "PCSCLITE_CSOCK_NAME";

/// Where the service listens.
pub fn socket(environment: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    environment(SOCKET_VARIABLE).filter(|name| !name.is_empty()).map_or_else(|| SOCKET.into(), PathBuf::from)
}

/// The socket that the variable names, if that is not the usual one, which systemd makes.
pub(in crate::reader) fn other_socket(environment: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    Some(socket(environment)).filter(|path| path != Path::new(SOCKET))
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
            ErrorKind::NotFound | ErrorKind::NotADirectory => SocketAnswer::Missing,
            // Linux refuses a connection to any file that is no socket, too.
            ErrorKind::ConnectionRefused if !is_socket(socket) => SocketAnswer::NotASocket,
            ErrorKind::ConnectionRefused => SocketAnswer::Abandoned,
            ErrorKind::PermissionDenied => SocketAnswer::Forbidden,
            _ => SocketAnswer::Unclear,
        },
    }
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.file_type().is_socket())
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

fn converse(stream: &UnixStream, limit: Duration) -> io::Result<SocketAnswer> {
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let ours = ProtocolVersion::USUAL;
    // The version and room for the code.
    let [major, minor, code] = request(stream, VERSION, [ours.major, ours.minor, SUCCESS])?;
    let theirs = ProtocolVersion { major, minor };
    if code != SUCCESS {
        return Ok(SocketAnswer::Disagreed(theirs));
    }
    // If this succeeds and the library still fails, the library speaks another version than we. The scope and room for
    // the context and the code.
    Ok(match request(stream, ESTABLISH_CONTEXT, [SCOPE_SYSTEM, 0, SUCCESS]) {
        Ok([_, _, SUCCESS]) => SocketAnswer::Agreed(theirs),
        Err(error) if spoken(error.kind()) == SocketAnswer::Silent => SocketAnswer::Silent,
        _ => SocketAnswer::Failed,
    })
}

/// Sends a command with a body of three words, which the service returns with its own values.
fn request(mut stream: &UnixStream, command: u32, [a, b, c]: [u32; 3]) -> io::Result<[u32; 3]> {
    // Length of the body and command, then the body, all in native byte order.
    stream.write_all(&[12, command, a, b, c].map(u32::to_ne_bytes).concat())?;
    let mut answer = [[0; 4]; 3];
    for word in &mut answer {
        stream.read_exact(word)?;
    }
    Ok(answer.map(u32::from_ne_bytes))
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
    let is_named = environment(SOCKET_VARIABLE).is_some_and(|name| !name.is_empty());
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

    /// Agrees on the version, and then answers the request for a context with this code.
    fn establishing(code: u32) -> impl FnOnce(UnixStream) + Send {
        move |mut client| {
            answering(4, 0)(client.try_clone().unwrap());
            let mut said = [0; 20];
            client.read_exact(&mut said).unwrap();
            assert_eq!(said, [12u32, 1, 2, 0, 0].map(u32::to_ne_bytes).concat()[..]);
            client.write_all(&[2, 0x77, code].map(u32::to_ne_bytes).concat()).unwrap();
        }
    }

    #[test]
    fn a_service_that_fails_after_the_greeting_has_the_same_version() {
        assert_eq!(met(answering(4, 0)), SocketAnswer::Failed);
        assert_eq!(met(establishing(0x8010_0006)), SocketAnswer::Failed);
        let hangs = |client: UnixStream| {
            answering(4, 0)(client.try_clone().unwrap());
            thread::sleep(LIMIT * 3 / 2);
        };
        assert_eq!(met(hangs), SocketAnswer::Silent);
    }

    #[test]
    fn a_service_is_known_by_what_it_does() {
        let version = |minor| ProtocolVersion { major: 4, minor };
        assert_eq!(met(establishing(0)), SocketAnswer::Agreed(version(4)));
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
    fn what_is_no_socket_was_left_by_no_service() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(ask(folder.path(), LIMIT), SocketAnswer::NotASocket);
        assert_eq!(ask(&file, LIMIT), SocketAnswer::NotASocket);
        assert_eq!(ask(&file.join("below"), LIMIT), SocketAnswer::Missing);
    }

    #[test]
    fn only_a_variable_names_another_socket() {
        let named = |path: &'static str| move |name: &str| (name == SOCKET_VARIABLE).then(|| path.into());
        assert_eq!(other_socket(&named("/x")), Some("/x".into()));
        assert_eq!(
            (other_socket(&named("")), other_socket(&named(SOCKET)), other_socket(&|_| None)),
            (None, None, None)
        );
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
