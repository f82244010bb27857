//! What every enrollment at this terminal works with, and one enrollment at one reader.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    authority::{SharedAuthority, authority},
    failure::enrollment,
    sets::SetChoice,
};
use crate::{
    card::{apdu::ApduFormat, link::LinkError, meter::Metered},
    channel::scp03::StaticKeys,
    cli::{args::PrivateArgs, station},
    config::Settings,
    crypto::random::{SystemRandom, bytes},
    failure::Failure,
    pki::{PersoKey, PkiDir},
    reader::pcsc::{Card, CardLimits},
    terminal::enrollment::{
        CardProgress, EnrollError, EnrollmentReport, HolderSource, Pending, Personalizer, TokenAuthority,
        journal::Journal, private,
    },
    token::{
        TokenError,
        open::{Credentials, NoMemory, RememberedItem, Visit},
    },
};

/// Keys, certificates and the journal.
pub struct EnrollmentContext {
    home: PkiDir,
    authority: SharedAuthority,
    credentials: Credentials,
    perso: PersoKey,
    start: StaticKeys,
    /// For tokens in private mode.
    sets: Option<SetChoice>,
    /// The journal of the cards.
    pub journal: Journal,
    exchange: Duration,
}

/// An enrollment that came to its end.
pub struct Done {
    /// What was done.
    pub report: EnrollmentReport,
    /// The certificates that were read from the token.
    pub learned: Vec<(RememberedItem, Option<Vec<u8>>)>,
}

/// An enrollment that did not.
pub struct Failed {
    /// Why.
    pub error: EnrollError,
    /// After how many exchanges with the card.
    pub exchanges: u32,
}

impl Failed {
    /// What the operator sees.
    pub fn to_failure(&self) -> Failure {
        enrollment(&self.error, self.exchanges)
    }
}

impl<E: Into<EnrollError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { error: error.into(), exchanges: 0 }
    }
}

impl EnrollmentContext {
    /// Loads what the folders of this terminal hold.
    pub fn open(settings: &Settings, private: &PrivateArgs) -> Result<Self, Failure> {
        let (home, now) = (PkiDir::new(settings.pki_folder()), Timestamp::now());
        let authority = authority(settings, &home)?;
        // Where the CA key lies there are keys for administration too; an enrolling desk has its own.
        let credentials = if home.has_ca_key() { home.load_admin_terminal(now)? } else { home.load_terminal(now)? };
        let sets = SetChoice::of(private, &home, settings)?;
        Ok(Self {
            sets,
            authority,
            credentials: station::credentials(credentials),
            perso: home.load_perso_key(settings.perso_key.as_ref())?,
            start: StaticKeys::all(&home.load_start_key()?),
            home,
            journal: Journal::new(&settings.state_folder),
            exchange: settings.limits.exchange,
        })
    }

    /// The key identifier of the CA, hex.
    pub fn authority(&self) -> String {
        hex::encode(self.authority.ca().key_identifier())
    }

    /// Enrolls the card in this reader. It takes one visit to the card, or two: it is let go while a server is asked for
    /// its certificates. The journal of the card stays open: see [`Self::close`].
    pub fn enroll(
        &self,
        reader: &str,
        whose: &mut dyn HolderSource,
        progress: &mut dyn FnMut(usize, usize, &'static str),
    ) -> Result<Done, Failed> {
        let limits = CardLimits { exchange: self.exchange, connect: self.exchange, deadline: None };
        let mut card = Card::connect(reader, limits).map_err(link)?;
        let (mut authority, mut random) = (self.authority.clone(), SystemRandom);
        let mut sets = self.sets.as_ref();
        let mut desk = Personalizer {
            authority: &mut authority,
            perso: &self.perso,
            start: &self.start,
            sets: sets.as_mut().map(|sets| sets as &mut dyn private::SetProvider),
            journal: &self.journal,
            format: ApduFormat::Short,
            random: &mut SystemRandom,
            progress,
        };
        let mut visit = Visit {
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
            let visited = checked.and_then(|()| desk.enroll(&mut metered, whose, &mut visit, pending.as_deref()));
            let exchanges = metered.exchanges;
            drop(metered);
            match visited.map_err(|error| Failed { error, exchanges })? {
                CardProgress::Done(report) => return Ok(Done { report, learned: visit.learned }),
                CardProgress::Certify(mut waiting) => {
                    desk.certify(&mut waiting).map_err(|error| Failed { error, exchanges })?;
                    pending = Some(waiting);
                }
            }
        }
    }

    /// The card was given up: its place in a set is free again.
    pub fn leave_sets(&self, card: &str) -> Result<(), Failure> {
        Ok(self.home.leave_sets(card)?)
    }

    /// Nobody needs the journal of this card any more.
    pub fn close(&self, report: &EnrollmentReport) -> Result<(), Failure> {
        self.journal.close_token(report.token_id).map_err(|e| enrollment(&e, 0))
    }
}

fn link(error: LinkError) -> EnrollError {
    TokenError::from(error).into()
}
