//! One session with a card being enrolled: plan (which user, which card), the remaining steps, report.

use uuid::Uuid;

use super::{
    certification::TokenAuthority,
    failure::EnrollError,
    holder::HolderSource,
    journal::{Journal, JournalEntry, Progress},
    private::SetProvider,
    steps::{self, EnrollmentRun, EnrollmentStep},
};
use crate::{
    api::User,
    card::{apdu::ApduFormat, chaining::exchange, link::Link},
    channel::{
        Step,
        scp03::{self, CardChallenge, ChooseKeys, StaticKeys},
    },
    crypto::{
        random::{self, Random},
        sha256,
    },
    pki::{PersoKey, Set, SetId},
    token::{
        TokenError,
        constants::{KVN_START_KEYS, KVN_TOKEN_KEYS},
        open::{AuthenticationContext, identify},
        select::{LifeCycle, Selected, TokenMode},
        session::Session,
    },
};

/// The outcome of one session with the card.
#[derive(Debug)]
pub enum CardProgress {
    /// The token is enrolled.
    Done(EnrollmentReport),
    /// The card is to be released while its keys are certified; [`Personalizer::certify`] and another session follow.
    Certify(Box<Pending>),
}

/// An enrollment waiting for its certificates. The journal has it too.
#[derive(Debug)]
pub struct Pending {
    entry: JournalEntry,
    ending: Ending,
}

impl Pending {
    /// Whether an earlier run had started it.
    pub const fn ending(&self) -> Ending {
        self.ending
    }
}

/// What an enrollment needs.
pub struct Personalizer<'a> {
    /// Certifies keys.
    pub authority: &'a mut dyn TokenAuthority,
    /// The personalisation key, from which the per-token keys are derived.
    pub perso: &'a PersoKey,
    /// The start keys of our cards.
    pub start: &'a StaticKeys,
    /// The sets that private tokens join; `None` for tokens in open mode.
    pub sets: Option<&'a mut dyn SetProvider>,
    /// Where the progress is recorded.
    pub journal: &'a Journal,
    /// The APDU format of this reader.
    pub format: ApduFormat,
    /// The source of token ids and challenges.
    pub random: &'a mut dyn Random,
    /// Called before each step.
    pub progress: &'a mut dyn FnMut(EnrollmentStep),
}

/// How an enrollment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// From blank to issued in one run.
    Enrolled,
    /// An earlier run had started it.
    Resumed,
    /// It replaces another token of its user, which is refused from now on.
    Replaced,
}

/// The result of an enrollment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollmentReport {
    /// The id of the token.
    pub token_id: Uuid,
    /// How it ended.
    pub ending: Ending,
    /// Its user.
    pub user: User,
    /// The set of a private token.
    pub set: Option<SetId>,
    /// Whether the card's start keys were the public test keys. After a resumption this may be unknown.
    pub test_keys: bool,
    /// What identifies the card: its diversification data, hex.
    pub card: String,
    /// The token that this one replaces.
    pub replaces: Option<Uuid>,
    /// The use counter of the proof with which the token was verified; 0 until then.
    pub counter: u32,
}

