//! Why a link gives no answer, and what of it may be shown. The lowest module of those about cards.

use serde::{Deserialize, Serialize};

use super::service::ReaderError;

/// Whether the bytes of a command may appear in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sensitivity {
    /// The command may be traced in full.
    #[default]
    Plain,
    /// The command carries a secret in clear (a PIN, a key): a trace hides its data.
    Sensitive,
}

/// Why a link gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum LinkError {
    /// The card was removed.
    #[error("the card left the reader")]
    CardRemoved,
    /// Another program, or the reader, reset the card: the session is gone.
    #[error("the card was reset by another program or by the reader")]
    CardReset,
    /// A card is in the field but does not answer.
    #[error("the card does not answer")]
    CardMute,
    /// The reader could not power the card, which is how some services report one that does not answer to reset.
    #[error("the card did not answer when the reader powered it")]
    Unpowered,
    /// The card answers to reset, but then refuses the protocol or the speed that the reader asks for, or no exchange
    /// succeeds.
    #[error(
        "the card answers the reset, but then refuses the protocol or the speed that the reader asks for, or stops \
         answering"
    )]
    ProtocolRefused,
    /// An exchange failed while the card stayed, by the error's PC/SC name. The card was reset: the session is gone.
    #[error("an exchange between reader and card failed: {0}")]
    Transmission(String),
    /// The command is longer than T=0 allows; nothing was sent.
    #[error("the card is connected with T=0, which has no extended length")]
    NoExtendedLength,
    /// A time limit expired that is not a setting.
    #[error("the card did not answer within its time limit")]
    TimedOut,
    /// The time limit of a tap, in ms, expired between two exchanges or within one.
    #[error("the card did not finish within {}, the time limit of a tap (`tap` under [limits])", span(*.0))]
    TapLimit(u64),
    /// A call into the reader's driver has not returned within the time limit of an exchange, in ms, and blocks the
    /// reader.
    #[error(
        "the reader, or the card in it, does not answer: a call into its driver hangs for more than {} (`exchange` under [limits])",
        span(*.0)
    )]
    ExchangeLimit(u64),
    /// Another program holds the card, according to the service.
    #[error("another program holds the reader")]
    SharingViolation,
    /// The reader is in use, and a call into the service has waited for its user for the time limit of an exchange, in
    /// ms. It is unknown whether that program holds the reader or is itself waiting for the driver.
    #[error(
        "another program has held the reader for more than {} (`exchange` under [limits]), or waits for a driver \
         that hangs",
        span(*.0)
    )]
    Occupied(u64),
    /// The reader was unplugged.
    #[error("the reader was unplugged")]
    ReaderGone,
    /// The reader is listed but does not work.
    #[error("the PC/SC service lists the reader but cannot use it")]
    Unavailable,
    /// A call into the reader's driver has not returned, and blocks the reader.
    #[error("the reader, or the card in it, does not answer: a call into its driver hangs")]
    Hung,
    /// The thread that talks to the reader could not be started.
    #[error("no thread could be started: {0}")]
    NoThread(String),
    /// The PC/SC service denies this user the reader or the card.
    #[error(
        "the PC/SC service lets this user list readers but refuses the card: polkit has to allow org.debian.pcsc-lite.access_card"
    )]
    AccessDenied,
    /// The PC/SC service lets nobody connect to a card, for a reason that applies to all readers.
    #[error(transparent)]
    Service(ReaderError),
    /// The PC/SC service went away.
    #[error("the PC/SC service went away")]
    ServiceLost,
    /// The answer is shorter than a status word or longer than any answer may be.
    #[error("the card's answer is malformed ({0} bytes)")]
    Malformed(usize),
    /// Anything else, by the PC/SC name of the error.
    #[error("the reader reported: {0}")]
    Other(String),
}

impl LinkError {
    /// Whether it is worth asking the same card again at once: another program reset it, or an exchange failed.
    pub const fn worth_another_try(&self) -> bool {
        matches!(self, Self::CardReset | Self::Transmission(_))
    }
}

/// A time in ms, for people.
fn span(ms: u64) -> String {
    match (ms / 1000, ms % 1000) {
        (0, ms) => format!("{ms} ms"),
        (s, 0) => format!("{s} s"),
        (s, ms) => format!("{s}.{} s", format!("{ms:03}").trim_end_matches('0')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_said_with_their_figures_and_keys() {
        for (error, figure, key) in [
            (LinkError::TapLimit(15_000), "15 s", "`tap` under [limits]"),
            (LinkError::ExchangeLimit(5_000), "5 s", "`exchange` under [limits]"),
            (LinkError::ExchangeLimit(700), "700 ms", "`exchange`"),
            (LinkError::ExchangeLimit(1_250), "1.25 s", "`exchange`"),
            (LinkError::Occupied(5_000), "5 s", "`exchange` under [limits]"),
        ] {
            let text = error.to_string();
            assert!(text.contains(figure) && text.contains(key), "{text}");
        }
    }

    /// Traces store it.
    #[test]
    fn what_is_written_is_read_again() {
        for error in [LinkError::TimedOut, LinkError::TapLimit(1), LinkError::Service(ReaderError::Denied)] {
            let text = serde_json::to_string(&error).unwrap();
            assert_eq!(serde_json::from_str::<LinkError>(&text).unwrap(), error, "{text}");
        }
        assert_eq!(serde_json::to_string(&LinkError::TimedOut).unwrap(), "\"timed_out\"");
    }
}
