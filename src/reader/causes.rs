//! Turns every failure between a terminal and a card into code, message and remedy: one table for all commands and
//! `doctor`. What PC/SC errors mean is decided in `reader::pcsc`.

use std::path::{Path, PathBuf};

use super::{
    ReaderError,
    service::{MissingGate, SOCKET_VARIABLE, other_socket},
};
use crate::{
    card::link::LinkError,
    failure::{ExitClass, Failure, Remedy, no_thread},
};

/// Starts the service's socket; systemd then starts the service on the first connection.
const START: &str = "sudo systemctl start pcscd.socket";
/// Ends a call that hangs in a driver.
const RESTART: &str = "sudo systemctl restart pcscd";
/// Starts what the service needs to ask polkit.
const DBUS: &str = "sudo systemctl start dbus.socket polkit";
/// Lets systemd start polkit again.
const UNMASK: &str = "sudo systemctl unmask polkit && sudo systemctl start polkit";
/// Brings library and service to the same release.
const UPGRADE: &str = "sudo apt install --only-upgrade pcscd libpcsclite1";
/// Allows the user who types it both actions of the service.
pub const ALLOW: &str = r#"echo 'polkit.addRule(function(a, s) { if (/^org.debian.pcsc-lite/.test(a.id) && s.user == "'$USER'") return "yes"; });' | sudo tee /etc/polkit-1/rules.d/50-pcscd.rules"#;

/// Which service is meant: the usual one, or what listens at another socket, of which systemd knows nothing.
#[derive(Clone, Copy)]
struct ServicePlace<'a> {
    other: Option<&'a Path>,
}

impl ServicePlace<'_> {
    /// How to start the service.
    fn start(self) -> Remedy {
        self.act("start", || Remedy::with("start it", START))
    }

    /// How to end what hangs or fails in the service.
    fn restart(self) -> Remedy {
        self.act("restart", || Remedy::with("restart it", RESTART))
    }

    /// The same after something else was tried, so that the socket is certainly the right one.
    fn then_restart(self, words: &str) -> Remedy {
        match self.other {
            None => Remedy::with(words, RESTART),
            Some(path) => format!("{words}: restart the service that listens at {}", path.display()).into(),
        }
    }

    /// Whether the variable or the service is at fault cannot be known.
    fn act(self, verb: &str, usual: impl FnOnce() -> Remedy) -> Remedy {
        let Some(path) = self.other else { return usual() };
        let service = format!("{verb} the service that listens at {}", path.display());
        format!("{service}; or, if {SOCKET_VARIABLE} is wrong, unset or correct it").into()
    }
}

/// The socket of this process's library, if it is not the usual one.
fn other() -> Option<PathBuf> {
    other_socket(&|name| std::env::var_os(name))
}

impl From<ReaderError> for Failure {
    fn from(error: ReaderError) -> Self {
        service(&error, ServicePlace { other: other().as_deref() })
    }
}

/// The failure of the service.
fn service(error: &ReaderError, place: ServicePlace<'_>) -> Failure {
    let unavailable = |code, remedy: Remedy| (ExitClass::Unavailable, code, remedy);
    let (class, code, hint) = match error {
        ReaderError::ServiceDown => unavailable("pcsc.service-down", place.start()),
        ReaderError::NotInstalled => unavailable("pcsc.not-installed", Remedy::run("sudo apt install pcscd libccid")),
        ReaderError::ServiceHangs => unavailable("pcsc.service-hangs", place.restart()),
        ReaderError::Version(_) => unavailable(
            "pcsc.version",
            Remedy::with("install both from one release; in a container or a snap, from that of the host", UPGRADE),
        ),
        ReaderError::SocketDenied(path) => {
            (ExitClass::Refused, "pcsc.socket-denied", Remedy::run(format!("sudo chmod 666 {path}")))
        }
        ReaderError::Denied => (ExitClass::Refused, "pcsc.denied", Remedy::with("allow it in polkit", ALLOW)),
        ReaderError::NoPolkit(MissingGate::Bus) => (
            ExitClass::Refused,
            "pcsc.no-polkit",
            Remedy::run(DBUS).and("in a container without D-Bus use the service of the host: mount its /run/pcscd"),
        ),
        ReaderError::NoPolkit(MissingGate::Polkit) => {
            (ExitClass::Refused, "pcsc.no-polkit", Remedy::run("sudo apt install polkitd"))
        }
        ReaderError::NoPolkit(MissingGate::Masked) => (ExitClass::Refused, "pcsc.no-polkit", Remedy::run(UNMASK)),
        ReaderError::NoPolkit(MissingGate::Processes) => {
            (ExitClass::Refused, "pcsc.hidepid", Remedy::run("sudo mount -o remount,hidepid=0 /proc"))
        }
        ReaderError::NoThread(reason) => return no_thread(reason),
        ReaderError::Broken | ReaderError::Other(_) => unavailable("pcsc.error", place.restart()),
    };
    Failure::new(class, code, error.to_string()).hint(hint)
}

