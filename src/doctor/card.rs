//! One reader and the card in it: present, answering, contactless as it must be, ours, in use, under our CA.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use super::{
    Finding, Probe, ProbeReport, Verdict,
    holders::{Holders, socket},
    link,
    memory::LinkMemory,
};
use crate::{
    card::{
        apdu::ApduFormat,
        chaining::exchange,
        link::{Link, LinkError},
    },
    channel::scp03::{self, StaticKeys},
    failure::Remedy,
    pki::PkiDir,
    reader::{
        ReaderState, Slot,
        atr::{self, Atr, CheckByte},
        monitor::{Monitor, ReaderEvent},
        pcsc::{Card, CardLimits},
    },
    token::select::{LifeCycle, Selected, select},
};

/// How long the card may take for one exchange.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a reader is watched for a card that comes and goes.
const WATCH: Duration = Duration::from_millis(1_500);
/// How long all exchanges with one card may take.
pub const LIMIT: Duration = Duration::from_secs(8);

pub fn probe(reader: ReaderState) -> Probe {
    Probe {
        name: "reader",
        subject: Some(reader.name.clone()),
        limit: LIMIT + PATIENCE,
        silent: hung,
        work: Box::new(move |report| inspect(report, &reader)),
    }
}

fn hung() -> Finding {
    Finding::fault(
        "reader.hung",
        "the reader, or the card in it, does not answer",
        Remedy::with("take the card away; if it stays so, unplug the reader, then", "sudo systemctl restart pcscd"),
    )
}

fn inspect(report: &ProbeReport, reader: &ReaderState) {
    let watch = CardWatch::on(&reader.name);
    let at_first = usize::from(matches!(reader.slot, Slot::Card(_) | Slot::Mute));
    // What a card that comes and goes was found to be in between is no more than that, unless it is settled.
    let (found, settled) = match &reader.slot {
        Slot::Unavailable => {
            let found = Finding::fault(
                "reader.unavailable",
                "the PC/SC service lists the reader and cannot use it",
                "unplug it and plug it in again",
            );
            (found, true)
        }
        _ if reader.exclusive => (held(report), true),
        Slot::Empty => (Finding::skipped("no card: put one on it, and it is looked at too"), false),
        Slot::Mute => (mute(), false),
        Slot::Card(bytes) => {
            let (found, settled) = card(report, reader, bytes);
            (found.fact("atr", hex::encode_upper(bytes)), settled)
        }
    };
    report.found(if !settled && watch.sees_flapping(at_first) { flapping() } else { found });
}

/// What the answer to reset says, or why nothing can be said to the card; and whether that holds whatever comes and goes.
fn card(report: &ProbeReport, reader: &ReaderState, atr: &[u8]) -> (Finding, bool) {
    let described = described(atr);
    let talked = if described.verdict == Verdict::Good { talk(report, reader, atr) } else { Ok(()) };
    match talked {
        Ok(()) => (described, false),
        Err(error) => (broken(report, &error), matches!(error, LinkError::SharingViolation | LinkError::TimedOut)),
    }
}

fn mute() -> Finding {
    Finding::fault(
        "token.mute",
        "something lies there that does not answer",
        "take it away, and put one card alone in the middle; another kind of card if it stays so",
    )
}

fn flapping() -> Finding {
    Finding::fault(
        "card.flapping",
        "the card comes and goes",
        "lay it flat in the middle, alone, away from metal; if it stays so, another card, then another reader",
    )
}

/// Looks at what comes and goes in one reader.
struct CardWatch {
    changes: mpsc::Receiver<()>,
    until: Instant,
    _monitor: Option<Monitor>,
}

impl CardWatch {
    fn on(reader: &str) -> Self {
        let (sender, changes) = mpsc::channel();
        let name = reader.to_owned();
        let monitor = Monitor::start(move |event| match event {
            ReaderEvent::CardInserted { reader, .. }
            | ReaderEvent::CardMute { reader, .. }
            | ReaderEvent::CardRemoved { reader }
                if reader == name =>
            {
                sender.send(()).is_ok()
            }
            _ => true,
        });
        Self { changes, until: Instant::now() + WATCH, _monitor: monitor.ok() }
    }

    /// Whether more changed until the end of the watch than one person with one card does: what lay there at first is told
    /// too, and who put it down or took it away just now changed it once.
    fn sees_flapping(&self, at_first: usize) -> bool {
        let left = || self.until.saturating_duration_since(Instant::now());
        (0..at_first + 2).all(|_| self.changes.recv_timeout(left()).is_ok())
    }
}

fn held(report: &ProbeReport) -> Finding {
    let holders = Holders::of(&socket(&*report.context.environment));
    let message = format!("another program holds the card for itself; connected to the service: {}", holders.words());
    Finding::fault("card.exclusive", message, holders.remedy())
        .fact("candidates", holders.json())
        .fact("hidden", holders.hidden)
}

/// What the answer to reset says, or what is wrong with it.
fn described(bytes: &[u8]) -> Finding {
    match Atr::parse(bytes) {
        Err(error) => Finding::fault(
            "card.atr",
            format!("the card's answer to reset is none: {error}"),
            Remedy::run("rollcall readers").and("then another card, to see whether it is the card or the reader"),
        ),
        Ok(parsed) if matches!(parsed.check, CheckByte::Wrong | CheckByte::Missing) => Finding::fault(
            "card.atr",
            "the check byte of the card's answer to reset is wrong: bytes were lost on the way",
            "another card, to see whether it is the card or the reader",
        ),
        Ok(parsed) if parsed.storage_card().is_some() => Finding::fault(
            "card.not-iso14443-4",
            "a memory card (MIFARE Classic or Ultralight, ICODE …): it speaks no ISO 14443-4, and takes no applet",
            "take a card with JavaCard 3.0.4 or later",
        ),
        Ok(_) => Finding::good(atr::describe(bytes)),
    }
}

