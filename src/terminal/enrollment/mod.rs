//! Enrollment: takes a BLANK token to ISSUED over SCP03, in steps that the next run can finish.
//!
//! plan (whose token, which card) → steps (each confirmed by the card before it counts) → report.

pub mod batch;
pub mod journal;
pub mod manifest;
pub mod private;
mod steps;

use std::path::PathBuf;

use uuid::Uuid;

use crate::{
    api::User,
    card::{apdu::ApduFormat, chaining::exchange, link::Link},
    channel::{
        ChannelError, Step,
        scp03::{self, CardChallenge, ChooseKeys, StaticKeys},
    },
    crypto::{
        ec::Point,
        random::{self, Random},
        sha256,
        x509::{Certificate, CertificateError, CertificateProfile},
    },
    failure::Failure,
    pki::{PersoKey, PkiError, SetId},
    token::{
        TokenError,
        constants::{KVN_START_KEYS, KVN_TOKEN_KEYS},
        open::{Visit, identify},
        record::RecordError,
        select::LifeCycle,
        session::Session,
    },
};
use journal::{Journal, JournalEntry, Progress};
use private::SetProvider;

/// Why an enrollment stopped. Whatever it is, the next run goes on.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The token, the link or the channel failed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The card has no Rollcall applet.
    #[error("the card has no Rollcall applet")]
    Foreign,
    /// The card belongs to somebody already. With its token id, where it tells it outside a channel.
    #[error("the card is enrolled already")]
    AlreadyIssued(Option<Uuid>),
    /// There is nobody left whose token a blank card could become.
    #[error("there is no row left for this card")]
    NobodyLeft,
    /// The journal of the batch cannot be used.
    #[error(transparent)]
    Batch(#[from] batch::BatchError),
    /// The card is blocked or terminated.
    #[error("the card is {}", .0.word())]
    NotBlank(LifeCycle),
    /// Neither the start keys nor the test keys are the card's.
    #[error("the card does not know our start keys")]
    WrongStartKeys,
    /// The per-token keys derived from our personalisation key are not the card's.
    #[error("the card was personalised under another personalisation key")]
    WrongPersoKeys,
    /// The card names a KVN that the protocol does not have.
    #[error("the card has keys in force that are not ours (KVN {0:02X})")]
    UnknownKeys(u8),
    /// The user does not fit on the card.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Another card came while the first one's keys were being certified.
    #[error("this is another card than before")]
    OtherCard,
    /// The server that certifies was not reached, or refused.
    #[error("{0}")]
    Server(Failure),
    /// The personalisation key cannot be used.
    #[error(transparent)]
    PersoKey(PkiError),
    /// The key of a set, or its list of members, cannot be used.
    #[error(transparent)]
    Set(PkiError),
    /// The card came with the test keys, so whoever saw this would know the key of the whole set.
    #[error("the card came with the public test keys: no set key goes onto it")]
    TestKeysPrivate,
    /// The card gives itself away beside the applet.
    #[error("the card can be told from others without its key: {}", private::list(.0))]
    Trackable(Vec<private::TrackableTrait>),
    /// The CA refused to certify a key.
    #[error("the CA did not certify the card's key: {0}")]
    Certify(String),
    /// The journal cannot be read or written.
    #[error("the journal of enrollments cannot be used ({path}): {error}", path = .0.display(), error = .1)]
    Journal(PathBuf, std::io::Error),
    /// The journal misses what an earlier step must have written.
    #[error("the journal of this enrollment is damaged")]
    JournalDamaged,
}

impl From<Failure> for EnrollError {
    fn from(failure: Failure) -> Self {
        Self::Server(failure)
    }
}

impl From<ChannelError> for EnrollError {
    fn from(e: ChannelError) -> Self {
        Self::Token(e.into())
    }
}

impl From<CertificateError> for EnrollError {
    fn from(e: CertificateError) -> Self {
        Self::Token(e.into())
    }
}

impl From<crate::crypto::CryptoError> for EnrollError {
    fn from(e: crate::crypto::CryptoError) -> Self {
        Self::Token(e.into())
    }
}

/// Who certifies the keys of a token: the CA here, or a server.
pub trait TokenAuthority {
    /// The public key of the CA.
    fn ca(&self) -> &Point;
    /// Whether it answers at once. One that has to be asked over a network is asked while no card waits for it.
    fn is_here(&self) -> bool;
    /// Certifies both keys. The same once more gets certificates for the same keys again.
    fn certify(&mut self, wanted: &KeysToCertify) -> Result<Certificates, EnrollError>;
}

/// The keys that a token wants certified, as the card answered them under a verified MAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysToCertify {
    /// The token.
    pub token_id: Uuid,
    /// Whose it becomes.
    pub user: User,
    /// Its own ECKA key.
    pub ecka: Point,
    /// Its identity key.
    pub identity: Point,
    /// The token that it stands for from now on: that one is refused in the same step.
    pub replaces: Option<Uuid>,
}

