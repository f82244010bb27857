//! The fast tap on the terminal's side: a token that was authenticated in full a short while ago proves itself by the key
//! of that tap.
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

/// What may be resumed at a reader, the strictest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResumeRule {
    /// Every tap is a full one.
    #[default]
    Never,
    /// Open tokens.
    Open,
    /// Open and private tokens: who listens learns that a private one was here lately.
    Private,
}

impl ResumeRule {
    /// Whether tokens of this mode are resumed.
    pub const fn allows(self, mode: TokenMode) -> bool {
        match (self, mode) {
            (Self::Never, _) | (Self::Open, TokenMode::Private(_)) => false,
            (Self::Open, TokenMode::Open(_)) | (Self::Private, _) => true,
        }
    }
}

/// A token that has proved itself in a resumed channel.
#[derive(Debug)]
pub struct ResumedToken {
    /// The channel, open for reading.
    pub session: Session,
    /// The key with the counter and the uses that are left now.
    pub key: ResumptionKey,
    record: [u8; RECORD_MAX],
}

impl ResumedToken {
    /// The user information; reads what the compact record has no room for.
    ///
    /// # Errors
    /// [`TokenError::Record`] for user information that is not valid, [`TokenError::Link`] or [`TokenError::Channel`] when
    /// it cannot be read.
    pub fn user(&mut self, link: &mut dyn Link) -> Result<User, TokenError> {
        read_user(&self.record, &mut self.session, link)
    }
}

/// The user of a compact record, filled with zeros, and of the details where more stands there.
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

/// The answer to resumed presence.
struct PresenceAnswer {
    token_id: [u8; 16],
    counter: u32,
    uses_left: u8,
    record: [u8; RECORD_MAX],
}

impl PresenceAnswer {
    /// `83 token id, 80 counter, 88 uses left, 53 record`, and nothing else.
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
    /// Resumes a channel to the selected token under one of these keys. `None`: the token has none of them any more, and is
    /// selected again, so that the handshake can follow.
    ///
    /// # Errors
    /// [`TokenError::Link`] when an exchange fails, and then the keys are as good as before. Besides, of a token that holds
    /// one of the keys: [`TokenError::Cloned`] when its counter or uses do not fit what was seen of it last,
    /// [`TokenError::IdentityMismatch`] when it is another than the key's; [`TokenError::Form`], [`TokenError::Channel`].
    /// Which key it holds stands in `held` then.
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
            // A release without slots, or somebody who plays one. It carries no MAC: whoever forged it has gained a full tap.
            Err(ChannelError::Refused { .. } | ChannelError::Form(_)) => {
                return self.select_again(link, selected).map(|()| None);
            }
            Err(e) => return Err(e.into()),
        };
        *held = Some(place);
        let mut session = Session::new(messaging, self.format);
        let answer = match session.send(link, STEP, &commands::resumed_presence()) {
            // The card's date has passed the end of the certificate that filled the slot.
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

    /// After a miss PSO begins at once. Only where the token's certificate has to be read first is it selected again:
    /// nothing is answered in plain before.
    fn missed(&self, link: &mut dyn Link, selected: &Selected) -> Result<(), TokenError> {
        let remembered =
            |mode| self.memory.recall(&RememberedItem::Ecka(mode, selected.ecka_kvn)).map(|der| (mode, der));
        match selected.mode.and_then(remembered) {
            Some((mode, der)) if self.card_certificate(mode, &der).is_ok() => Ok(()),
            _ => self.select_again(link, selected),
        }
    }
}
