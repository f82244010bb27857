//! Interprets PC/SC errors together with the reader's contents and the answer of the service's socket, because the
//! error names alone say too little, and differ between stacks.

use pcsc::Error;

use crate::{
    card::link::LinkError,
    reader::{
        ReaderError, Slot,
        service::{MissingGate, ProtocolVersion, SocketAnswer},
    },
};

/// Whether the error can mean that the service went away, on any stack.
pub(super) const fn is_lost(error: Error) -> bool {
    matches!(
        error,
        Error::NoService
            | Error::ServiceStopped
            | Error::CommError
            | Error::InvalidHandle
            | Error::InternalError
            | Error::Shutdown
    )
}

/// Why the service refuses us; `missing` is what it lacks to ask polkit.
pub(super) fn service(error: Error, says: SocketAnswer, missing: Option<MissingGate>, socket: &str) -> ReaderError {
    match (error, says) {
        (Error::SecurityViolation | Error::NoAccess, _) => refusal(missing),
        (error, _) if !is_lost(error) => ReaderError::Other(error.to_string()),
        (_, SocketAnswer::Forbidden) => ReaderError::SocketDenied(socket.to_owned()),
        (_, SocketAnswer::Silent) => ReaderError::ServiceHangs,
        (_, SocketAnswer::Refused) | (Error::CommError, SocketAnswer::Unclear) => refusal(missing),
        (_, SocketAnswer::HungUp) => ReaderError::Version(None),
        // It refuses the version that it has itself, which we sent: that is not about versions.
        (_, SocketAnswer::Failed | SocketAnswer::Disagreed(ProtocolVersion::USUAL)) => ReaderError::Broken,
        (_, SocketAnswer::Disagreed(version)) => ReaderError::Version(Some(version)),
        // The service accepts and serves the version that we sent to its socket, but not that of the library.
        (Error::NoService | Error::ServiceStopped, SocketAnswer::Agreed(version)) => {
            ReaderError::Version(Some(version))
        }
        (error, SocketAnswer::Agreed(_)) => ReaderError::Other(error.to_string()),
        (_, SocketAnswer::Missing | SocketAnswer::Abandoned | SocketAnswer::NotASocket | SocketAnswer::Unclear) => {
            ReaderError::ServiceDown
        }
    }
}

/// What a refusal means: if the service cannot ask polkit, the refusal is not polkit's.
fn refusal(missing: Option<MissingGate>) -> ReaderError {
    missing.map_or(ReaderError::Denied, ReaderError::NoPolkit)
}

/// Refines a failed connection if the user was refused; other errors stay.
pub(super) fn refused_card(error: LinkError, missing: impl FnOnce() -> Option<MissingGate>) -> LinkError {
    match error {
        LinkError::AccessDenied => match refusal(missing()) {
            ReaderError::Denied => LinkError::AccessDenied,
            other => LinkError::Service(other),
        },
        other => other,
    }
}

/// What an error of a call in an established context means; `missing` is called only if the user was refused.
pub(super) fn listing(error: Error, missing: impl FnOnce() -> Option<MissingGate>) -> ReaderError {
    match error {
        Error::SecurityViolation | Error::NoAccess => refusal(missing()),
        error if is_lost(error) => ReaderError::ServiceDown,
        error => ReaderError::Other(error.to_string()),
    }
}

/// What an error of a connection means, as far as its name says.
pub(super) fn card(error: Error) -> LinkError {
    match error {
        Error::RemovedCard | Error::NoSmartcard => LinkError::CardRemoved,
        Error::ResetCard => LinkError::CardReset,
        Error::UnresponsiveCard => LinkError::CardMute,
        Error::UnpoweredCard => LinkError::Unpowered,
        Error::NotTransacted => transmission(error),
        Error::SharingViolation => LinkError::SharingViolation,
        Error::Timeout => LinkError::TimedOut,
        Error::SecurityViolation | Error::NoAccess => LinkError::AccessDenied,
        Error::ReaderUnavailable => LinkError::Unavailable,
        Error::UnknownReader | Error::NoReadersAvailable => LinkError::ReaderGone,
        error if is_lost(error) => LinkError::ServiceLost,
        error => LinkError::Other(error.to_string()),
    }
}

/// Whether the error says that bytes were lost between reader and card, as drivers report it. Even one that says that
/// there is no card may stem from a single exchange, while the card stays.
pub(super) const fn is_failed_exchange(error: Error) -> bool {
    matches!(error, Error::NotTransacted | Error::NoSmartcard | Error::CommDataLost | Error::CommError)
}

fn transmission(error: Error) -> LinkError {
    LinkError::Transmission(match error {
        // The PC/SC library's text for it speaks of transactions, which are unrelated.
        Error::NotTransacted => "what was sent or answered got lost on the way (NOT_TRANSACTED)".to_owned(),
        error => error.to_string(),
    })
}

/// Whether the name of the error says too little: drivers report a card removed in mid-exchange in many ways.
pub(super) fn is_vague(error: Error) -> bool {
    is_failed_exchange(error)
        || error == Error::ReaderUnavailable
        || is_lost(error)
        || matches!(card(error), LinkError::Other(_))
}

