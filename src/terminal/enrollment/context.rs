//! What every enrollment at this terminal works with, and one enrollment at one reader.

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
        context::TerminalContext,
        memory::remember,
        presence::store::{TerminalStore, TerminalStoreError},
    },
    token::{
        TokenError,
        open::{AuthenticationContext, Credentials, NoMemory, RememberedItem},
    },
};

/// Keys, certificates and the journal.
pub struct EnrollmentContext {
    terminal: TerminalContext,
    authority: SharedAuthority,
    credentials: Credentials,
    perso: PersoKey,
    start: StaticKeys,
    /// For tokens in private mode.
    sets: Option<SetChoice>,
    /// The journal of the cards.
    pub journal: Journal,
}

/// An enrollment that came to its end.
#[derive(Debug)]
pub struct Completion {
    /// What was done.
    pub report: EnrollmentReport,
    /// The certificates that were read from the token.
    pub learned: Vec<(RememberedItem, Option<Vec<u8>>)>,
}

impl Completion {
    /// Keeps what the first tap needs: the certificates, and the counter of the proof that was seen, lest it come again.
    ///
    /// # Errors
    /// [`TerminalStoreError`] when the store cannot be written: the certificates before are kept.
    pub fn remember(&self, store: &mut TerminalStore) -> Result<(), TerminalStoreError> {
        remember(store, &self.learned)?;
        store.record_counter(self.report.token_id, self.report.counter).map(drop)
    }
}

/// An enrollment that did not.
#[derive(Debug)]
pub struct EnrollFailure {
    /// Why.
    pub error: EnrollError,
    /// After how many exchanges with the card.
    pub exchanges: u32,
}

impl EnrollFailure {
    /// What the operator sees.
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
    /// Loads what the folders of this terminal hold; without a request the tokens are to be in open mode.
    ///
    /// # Errors
    /// What keeps one of them from being loaded: `pki.…`, or the failure of the connection to a server.
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

    /// The terminal that this is.
    pub const fn terminal(&self) -> &TerminalContext {
        &self.terminal
    }

    /// The key identifier of the CA, hex.
    pub fn authority(&self) -> String {
        hex::encode(self.authority.ca().key_identifier())
    }

    /// Enrolls the card in this reader. It takes one visit to the card, or two: it is let go while a server is asked for
    /// its certificates. The journal of the card stays open: see [`Self::close`].
    ///
    /// # Errors
    /// [`EnrollError`] in the form of an [`EnrollFailure`], which says how many exchanges there were; whatever it is,
    /// the next run goes on.
    pub fn enroll(
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

    /// The card was given up: its place in a set is free again.
    ///
    /// # Errors
    /// As [`PkiDir::leave_sets`](crate::pki::PkiDir::leave_sets).
    pub fn leave_sets(&self, card: &str) -> Result<(), Failure> {
        Ok(self.terminal.pki.leave_sets(card)?)
    }

    /// Nobody needs the journal of this card any more.
    ///
    /// # Errors
    /// `enroll.journal` when the entry cannot be found out or removed.
    pub fn close(&self, report: &EnrollmentReport) -> Result<(), Failure> {
        Ok(self.journal.close_token(report.token_id)?)
    }
}

fn link(error: LinkError) -> EnrollError {
    TokenError::from(error).into()
}
