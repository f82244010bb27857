//! Measures the link to a card: round trips and errors with the traffic of a tap; on request also the largest command
//! and answer that pass, extended length, and what the reader reports about the card.

mod sizes;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::sizes::{ANSWER_NEEDED, COMMAND_NEEDED, Sizes};
use super::{
    Finding,
    memory::{LinkMemory, LinkProfile},
};
use crate::{
    card::link::{Link, LinkError, Sensitivity},
    failure::Remedy,
    files::word,
    reader::causes::is_final,
    token::constants::AID,
};

/// How many round trips are measured, unless time runs out.
const EXCHANGES: usize = 50;
/// How long the measurement may take.
const TIME: Duration = Duration::from_secs(3);
/// A short command on a contactless card takes 5 to 20 ms.
const SLOW: Duration = Duration::from_millis(60);
/// Fewer answers than this prove nothing.
const FEW: usize = 5;

/// PC/SC part 10, 2.2: tag, and name.
const FEATURES: [(u8, &str); 10] = [
    (0x01, "verify_pin_start"),
    (0x06, "verify_pin_direct"),
    (0x07, "modify_pin_direct"),
    (0x08, "mct_reader_direct"),
    (0x0A, "ifd_pin_properties"),
    (0x0B, "abort"),
    (0x0C, "set_spe_message"),
    (0x12, "get_tlv_properties"),
    (0x13, "ccid_escape"),
    (0x20, "execute_pace"),
];

/// The names of the reader's features: each entry is a tag, the length 4, and a control code.
pub fn features(list: &[u8]) -> Value {
    let name = |tag: u8| {
        FEATURES
            .iter()
            .find(|(known, _)| *known == tag)
            .map_or_else(|| format!("{tag:02X}"), |(_, name)| (*name).to_owned())
    };
    list.chunks_exact(6).filter(|one| one[1] == 4).map(|one| Value::from(name(one[0]))).collect()
}

/// Whose link is measured, and when.
pub struct Subject<'a> {
    /// The reader.
    pub reader: &'a str,
    /// The card's answer to reset.
    pub atr: &'a [u8],
    /// The time of the measurement.
    pub now: jiff::Timestamp,
    /// The reader's distance bound, if any.
    pub max_extra: Option<Duration>,
}

/// Results beyond what taps send.
#[derive(Debug, Default)]
pub struct Deeper {
    sizes: Option<Sizes>,
    /// Obtained with the reader's own commands.
    uid: Option<String>,
    ats: Option<String>,
    /// What was refused.
    notes: Vec<String>,
    /// Whether something was refused, and the card may need a reset.
    pub is_upset: bool,
}

impl Deeper {
    /// Not examined, for this reason.
    pub fn left_out(why: &str) -> Self {
        Self { notes: vec![format!("not examined further: {why}")], ..Self::default() }
    }

    /// Examines the link. A refusal by card or reader becomes a note; an error means that nothing more can be asked.
    ///
    /// # Errors
    /// [`LinkError`] when the card or the reader is gone, hangs, or does not answer in time.
    pub fn look(link: &mut dyn Link, kvn: Option<u8>) -> Result<Self, LinkError> {
        let mut found = Self::default();
        found.uid = found.pseudo(link, 0x00)?;
        found.ats = found.pseudo(link, 0x01)?;
        if found.uid.is_none() {
            found.notes.push("the reader does not report the card's UID".to_owned());
        }
        match Sizes::find(link, kvn) {
            Ok((sizes, failed)) => {
                found.is_upset |= failed;
                if !sizes.extended {
                    found.notes.push("no extended length".to_owned());
                }
                found.sizes = Some(sizes);
            }
            Err(error) if is_final(&error) => return Err(error),
            Err(error) => {
                found.is_upset = true;
                found.notes.push(format!("its sizes could not be measured: {error}"));
            }
        }
        Ok(found)
    }

