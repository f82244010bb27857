//! What every enrollment at this terminal needs, and the enrollment of one card at one reader.

use jiff::Timestamp;

use super::{
    authority::{SharedAuthority, authority},
    certification::TokenAuthority,
    failure::EnrollError,
    holder::HolderSource,
    journal::Journal,
    personalizer::{CardProgress, EnrollmentReport, Pending, Personalizer},
    private::SetProvider,
    sets::{PrivateRequest, SetChoice},
    steps::EnrollmentStep,
};
use crate::{
    card::{apdu::ApduFormat, link::LinkError, meter::Metered},
    channel::scp03::StaticKeys,
    crypto::random::{SystemRandom, bytes},
    failure::Failure,
    pki::PersoKey,
    reader::pcsc::Card,
    terminal::{
        attempts::AGAIN,
        context::TerminalContext,
        memory::remember,
        presence::store::{CardState, IssuedCard, TerminalStore, TerminalStoreError},
    },
    token::{
        TokenError,
        open::{AuthenticationContext, Credentials, NoMemory, RememberedItem, SlotWish},
    },
};

/// The keys, certificates and journal of this terminal's enrollments.
pub struct EnrollmentContext {
    terminal: TerminalContext,
    authority: SharedAuthority,
    credentials: Credentials,
    perso: PersoKey,
    start: StaticKeys,
    /// The sets, for tokens in private mode.
    sets: Option<SetChoice>,
    /// The journal of the cards.
    pub journal: Journal,
}

/// A completed enrollment.
#[derive(Debug)]
pub struct Completion {
    /// What was done.
    pub report: EnrollmentReport,
    /// The certificates read from the token.
    pub learned: Vec<(RememberedItem, Option<Vec<u8>>)>,
}

impl Completion {
    /// Adds the card to the register, and stores what the first tap needs: the certificates, and the use counter of the
    /// proof that was verified, so that it cannot be replayed.
    ///
    /// # Errors
    /// [`TerminalStoreError`] when the store cannot be written: the previous certificates are kept.
    pub fn remember(&self, store: &mut TerminalStore) -> Result<(), TerminalStoreError> {
        let EnrollmentReport { token_id, user, card, replaces, .. } = &self.report;
        let now = Timestamp::now();
        let card = Some(card.clone());
        let issued = IssuedCard {
            token_id: *token_id,
            user: user.clone(),
            card,
            state: CardState::Issued,
            issued: now,
            changed: now,
        };
        store.register_card(&issued, *replaces)?;
        remember(store, &self.learned)?;
        store.record_counter(self.report.token_id, self.report.counter).map(drop)
    }
}

/// A failed enrollment.
#[derive(Debug)]
pub struct EnrollFailure {
    /// Why.
    pub error: EnrollError,
    /// The number of exchanges with the card before it.
    pub exchanges: u32,
}

impl EnrollFailure {
    /// The failure as the operator sees it.
    pub fn to_failure(&self) -> Failure {
        self.error.to_failure(self.exchanges)
    }
}

impl<E: Into<EnrollError>> From<E> for EnrollFailure {
    fn from(error: E) -> Self {
        Self { error: error.into(), exchanges: 0 }
    }
}

impl EnrollmentContext {
    /// Loads the keys from this terminal's folders; without a request, tokens are enrolled in open mode.
    ///
    /// # Errors
    /// When one of them cannot be loaded: `pki.…`, or the failure of the connection to a server.
    pub fn open(terminal: &TerminalContext, private: Option<PrivateRequest>) -> Result<Self, Failure> {
        let pki = &terminal.pki;
        let authority = authority(terminal)?;
        let credentials = terminal.credentials(Timestamp::now())?;
        let sets = private.map(|request| SetChoice::new(request, terminal)).transpose()?;
        Ok(Self {
            sets,
            authority,
            credentials,
            perso: pki.load_perso_key(terminal.perso_key.as_ref())?,
            start: StaticKeys::all(&pki.load_start_key()?),
            journal: Journal::new(&terminal.state_folder),
            terminal: terminal.clone(),
        })
    }

    /// The terminal.
    pub const fn terminal(&self) -> &TerminalContext {
        &self.terminal
    }

    /// The key identifier of the CA, hex.
    pub fn authority(&self) -> String {
        hex::encode(self.authority.ca().key_identifier())
    }

    /// Enrolls the card in this reader. This takes one transaction, or two: the card is released while a server is
    /// asked for its certificates. If an exchange fails while the card stays, it continues automatically, a few times.
    /// The card's journal stays open: see [`Self::close`].
    ///
    /// # Errors
    /// [`EnrollError`] as an [`EnrollFailure`], which says how many exchanges there were; the next run continues after
    /// any of them.
    pub fn enroll(
        &self,
        reader: &str,
        whose: &mut dyn HolderSource,
        progress: &mut dyn FnMut(EnrollmentStep),
    ) -> Result<Completion, EnrollFailure> {
        again(AGAIN, || self.attempt(reader, whose, progress))
    }

