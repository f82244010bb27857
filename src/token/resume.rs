//! The fast tap on the terminal's side: a token that was recently authenticated in full authenticates with the key of
//! that tap.
//!
//! Specification: docs/protocol.md, "The fast tap".

use std::sync::Arc;

use uuid::Uuid;

use super::{
    TokenError, commands,
    credentials::{AuthenticationContext, RememberedItem, ResumptionKey},
    record,
    select::{Selected, TokenMode},
    session::Session,
};
use crate::{
    api::User,
    card::{chaining::exchange, link::Link, tlv::TlvReader},
    channel::{
        ChannelError, CommandName,
        resumption::{Resumption, terminal_id},
    },
    crypto::{Key128, random},
    token::constants::{RECORD_MAX, TAG_PART},
};

/// Which tokens may resume at a reader, strictest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResumeRule {
    /// Every tap is a full one.
    #[default]
    Never,
    /// Open tokens.
    Open,
    /// Open and private tokens: an eavesdropper learns that a private token was here recently.
    Private,
}

impl ResumeRule {
    /// Whether tokens of this mode may resume.
    pub const fn allows(self, mode: TokenMode) -> bool {
        match (self, mode) {
            (Self::Never, _) | (Self::Open, TokenMode::Private(_)) => false,
            (Self::Open, TokenMode::Open(_)) | (Self::Private, _) => true,
        }
    }
}

/// A token that authenticated in a resumed channel.
#[derive(Debug)]
pub struct ResumedToken {
    /// The channel, open for reading.
    pub session: Session,
    /// The key, with the current counter and remaining uses.
    pub key: ResumptionKey,
    record: [u8; RECORD_MAX],
}

impl ResumedToken {
    /// The user information; reads the details if the compact record is not enough.
    ///
    /// # Errors
    /// [`TokenError::Record`] for invalid user information, [`TokenError::Link`] or [`TokenError::Channel`] when it
    /// cannot be read.
    pub fn user(&mut self, link: &mut dyn Link) -> Result<User, TokenError> {
        read_user(&self.record, &mut self.session, link)
    }
}

/// The user in a compact record, padded with zeros, and in the details if there are any.
///
/// # Errors
/// As [`ResumedToken::user`].
pub(super) fn read_user(
    compact: &[u8; RECORD_MAX],
    session: &mut Session,
    link: &mut dyn Link,
) -> Result<User, TokenError> {
    let compact = record::decode_filled(compact)?;
    if compact.more { Ok(record::merge(compact, &session.read_details(link)?)?) } else { Ok(compact.user) }
}

/// The answer to INTERNAL AUTHENTICATE in a resumed channel.
struct PresenceAnswer {
    token_id: [u8; 16],
    counter: u32,
    uses_left: u8,
    record: [u8; RECORD_MAX],
}

impl PresenceAnswer {
    /// Parses exactly `83 token id, 80 counter, 88 uses left, 53 record`.
    fn parse(answer: &[u8]) -> Option<Self> {
        let mut reader = TlvReader::new(answer);
        let token_id = reader.array(0x83).ok()?;
        let counter = u32::from_be_bytes(reader.array(0x80).ok()?);
        let [uses_left] = reader.array(0x88).ok()?;
        let record = reader.array(TAG_PART).ok()?;
        reader.end().ok()?;
        Some(Self { token_id, counter, uses_left, record })
    }
}

impl AuthenticationContext<'_> {
    /// Resumes a channel to the selected token under one of these keys. `None` if the token no longer holds any of
    /// them, or refuses; it is then ready for the handshake, selected again where necessary.
    ///
    /// # Errors
    /// [`TokenError::Link`] when an exchange fails; the keys are still good then. For a token that holds one of the
    /// keys, also [`TokenError::Cloned`] when its counter or uses do not fit what was last seen,
    /// [`TokenError::IdentityMismatch`] when the key belongs to another token; [`TokenError::Form`],
    /// [`TokenError::Channel`]. `held` is then the index of the key that it holds.
    pub fn resume(
        &mut self,
        link: &mut dyn Link,
        selected: &Selected,
        keys: &[ResumptionKey],
        held: &mut Option<usize>,
    ) -> Result<Option<ResumedToken>, TokenError> {
        const STEP: CommandName = CommandName::ResumedPresence;
        let tid = terminal_id(self.credentials.facing(selected).certificate.point());
        let (command, waiting) = Resumption::begin(&tid, random::bytes(self.random)?, &selected.raw);
        let answer = exchange(link, &command, self.format)?;
        let bare: Vec<Arc<Key128>> = keys.iter().map(|key| Arc::clone(&key.key)).collect();
        let (place, messaging) = match waiting.handle(answer, &bare) {
            Ok(Some(found)) => found,
            Ok(None) => return self.missed(link, selected).map(|()| None),
            // A release without slots, or a forged answer: it carries no MAC, and the forger gains only a full tap.
            Err(ChannelError::Refused { .. } | ChannelError::Form(_)) => {
                return self.select_again(link, selected).map(|()| None);
            }
            Err(e) => return Err(e.into()),
        };
        *held = Some(place);
        let mut session = Session::new(messaging, self.format);
        let answer = match session.send(link, STEP, &commands::resumed_presence()) {
            // The card's date is past the end of the certificate that filled the slot.
            Err(TokenError::Refused { .. }) => return self.select_again(link, selected).map(|()| None),
            answer => answer?,
        };
        let presence = PresenceAnswer::parse(&answer).ok_or(TokenError::Form(STEP))?;
        let known = &keys[place];
        if Uuid::from_bytes(presence.token_id) != known.token_id {
            return Err(TokenError::IdentityMismatch);
        }
        let cloned = |last: u32, found: u32| TokenError::Cloned { token_id: known.token_id, last, found };
        if presence.counter < known.counter {
            return Err(cloned(known.counter, presence.counter));
        }
        if presence.uses_left >= known.uses_left {
            return Err(cloned(known.uses_left.into(), presence.uses_left.into()));
        }
        let key = ResumptionKey { counter: presence.counter, uses_left: presence.uses_left, ..known.clone() };
        Ok(Some(ResumedToken { session, key, record: presence.record }))
    }

    /// After a miss, the handshake can begin at once. Only if the token's certificate must be read first is it selected
    /// again, because until then it answers nothing in plain.
    fn missed(&self, link: &mut dyn Link, selected: &Selected) -> Result<(), TokenError> {
        let remembered =
            |mode| self.memory.recall(&RememberedItem::Ecka(mode, selected.ecka_kvn)).map(|der| (mode, der));
        match selected.mode.and_then(remembered) {
            Some((mode, der)) if self.card_certificate(mode, &der).is_ok() => Ok(()),
            _ => self.select_again(link, selected),
        }
    }
}