    /// GET DATA of the reader itself (PC/SC part 3, 3.2.2.1.3): P1 00 for the UID, 01 for the historical bytes of the
    /// ATS. A reader that does not know it may pass it on to the card.
    fn pseudo(&mut self, link: &mut dyn Link, p1: u8) -> Result<Option<String>, LinkError> {
        let answer = match link.transmit(&[0xFF, 0xCA, p1, 0x00, 0x00], Sensitivity::Plain) {
            Ok(answer) => answer,
            Err(error) if is_final(&error) => return Err(error),
            Err(_) => {
                self.is_upset = true;
                return Ok(None);
            }
        };
        let (data, status) = answer.split_at(answer.len().saturating_sub(2));
        Ok((status == [0x90, 0x00] && !data.is_empty()).then(|| hex::encode_upper(data)))
    }
}

/// Judges a measurement, also in comparison with earlier ones.
pub fn judged(trips: &RoundTrips, deeper: Deeper, subject: &Subject<'_>, memory: &LinkMemory) -> Finding {
    let Deeper { sizes, uid, ats, notes, .. } = deeper;
    let half = trips.percentile(50);
    let known = LinkProfile {
        reader: subject.reader.to_owned(),
        atr: hex::encode_upper(subject.atr),
        at: subject.now,
        p50_us: u64::try_from(half.as_micros()).unwrap_or(u64::MAX),
        command_max: sizes.map(|sizes| sizes.command),
        answer_max: sizes.and_then(|sizes| sizes.answer),
        answer_whole: sizes.is_some_and(|sizes| sizes.whole),
        extended: sizes.map(|sizes| sizes.extended),
    };
    let before = memory.recall(&known.reader, &known.atr);
    let found = judge(trips, sizes).or_else(|| worse(&known, before.as_ref()?, memory));
    let found = found.unwrap_or_else(|| {
        memory.note(&[known.clone().kept_after(before.as_ref())]);
        let come = |length: usize| format!(", and {length} can be received");
        let pieces = sizes.map(|sizes| {
            let come = sizes.answer.map(come).unwrap_or_default();
            format!("{} bytes of data can be sent in one piece{come}", sizes.command)
        });
        let bound = subject.max_extra.zip(trips.bears());
        if let Some((bound, varies)) = bound.filter(|(bound, varies)| bound.as_millis() <= u128::from(*varies)) {
            return tight(bound, varies);
        }
        let bound = bound.map(|(bound, varies)| {
            format!("the bound on distance ({}ms) is above what its exchanges vary by ({varies}ms)", bound.as_millis())
        });
        let trip = format!("a round trip takes {:.1} ms", ms(half));
        let told: Vec<_> = std::iter::once(trip).chain(bound).chain(pieces).chain(notes).collect();
        Finding::good(told.join("; "))
    });
    let before = before.map(|before| {
        json!({
            "at": before.at.to_string(),
            "p50_ms": ms(Duration::from_micros(before.p50_us)),
            "command_max": before.command_max,
            "answer_max": before.answer_max,
            "extended": before.extended,
        })
    });
    found
        .fact("exchanges", trips.times.len() + trips.errors)
        .fact("errors", trips.errors)
        .fact("p50_ms", ms(half))
        .fact("p95_ms", ms(trips.percentile(95)))
        .fact("max_extra_ms", trips.bears())
        .fact("histogram", histogram(&trips.times))
        .fact("command_max", known.command_max)
        .fact("answer_max", known.answer_max)
        .fact("extended", known.extended)
        .fact("before", before)
        .fact("uid_random", uid.as_deref().map(is_random))
        .fact("uid", uid)
        .fact("ats", ats)
}

/// What is wrong with the link by itself.
fn judge(trips: &RoundTrips, sizes: Option<Sizes>) -> Option<Finding> {
    let other_reader = || Remedy::run("sudo apt install --only-upgrade libccid").and("then another reader");
    let cut = |what, length| format!("{what} of more than {length} bytes of data do not get through");
    if let Some(length) = sizes.map(|sizes| sizes.command).filter(|length| *length < COMMAND_NEEDED) {
        return Some(Finding::fault("link.truncated", cut("commands", length), other_reader()));
    }
    if let Some(length) = sizes.and_then(|sizes| sizes.answer).filter(|length| *length < ANSWER_NEEDED) {
        return Some(Finding::fault("link.truncated", cut("answers", length), other_reader()));
    }
    if trips.errors > 0 {
        let (errors, all) = (trips.errors, trips.errors + trips.times.len());
        return Some(Finding::warning(
            "link.errors",
            format!("{errors} of {all} exchanges failed"),
            "lay the card flat in the middle, alone, away from metal; another cable; then another reader",
        ));
    }
    let half = trips.percentile(50);
    (half > SLOW || trips.times.len() < FEW).then(|| {
        Finding::warning(
            "link.slow",
            format!("a round trip takes {:.1} ms, and a tap needs about ten", ms(half)),
            "lay the card flat in the middle; another USB port without a hub; then another reader",
        )
    })
}

