//! The inputs of the presence list.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::Source;
use crate::api::User;
use crate::failure::ErrorObject;
use crate::reader::Insertion;

/// One thing that happened. Inputs are applied in the order in which they happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A watch starts: nobody was watching until now.
    Startup,
    /// A card was tapped, or read again, and gave its identity.
    Tap(Tap),
    /// The card tapped here still answers, over the channel that the tap opened.
    Seen {
        /// The reader.
        reader: String,
        /// The token.
        token_id: Uuid,
    },
    /// The card here has not answered for so long that the presence of its holder is in doubt.
    Silent {
        /// The reader.
        reader: String,
    },
    /// Nobody can say that the holders at these readers have left: the readers or the service still hang, do not work,
    /// or have a card with which every exchange fails. All readers come in one input, because after each input time
    /// runs out for the entries at all others.
    Hang {
        /// The readers.
        readers: BTreeSet<String>,
    },
    /// The card was removed from this reader.
    Lifted {
        /// The reader.
        reader: String,
    },
    /// This reader was checked, and holds no card.
    Empty {
        /// The reader.
        reader: String,
    },
    /// This reader shows no card, but it was only just found, or the service has only just started: a card in it may
    /// still be detected.
    Vacant {
        /// The reader.
        reader: String,
    },
    /// The card at this reader is not an issued token, or is not admitted. Not used when an exchange merely broke: that
    /// says nothing about who is there.
    Refused(Refused),
    /// The server no longer admits this token, wherever it is.
    Barred {
        /// The token.
        token_id: Uuid,
    },
    /// A reader was plugged in.
    ReaderAdded {
        /// The reader.
        reader: String,
    },
    /// A reader was unplugged.
    ReaderRemoved {
        /// The reader.
        reader: String,
    },
    /// A reader is plugged in but does not work: nobody can tell what it holds.
    ReaderUnavailable {
        /// The reader.
        reader: String,
        /// What is wrong with it.
        error: ErrorObject,
    },
    /// A reader works (again).
    ReaderAvailable {
        /// The reader.
        reader: String,
    },
    /// Exactly these readers are plugged in.
    Readers {
        /// Their names.
        attached: BTreeSet<String>,
    },
    /// The PC/SC service was lost.
    ServiceLost,
    /// The PC/SC service is there (again).
    ServiceBack,
    /// Time passed.
    Tick,
    /// The operator clears the list.
    Clear,
    /// The operator denies a token (its id as lower-case UUID) or a user (the id) here.
    Deny {
        /// The id.
        id: String,
    },
    /// The operator withdraws a denial.
    Allow {
        /// The id.
        id: String,
    },
    /// The operator checks in somebody who came without a card.
    CheckIn(CheckIn),
    /// The operator checks somebody out.
    CheckOut {
        /// The token.
        token_id: Uuid,
        /// When they left.
        at: Timestamp,
        /// Who entered it.
        hand: Hand,
    },
    /// The operator removes an entry from the list.
    Remove {
        /// The token.
        token_id: Uuid,
        /// Who removed it.
        hand: Hand,
    },
}

/// The operator behind a manual entry, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hand {
    /// The name of the operating-system user.
    pub by: String,
    /// Their note.
    pub note: Option<String>,
}

/// A manual check-in of somebody without a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckIn {
    /// The token that they would have brought, and its user.
    pub holder: Holder,
    /// The reader where they would have tapped it.
    pub reader: String,
    /// When they came.
    pub at: Timestamp,
    /// Who entered it.
    pub hand: Hand,
}

impl Input {
    /// Whether this is a frequent input that rarely causes an event.
    pub const fn is_routine(&self) -> bool {
        matches!(self, Self::Seen { .. } | Self::Tick | Self::ReaderAvailable { .. })
    }

    /// The reader, if this input shows that it works.
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
    /// The reader.
    pub reader: String,
    /// The insertion.
    pub insertion: Insertion,
    /// The holder.
    pub holder: Holder,
}

/// The identity that a card claimed or proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The token.
    pub token_id: Uuid,
    /// Its user.
    pub user: User,
    /// Where the user information came from.
    pub source: Source,
    /// Whether the handshake and the presence proof both held, in this tap or in the one that it resumes. A mere claim
    /// never gets onto the list.
    pub authenticated: bool,
    /// Whether the channel was resumed under the key of an earlier tap.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
}

/// A card that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The reader.
    pub reader: String,
    /// The insertion.
    pub insertion: Insertion,
    /// The reason: `token.blank`, `token.foreign`, `token.mute`, …
    pub error: ErrorObject,
    /// Whether the card did not answer: if it had authenticated here and was not removed, that says nothing against it.
    #[serde(default)]
    pub silent: bool,
    /// Whether the token authenticated and is refused as such: then it is removed from the list everywhere.
    #[serde(default)]
    pub barred: bool,
    /// The token, proved or claimed, if known.
    pub token_id: Option<Uuid>,
    /// Its user, if known.
    pub user: Option<User>,
}

impl Refused {
    /// The reason in the form that the list keeps.
    pub(super) fn code(&self) -> RefusalCode {
        RefusalCode(self.error.code.clone())
    }
}

/// Why a card was refused. Refusals of the same kind are equal; the code is not interpreted further, because it may
/// come from a server of a later release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalCode(String);

impl RefusalCode {
    /// From its stored form.
    pub(super) const fn from_stored(code: String) -> Self {
        Self(code)
    }

    /// Its stored form.
    pub(super) fn as_stored(&self) -> &str {
        &self.0
    }
}
