//! The link to a card, measured: round trips, errors, the largest command and answer that pass, extended length.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Finding;
use crate::{
    card::link::{Link, LinkError, Privacy},
    token::constants::AID,
};

/// So many round trips are measured, unless the time runs out.
const EXCHANGES: usize = 50;
/// How long the measurement may take.
const TIME: Duration = Duration::from_secs(3);
/// A short command on a contactless card takes 5 to 20 ms.
const SLOW: Duration = Duration::from_millis(60);
/// Below this one has luck.
const FEW: usize = 5;
/// What a tap needs to send, and to get: a certificate in pieces of short APDUs.
const NEEDED: usize = 255;

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

/// The names of what the reader can do beside cards: each feature is a tag, the length 4, and a control code.
pub fn features(list: &[u8]) -> Value {
    let name = |tag: u8| {
        FEATURES
            .iter()
            .find(|(known, _)| *known == tag)
            .map_or_else(|| format!("{tag:02X}"), |(_, name)| (*name).to_owned())
    };
    list.chunks_exact(6).filter(|one| one[1] == 4).map(|one| Value::from(name(one[0]))).collect()
}

/// Measures with commands that change nothing.
pub fn measure(link: &mut dyn Link) -> Result<Finding, LinkError> {
    let mut times = round_trips(link)?;
    times.sort();
    let sizes = Sizes::find(link)?;
    let (uid, ats) = (pseudo(link, 0x00)?, pseudo(link, 0x01)?);
    let percentile = |percent: usize| {
        times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    let (half, most) = (percentile(50), percentile(95));
    let found = if sizes.command < NEEDED {
        Finding::fault(
            "link.truncated",
            format!("commands of more than {} bytes of data do not reach the card", sizes.command),
            "sudo apt install --only-upgrade libccid; then another reader",
        )
    } else if half > SLOW || times.len() < FEW {
        Finding::warning(
            "link.slow",
            format!("a round trip takes {:.1} ms, and a tap needs about ten", ms(half)),
            "lay the card flat in the middle; another USB port without a hub; then another reader",
        )
    } else {
        Finding::good(format!("a round trip takes {:.1} ms", ms(half)))
    };
    Ok(found
        .fact("exchanges", times.len())
        .fact("p50_ms", ms(half))
        .fact("p95_ms", ms(most))
        .fact("histogram", histogram(&times))
        .fact("command_max", sizes.command)
        .fact("extended", sizes.extended)
        .fact("uid", uid)
        .fact("ats", ats))
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

/// SELECT of what is selected already: every card answers it, and it changes nothing.
fn round_trips(link: &mut dyn Link) -> Result<Vec<Duration>, LinkError> {
    let command = [&[0x00, 0xA4, 0x04, 0x00, AID.len().to_le_bytes()[0]][..], &AID, &[0x00]].concat();
    let (mut times, until) = (Vec::with_capacity(EXCHANGES), Instant::now() + TIME);
    while times.len() < EXCHANGES && Instant::now() < until {
        let began = Instant::now();
        link.transmit(&command, Privacy::Plain)?;
        times.push(began.elapsed());
    }
    Ok(times)
}

struct Sizes {
    /// Bytes of data in the largest short command that passed.
    command: usize,
    /// A command of extended length passed.
    extended: bool,
}

impl Sizes {
    /// An instruction that no card has is refused as such at any length: another answer means that bytes were lost.
    fn find(link: &mut dyn Link) -> Result<Self, LinkError> {
        let expected = link.transmit(&[0x00, 0xEE, 0x00, 0x00, 0x01, 0x00], Privacy::Plain)?;
        let mut command = 1;
        for length in [32u8, 64, 128, 200, 255] {
            let data = vec![length; usize::from(length)];
            let answer = link.transmit(&[&[0x00, 0xEE, 0x00, 0x00, length], &data[..]].concat(), Privacy::Plain)?;
            if answer != expected {
                break;
            }
            command = usize::from(length);
        }
        let long = [&[0x00, 0xEE, 0x00, 0x00, 0x00, 0x01, 0x2C][..], &[0x5A; 300]].concat();
        // A reader that cannot may also answer with an error of its own.
        let extended = command >= NEEDED && link.transmit(&long, Privacy::Plain).is_ok_and(|answer| answer == expected);
        Ok(Self { command, extended })
    }
}

/// GET DATA of the reader itself (PC/SC part 3, 3.2.2.1.3): P1 00 for the UID, 01 for the historical bytes of the ATS.
fn pseudo(link: &mut dyn Link, p1: u8) -> Result<Option<String>, LinkError> {
    let answer = link.transmit(&[0xFF, 0xCA, p1, 0x00, 0x00], Privacy::Plain)?;
    let (data, status) = answer.split_at(answer.len().saturating_sub(2));
    Ok((status == [0x90, 0x00] && !data.is_empty()).then(|| hex::encode_upper(data)))
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

    #[test]
    fn features_are_told_by_name() {
        assert_eq!(
            features(&[0x06, 4, 0x42, 0, 0, 1, 0x20, 4, 0, 0, 0, 0, 0x99, 4, 0, 0, 0, 0, 0x01, 3]),
            json!(["verify_pin_direct", "execute_pace", "99"])
        );
        assert_eq!(features(&[]), json!([]));
    }

    #[test]
    fn every_round_trip_is_in_one_place_of_the_histogram() {
        let times: Vec<_> = [0, 1, 3, 19, 20, 999].map(Duration::from_millis).into();
        let counts: Vec<_> =
            histogram(&times).as_array().unwrap().iter().map(|one| one["count"].as_u64().unwrap()).collect();
        assert_eq!(counts, [1, 1, 1, 0, 1, 1, 0, 1]);
    }
}
