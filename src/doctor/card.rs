//! Checks one reader and the card in it: present, answering, contactless where required, ours, in use, under our CA.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use super::{
    Finding, Probe, ProbeReport, Verdict,
    link::{self, Deeper, RoundTrips},
    memory::LinkMemory,
    system::is_too_short,
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
        causes,
        holders::{self, Holders},
        monitor::{Monitor, ReaderEvent},
        pcsc::{Card, CardLimits, Deadline},
        service::socket,
    },
    terminal::{attempts::attempts, presence::store::TerminalStore, tap::failure::TapError},
    token::select::{LifeCycle, Selected, select},
};

/// How long to wait for the connection to close.
const CLOSING: Duration = Duration::from_secs(2);
/// How long a reader is watched for a card that is repeatedly detected and lost.
const WATCH: Duration = Duration::from_millis(1_500);
/// How long all exchanges with one card may take, unless a single one may take longer.
const LIMIT: Duration = Duration::from_secs(12);

/// What there is beside the examined reader.
pub struct Beside {
    /// Whether another card may be a token.
    pub has_card: bool,
    /// A pattern for `ignore` that excludes exactly this reader, if there are others.
    pub ignore: Option<String>,
}

/// Examines one reader. Beside a card that may be a token, a card that cannot be one is not a fault: it may lie there
/// permanently.
pub fn probe(reader: ReaderState, beside: Beside, exchange: Duration) -> Probe {
    Probe {
        name: "reader",
        subject: Some(reader.name.clone()),
        limit: whole(exchange) + exchange + CLOSING,
        silent: hung,
        work: Box::new(move |report| inspect(report, &reader, &beside)),
    }
}

fn hung() -> Finding {
    causes::link(&LinkError::Hung, 0).into()
}

fn inspect(report: &ProbeReport, reader: &ReaderState, beside: &Beside) {
    let watch = CardWatch::on(&reader.name);
    let at_first = usize::from(matches!(reader.slot, Slot::Card(_) | Slot::Mute));
    // Of a card that comes and goes, findings in between do not count unless they are certain.
    let (found, settled) = match &reader.slot {
        Slot::Unavailable => (causes::link(&LinkError::Unavailable, 0).into(), true),
        _ if reader.exclusive => (held(report, &LinkError::SharingViolation), true),
        Slot::Empty => (Finding::skipped("no card: put one on it to have it checked too"), false),
        // The service reports what it found first; a card may have answered late.
        Slot::Mute => match woken(report, reader) {
            Ok(atr) => card(report, reader, &atr, beside),
            Err(error) => (broken(report, &error), false),
        },
        Slot::Card(atr) => card(report, reader, atr, beside),
    };
    let found = if !settled && watch.sees_flapping(at_first) { flapping() } else { found };
    report.found(beside.judge(found));
}

impl Beside {
    /// Reduces a fault beside another card to less if the reader can be ignored, and says how.
    fn judge(&self, found: Finding) -> Finding {
        let can_be_no_token = matches!(found.code, Some("token.mute" | "card.not-iso14443-4"));
        let Some(pattern) = self.ignore.as_ref().filter(|_| can_be_no_token || found.code == Some("token.foreign"))
        else {
            return found;
        };
        let advice =
            format!("if something always lies there, leave the reader out: ignore = [{pattern:?}] in config.toml");
        if self.has_card && can_be_no_token {
            return Finding { verdict: Verdict::Warning, remedy: Some(advice.into()), ..found };
        }
        let remedy = found.remedy.map_or_else(|| advice.as_str().into(), |remedy| remedy.and(&advice));
        Finding { remedy: Some(remedy), ..found }
    }
}

/// The finding from the answer to reset, or why the card cannot be talked to; and whether it holds even for a flapping
/// card.
fn card(report: &ProbeReport, reader: &ReaderState, atr: &[u8], beside: &Beside) -> (Finding, bool) {
    let described = described(atr);
    let talked = if described.verdict == Verdict::Good { talk(report, reader, atr, beside) } else { Ok(()) };
    let (found, settled) = match talked {
        Ok(()) => (described, false),
        Err(error) => {
            let settled = matches!(
                error,
                LinkError::SharingViolation
                    | LinkError::Occupied(_)
                    | LinkError::TimedOut
                    | LinkError::Hung
                    | LinkError::ExchangeLimit(_)
            );
            (broken(report, &error), settled)
        }
    };
    (found.fact("atr", hex::encode_upper(atr)), settled)
}

/// The answer to reset of a card that answers when powered again.
fn woken(report: &ProbeReport, reader: &ReaderState) -> Result<Vec<u8>, LinkError> {
    match Card::connect(&reader.name, limits(report)) {
        Ok(card) => Ok(card.atr().to_vec()),
        // It was there, and has been removed since.
        Err(LinkError::CardRemoved | LinkError::CardReset) => Err(LinkError::CardMute),
        Err(error) => Err(error),
    }
}

