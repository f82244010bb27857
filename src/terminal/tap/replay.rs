//! Replays the taps of a trace: runs the same code, with recorded answers in place of the card.
//!
//! Redone: SELECT, every certificate under the recorded CA at the recorded time, the form of every answer, the lookups,
//! the record, and the signature of the proof if the trace contains what it covers. Taken from the trace, because the
//! keys are not available: that the receipt was valid, the contents of sealed answers, and for a masked record that the
//! signature was valid.

use std::time::Duration;

use jiff::Timestamp;

use super::{Depth, DistanceBound, TapError, Tapped, tap_card};
use crate::{
    card::{
        apdu::ApduFormat,
        trace::{
            Judged, RecordedAttempt, Replay, Trace, TraceError, TraceRecord,
            record::{RecordedAuthority, RecordedMemory, RecordedVisit},
        },
    },
    crypto::{
        ec::{KeyPair, Point},
        random::Random,
        x509::{Certificate, CertificateProfile, TerminalRole},
    },
    token::open::{AuthenticationContext, Credentials, RememberedItem, SlotWish, TokenMemory},
};

/// A replayed tap.
#[derive(Debug)]
pub struct Played {
    /// When it was recorded.
    pub at: Timestamp,
    /// The reader.
    pub reader: String,
    /// Its result.
    pub tapped: Tapped,
    /// The recorded objections of the terminal to the token.
    pub judged: Judged,
}

/// Replays every tap of a trace. Anything else (an enrollment, a change, a heartbeat) is skipped.
///
/// # Errors
/// [`TraceError::Diverged`] when this program sends anything other than what was recorded, [`TraceError::Withheld`]
/// when a masked trace lacks what the outcome depends on, [`TraceError::Nothing`] without a tap.
pub fn play(trace: &Trace, random: &mut dyn Random) -> Result<Vec<Played>, TraceError> {
    let mut all: Vec<Played> = Vec::new();
    for scene in &trace.scenes {
        let Some((again, tapped)) = play_scene(scene, random)? else { continue };
        let played = Played { at: scene.at, reader: scene.reader.clone(), tapped, judged: scene.judged.clone() };
        // A card that had been reset was tried again, and that attempt counts.
        let first = all.iter().rposition(|one| one.reader == scene.reader).filter(|_| again);
        match first.and_then(|at| all.get_mut(at)) {
            Some(one) if one.tapped.result.as_ref().is_err_and(TapError::worth_another_try) => *one = played,
            _ => all.push(played),
        }
    }
    if all.is_empty() { Err(TraceError::Nothing) } else { Ok(all) }
}

/// The result of one scene, and whether it is a repeated attempt of a tap; `None` when it is not a tap.
fn play_scene(scene: &RecordedAttempt, random: &mut dyn Random) -> Result<Option<(bool, Tapped)>, TraceError> {
    let records = match &scene.records {
        Ok(records) => records,
        Err(error) => return Ok(Some((scene.again, Tapped::failed(error.clone().into())))),
    };
    let tap = records.iter().find_map(|record| match record {
        TraceRecord::Tap { server_nonce, again } => Some((*server_nonce, *again)),
        _ => None,
    });
    let recorded = records.iter().find_map(|record| match record {
        TraceRecord::Visit(recorded) => Some(recorded),
        _ => None,
    });
    let (Some((server_nonce, again)), Some(recorded)) = (tap, recorded) else { return Ok(None) };
    let diverged = |exchanges| TraceError::Diverged { reader: scene.reader.clone(), exchanges };
    let mut terminal = RecordedTerminal::of(recorded, records, random).ok_or_else(|| diverged(0))?;
    let mut link = Replay::new(records);
    // The times belong to the card, and their consequences are recorded: the heartbeats only have to be sent again.
    let heartbeats = records.iter().filter(|record| matches!(record, TraceRecord::Heartbeat)).count();
    let bound = DistanceBound { max_extra: Duration::ZERO, least: &|_| None, heartbeats };
    let depth = terminal_depth(recorded);
    let tapped = tap_card(&mut link, &mut terminal.context(recorded.now, random), depth, None, Some(bound));
    if link.withheld() {
        return Err(TraceError::Withheld { reader: scene.reader.clone() });
    }
    match link.diverged() {
        Some(exchanges) => Err(diverged(exchanges)),
        None => Ok(Some((again, Tapped { server_nonce: server_nonce && tapped.nonce_shown, ..tapped }))),
    }
}

const fn terminal_depth(recorded: &RecordedVisit) -> Depth {
    if recorded.identify_only { Depth::Identify } else { Depth::Authenticate }
}

/// The terminal of a recorded tap, without its keys.
struct RecordedTerminal {
    credentials: Credentials,
    memory: RecordedTokenMemory,
    nonce: [u8; 32],
    format: ApduFormat,
}

impl RecordedTerminal {
    fn of(recorded: &RecordedVisit, records: &[TraceRecord], random: &mut dyn Random) -> Option<Self> {
        let previous = match &recorded.previous {
            Some(previous) => Some(Box::new(credentials(previous, None, random)?)),
            None => None,
        };
        let mut nonce = [0; 32];
        hex::decode_to_slice(&recorded.nonce, &mut nonce).ok()?;
        Some(Self {
            credentials: credentials(&recorded.authority, previous, random)?,
            memory: RecordedTokenMemory::of(records)?,
            nonce,
            format: if recorded.extended { ApduFormat::Extended } else { ApduFormat::Short },
        })
    }

    fn context<'a>(&'a mut self, now: Timestamp, random: &'a mut dyn Random) -> AuthenticationContext<'a> {
        let Self { credentials, memory, nonce, format } = self;
        let (nonce, format, learned) = (*nonce, *format, Vec::new());
        AuthenticationContext {
            credentials,
            memory,
            nonce,
            now,
            format,
            random,
            learned,
            slot: SlotWish::No,
            nonce_shown: false,
        }
    }
}

/// The recorded certificate, verified again, with a newly generated key that matches nothing.
fn credentials(
    authority: &RecordedAuthority,
    previous: Option<Box<Credentials>>,
    random: &mut dyn Random,
) -> Option<Credentials> {
    const ROLES: [CertificateProfile; 3] = [
        CertificateProfile::Terminal(TerminalRole::Read),
        CertificateProfile::Terminal(TerminalRole::Write),
        CertificateProfile::Terminal(TerminalRole::Admin),
    ];
    let ca = Point::parse(&hex::decode(&authority.ca).ok()?).ok()?;
    let certificate = Certificate::verify(&hex::decode(&authority.certificate).ok()?, &ca, &ROLES).ok()?;
    Some(Credentials { ca, key: KeyPair::generate(random).ok()?, certificate, previous })
}

/// What the terminal remembered about the token at the time.
#[derive(Default)]
struct RecordedTokenMemory {
    ecka: Option<Vec<u8>>,
    identity: Option<Vec<u8>>,
}

impl RecordedTokenMemory {
    fn of(records: &[TraceRecord]) -> Option<Self> {
        let mut memory = Self::default();
        for record in records {
            if let TraceRecord::Remembered { item, certificate } = record {
                let der = Some(hex::decode(certificate).ok()?);
                match item {
                    RecordedMemory::Ecka => memory.ecka = der,
                    RecordedMemory::Identity => memory.identity = der,
                }
            }
        }
        Some(memory)
    }
}

impl TokenMemory for RecordedTokenMemory {
    fn recall(&self, item: &RememberedItem) -> Option<Vec<u8>> {
        match item {
            RememberedItem::Ecka(..) => self.ecka.clone(),
            RememberedItem::Identity(_) => self.identity.clone(),
        }
    }
}