/// Whether no further command can be sent after it. After any other error the card is still there, and the command was
/// at fault.
pub const fn is_final(error: &LinkError) -> bool {
    matches!(
        error,
        LinkError::CardRemoved
            | LinkError::ReaderGone
            | LinkError::ServiceLost
            | LinkError::Service(_)
            | LinkError::Hung
            | LinkError::ExchangeLimit(_)
            | LinkError::TimedOut
            | LinkError::TapLimit(_)
            | LinkError::AccessDenied
    )
}

/// The failure of a connection to a card, after so many `exchanges`.
pub fn link(error: &LinkError, exchanges: u32) -> Failure {
    link_at(error, exchanges, ServicePlace { other: other().as_deref() })
}

fn link_at(error: &LinkError, exchanges: u32, place: ServicePlace<'_>) -> Failure {
    let when = if exchanges == 0 { String::new() } else { format!(" at exchange {exchanges}") };
    let message = match error {
        LinkError::CardRemoved => format!("{error}{when}; nothing was written"),
        _ => error.to_string(),
    };
    let (class, code, hint): (_, _, Remedy) = match error {
        LinkError::CardRemoved => {
            (ExitClass::CardLeft, "card.left", "hold the card still on the reader until the result is shown".into())
        }
        LinkError::CardReset => (
            ExitClass::Busy,
            "card.reset",
            "another program uses this reader: rollcall tries again at the next tap".into(),
        ),
        LinkError::CardMute | LinkError::Unpowered => {
            (ExitClass::CardLeft, "token.mute", "lift the card, and place it flat on the reader again".into())
        }
        LinkError::TimedOut | LinkError::TapLimit(_) => (
            ExitClass::CardLeft,
            "token.mute",
            "lift the card, and place it again; a slow one needs a longer limit; if it stays silent, unplug the \
             reader for a moment"
                .into(),
        ),
        LinkError::ProtocolRefused => (
            ExitClass::CardLeft,
            "card.protocol-refused",
            "lift the card, and place it again; then try another reader: this one may be too fast for the card, or \
             support none of its protocols"
                .into(),
        ),
        LinkError::NoExtendedLength => (
            ExitClass::Data,
            "card.no-extended-length",
            "send at most 255 bytes of data, and longer ones as a chain (CLA bit 10)".into(),
        ),
        LinkError::NoThread(reason) => return no_thread(reason),
        LinkError::Service(error) => return service(error, place),
        LinkError::Hung | LinkError::ExchangeLimit(_) => (
            ExitClass::Unavailable,
            "reader.hung",
            place.then_restart(
                "take the card away; a slow one needs a longer limit; if that does not help, unplug the reader, then",
            ),
        ),
        LinkError::SharingViolation => (
            ExitClass::Busy,
            "reader.busy",
            Remedy::with(
                "end the program that holds the reader (often a browser or gpg-agent's scdaemon); this names it",
                "rollcall doctor",
            ),
        ),
        LinkError::Occupied(_) => (
            ExitClass::Busy,
            "reader.busy",
            Remedy::with("wait until the other program has finished with the card; this names it", "rollcall doctor"),
        ),
        LinkError::Unavailable => (
            ExitClass::Unavailable,
            "reader.unavailable",
            place.then_restart("unplug it and plug it in again; if that does not help"),
        ),
        LinkError::ReaderGone => (ExitClass::Unavailable, "reader.gone", "plug the reader in again".into()),
        LinkError::ServiceLost => (ExitClass::Unavailable, "pcsc.service-down", place.start()),
        LinkError::AccessDenied => (ExitClass::Refused, "pcsc.denied", Remedy::with("allow it in polkit", ALLOW)),
        LinkError::Malformed(_) => (
            ExitClass::Protocol,
            "card.malformed",
            "the card or the reader violates ISO 7816: try another reader".into(),
        ),
        LinkError::Transmission(_) | LinkError::Other(_) => (
            ExitClass::CardLeft,
            "reader.error",
            "lift the card, and place it again; if it persists, unplug the reader for a moment".into(),
        ),
    };
    Failure::new(class, code, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::{super::service::ProtocolVersion, *};

    fn row(failure: Failure) -> (&'static str, u8, String, Option<String>) {
        let hint = failure.hint.unwrap();
        assert!(!failure.message.ends_with('.') && !hint.text.ends_with('.'));
        (failure.code, failure.class.exit_status(), failure.message, hint.command.map(|command| command.to_string()))
    }

    const USUAL: ServicePlace<'static> = ServicePlace { other: None };

    /// systemd knows nothing of it, and the variable may be right.
    #[test]
    fn a_service_at_another_place_is_left_to_who_runs_it() {
        let path = Path::new("/x");
        let place = ServicePlace { other: Some(path) };
        let doubt = "the service that listens at /x; or, if PCSCLITE_CSOCK_NAME is wrong, unset or correct it";
        let broken = [ReaderError::Broken, ReaderError::Other("X".into()), ReaderError::ServiceHangs];
        for (failure, hint) in [
            (service(&ReaderError::ServiceDown, place), format!("start {doubt}")),
            (link_at(&LinkError::ServiceLost, 0, place), format!("start {doubt}")),
        ]
        .into_iter()
        .chain(broken.map(|error| (service(&error, place), format!("restart {doubt}"))))
        {
            assert_eq!(failure.hint, Some(hint.into()), "{}", failure.code);
        }
        for error in [LinkError::Hung, LinkError::ExchangeLimit(5_000), LinkError::Unavailable] {
            let hint = link_at(&error, 0, place).hint.unwrap();
            assert!(
                hint.text.ends_with(": restart the service that listens at /x") && hint.command.is_none(),
                "{hint}"
            );
        }
    }

    /// What a program shows where the variable is not set, which is usual.
    #[test]
    fn the_usual_service_is_started_by_systemd() {
        let expected = service(&ReaderError::ServiceDown, USUAL);
        assert_eq!(expected.hint.as_deref(), Some("start it: sudo systemctl start pcscd.socket"));
        // Elsewhere a test would have to change the environment of all others.
        if other().is_none() {
            assert_eq!(Failure::from(ReaderError::ServiceDown), expected);
        }
    }

    /// Every failure of the service, row for row.
    #[test]
    fn services() {
        let version = |minor| ReaderError::Version(Some(ProtocolVersion { major: 4, minor }));
        for (error, code, status, words, command) in [
            (ReaderError::ServiceDown, "pcsc.service-down", 69, "is not running", START),
            (ReaderError::ServiceHangs, "pcsc.service-hangs", 69, "does not answer", RESTART),
            (ReaderError::NotInstalled, "pcsc.not-installed", 69, "no PC/SC service", "sudo apt install pcscd"),
            (
                version(5),
                "pcsc.version",
                69,
                "speaks version 4:5 of its protocol, and the library here an older",
                "sudo apt",
            ),
            (
                version(4),
                "pcsc.version",
                69,
                "speaks version 4:4 of its protocol, and the library here a newer",
                "sudo apt",
            ),
            (
                ReaderError::Version(None),
                "pcsc.version",
                69,
                "closed the connection because of its protocol version",
                "sudo apt",
            ),
            (ReaderError::SocketDenied("/x".into()), "pcsc.socket-denied", 77, "socket", "sudo chmod 666 /x"),
            (ReaderError::Denied, "pcsc.denied", 77, "org.debian.pcsc-lite.access_pcsc", ALLOW),
            (ReaderError::NoPolkit(MissingGate::Bus), "pcsc.no-polkit", 77, "D-Bus does not run", "sudo systemctl"),
            (ReaderError::NoPolkit(MissingGate::Polkit), "pcsc.no-polkit", 77, "polkit is not installed", "sudo apt"),
            (ReaderError::NoPolkit(MissingGate::Masked), "pcsc.no-polkit", 77, "polkit is masked", UNMASK),
            (ReaderError::NoPolkit(MissingGate::Processes), "pcsc.hidepid", 77, "hidepid", "sudo mount"),
            (ReaderError::Broken, "pcsc.error", 69, "and then fails", RESTART),
            (ReaderError::Other("X".into()), "pcsc.error", 69, "reported: X", RESTART),
        ] {
            let told = row(service(&error, USUAL));
            assert_eq!((told.0, told.1), (code, status), "{error:?}");
            assert!(told.2.contains(words), "{told:?}");
            assert!(told.3.as_deref().is_some_and(|told| told.starts_with(command)), "{told:?}");
        }
        // A user who may do one of the two may need the other.
        assert!(ReaderError::Denied.to_string().contains("access_card"));
    }

    /// Every failure of a card or its reader, row for row.
    #[test]
    fn links() {
        for (error, code, status, words, command) in [
            (LinkError::CardRemoved, "card.left", 74, "left the reader at exchange 3; nothing was written", None),
            (LinkError::CardReset, "card.reset", 75, "was reset", None),
            (LinkError::CardMute, "token.mute", 74, "does not answer", None),
            (LinkError::TimedOut, "token.mute", 74, "within its time limit", None),
            (LinkError::TapLimit(15_000), "token.mute", 74, "15 s, the time limit of a tap (`tap` under", None),
            (LinkError::ExchangeLimit(5_000), "reader.hung", 69, "5 s (`exchange` under [limits])", Some(RESTART)),
            (LinkError::Service(ReaderError::NoPolkit(MissingGate::Bus)), "pcsc.no-polkit", 77, "D-Bus", Some(DBUS)),
            (
                LinkError::Service(ReaderError::Version(None)),
                "pcsc.version",
                69,
                "closed the connection",
                Some(UPGRADE),
            ),
            (LinkError::Service(ReaderError::ServiceHangs), "pcsc.service-hangs", 69, "does not answer", Some(RESTART)),
            (LinkError::Service(ReaderError::Denied), "pcsc.denied", 77, "access_pcsc", Some(ALLOW)),
            (LinkError::ProtocolRefused, "card.protocol-refused", 74, "answers the reset", None),
            (LinkError::NoExtendedLength, "card.no-extended-length", 65, "T=0", None),
            (LinkError::Unpowered, "token.mute", 74, "when the reader powered it", None),
            (LinkError::Transmission("X".into()), "reader.error", 74, "between reader and card failed: X", None),
            (LinkError::Hung, "reader.hung", 69, "the reader, or the card in it, does not answer", Some(RESTART)),
            (LinkError::SharingViolation, "reader.busy", 75, "another program", Some("rollcall doctor")),
            (
                LinkError::Occupied(5_000),
                "reader.busy",
                75,
                "5 s (`exchange` under [limits]), or",
                Some("rollcall doctor"),
            ),
            (LinkError::Unavailable, "reader.unavailable", 69, "cannot use it", Some(RESTART)),
            (LinkError::ReaderGone, "reader.gone", 69, "unplugged", None),
            (LinkError::ServiceLost, "pcsc.service-down", 69, "went away", Some(START)),
            (LinkError::AccessDenied, "pcsc.denied", 77, "org.debian.pcsc-lite.access_card", Some(ALLOW)),
            (LinkError::Malformed(1), "card.malformed", 76, "1 bytes", None),
            (LinkError::Other("X".into()), "reader.error", 74, "reported: X", None),
        ] {
            let told = row(link_at(&error, 3, USUAL));
            assert_eq!((told.0, told.1, told.3.as_deref()), (code, status, command), "{error:?}");
            assert!(told.2.contains(words), "{told:?}");
        }
    }
}