impl Personalizer<'_> {
    /// Enrolls the card behind this link, or finishes what an earlier run started. `context` authenticates the finished
    /// token once, as every scan will: only then does it count as enrolled and may its journal be closed. After
    /// [`Personalizer::certify`], `pending` says which card must be there.
    ///
    /// # Errors
    /// Any [`EnrollError`]: of the card, the link, `whose`, the keys, the sets, the CA or the journal. The same card
    /// may be presented again after any of them.
    pub fn enroll(
        &mut self,
        link: &mut dyn Link,
        whose: &mut dyn HolderSource,
        context: &mut AuthenticationContext<'_>,
        pending: Option<&Pending>,
    ) -> Result<CardProgress, EnrollError> {
        let selected = identify(link, self.format)?.ok_or(EnrollError::Foreign)?;
        let mut visited = match selected.state {
            LifeCycle::Blank | LifeCycle::Personalised => self.personalise(link, whose, pending)?,
            LifeCycle::Issued => CardProgress::Done(self.issued_before(link, &selected, whose, context)?),
            state => return Err(EnrollError::NotBlank(state)),
        };
        if let CardProgress::Done(report) = &mut visited {
            report.counter = self.verify(link, report, context)?;
        }
        Ok(visited)
    }

    /// Has the pending keys certified and puts the certificates into the journal. No card is needed, and none is kept
    /// waiting.
    ///
    /// # Errors
    /// [`EnrollError::Certify`] or [`EnrollError::Server`] of the authority; [`EnrollError::Token`] for certificates
    /// that do not verify; [`EnrollError::Journal`] and [`EnrollError::JournalDamaged`].
    pub fn certify(&mut self, pending: &mut Pending) -> Result<(), EnrollError> {
        steps::certify(self.authority, self.journal, &mut pending.entry)
    }

    /// The card's set, in private mode, and its user.
    fn place(
        &mut self,
        card: &str,
        begun: Option<&JournalEntry>,
        whose: &mut dyn HolderSource,
    ) -> Result<(Option<Set>, User), EnrollError> {
        // The set first: a row assigned to a card that finds no room in a set would stay started.
        let set = self.sets.as_mut().map(|sets| sets.join(card)).transpose().map_err(EnrollError::Set)?;
        match (whose.user(card, begun), &mut self.sets) {
            (Err(error), Some(sets)) if begun.is_none() => {
                sets.leave(card).map_err(EnrollError::Set)?;
                Err(error)
            }
            (user, _) => Ok((set, user?)),
        }
    }

    /// Finishes an issued card only if the journal shows that the answer to the last step was lost. A private token has
    /// to be opened to learn which it is.
    fn issued_before(
        &mut self,
        link: &mut dyn Link,
        selected: &Selected,
        whose: &mut dyn HolderSource,
        context: &mut AuthenticationContext<'_>,
    ) -> Result<EnrollmentReport, EnrollError> {
        let token_id = match selected.mode {
            Some(TokenMode::Open(id)) => id,
            _ => match context.authenticate(link, selected) {
                Ok(token) => token.token_id,
                Err(e @ TokenError::Link(_)) => return Err(e.into()),
                Err(_) => return Err(EnrollError::AlreadyIssued(None)),
            },
        };
        let other = || EnrollError::AlreadyIssued(Some(token_id));
        let entry = self.journal.of_token(token_id)?.ok_or_else(other)?;
        match whose.user(&entry.card, Some(&entry)) {
            Ok(user) if user == entry.user => {}
            // Nothing is left to abandon: the card is a token.
            Ok(_) | Err(EnrollError::BegunForAnother { .. }) => return Err(other()),
            Err(error) => return Err(error),
        }
        let ending = if entry.replaces.is_some() { Ending::Replaced } else { Ending::Resumed };
        let set = entry.set.as_ref().map(|id| id.parse()).transpose().map_err(|_| EnrollError::JournalDamaged)?;
        let JournalEntry { user, test_keys, card, replaces, .. } = entry;
        Ok(EnrollmentReport { token_id, ending, user, set, test_keys, card, replaces, counter: 0 })
    }

    fn personalise(
        &mut self,
        link: &mut dyn Link,
        whose: &mut dyn HolderSource,
        pending: Option<&Pending>,
    ) -> Result<CardProgress, EnrollError> {
        let (challenge, choose) = self.challenge(link)?;
        let card = hex::encode(challenge.diversification);
        if pending.is_some_and(|pending| pending.entry.card != card) {
            return Err(EnrollError::OtherCard);
        }
        let (keys, test_keys) = self.keys_of(&challenge, &choose)?;
        let found = self.journal.of_card(&challenge.diversification)?;
        // Once it has its own keys, the card no longer shows which keys it came with.
        let keyed = challenge.kvn == KVN_TOKEN_KEYS;
        let test_keys = test_keys || (keyed && found.as_ref().is_some_and(|e| e.test_keys));
        if test_keys && self.sets.is_some() {
            return Err(EnrollError::TestKeysPrivate);
        }
        let own_keys = self.own_keys(&challenge)?;
        let session = self.authenticate(link, choose, &keys)?;
        let (set, user) = self.place(&card, found.as_ref(), whose)?;
        let set_id = set.as_ref().map(|set| set.id);
        let portrait = whose.portrait()?;
        let (replaces, portrait_digest) =
            (whose.replaces(), portrait.as_ref().map(|bytes| hex::encode(sha256(&[bytes]))));
        let set_name = set_id.map(|id| id.to_string());
        let same = |e: &JournalEntry| e.replaces == replaces && e.portrait == portrait_digest && e.set == set_name;
        let (mut entry, ending) = self.entry(card, user, found.filter(|entry| keyed && same(entry)), test_keys)?;
        (entry.replaces, entry.portrait, entry.set) = (replaces, portrait_digest, set_name);
        self.journal.save(&entry)?;
        let (token_id, user) = (entry.token_id, entry.user.clone());
        let (card, replaces) = (entry.card.clone(), entry.replaces);
        let ending = match entry.replaces {
            Some(_) => Ending::Replaced,
            None => pending.map_or(ending, Pending::ending),
        };
        let (authority, journal, progress) = (&mut *self.authority, self.journal, &mut *self.progress);
        let run = EnrollmentRun { authority, journal, progress, session, entry, own_keys, portrait, set };
        match run.finish(link)? {
            None => {
                let report =
                    EnrollmentReport { token_id, ending, user, set: set_id, test_keys, card, replaces, counter: 0 };
                Ok(CardProgress::Done(report))
            }
            Some(entry) => Ok(CardProgress::Certify(Box::new(Pending { entry, ending }))),
        }
    }

    /// The entry to continue: one started for the same user under the same CA, or a new one.
    fn entry(
        &mut self,
        card: String,
        user: User,
        begun: Option<JournalEntry>,
        test_keys: bool,
    ) -> Result<(JournalEntry, Ending), EnrollError> {
        let authority = hex::encode(self.authority.ca().key_identifier());
        if let Some(mut entry) = begun.filter(|e| e.user == user && e.authority == authority) {
            // The card's cryptogram was made with its own keys, so they are on the card; only the answer was lost.
            entry.progress = entry.progress.max(Progress::Keyed);
            return Ok((entry, Ending::Resumed));
        }
        let token_id = uuid::Builder::from_random_bytes(random::bytes(self.random)?).into_uuid();
        Ok((JournalEntry::new(card, token_id, user, authority, test_keys), Ending::Enrolled))
    }

    fn challenge(&mut self, link: &mut dyn Link) -> Result<(CardChallenge, ChooseKeys), EnrollError> {
        let (command, state) = scp03::begin(random::bytes(self.random)?);
        let answer = exchange(link, &command, self.format).map_err(TokenError::from)?;
        Ok(state.handle(answer)?)
    }

    /// The keys that this card gets. They are derived, so they need not be stored.
    fn own_keys(&self, challenge: &CardChallenge) -> Result<StaticKeys, EnrollError> {
        StaticKeys::diversified_by(&challenge.diversification, |block| self.perso.cmac(block))
            .map_err(EnrollError::PersoKey)
    }

    /// The keys that the card's own cryptogram proves, found without sending anything: a wrong guess costs the card
    /// nothing.
    fn keys_of(&self, challenge: &CardChallenge, choose: &ChooseKeys) -> Result<(StaticKeys, bool), EnrollError> {
        match challenge.kvn {
            KVN_TOKEN_KEYS => {
                let keys = self.own_keys(challenge)?;
                if choose.proves(&keys)? { Ok((keys, false)) } else { Err(EnrollError::WrongPersoKeys) }
            }
            KVN_START_KEYS => {
                for (keys, test) in [(self.start.clone(), false), (StaticKeys::test(), true)] {
                    if choose.proves(&keys)? {
                        return Ok((keys, test));
                    }
                }
                Err(EnrollError::WrongStartKeys)
            }
            other => Err(EnrollError::UnknownKeys(other)),
        }
    }

    fn authenticate(
        &mut self,
        link: &mut dyn Link,
        choose: ChooseKeys,
        keys: &StaticKeys,
    ) -> Result<Session, EnrollError> {
        match choose.with(keys)? {
            Step::Send(command, state) => {
                let answer = exchange(link, &command, self.format).map_err(TokenError::from)?;
                Ok(Session::new(state.handle(answer)?, self.format))
            }
            Step::Done(messaging) => Ok(Session::new(messaging, self.format)),
        }
    }

    /// Authenticates the finished token; returns the use counter of its proof.
    fn verify(
        &mut self,
        link: &mut dyn Link,
        report: &EnrollmentReport,
        context: &mut AuthenticationContext<'_>,
    ) -> Result<u32, EnrollError> {
        (self.progress)(EnrollmentStep::Verification);
        let selected = identify(link, self.format)?.ok_or(EnrollError::Foreign)?;
        let token = context.authenticate(link, &selected)?;
        if token.token_id != report.token_id {
            return Err(TokenError::IdentityMismatch.into());
        }
        Ok(token.counter())
    }
}