    fn attempt(
        &self,
        reader: &str,
        whose: &mut dyn HolderSource,
        progress: &mut dyn FnMut(EnrollmentStep),
    ) -> Result<Completion, EnrollFailure> {
        let mut card = Card::connect(reader, self.terminal.card_limits()).map_err(link)?;
        let (mut authority, mut random) = (self.authority.clone(), SystemRandom);
        let mut sets = self.sets.as_ref();
        let mut personalizer = Personalizer {
            authority: &mut authority,
            perso: &self.perso,
            start: &self.start,
            sets: sets.as_mut().map(|sets| sets as &mut dyn SetProvider),
            journal: &self.journal,
            format: ApduFormat::Short,
            random: &mut SystemRandom,
            progress,
        };
        let mut context = AuthenticationContext {
            credentials: &self.credentials,
            memory: &NoMemory,
            nonce: bytes(&mut random)?,
            now: Timestamp::now(),
            format: ApduFormat::Short,
            random: &mut random,
            learned: Vec::new(),
            slot: SlotWish::No,
            nonce_shown: false,
        };
        let mut pending: Option<Box<Pending>> = None;
        loop {
            let mut metered = Metered::new(card.begin().map_err(link)?);
            let checked = match (&self.sets, &pending) {
                (Some(sets), None) => sets.check(&mut metered, ApduFormat::Short),
                _ => Ok(()),
            };
            let visited =
                checked.and_then(|()| personalizer.enroll(&mut metered, whose, &mut context, pending.as_deref()));
            let exchanges = metered.exchanges;
            drop(metered);
            match visited.map_err(|error| EnrollFailure { error, exchanges })? {
                CardProgress::Done(report) => return Ok(Completion { report, learned: context.learned }),
                CardProgress::Certify(mut waiting) => {
                    personalizer.certify(&mut waiting).map_err(|error| EnrollFailure { error, exchanges })?;
                    pending = Some(waiting);
                }
            }
        }
    }

    /// Frees the place in a set that an abandoned card had.
    ///
    /// # Errors
    /// As [`PkiDir::leave_sets`](crate::pki::PkiDir::leave_sets).
    pub fn leave_sets(&self, card: &str) -> Result<(), Failure> {
        Ok(self.terminal.pki.leave_sets(card)?)
    }

    /// Closes the journal of this card, which is no longer needed.
    ///
    /// # Errors
    /// `enroll.journal` when the entry cannot be found or removed.
    pub fn close(&self, report: &EnrollmentReport) -> Result<(), Failure> {
        Ok(self.journal.close_token(report.token_id)?)
    }
}

/// Makes one attempt and up to `times` more, while an exchange fails and the card stays: each attempt continues where
/// the previous one stopped.
fn again<T>(times: u32, mut attempt: impl FnMut() -> Result<T, EnrollFailure>) -> Result<T, EnrollFailure> {
    let mut result = attempt();
    for _ in 0..times {
        if !result.as_ref().is_err_and(|failure| failure.error.is_passing()) {
            break;
        }
        match attempt() {
            // Only the last answer was lost, and nothing has confirmed that this is the right card.
            Err(EnrollFailure { error: EnrollError::AlreadyIssued(_), .. }) => break,
            next => result = next,
        }
    }
    result
}

fn link(error: LinkError) -> EnrollError {
    TokenError::from(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(error: LinkError) -> EnrollFailure {
        EnrollFailure { error: link(error), exchanges: 7 }
    }

    fn lost() -> EnrollFailure {
        failure(LinkError::Transmission("lost".to_owned()))
    }

    /// The result of these attempts, and how many were made.
    fn run(attempts: Vec<Result<u8, EnrollFailure>>) -> (Result<u8, &'static str>, usize) {
        let (mut attempts, mut made) = (attempts.into_iter(), 0);
        let result = again(AGAIN, || {
            made += 1;
            attempts.next().unwrap()
        });
        (result.map_err(|failure| failure.to_failure().code), made)
    }

    #[test]
    fn an_exchange_that_failed_is_gone_over_a_few_times() {
        let issued = || EnrollFailure { error: EnrollError::AlreadyIssued(None), exchanges: 1 };
        assert_eq!(run(vec![Ok(1)]), (Ok(1), 1));
        assert_eq!(run(vec![Err(lost()), Ok(1)]), (Ok(1), 2));
        assert_eq!(run(vec![Err(failure(LinkError::CardReset)), Err(lost()), Ok(1)]), (Ok(1), 3));
        assert_eq!(run(vec![Err(lost()), Err(lost()), Err(lost())]), (Err("reader.error"), 3));
        // A failure that concerns the card itself, or its removal, is not transient.
        assert_eq!(run(vec![Err(failure(LinkError::CardRemoved))]), (Err("card.left"), 1));
        assert_eq!(run(vec![Err(lost()), Err(failure(LinkError::CardRemoved))]), (Err("card.left"), 2));
        assert_eq!(run(vec![Err(issued())]), (Err("enroll.already-issued"), 1));
        assert_eq!(run(vec![Err(lost()), Err(issued())]), (Err("reader.error"), 2));
    }
}