/// It works, but was better before.
fn worse(known: &LinkProfile, before: &LinkProfile, memory: &LinkMemory) -> Option<Finding> {
    let what = known.worse_than(before)?;
    Some(Finding::warning(
        "link.worse",
        what,
        format!(
            "lay the card flat in the middle; another cable, port or reader; if this is the new normal, forget the old figures: rm {}",
            word(memory.path())
        ),
    ))
}

/// The distance bound is so tight that valid cards will be refused.
fn tight(bound: Duration, varies: u64) -> Finding {
    Finding::warning(
        "link.bound",
        format!(
            "the bound on distance ({}ms) is not above what the link's exchanges vary by ({varies}ms): honest cards may be refused",
            bound.as_millis()
        ),
        format!(
            "lay the card flat in the middle; another USB port without a hub; or allow more than {varies}ms under [distance]"
        ),
    )
}

/// A UID of four bytes that begins with 08 is random, another one each time the field comes on (ISO/IEC 14443-3, 6.5.4).
fn is_random(uid: &str) -> bool {
    uid.len() == 8 && uid.starts_with("08")
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

/// Identical exchanges.
pub struct RoundTrips {
    /// Times of the successful ones, the quickest first.
    times: Vec<Duration>,
    /// The failed ones, including those of earlier attempts.
    pub errors: usize,
}

impl RoundTrips {
    /// Repeats SELECT of what is already selected: every card answers it, and it changes nothing. A removed card or a
    /// hanging reader ends the measurement; a failed exchange, or an answer that differs from the first, is counted. A
    /// card so slow that time runs out is slow.
    ///
    /// # Errors
    /// [`LinkError`] when the card or the reader is gone or hangs, or another program holds it.
    pub fn make(link: &mut dyn Link) -> Result<Self, LinkError> {
        let command = [&[0x00, 0xA4, 0x04, 0x00, AID.len().to_le_bytes()[0]][..], &AID, &[0x00]].concat();
        let (mut times, mut errors, until) = (Vec::with_capacity(EXCHANGES), 0, Instant::now() + TIME);
        let mut first: Option<Vec<u8>> = None;
        while times.len() + errors < EXCHANGES && Instant::now() < until {
            let began = Instant::now();
            match link.transmit(&command, Sensitivity::Plain) {
                Ok(answer) if *first.get_or_insert_with(|| answer.clone()) == answer => times.push(began.elapsed()),
                Err(LinkError::TimedOut | LinkError::TapLimit(_)) if first.is_some() => break,
                Err(error @ (LinkError::SharingViolation | LinkError::Occupied(_))) => return Err(error),
                Err(error) if is_final(&error) => return Err(error),
                // The reader reports that this exchange failed; the card was there just before.
                Ok(_) | Err(_) => errors += 1,
            }
        }
        times.sort();
        Ok(Self { times, errors })
    }

    /// How much the exchanges vary, in whole milliseconds: the slowest minus the quickest. A distance bound has to be
    /// above that. Too few answers give no result.
    fn bears(&self) -> Option<u64> {
        let least = self.times.first().filter(|_| self.times.len() >= FEW)?;
        let spread = self.percentile(99).saturating_sub(*least);
        u64::try_from(spread.as_micros().div_ceil(1000).max(1)).ok()
    }

    fn percentile(&self, percent: usize) -> Duration {
        let at = (self.times.len() * percent / 100).min(self.times.len().saturating_sub(1));
        self.times.get(at).copied().unwrap_or_default()
    }
}

/// How many round trips took up to so many ms.
fn histogram(times: &[Duration]) -> Value {
    const EDGES: [u64; 8] = [1, 2, 5, 10, 20, 50, 100, 1_000];
    let mut from = Duration::ZERO;
    let buckets = EDGES.iter().map(|edge| {
        let to = Duration::from_millis(*edge);
        let count = times.iter().filter(|time| (from..to).contains(*time)).count();
        from = to;
        json!({"below_ms": edge, "count": count})
    });
    buckets.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A card with a certificate of this length, behind a link that limits the length of answers.
    struct Card {
        certificate: usize,
        longest: usize,
    }

    impl Link for Card {
        fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
            Ok(match command[1] {
                0xA4 => vec![0x6F, 0x00, 0x90, 0x00],
                0xEE => vec![0x6D, 0x00],
                0xCA if command[0] != 0xFF => {
                    let inside = self.certificate - 4;
                    let head = [&[0x30, 0x82][..], &u16::try_from(inside).unwrap().to_be_bytes()].concat();
                    let der = [head, vec![0xA5; inside]].concat();
                    let short = match command.last() {
                        Some(0) => 256,
                        le => usize::from(*le.unwrap()),
                    };
                    let wanted = if command[4] == 0 { der.len() } else { short };
                    let status = if wanted < der.len() { [0x61, 0x00] } else { [0x90, 0x00] };
                    let mut answer = der[..wanted.min(der.len())].to_vec();
                    answer.truncate(self.longest);
                    [&answer[..], &status].concat()
                }
                _ => vec![0x6A, 0x81],
            })
        }
    }

    #[test]
    fn a_token_with_a_shorter_certificate_makes_no_link_worse() {
        let state = tempfile::tempdir().unwrap();
        let memory = LinkMemory::of(state.path());
        let measured = |certificate, longest, second| {
            let now = jiff::Timestamp::from_second(second).unwrap();
            let subject = Subject { reader: "r", atr: &[0x3B, 0x80], now, max_extra: None };
            let mut card = Card { certificate, longest };
            let trips = RoundTrips::make(&mut card).unwrap();
            let deeper = Deeper::look(&mut card, Some(0x41)).unwrap();
            let found = judged(&trips, deeper, &subject, &memory);
            let known = memory.recall("r", "3B80").unwrap();
            (found.code, known.answer_max, known.at.as_second())
        };
        // An open token, a private one, the open one again: the link is unchanged.
        assert_eq!(measured(395, 1_000, 1), (None, Some(395), 1));
        assert_eq!(measured(372, 1_000, 2), (None, Some(395), 2));
        assert_eq!(measured(395, 1_000, 3), (None, Some(395), 3));
        // Less than the certificate arrives: for either token the link is worse, and the earlier profile is kept.
        assert_eq!(measured(395, 394, 4), (Some("link.worse"), Some(395), 3));
        assert_eq!(measured(372, 371, 5), (Some("link.worse"), Some(395), 3));
        assert_eq!(measured(372, 372, 6), (None, Some(395), 6));
    }

    #[test]
    fn what_is_not_taken_is_a_note_and_what_was_not_tried_is_left_out() {
        let state = tempfile::tempdir().unwrap();
        let memory = LinkMemory::of(state.path());
        let now = jiff::Timestamp::UNIX_EPOCH;
        let subject = Subject { reader: "r", atr: &[0x3B, 0x80], now, max_extra: None };
        let mut card = Card { certificate: 395, longest: 1_000 };
        let trips = RoundTrips::make(&mut card).unwrap();
        let deep = judged(&trips, Deeper::look(&mut card, Some(0x41)).unwrap(), &subject, &memory);
        assert_eq!((deep.code, &deep.facts["uid"]), (None, &Value::Null));
        assert!(deep.message.contains(
            "; 255 bytes of data can be sent in one piece, and 395 can be received; the reader does not report"
        ));
        let plain = judged(&trips, Deeper::default(), &subject, &memory);
        assert!(plain.code.is_none() && !plain.message.contains(';'), "{}", plain.message);
        assert!(plain.facts["max_extra_ms"].is_u64());
        // The earlier profile is kept.
        assert_eq!(memory.recall("r", "3B80").unwrap().command_max, Some(255));
        let left_out = judged(&trips, Deeper::left_out("a watch is running"), &subject, &memory);
        assert!(left_out.message.ends_with("; not examined further: a watch is running"));
    }

    /// Does not answer anything that a tap does not send.
    struct Shy(Card);

    impl Link for Shy {
        fn transmit(&mut self, command: &[u8], privacy: Sensitivity) -> Result<Vec<u8>, LinkError> {
            if command[0] == 0xFF || command[1] == 0xEE {
                return Err(LinkError::Transmission("mute".into()));
            }
            self.0.transmit(command, privacy)
        }
    }

    #[test]
    fn a_card_that_takes_no_probe_is_no_worse_for_it() {
        let deeper = Deeper::look(&mut Shy(Card { certificate: 395, longest: 1_000 }), Some(0x41)).unwrap();
        assert!(deeper.is_upset && deeper.sizes.is_none());
        assert_eq!(deeper.notes.len(), 2, "{:?}", deeper.notes);
    }

    #[test]
    fn features_are_told_by_name() {
        assert_eq!(
            features(&[0x06, 4, 0x42, 0, 0, 1, 0x20, 4, 0, 0, 0, 0, 0x99, 4, 0, 0, 0, 0, 0x01, 3]),
            json!(["verify_pin_direct", "execute_pace", "99"])
        );
        assert_eq!(features(&[]), json!([]));
    }

    #[test]
    fn a_bound_on_distance_is_above_the_slowest_answers() {
        let bears = |times: &[u64]| {
            RoundTrips { times: times.iter().copied().map(Duration::from_micros).collect(), errors: 0 }.bears()
        };
        assert_eq!(bears(&[8_000, 8_000, 8_000, 8_000, 8_000]), Some(1));
        assert_eq!(bears(&[8_000, 8_100, 8_200, 9_000, 20_000]), Some(12));
        assert_eq!(bears(&[8_000, 8_100, 8_200, 9_000, 20_001]), Some(13));
        assert_eq!(bears(&[8_000, 8_100, 8_200, 9_000]), None, "too few");
        assert_eq!(bears(&[]), None);
        // The slowest of two hundred is an outlier.
        assert_eq!(bears(&[&[8_000; 199][..], &[90_000]].concat()), Some(1));
        assert_eq!(bears(&[&[8_000; 198][..], &[90_000; 2]].concat()), Some(82));
    }

    /// Without a bound nothing is said about it; a bound that the link's variation exceeds is a warning.
    #[test]
    fn a_bound_on_distance_is_compared_with_the_link() {
        let state = tempfile::tempdir().unwrap();
        let memory = LinkMemory::of(state.path());
        let found = |max_extra: Option<u64>, times: &[u64]| {
            let max_extra = max_extra.map(Duration::from_millis);
            let subject = Subject { reader: "r", atr: &[0x3B], now: jiff::Timestamp::UNIX_EPOCH, max_extra };
            let times = times.iter().copied().map(Duration::from_micros).collect();
            judged(&RoundTrips { times, errors: 0 }, Deeper::default(), &subject, &memory)
        };
        let times = [8_000, 8_000, 8_000, 8_000, 10_500];
        let none = found(None, &times);
        assert_eq!((none.code, none.message.as_str()), (None, "a round trip takes 8.0 ms"));
        let wide = found(Some(4), &times);
        let said = "a round trip takes 8.0 ms; the bound on distance (4ms) is above what its exchanges vary by (3ms)";
        assert_eq!((wide.code, wide.message.as_str()), (None, said));
        for bound in [1, 3] {
            let tight = found(Some(bound), &times);
            assert_eq!((tight.code, tight.verdict), (Some("link.bound"), crate::doctor::Verdict::Warning));
            assert!(tight.message.contains(&format!("({bound}ms) is not above")), "{}", tight.message);
            assert!(tight.remedy.unwrap().text.ends_with("allow more than 3ms under [distance]"));
        }
        for all in [none, wide, found(Some(1), &times)] {
            assert_eq!(all.facts["max_extra_ms"], 3);
        }
    }

    #[test]
    fn every_round_trip_is_in_one_place_of_the_histogram() {
        let times: Vec<_> = [0, 1, 3, 19, 20, 999].map(Duration::from_millis).into();
        let counts: Vec<_> =
            histogram(&times).as_array().unwrap().iter().map(|one| one["count"].as_u64().unwrap()).collect();
        assert_eq!(counts, [1, 1, 1, 0, 1, 1, 0, 1]);
    }
}
