//! What a trace needs from our applet: it records verdicts that depend on keys and reads them back in a replay, and it
//! masks what a card says about its holder.

use super::{commands::PART_MAX, constants::TAG_DETAILS, record};
use crate::{
    card::{
        apdu::Response,
        link::Link,
        tlv,
        trace::{
            self, Question, RecordedVerdict, TraceRecord,
            record::{Broken, Receipt, RecordedAnswer, RecordedAuthority, RecordedMemory, RecordedVisit},
        },
    },
    channel::{
        ChannelError, Step,
        messaging::{Messaging, SessionKeys},
        scp11::{Handshake, Opened},
    },
    crypto::{Key128, sha256},
    proof::{self, ProofError, VerifiedProof},
};

use super::credentials::{AuthenticationContext, Credentials, RememberedItem};

/// Records the terminal's input to a tap, all of it public.
pub fn record_visit(link: &mut dyn Link, context: &AuthenticationContext<'_>, identify_only: bool) {
    link.note(&|| {
        TraceRecord::Visit(Box::new(RecordedVisit {
            identify_only,
            extended: context.format == crate::card::apdu::ApduFormat::Extended,
            now: context.now,
            nonce: hex::encode(context.nonce),
            authority: authority(context.credentials),
            previous: context.credentials.previous.as_deref().map(authority),
        }))
    });
}

fn authority(credentials: &Credentials) -> RecordedAuthority {
    RecordedAuthority {
        ca: hex::encode(credentials.ca.as_bytes()),
        certificate: hex::encode(credentials.certificate.der()),
    }
}

/// Records a certificate that was remembered.
pub fn remembered(link: &mut dyn Link, item: &RememberedItem, der: &[u8]) {
    let item = match item {
        RememberedItem::Ecka(..) => RecordedMemory::Ecka,
        RememberedItem::Identity(_) => RecordedMemory::Identity,
    };
    link.note(&|| TraceRecord::Remembered { item, certificate: hex::encode(der) });
}

/// The end of a key agreement. A replay, whose keys are not the real ones, substitutes the recorded verdict on the
/// receipt. Malformed answers and refusals are detected again in any case.
///
/// # Errors
/// The [`ChannelError`] that occurred, or that the trace contains.
pub fn receipt(
    link: &mut dyn Link,
    came_out: Result<Step<Handshake, Opened>, ChannelError>,
) -> Result<Step<Handshake, Opened>, ChannelError> {
    let came_out = match came_out {
        Err(ChannelError::Receipt) => match link.recorded(Question::Receipt) {
            Some(RecordedVerdict::Bound(binding)) => Ok(Step::Done(stand_in(binding))),
            _ => Err(ChannelError::Receipt),
        },
        other => other,
    };
    let binding = match &came_out {
        Ok(Step::Done(opened)) => Some(opened.binding),
        Err(ChannelError::Receipt) => None,
        _ => return came_out,
    };
    link.note(&|| TraceRecord::Receipt(Receipt { holds: binding.is_some(), binding: binding.map(hex::encode) }));
    came_out
}

/// A channel with dummy keys that fit no card: a replay wraps its commands with them, so that they have the recorded
/// lengths.
fn stand_in(binding: [u8; 32]) -> Opened {
    let key = || Key128::new([0; 16]);
    let keys = SessionKeys { enc: key(), mac: key(), rmac: key(), dek: key() };
    Opened { messaging: Messaging::new(keys, [0; 16]), binding, resumption: key().into() }
}

/// The opened answer: in a replay the recorded one, otherwise opened with the keys of the channel.
///
/// # Errors
/// [`ChannelError::ResponseMac`] or [`ChannelError::Padding`] for an answer that does not open, or did not when
/// recorded; [`ChannelError::Crypto`] when OpenSSL fails.
pub fn answer(
    link: &mut dyn Link,
    step: &str,
    header: [u8; 4],
    sealed: &Response,
    messaging: &mut Messaging,
) -> Result<Response, ChannelError> {
    let opened = match link.recorded(Question::Answer) {
        Some(RecordedVerdict::Opened(answer)) => Ok(answer),
        Some(RecordedVerdict::Broken(Broken::Padding)) => Err(ChannelError::Padding),
        Some(_) => Err(ChannelError::ResponseMac),
        None => messaging.unwrap(sealed),
    };
    let told = opened.as_ref().map_err(|error| match error {
        ChannelError::ResponseMac => Broken::Mac,
        ChannelError::Padding => Broken::Padding,
        _ => Broken::Local,
    });
    link.note(&|| TraceRecord::Answer(RecordedAnswer::new(step, header, told)));
    opened
}