/// The certificates of both keys, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// Of the own ECKA key.
    pub ecka: Vec<u8>,
    /// Of the identity key.
    pub identity: Vec<u8>,
}

impl Certificates {
    /// Refuses certificates that are not the CA's for exactly these keys: the card would notice only at its end.
    fn check(&self, wanted: &KeysToCertify, ca: &Point) -> Result<(), EnrollError> {
        let name = wanted.token_id.to_string();
        for (der, class, key) in [
            (&self.ecka, CertificateProfile::TokenEcka, &wanted.ecka),
            (&self.identity, CertificateProfile::Identity, &wanted.identity),
        ] {
            let certificate = Certificate::verify(der, ca, &[class])?;
            if certificate.point() != key || certificate.subject() != name {
                return Err(EnrollError::Certify("it certified another key".to_owned()));
            }
        }
        Ok(())
    }
}

/// Who says whose token a card becomes. It is asked when the card has proven that it is ours.
pub trait HolderSource {
    /// The user for the card with these diversification data, in hex; `begun` is what an earlier run began with it.
    fn user(&mut self, card: &str, begun: Option<&JournalEntry>) -> Result<User, EnrollError>;

    /// The portrait of that user, at most 8192 bytes; asked after [`Self::user`].
    fn portrait(&mut self) -> Result<Option<Vec<u8>>, EnrollError> {
        Ok(None)
    }

    /// The token that this one is to stand for.
    fn replaces(&self) -> Option<Uuid> {
        None
    }
}

/// One user, with all that may come along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applicant {
    /// The user.
    pub user: User,
    /// The portrait that comes onto the card.
    pub portrait: Option<Vec<u8>>,
    /// The token that is refused from now on.
    pub lost: Option<Uuid>,
}

impl HolderSource for &Applicant {
    fn user(&mut self, _: &str, _: Option<&JournalEntry>) -> Result<User, EnrollError> {
        Ok(self.user.clone())
    }

    fn portrait(&mut self) -> Result<Option<Vec<u8>>, EnrollError> {
        Ok(self.portrait.clone())
    }

    fn replaces(&self) -> Option<Uuid> {
        self.lost
    }
}

/// Whatever card it is, it becomes the token of this user.
impl HolderSource for &User {
    fn user(&mut self, _: &str, _: Option<&JournalEntry>) -> Result<User, EnrollError> {
        Ok(self.clone())
    }
}

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
    /// Told of each step, as (done, of, what comes next).
    pub progress: &'a mut dyn FnMut(usize, usize, &'static str),
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
}

impl Personalizer<'_> {
    /// Enrolls the card behind this link, or finishes what an earlier run began. `visit` opens the finished token once, as
    /// every scan will: only then is it called enrolled, and its journal may be closed. After [`Personalizer::certify`],
    /// `pending` says which card it is that has to lie there.
    pub fn enroll(
        &mut self,
        link: &mut dyn Link,
        whose: &mut dyn HolderSource,
        visit: &mut Visit<'_>,
        pending: Option<&Pending>,
    ) -> Result<CardProgress, EnrollError> {
        let selected = identify(link, self.format)?.ok_or(EnrollError::Foreign)?;
        let visited = match selected.state {
            LifeCycle::Blank | LifeCycle::Personalised => self.personalise(link, whose, pending)?,
            LifeCycle::Issued => CardProgress::Done(self.issued_before(link, &selected, whose, visit)?),
            state => return Err(EnrollError::NotBlank(state)),
        };
        let CardProgress::Done(report) = &visited else { return Ok(visited) };
        self.verify(link, report, visit)?;
        Ok(visited)
    }

    /// Has the keys certified that wait for it, and puts the certificates into the journal. No card is needed, and none
    /// is held up.
    pub fn certify(&mut self, pending: &mut Pending) -> Result<(), EnrollError> {
        steps::certify(self.authority, self.journal, &mut pending.entry)
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
        let ending = match entry.replaces {
            Some(_) => Ending::Replaced,
            None => pending.map_or(ending, Pending::ending),
        };
        match (steps::EnrollmentRun { desk: self, session, entry, own_keys, portrait, set }).finish(link)? {
            None => Ok(CardProgress::Done(EnrollmentReport { token_id, ending, user, set: set_id, test_keys })),
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

    fn verify(
        &mut self,
        link: &mut dyn Link,
        report: &EnrollmentReport,
        visit: &mut Visit<'_>,
    ) -> Result<(), EnrollError> {
        (self.progress)(steps::COUNT, steps::COUNT, "verifying the token");
        let selected = identify(link, self.format)?.ok_or(EnrollError::Foreign)?;
        let token = visit.authenticate(link, &selected)?;
        if token.token_id == report.token_id { Ok(()) } else { Err(TokenError::IdentityMismatch.into()) }
    }
}

#[cfg(test)]
pub(crate) mod tests;
