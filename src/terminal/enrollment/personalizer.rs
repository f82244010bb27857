//! One visit to the card that becomes a token: plan (whose token, which card), the steps that are left, report.

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

/// How far a visit to the card has come.
#[derive(Debug)]
pub enum CardProgress {
    /// The token is enrolled.
    Done(EnrollmentReport),
    /// The card is to be let go while its keys are certified: then [`Personalizer::certify`], and another visit.
    Certify(Box<Pending>),
}

/// An enrollment that waits for its certificates. It is in the journal, too.
#[derive(Debug)]
pub struct Pending {
    entry: JournalEntry,
    ending: Ending,
}

impl Pending {
    /// How it will have ended: whether an earlier run had begun it.
    pub const fn ending(&self) -> Ending {
        self.ending
    }
}

/// What an enrollment works with.
pub struct Personalizer<'a> {
    /// Certifies keys.
    pub authority: &'a mut dyn TokenAuthority,
    /// The personalisation key, from which the per-token keys are derived.
    pub perso: &'a PersoKey,
    /// The start keys of our cards.
    pub start: &'a StaticKeys,
    /// The sets that private tokens join; nothing: tokens in open mode.
    pub sets: Option<&'a mut dyn SetProvider>,
    /// Where the progress is kept.
    pub journal: &'a Journal,
    /// How commands go to this reader.
    pub format: ApduFormat,
    /// Where token ids and challenges come from.
    pub random: &'a mut dyn Random,
    /// Called before each step.
    pub progress: &'a mut dyn FnMut(EnrollmentStep),
}

/// How an enrollment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// From blank to issued in one run.
    Enrolled,
    /// An earlier run had begun it.
    Resumed,
    /// It stands for another token of its user, which is refused from now on.
    Replaced,
}

/// What an enrollment did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollmentReport {
    /// The id of the token.
    pub token_id: Uuid,
    /// Whether an earlier run had begun it.
    pub ending: Ending,
    /// Whose it is.
    pub user: User,
    /// The set of a private token.
    pub set: Option<SetId>,
    /// Whether the card's start keys are the public test keys. After a resumption this is not known any more.
    pub test_keys: bool,
    /// What the card is told apart by: its diversification data, hex.
    pub card: String,
    /// The token that this one stands for.
    pub replaces: Option<Uuid>,
    /// The use counter of the proof by which the token was verified; 0 until then.
    pub counter: u32,
}

impl Personalizer<'_> {
    /// Enrolls the card behind this link, or finishes what an earlier run began. `context` opens the finished token once, as
    /// every scan will: only then is it called enrolled, and its journal may be closed. After [`Personalizer::certify`],
    /// `pending` says which card it is that has to lie there.
    ///
    /// # Errors
    /// Every [`EnrollError`]: what the card, the link, `whose`, the keys, the sets, the CA or the journal answers.
    /// Whatever it is, the same card may come again.
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

    /// Has the keys certified that wait for it, and puts the certificates into the journal. No card is needed, and none
    /// is held up.
    ///
    /// # Errors
    /// [`EnrollError::Certify`] or [`EnrollError::Server`] of who certifies; [`EnrollError::Token`] for certificates
    /// that do not verify; [`EnrollError::Journal`] and [`EnrollError::JournalDamaged`].
    pub fn certify(&mut self, pending: &mut Pending) -> Result<(), EnrollError> {
        steps::certify(self.authority, self.journal, &mut pending.entry)
    }

    /// The set of this card, in private mode, and its user.
    fn place(
        &mut self,
        card: &str,
        begun: Option<&JournalEntry>,
        whose: &mut dyn HolderSource,
    ) -> Result<(Option<Set>, User), EnrollError> {
        // First: a row that was given to a card that finds no room would stay begun.
        let set = self.sets.as_mut().map(|sets| sets.join(card)).transpose().map_err(EnrollError::Set)?;
        match (whose.user(card, begun), &mut self.sets) {
            (Err(error), Some(sets)) if begun.is_none() => {
                sets.leave(card).map_err(EnrollError::Set)?;
                Err(error)
            }
            (user, _) => Ok((set, user?)),
        }
    }

    /// An issued card is ours to finish only when the journal says that the answer to the last step was lost. A private
    /// one has to be opened to tell which it is.
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
            // There is nothing left to give up: the card is a token.
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
        // Under its own keys the card does not tell how it came.
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

    /// The entry to go on with: what was begun for the same user under the same CA, or a new one.
    fn entry(
        &mut self,
        card: String,
        user: User,
        begun: Option<JournalEntry>,
        test_keys: bool,
    ) -> Result<(JournalEntry, Ending), EnrollError> {
        let authority = hex::encode(self.authority.ca().key_identifier());
        if let Some(mut entry) = begun.filter(|e| e.user == user && e.authority == authority) {
            // The keys are on the card, and only the answer was lost: they are what its cryptogram was made with.
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

    /// The keys that this card gets, and that nobody has to keep.
    fn own_keys(&self, challenge: &CardChallenge) -> Result<StaticKeys, EnrollError> {
        StaticKeys::diversified_by(&challenge.diversification, |block| self.perso.cmac(block))
            .map_err(EnrollError::PersoKey)
    }

    /// The keys that the card's own cryptogram proves, found without sending it anything: a wrong key costs nothing.
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

    /// The use counter of the proof.
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