/// The checked proof. If the holder's record was masked, the signature over it can no longer be valid, and a replay
/// uses the recorded verdict; otherwise the signature is verified again.
///
/// # Errors
/// The [`ProofError`] that was found, or that the trace contains.
pub fn proof(
    link: &mut dyn Link,
    answer: &[u8],
    checked: Result<VerifiedProof, ProofError>,
) -> Result<VerifiedProof, ProofError> {
    let checked = match checked {
        Err(ProofError::Signature) => match link.recorded(Question::Proof) {
            Some(RecordedVerdict::Holds) => masked_proof(answer).ok_or(ProofError::Form),
            _ => Err(ProofError::Signature),
        },
        other => other,
    };
    let holds = match &checked {
        Ok(_) => true,
        Err(ProofError::Signature) => false,
        Err(_) => return checked,
    };
    link.note(&|| TraceRecord::Proof { holds });
    checked
}

/// The content of an answer whose form was checked: the counter after `83 10 id 80 04`, and the record at the end.
/// There is no message, because it would not verify.
fn masked_proof(answer: &[u8]) -> Option<VerifiedProof> {
    let counter = u32::from_be_bytes(*answer.get(20..)?.first_chunk()?);
    Some(VerifiedProof { counter, record: *answer.last_chunk::<{ proof::RECORD }>()?, cose: Vec::new() })
}

/// SHA-256, for the chain of a trace.
pub const DIGEST: trace::Digest = sha256;

/// Masks what the card said about its holder: every letter becomes an `x`, names of fields stay. Anything in a form
/// that we do not write is withheld.
pub fn mask(records: &mut [TraceRecord]) {
    let mut details = Vec::new();
    for (at, record) in records.iter_mut().enumerate() {
        let TraceRecord::Answer(answer) = record else { continue };
        match hex::decode(&answer.command).as_deref() {
            Ok([_, 0x88, ..]) => replace(answer, masked_answer),
            Ok([_, 0xB1, p1, p2]) if u16::from_be_bytes([*p1, *p2]) == TAG_DETAILS => details.push(at),
            Ok([_, 0xCA, ..]) if !is_public_object(&answer.command) => replace(answer, |_| None),
            Ok([_, 0xB1, ..]) => replace(answer, masked_part),
            _ => {}
        }
    }
    mask_details(records, &details);
}

/// Identity certificate, life-cycle state, CA lookup, and the lists of CA keys and of certificates.
fn is_public_object(command: &str) -> bool {
    ["7F21", "0100", "0083", "FF33", "FF34", "BF21"].iter().any(|tag| command.ends_with(tag))
}

fn replace(answer: &mut RecordedAnswer, mask: impl FnOnce(&[u8]) -> Option<Vec<u8>>) {
    let data = answer.data.take().and_then(|data| hex::decode(data).ok());
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        answer.masked = true;
        answer.data = mask(&data).map(hex::encode_upper);
    }
}

/// The answer to INTERNAL AUTHENTICATE, whose last 120 bytes are the record.
fn masked_answer(data: &[u8]) -> Option<Vec<u8>> {
    let (head, filled) = data.split_last_chunk::<{ proof::RECORD }>()?;
    let masked = record::masked(filled)?;
    Some([head, &masked].concat())
}

/// One part of a portrait.
fn masked_part(data: &[u8]) -> Option<Vec<u8>> {
    Some(tlv::object(0x53, &vec![0; tlv::only(data, 0x53).ok()?.len()]))
}

/// Masks the details, which come in parts, as a whole.
fn mask_details(records: &mut [TraceRecord], places: &[usize]) {
    let data = |record: &TraceRecord| match record {
        TraceRecord::Answer(RecordedAnswer { data: Some(data), .. }) => {
            tlv::only(&hex::decode(data).ok()?, 0x53).ok().map(<[u8]>::to_vec)
        }
        _ => None,
    };
    let parts: Option<Vec<_>> = places.iter().map(|at| data(&records[*at])).collect();
    let masked = parts.as_ref().and_then(|parts| {
        let whole = parts.concat();
        // A reading that broke off is never decoded: only its lengths matter.
        let broke_off = parts.last().is_some_and(|last| last.len() >= PART_MAX);
        record::masked(&whole).or_else(|| broke_off.then(|| vec![0; whole.len()]))
    });
    let mut rest = masked.as_deref();
    for (n, at) in places.iter().enumerate() {
        let length = parts.as_ref().map_or(0, |parts| parts[n].len());
        let part = rest.and_then(|bytes| bytes.split_at_checked(length));
        rest = part.map(|(_, behind)| behind);
        if let TraceRecord::Answer(answer) = &mut records[*at] {
            replace(answer, |_| part.map(|(part, _)| tlv::object(0x53, part)));
        }
    }
}

#[cfg(test)]
mod tests;
