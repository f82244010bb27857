//! Checks a presence proof after the fact, each check separately, so that the one that failed can be named.
//!
//! Deliberately absent: files, the clock, and whether the nonce or the counter is fresh.
//!
//! Specification: docs/proof.md, "What to check".

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    crypto::{
        ec::Point,
        x509::{Certificate, CertificateProfile},
    },
    proof::{Claims, ProofError, form_fault, thumbprint, verify_message},
};

/// One check of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofCheck {
    /// The message has the form of the protocol: tag, headers, claims, 303 bytes.
    Form,
    /// The CA signed the certificate, for an identity key.
    Certificate,
    /// The certificate is valid now.
    Validity,
    /// The certificate is that of the token that the message names.
    Token,
    /// The identity key signed the message.
    Signature,
    /// The object that contains the message names the same token and counter.
    Object,
    /// The nonce is the expected one.
    Nonce,
    /// The token communicated with the expected terminal.
    Terminal,
}

impl ProofCheck {
    /// The code of a failure: the server's code, if it has one.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Form => "proof.malformed",
            Self::Certificate | Self::Validity | Self::Token => "proof.certificate",
            Self::Signature => "proof.signature",
            Self::Object => "proof.object",
            Self::Nonce => "proof.foreign-nonce",
            Self::Terminal => "proof.terminal",
        }
    }
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProofVerdict {
    /// It passed.
    Ok,
    /// It failed, for this reason.
    Failed(String),
    /// A check that it depends on failed, or nothing was expected.
    NotChecked,
}

/// The proof to check.
#[derive(Debug, Clone, Copy)]
pub struct ShownProof<'a> {
    /// The COSE_Sign1 message.
    pub cose: &'a [u8],
    /// The identity certificate, DER.
    pub certificate: &'a [u8],
    /// The token id in the enclosing object, if any.
    pub token_id: Option<Uuid>,
    /// The use counter in the enclosing object, if any.
    pub counter: Option<u64>,
}

/// What a proof is checked against.
#[derive(Debug, Clone, Copy)]
pub struct ProofExpectation<'a> {
    /// The trusted CAs.
    pub authorities: &'a [Point],
    /// The nonce that was issued.
    pub nonce: Option<&'a [u8; 32]>,
    /// The certificate of the terminal, DER.
    pub terminal: Option<&'a [u8]>,
    /// The time at which the certificate must be valid.
    pub now: Timestamp,
}

/// The results of all checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofReport {
    /// The claims of the message, if it has the right form. They count only if the whole proof is valid.
    pub claims: Option<Claims>,
    /// Each check, in order.
    pub checks: Vec<(ProofCheck, ProofVerdict)>,
}

impl ProofReport {
    /// The first check that failed, and the reason.
    pub fn failure(&self) -> Option<(ProofCheck, &str)> {
        self.checks.iter().find_map(|(check, verdict)| match verdict {
            ProofVerdict::Failed(why) => Some((*check, why.as_str())),
            _ => None,
        })
    }
}

/// Makes every check that is possible.
pub fn check_proof(shown: &ShownProof<'_>, expected: &ProofExpectation<'_>) -> ProofReport {
    let claims = Claims::read(shown.cose).ok();
    let certificate =
        Certificate::verify_under(shown.certificate, expected.authorities, &[CertificateProfile::Identity]);
    let (read, trusted) = (claims.as_ref(), certificate.as_ref().ok());
    let checks = vec![
        (ProofCheck::Form, form(shown.cose, read)),
        (ProofCheck::Certificate, certificate.as_ref().map_or_else(failed, |_| ProofVerdict::Ok)),
        (ProofCheck::Validity, trusted.map_or(ProofVerdict::NotChecked, |one| held(one.check_time(expected.now)))),
        (ProofCheck::Token, both(read, trusted, token)),
        (
            ProofCheck::Signature,
            both(read, trusted, |_, one| held(verify_message(shown.cose, one.point()).map_err(name))),
        ),
        (ProofCheck::Object, read.map_or(ProofVerdict::NotChecked, |claims| object(shown, claims))),
        (ProofCheck::Nonce, both(read, expected.nonce, nonce)),
        (
            ProofCheck::Terminal,
            both(read, expected.terminal, |claims, der| terminal(claims, der, expected.authorities)),
        ),
    ];
    ProofReport { claims, checks }
}

/// A check that needs two things, not made unless both are there.
fn both<A, B>(one: Option<A>, other: Option<B>, check: impl FnOnce(A, B) -> ProofVerdict) -> ProofVerdict {
    one.zip(other).map_or(ProofVerdict::NotChecked, |(one, other)| check(one, other))
}

fn failed(why: impl std::fmt::Display) -> ProofVerdict {
    ProofVerdict::Failed(why.to_string())
}

fn held<T, E: std::fmt::Display>(result: Result<T, E>) -> ProofVerdict {
    result.map_or_else(failed, |_| ProofVerdict::Ok)
}

fn same(equal: bool, why: &str) -> ProofVerdict {
    if equal { ProofVerdict::Ok } else { failed(why) }
}

/// Bytes that are not even a signature count as a wrong one.
fn name(error: ProofError) -> ProofError {
    match error {
        ProofError::Crypto(_) => ProofError::Signature,
        other => other,
    }
}

fn form(cose: &[u8], claims: Option<&Claims>) -> ProofVerdict {
    claims.map_or_else(|| failed(form_fault(cose)), |_| ProofVerdict::Ok)
}

fn token(claims: &Claims, certificate: &Certificate) -> ProofVerdict {
    let subject = certificate.subject();
    let named = Uuid::from_bytes(claims.token_id).to_string();
    if subject == named {
        ProofVerdict::Ok
    } else {
        failed(format!("the certificate is that of {subject}, and the proof of {named}"))
    }
}

fn object(shown: &ShownProof<'_>, claims: &Claims) -> ProofVerdict {
    if shown.token_id.is_none() && shown.counter.is_none() {
        return ProofVerdict::NotChecked;
    }
    let same_token = shown.token_id.is_none_or(|id| *id.as_bytes() == claims.token_id);
    let same_counter = shown.counter.is_none_or(|counter| counter == u64::from(claims.counter));
    match (same_token, same_counter) {
        (true, true) => ProofVerdict::Ok,
        (false, _) => failed("the object names another token than the proof in it"),
        (true, false) => failed("the object has another counter than the proof in it"),
    }
}

fn nonce(claims: &Claims, expected: &[u8; 32]) -> ProofVerdict {
    same(claims.nonce == *expected, "the proof has another nonce")
}

/// The certificate must be a terminal's and from the same CA. Its dates do not matter: it only identifies the key.
fn terminal(claims: &Claims, der: &[u8], authorities: &[Point]) -> ProofVerdict {
    match Certificate::verify_under(der, authorities, &CertificateProfile::TERMINAL) {
        Ok(certificate) => {
            same(thumbprint(certificate.point()) == claims.terminal, "the token spoke to another terminal")
        }
        Err(error) => failed(format!("the terminal's own: {error}")),
    }
}

#[cfg(test)]
mod tests;
