//! What the list is told.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::Source;
use crate::api::User;
use crate::failure::ErrorObject;
use crate::reader::Insertion;

/// One thing that happened, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A watch starts: nobody looked until now.
    Startup,
    /// A card was tapped, or looked at again, and gave its identity.
    Tap(Tap),
    /// The card that was tapped here still answers, over the channel that the tap opened.
    Seen {
        /// Where.
        reader: String,
        /// Which token.
        token_id: Uuid,
    },
    /// The card that lies here has not answered for so long that whoever brought it is in doubt.
    Silent {
        /// Where.
        reader: String,
    },
    /// These readers, or the service, still hang; or the readers do not work, or have a card and every exchange with it fails: nobody
    /// can say that whoever lay there has left. All at once, since time is over after each input for everybody else.
    Hang {
        /// Where.
        readers: BTreeSet<String>,
    },
    /// The card on this reader was lifted.
    Lifted {
        /// Where.
        reader: String,
    },
    /// This reader was looked at, and no card lies there.
    Empty {
        /// Where.
        reader: String,
    },
    /// This reader has no card in it, but it was only just found, or the service has only just started: a card that
    /// lies there may still come to light.
    Vacant {
        /// Where.
        reader: String,
    },
    /// The card on this reader is no issued token, or is not let in. Not for an exchange that merely broke: that says
    /// nothing about who is there.
    Refused(Refused),
    /// The server does not let this token in any more, wherever it is.
    Barred {
        /// Which.
        token_id: Uuid,
    },
    /// A reader was plugged in.
    ReaderAdded {
        /// Which.
        reader: String,
    },
    /// A reader was unplugged.
    ReaderRemoved {
        /// Which.
        reader: String,
    },
    /// A reader is plugged in and does not work: nobody can tell what lies there.
    ReaderUnavailable {
        /// Which.
        reader: String,
        /// What is wrong with it.
        error: ErrorObject,
    },
    /// A reader works (again).
    ReaderAvailable {
        /// Which.
        reader: String,
    },
    /// These readers are plugged in, and no others.
    Readers {
        /// All of them.
        attached: BTreeSet<String>,
    },
    /// The PC/SC service went away.
    ServiceLost,
    /// The PC/SC service is there (again).
    ServiceBack,
    /// Time passed.
    Tick,
    /// The operator clears the list.
    Clear,
    /// The operator refuses a token (its id as lower-case UUID) or a user (the id) here.
    Deny {
        /// The id.
        id: String,
    },
    /// The operator takes that back.
    Allow {
        /// The id.
        id: String,
    },
    /// The operator says that somebody came who has no card with them.
    CheckIn(CheckIn),
    /// The operator says when somebody left.
    CheckOut {
        /// Which token.
        token_id: Uuid,
        /// When they left.
        at: Timestamp,
        /// Who says so.
        hand: Hand,
    },
    /// The operator takes an entry off the list.
    Remove {
        /// Which token.
        token_id: Uuid,
        /// Who does.
        hand: Hand,
    },
}

/// Who enters something by hand, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hand {
    /// The name of the system's user.
    pub by: String,
    /// What they say of it.
    pub note: Option<String>,
}

/// Somebody who came without a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckIn {
    /// The token that they would have brought, and whose it is.
    pub holder: Holder,
    /// Where they would have tapped it.
    pub reader: String,
    /// When they came.
    pub at: Timestamp,
    /// Who says so.
    pub hand: Hand,
}

impl Input {
    /// Whether this is one of the many that hardly ever cause an event.
    pub const fn is_routine(&self) -> bool {
        matches!(self, Self::Seen { .. } | Self::Tick | Self::ReaderAvailable { .. })
    }

    /// The reader that works, if this could not have been seen otherwise.
    pub(super) fn working_reader(&self) -> Option<&str> {
        match self {
            Self::Refused(refused) if refused.silent => None,
            Self::Tap(Tap { reader, .. })
            | Self::Refused(Refused { reader, .. })
            | Self::Seen { reader, .. }
            | Self::Lifted { reader }
            | Self::Empty { reader }
            | Self::Vacant { reader }
            | Self::ReaderAvailable { reader } => Some(reader),
            _ => None,
        }
    }
}

/// A card that gave its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tap {
    /// Where.
    pub reader: String,
    /// Which insertion.
    pub insertion: Insertion,
    /// Who.
    pub holder: Holder,
}

/// Who a card says, or proved, that it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The token.
    pub token_id: Uuid,
    /// Whose it is.
    pub user: User,
    /// Where the user information came from.
    pub source: Source,
    /// Whether the handshake and the presence proof both held, in this tap or in the one that it resumes. One that only says so
    /// never comes onto the list.
    pub authenticated: bool,
    /// Whether the channel was resumed under the key of an earlier tap.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
}

/// A card that does not come onto the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Where.
    pub reader: String,
    /// Which insertion.
    pub insertion: Insertion,
    /// Why: `token.blank`, `token.foreign`, `token.mute`, …
    pub error: ErrorObject,
    /// Whether the card did not answer: of a card that has proved who it is and was not lifted that says nothing.
    #[serde(default)]
    pub silent: bool,
    /// Whether it has proved which token it is, and is refused for that: then it has no place on the list anywhere.
    #[serde(default)]
    pub barred: bool,
    /// Which token it is or says to be, where that is known.
    pub token_id: Option<Uuid>,
    /// Whose, where that is known.
    pub user: Option<User>,
}

impl Refused {
    /// Why, as the list keeps it.
    pub(super) fn code(&self) -> RefusalCode {
        RefusalCode(self.error.code.clone())
    }
}

/// Why a card was refused: two refusals of the same kind are equal. Nothing else is read from it, since the reasons of
/// a server of a later release are among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalCode(String);

impl RefusalCode {
    /// As it was stored.
    pub(super) const fn from_stored(code: String) -> Self {
        Self(code)
    }

    /// As it is stored.
    pub(super) fn as_stored(&self) -> &str {
        &self.0
    }
}