/// As long as a tap waits, within the limit of the probe.
fn limits(report: &ProbeReport) -> CardLimits {
    let exchange = report.context.settings.limits.exchange;
    CardLimits { exchange, connect: exchange, deadline: Some(Deadline::within(whole(exchange))) }
}

/// The limit for all exchanges if one may take this long: there are at least two.
fn whole(exchange: Duration) -> Duration {
    LIMIT.max(exchange * 2)
}

/// The limit is too short even for a healthy card.
fn too_short(exchange: Duration) -> Finding {
    Finding::warning(
        "config.limits",
        format!(
            "nothing is known about the card: it had only {exchange:?} for an exchange (`exchange` under [limits])"
        ),
        "take `exchange` out of config.toml, or make it longer",
    )
}

fn flapping() -> Finding {
    Finding::fault(
        "card.flapping",
        "the card comes and goes",
        "lay it flat in the middle, alone, away from metal; if that does not help, try another card, then another reader",
    )
}

/// Watches for changes in one reader.
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

    /// Whether more changes were seen until the end of the watch than one person with one card causes. The initial
    /// state counts as a change, and inserting or removing a card once is another.
    fn sees_flapping(&self, at_first: usize) -> bool {
        let left = || self.until.saturating_duration_since(Instant::now());
        (0..at_first + 2).all(|_| self.changes.recv_timeout(left()).is_ok())
    }
}

/// Another program holds it, if there is one; without one, a call by a program that has ended hangs.
fn held(report: &ProbeReport, error: &LinkError) -> Finding {
    let holders = Holders::of(&socket(&*report.context.environment));
    let found = if holders.any() {
        let busy = causes::link(error, 0);
        let message = format!("{busy}; connected to the service: {}", holders.words());
        Finding::fault(busy.code, message, holders.remedy(*error == LinkError::SharingViolation))
    } else {
        hung()
    };
    found.fact("candidates", holders.json()).fact("hidden", holders.hidden)
}

/// A finding on the answer to reset, or on what is wrong with it.
fn described(bytes: &[u8]) -> Finding {
    match Atr::parse(bytes) {
        Err(error) => Finding::fault(
            "card.atr",
            format!("the card's ATR is invalid: {error}"),
            Remedy::run("rollcall readers").and("then try another card, to see whether it is the card or the reader"),
        ),
        Ok(parsed) if matches!(parsed.check, CheckByte::Wrong | CheckByte::Missing) => Finding::fault(
            "card.atr",
            "the check byte of the card's answer to reset is wrong: bytes were lost on the way",
            "try another card, to see whether it is the card or the reader",
        ),
        Ok(parsed) if parsed.storage_card().is_some() => Finding::fault(
            "card.not-iso14443-4",
            "a memory card (MIFARE Classic or Ultralight, ICODE …): it speaks no ISO 14443-4, and takes no applet",
            "take a card with JavaCard 3.0.4 or later",
        ),
        Ok(_) => Finding::good(atr::describe(bytes)),
    }
}

/// Talks to the card, and reports findings below this probe.
fn talk(report: &ProbeReport, reader: &ReaderState, atr: &[u8], beside: &Beside) -> Result<(), LinkError> {
    // Before the card is held: a driver that is asked for the reader's identity waits until the transaction ends.
    let max_extra = report.context.settings.distance.at(&reader.name);
    let mut card = Card::connect(&reader.name, limits(report))?;
    let mut lost = 0;
    let (mut trips, deeper) = attempts(LinkError::worth_another_try, || {
        let examined = examine(report, reader, &mut card, beside);
        lost += usize::from(matches!(examined, Err(LinkError::Transmission(_))));
        examined
    })?;
    trips.errors += lost;
    let subject = link::Subject { reader: &reader.name, atr, now: (report.context.clock)(), max_extra };
    report.found_below(
        "link",
        link::judged(&trips, deeper, &subject, &LinkMemory::of(&report.context.settings.state_folder)),
    );
    Ok(())
}

/// All exchanges, in one transaction. Failures after which it can be restarted occur before anything is reported.
fn examine(
    report: &ProbeReport,
    reader: &ReaderState,
    card: &mut Card,
    beside: &Beside,
) -> Result<(RoundTrips, Deeper), LinkError> {
    let mut transaction = card.begin()?;
    let features = link::features(&transaction.features());
    let (found, kvn) = token(report, &mut transaction)?;
    report.found_below("card", beside.judge(found.fact("features", features)));
    let trips = RoundTrips::make(&mut transaction)?;
    let deeper = match report.context.deep.then(|| no_deeper(report, reader, transaction.is_t0())) {
        None => Deeper::default(),
        Some(Some(why)) => Deeper::left_out(why),
        Some(None) => Deeper::look(&mut transaction, kvn)?,
    };
    if deeper.is_upset {
        // Leave the card as it was; if the reset fails, so will the next program's attempt.
        let _ = transaction.reset();
    }
    Ok((trips, deeper))
}