/// What a vague error means if the reader then holds this, and the service answers.
pub(super) fn settled(error: Error, slot: &Slot) -> LinkError {
    match slot {
        Slot::Empty => LinkError::CardRemoved,
        Slot::Unavailable => LinkError::Unavailable,
        // `ReaderUnavailable`: the reader was unusable for a moment, and works again.
        Slot::Card(_) | Slot::Mute
            if is_failed_exchange(error) || is_lost(error) || error == Error::ReaderUnavailable =>
        {
            transmission(error)
        }
        Slot::Card(_) | Slot::Mute => card(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Error of the library × answer of the socket.
    #[test]
    fn what_is_wrong_with_the_service() {
        let version = |minor| ProtocolVersion { major: 4, minor };
        let told = |error, says, missing| service(error, says, missing, "/run/x");
        for error in [Error::NoService, Error::ServiceStopped, Error::CommError] {
            for (says, expected) in [
                (SocketAnswer::Missing, ReaderError::ServiceDown),
                // A stopped unit leaves its socket file behind.
                (SocketAnswer::Abandoned, ReaderError::ServiceDown),
                (SocketAnswer::NotASocket, ReaderError::ServiceDown),
                // Of the version that we sent.
                (SocketAnswer::Failed, ReaderError::Broken),
                (SocketAnswer::Disagreed(version(4)), ReaderError::Broken),
                (SocketAnswer::Forbidden, ReaderError::SocketDenied("/run/x".into())),
                (SocketAnswer::Silent, ReaderError::ServiceHangs),
                (SocketAnswer::Refused, ReaderError::Denied),
                (SocketAnswer::HungUp, ReaderError::Version(None)),
                (SocketAnswer::Disagreed(version(5)), ReaderError::Version(Some(version(5)))),
                (SocketAnswer::Disagreed(version(3)), ReaderError::Version(Some(version(3)))),
            ] {
                assert_eq!(told(error, says, None), expected, "{error:?} {says:?}");
            }
        }
        assert_eq!(
            told(Error::ServiceStopped, SocketAnswer::Agreed(version(4)), None),
            ReaderError::Version(Some(version(4)))
        );
        assert!(matches!(told(Error::CommError, SocketAnswer::Agreed(version(4)), None), ReaderError::Other(_)));
        assert_eq!(told(Error::NoService, SocketAnswer::Unclear, None), ReaderError::ServiceDown);
        assert_eq!(told(Error::CommError, SocketAnswer::Unclear, None), ReaderError::Denied);
        for missing in [MissingGate::Bus, MissingGate::Polkit] {
            let expected = ReaderError::NoPolkit(missing);
            assert_eq!(told(Error::CommError, SocketAnswer::Refused, Some(missing)), expected);
            assert_eq!(told(Error::SecurityViolation, SocketAnswer::Unclear, Some(missing)), expected);
        }
        assert!(matches!(told(Error::NoMemory, SocketAnswer::Missing, None), ReaderError::Other(_)));
    }

    /// Error of a call × contents of the reader afterwards.
    #[test]
    fn what_is_wrong_with_a_card() {
        for (error, expected) in [
            (Error::UnresponsiveCard, LinkError::CardMute),
            (Error::UnpoweredCard, LinkError::Unpowered),
            (Error::RemovedCard, LinkError::CardRemoved),
            (Error::ResetCard, LinkError::CardReset),
            (Error::SharingViolation, LinkError::SharingViolation),
            (Error::SecurityViolation, LinkError::AccessDenied),
            (Error::UnknownReader, LinkError::ReaderGone),
            (Error::NoReadersAvailable, LinkError::ReaderGone),
        ] {
            assert_eq!((card(error), is_vague(error)), (expected, false), "{error:?}");
        }
        let there = Slot::Card(vec![0x3B, 0]);
        for (error, slot, expected) in [
            (Error::NotTransacted, &Slot::Empty, LinkError::CardRemoved),
            (Error::NotTransacted, &there, transmission(Error::NotTransacted)),
            (Error::NotTransacted, &Slot::Mute, transmission(Error::NotTransacted)),
            (Error::NoSmartcard, &Slot::Empty, LinkError::CardRemoved),
            (Error::NoSmartcard, &there, transmission(Error::NoSmartcard)),
            (Error::CommDataLost, &there, transmission(Error::CommDataLost)),
            (Error::NotTransacted, &Slot::Unavailable, LinkError::Unavailable),
            (Error::CommError, &there, transmission(Error::CommError)),
            (Error::CommError, &Slot::Empty, LinkError::CardRemoved),
            (Error::ReaderUnavailable, &Slot::Unavailable, LinkError::Unavailable),
            (Error::ReaderUnavailable, &there, transmission(Error::ReaderUnavailable)),
        ] {
            assert!(is_vague(error), "{error:?}");
            assert_eq!(settled(error, slot), expected, "{error:?} {slot:?}");
        }
        assert!(matches!(settled(Error::ProtoMismatch, &there), LinkError::Other(_)));
    }

    #[test]
    fn what_is_wrong_in_the_middle() {
        assert_eq!(listing(Error::ServiceStopped, || None), ReaderError::ServiceDown);
        assert_eq!(listing(Error::NoAccess, || None), ReaderError::Denied);
        assert!(matches!(listing(Error::InsufficientBuffer, || None), ReaderError::Other(_)));
    }

    #[test]
    fn a_service_that_cannot_ask_has_not_been_told_no() {
        let masked = || Some(MissingGate::Masked);
        let expected = ReaderError::NoPolkit(MissingGate::Masked);
        assert_eq!(listing(Error::SecurityViolation, masked), expected);
        assert_eq!(refused_card(LinkError::AccessDenied, masked), LinkError::Service(expected));
        assert_eq!(refused_card(LinkError::AccessDenied, || None), LinkError::AccessDenied);
        assert_eq!(refused_card(LinkError::CardMute, masked), LinkError::CardMute);
    }
}