/// Talks to the card. What is found on the way stands in the probes below.
fn talk(report: &ProbeReport, reader: &ReaderState, atr: &[u8]) -> Result<(), LinkError> {
    let limits = CardLimits { exchange: PATIENCE, connect: PATIENCE, deadline: Some(Instant::now() + LIMIT) };
    let mut card = Card::connect(&reader.name, limits)?;
    let mut transaction = card.begin()?;
    let features = link::features(&transaction.features());
    let (found, kvn) = token(report, &mut transaction)?;
    report.found_below("card", found.fact("features", features));
    let memory = LinkMemory::of(&report.context.settings.state_folder);
    let subject = link::Subject { reader: &reader.name, atr, kvn, now: (report.context.clock)() };
    let measured = link::measure(&mut transaction, &subject, &memory);
    drop(transaction);
    report.found_below("link", measured?);
    Ok(())
}

fn broken(report: &ProbeReport, error: &LinkError) -> Finding {
    match error {
        LinkError::SharingViolation => held(report),
        LinkError::CardMute | LinkError::Unpowered => mute(),
        LinkError::TimedOut | LinkError::Hung => hung(),
        LinkError::CardRemoved | LinkError::CardReset => flapping(),
        LinkError::ReaderGone => {
            Finding::fault("reader.gone", "the reader was unplugged meanwhile", "another cable, or a hub with power")
        }
        LinkError::Malformed(length) => Finding::fault(
            "link.truncated",
            format!("an answer came with {length} bytes: the reader or its driver cuts answers"),
            Remedy::run("sudo apt install --only-upgrade libccid").and("then another reader"),
        ),
        LinkError::ServiceLost => Finding::fault(
            "pcsc.lost",
            "the PC/SC service went away meanwhile",
            Remedy::run("sudo systemctl restart pcscd"),
        ),
        LinkError::Unavailable
        | LinkError::AccessDenied
        | LinkError::NoExtendedLength
        | LinkError::ProtocolRefused
        | LinkError::NoThread(_) => Finding::fault("card.error", error.to_string(), Remedy::run("sudo dmesg | tail")),
        LinkError::Transmission(name) | LinkError::Other(name) => {
            Finding::fault("card.error", format!("the reader reported: {name}"), Remedy::run("sudo dmesg | tail"))
        }
    }
}

/// Whose the card is, and where it stands in its life; and the number of a key whose certificate it tells anybody.
fn token(report: &ProbeReport, link: &mut dyn Link) -> Result<(Finding, Option<u8>), LinkError> {
    let answer = exchange(link, &select(), ApduFormat::Short)?;
    let selected = match Selected::parse(answer) {
        Ok(Some(selected)) => selected,
        Ok(None) => {
            let found = Finding::fault(
                "card.foreign",
                "the applet is not on this card",
                "take a token, or install the applet: see applet/README.md",
            );
            return Ok((found, None));
        }
        Err(error) => {
            let what = format!("what answers to the applet's name is not the applet: {error}");
            return Ok((Finding::fault("token.protocol", what, "do not trust this card"), None));
        }
    };
    let found = match selected.state {
        LifeCycle::Blank if has_test_keys(link)? => Finding::warning(
            "token.test-keys",
            "the card is blank, and has GlobalPlatform's test keys, which everybody knows",
            Remedy::with("give it keys of its own before it is used for more than a test", "gp --lock"),
        ),
        LifeCycle::Blank => {
            Finding::warning("token.blank", "the card is blank", Remedy::run("rollcall enroll --id ID --name NAME"))
        }
        LifeCycle::Personalised => Finding::warning(
            "token.unfinished",
            "the enrollment of this card was not finished",
            "run the same rollcall enroll once more",
        ),
        LifeCycle::Blocked => Finding::fault(
            "token.blocked",
            "the token was blocked by an administrator",
            Remedy::run("rollcall token unblock"),
        ),
        LifeCycle::Terminated => {
            Finding::fault("token.terminated", "the token was ended for ever", "enroll its holder on another card")
        }
        LifeCycle::Issued => issued(report, &selected),
    };
    let kvn = Some(selected.ecka_kvn).filter(|kvn| *kvn != 0);
    Ok((found.fact("state", selected.state.word()), kvn))
}

fn issued(report: &ProbeReport, selected: &Selected) -> Finding {
    let home = PkiDir::new(report.context.settings.pki_folder());
    // Two, while one is rotated out: a token that was not moved yet is in use as well.
    match home.load_trusted() {
        Ok(cas) if cas.iter().all(|ca| ca.key_identifier()[..8] != selected.ca_prefix) => Finding::fault(
            "token.other-authority",
            "the token belongs to another CA than this terminal",
            Remedy::with("if the CA here has a successor, fetch it", "rollcall pki renew"),
        ),
        _ => Finding::good("a token in use"),
    }
}

/// The card proves in INITIALIZE UPDATE which keys it has; a session that goes no further changes nothing.
fn has_test_keys(link: &mut dyn Link) -> Result<bool, LinkError> {
    let (command, awaiting) = scp03::begin([0; 8]);
    let answer = exchange(link, &command, ApduFormat::Short)?;
    let Ok((_, choose)) = awaiting.handle(answer) else { return Ok(false) };
    Ok(choose.proves(&StaticKeys::test()).unwrap_or(false))
}