/// Why nothing is sent beyond what taps send: it could block the reader for others, or for minutes.
fn no_deeper(report: &ProbeReport, reader: &ReaderState, is_t0: bool) -> Option<&'static str> {
    if reader.in_use {
        return Some("another program is connected to the card");
    }
    if TerminalStore::is_watched(&report.context.settings.state_folder) {
        return Some("a watch is running here");
    }
    if holders::is_watched(&socket(&*report.context.environment)) {
        return Some("a watch of another user or another state folder is running");
    }
    is_t0.then_some("the card is connected with T=0, and a driver may wait for minutes")
}

fn broken(report: &ProbeReport, error: &LinkError) -> Finding {
    let exchange = report.context.settings.limits.exchange;
    // A connection that timed out at such a limit looks in use, as if another program had it.
    let is_limit = matches!(
        error,
        LinkError::TimedOut
            | LinkError::Hung
            | LinkError::ExchangeLimit(_)
            | LinkError::Occupied(_)
            | LinkError::CardMute
    );
    match error {
        _ if is_limit && is_too_short(exchange) => too_short(exchange),
        LinkError::SharingViolation | LinkError::Occupied(_) => held(report, error),
        other => causes::link(other, 0).into(),
    }
}

/// Which CA the card belongs to, and its life-cycle state; and the number of a key whose certificate it gives anybody.
fn token(report: &ProbeReport, link: &mut dyn Link) -> Result<(Finding, Option<u8>), LinkError> {
    let answer = exchange(link, &select(), ApduFormat::Short)?;
    let selected = match Selected::parse(answer) {
        Ok(Some(selected)) => selected,
        Ok(None) => {
            return Ok((TapError::Foreign.to_failure(0).into(), None));
        }
        Err(error) => {
            let what = format!("what answers to the applet's AID is not the applet: {error}");
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
        LifeCycle::Terminated => Finding::fault(
            "token.terminated",
            "the keys of the token were destroyed: it can never be used again",
            "enroll its holder on another card",
        ),
        LifeCycle::Issued => issued(report, &selected),
    };
    let kvn = Some(selected.ecka_kvn).filter(|kvn| *kvn != 0);
    Ok((found.fact("state", selected.state.word()), kvn))
}

fn issued(report: &ProbeReport, selected: &Selected) -> Finding {
    let home = PkiDir::new(report.context.settings.pki_folder());
    // Two CAs during a rotation: a token that was not moved yet is valid, too.
    match home.load_trusted() {
        Ok(cas) if cas.iter().all(|ca| ca.key_identifier()[..8] != selected.ca_prefix) => Finding::fault(
            "token.other-authority",
            "the token belongs to another CA than this terminal",
            Remedy::with("if the CA here has a successor, fetch it", "rollcall pki renew"),
        ),
        _ => Finding::good("a token in use"),
    }
}

/// INITIALIZE UPDATE makes the card prove which keys it has; a session that ends there changes nothing.
fn has_test_keys(link: &mut dyn Link) -> Result<bool, LinkError> {
    let (command, awaiting) = scp03::begin([0; 8]);
    let answer = exchange(link, &command, ApduFormat::Short)?;
    let Ok((_, choose)) = awaiting.handle(answer) else { return Ok(false) };
    Ok(choose.proves(&StaticKeys::test()).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The finding on a slot that never holds a token, by the content of the others.
    #[test]
    fn how_a_slot_is_left_out_is_said_wherever_there_is_another() {
        let foreign = || Finding::from(TapError::Foreign.to_failure(0));
        let mute = || causes::link(&LinkError::CardMute, 0).into();
        let judged = |found: Finding, has_card, ignore: Option<&str>| {
            let found = Beside { has_card, ignore: ignore.map(str::to_owned) }.judge(found);
            let remedy = found.remedy.unwrap().text;
            (found.verdict, remedy.contains("ignore = [\"Dual [SAM]\"]"), remedy.contains("place it flat"))
        };
        let sam = Some("Dual [SAM]");
        assert_eq!(judged(mute(), true, sam), (Verdict::Warning, true, false));
        assert_eq!(judged(mute(), false, sam), (Verdict::Fault, true, true));
        assert_eq!(judged(foreign(), true, sam), (Verdict::Fault, true, false));
        assert_eq!(judged(foreign(), false, sam), (Verdict::Fault, true, false));
        // The only reader is never ignored.
        assert_eq!(judged(mute(), false, None), (Verdict::Fault, false, true));
        assert!(!judged(hung(), true, sam).1);
    }
}
