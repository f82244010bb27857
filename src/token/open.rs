//! Authenticates a token: SELECT, its certificate, the handshake, the presence proof, the record. Written only once:
//! scan, watch, enrollment and diagnosis all use it.
//!
//! Specification: docs/protocol.md, "Session"; docs/protocol.md, "The handshake"; docs/protocol.md, "Presence proof".

mod own;

use std::sync::Arc;

use crate::channel::CommandName;
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    TokenError, commands,
    constants::{KEY_CA, KVN_CA, KVN_OWN, KVN_SET, TAG_IDENTITY},
    resume::read_user,
    select::{Selected, TokenMode, select},
    session::Session,
    trace_points,
};
use crate::{
    api::User,
    card::{
        apdu::{ApduFormat, Command},
        chaining::exchange,
        link::Link,
        status::Status,
        tlv,
    },
    channel::{
        ChannelError, Step,
        scp11::{Handshake, Offer, Opened},
    },
    crypto::{
        Key128,
        ec::KeyPair,
        sha256,
        x509::{Certificate, CertificateError, CertificateProfile},
    },
    proof::{Expected, Proof, VerifiedProof},
};

pub use super::credentials::{
    AuthenticationContext, Credentials, NoMemory, RememberedItem, ResumptionKey, SlotWish, TokenMemory,
};

/// An authenticated token: handshake and signature were both valid.
#[derive(Debug)]
pub struct AuthenticatedToken {
    /// Its id, as received inside the channel.
    pub token_id: Uuid,
    /// The evidence that it is present.
    pub evidence: Evidence,
    /// The user information.
    pub user: User,
}

/// The evidence that a token is present.
#[derive(Debug)]
pub enum Evidence {
    /// A handshake and a presence proof.
    Proof {
        /// The verified proof.
        proof: VerifiedProof,
        /// The certificate of the key that signed it, DER.
        identity_certificate: Vec<u8>,
    },
    /// A channel resumed under the key of a tap that had both.
    Resumed {
        /// The use counter, which a resumed tap does not increment.
        counter: u32,
    },
}

impl AuthenticatedToken {
    /// The use counter.
    pub const fn counter(&self) -> u32 {
        match &self.evidence {
            Evidence::Proof { proof, .. } => proof.counter,
            Evidence::Resumed { counter } => *counter,
        }
    }

    /// The presence proof; `None` for a resumed channel.
    pub const fn proof(&self) -> Option<&VerifiedProof> {
        match &self.evidence {
            Evidence::Proof { proof, .. } => Some(proof),
            Evidence::Resumed { .. } => None,
        }
    }

    /// Whether the channel was resumed.
    pub const fn is_resumed(&self) -> bool {
        matches!(self.evidence, Evidence::Resumed { .. })
    }
}

/// Selects the applet; `None` when the card does not have it.
///
/// # Errors
/// [`TokenError::Link`] when the exchange fails, [`TokenError::Form`] when our applet's answer is malformed.
pub fn identify(link: &mut dyn Link, format: ApduFormat) -> Result<Option<Selected>, TokenError> {
    Selected::parse(exchange(link, &select(), format)?)
}

/// A channel whose token has so far proved only that it holds an ECKA key.
#[derive(Debug)]
pub struct Channel {
    /// The secure messaging.
    pub session: Session,
    /// The value that binds a proof to this channel.
    pub binding: [u8; 32],
    /// The key under which a later channel can be resumed, if the token stores it in a slot.
    pub resumption: Arc<Key128>,
    /// When the first of the certificates expires that it relies on.
    pub until: Timestamp,
}

impl AuthenticationContext<'_> {
    /// Opens a channel to the selected token under the key that it names. If a remembered certificate leads to a wrong
    /// receipt, it is forgotten, and read again once: the token may have changed its key.
    ///
    /// # Errors
    /// [`TokenError::NotIssued`] for a token that is not in use, [`TokenError::OtherAuthority`] and
    /// [`TokenError::Certificate`] for one that this CA has not certified, [`TokenError::TerminalRefused`] when the
    /// token does not accept the terminal, [`TokenError::Channel`] when the handshake fails, [`TokenError::Link`] when
    /// an exchange does.
    pub fn open(&mut self, link: &mut dyn Link, selected: &Selected) -> Result<Channel, TokenError> {
        let mode = selected.mode.ok_or(TokenError::NotIssued(selected.state))?;
        let kvn = selected.ecka_kvn;
        let expected = match mode {
            TokenMode::Open(_) => kvn == KVN_OWN,
            TokenMode::Private(_) => KVN_SET.contains(&kvn),
        };
        if !expected {
            return Err(TokenError::Form(CommandName::Select));
        }
        let item = RememberedItem::Ecka(mode, kvn);
        if let Some(der) = self.memory.recall(&item) {
            trace_points::remembered(link, &item, &der);
            match self.card_certificate(mode, &der).and_then(|one| self.handshake(link, selected, kvn, &one)) {
                Err(TokenError::Channel(ChannelError::Receipt)) => {
                    self.learned.push((item, None));
                    self.select_again(link, selected)?;
                }
                Err(TokenError::Certificate(_)) => self.learned.push((item, None)),
                other => return other,
            }
        }
        let der = plain(link, CommandName::GetCertificate, &commands::ecka_certificate(kvn), self.format)?;
        let certificate = match self.card_certificate(mode, &der) {
            // A foreign token is not a forgery: its certificate is held against it only if it claims to have our CA's
            // key.
            Err(e @ TokenError::Certificate(CertificateError::Signature | CertificateError::Authority)) => {
                self.look_up_ca(link, selected)?;
                return Err(e);
            }
            certificate => certificate?,
        };
        let channel = self.handshake(link, selected, kvn, &certificate)?;
        self.learned.push((item, Some(der)));
        Ok(channel)
    }

    /// After a key agreement, a token answers nothing in plain until it is selected again. It must be the same token.
    pub(super) fn select_again(&self, link: &mut dyn Link, selected: &Selected) -> Result<(), TokenError> {
        match identify(link, self.format)? {
            Some(again) if again == *selected => Ok(()),
            _ => Err(TokenError::Form(CommandName::Select)),
        }
    }

    /// Opens a channel, has the token prove its identity, and reads its record.
    ///
    /// # Errors
    /// As [`Self::prove`] and [`ProvenToken::read`].
    pub fn authenticate(&mut self, link: &mut dyn Link, selected: &Selected) -> Result<AuthenticatedToken, TokenError> {
        Ok(self.prove(link, selected)?.read(link)?.0)
    }

    /// Opens a channel, and has the token prove its identity.
    ///
    /// # Errors
    /// As [`Self::open`]; also [`TokenError::Proof`] and [`TokenError::IdentityMismatch`] when the token is not what it
    /// claims.
    pub fn prove(&mut self, link: &mut dyn Link, selected: &Selected) -> Result<ProvenToken, TokenError> {
        let mut channel = self.open(link, selected)?;
        let (token_id, proof, identity_certificate) = self.proof(link, selected, &mut channel)?;
        Ok(ProvenToken { token_id, session: channel.session, proof, identity_certificate })
    }

    fn proof(
        &mut self,
        link: &mut dyn Link,
        selected: &Selected,
        channel: &mut Channel,
    ) -> Result<(Uuid, VerifiedProof, Vec<u8>), TokenError> {
        const STEP: CommandName = CommandName::InternalAuthenticate;
        let asked = matches!(self.slot, SlotWish::Wanted);
        self.nonce_shown = true;
        let plain = commands::internal_authenticate(&self.nonce);
        let first = if asked { commands::internal_authenticate_with_slot(&self.nonce) } else { plain.clone() };
        let answer = match channel.session.send(link, STEP, &first) {
            Err(TokenError::Refused { status: Status::WRONG_DATA, .. }) if asked => {
                self.slot = SlotWish::Unknown;
                channel.session.send(link, STEP, &plain)
            }
            answer => answer,
        };
        let answer = match (answer, selected.mode) {
            // SELECT would show that an open token is blocked, so the remaining cause is that it considers our
            // certificate outdated.
            (Err(TokenError::Refused { status: Status::CONDITIONS, .. }), Some(TokenMode::Open(_))) => {
                return Err(TokenError::TerminalRefused(Status::CONDITIONS));
            }
            (Err(refusal @ TokenError::Refused { status: Status::CONDITIONS, .. }), _) => {
                return Err(self.blocked_or_outdated(link, selected, &mut channel.session, refusal));
            }
            (answer, _) => answer?,
        };
        let proof = Proof::parse_answer(&answer)?;
        let token_id = Uuid::from_bytes(*proof.token_id());
        if matches!(selected.mode, Some(TokenMode::Open(told)) if told != token_id) {
            return Err(TokenError::IdentityMismatch);
        }
        let (identity, der) = self.identity(link, &mut channel.session, token_id)?;
        let expected = Expected {
            // The key that the token verified; a replayed proof would contain another.
            terminal: self.credentials.facing(selected).certificate.point(),
            nonce: &self.nonce,
            token_id: token_id.as_bytes(),
            binding: &channel.binding,
        };
        let checked = trace_points::proof(link, &answer, proof.check(&expected, identity.point()))?;
        if matches!(self.slot, SlotWish::Wanted) {
            let (key, until) = (Arc::clone(&channel.resumption), channel.until.min(identity.not_after()));
            self.slot = SlotWish::Filled(ResumptionKey::fresh(token_id, key, checked.counter, until));
        }
        Ok((token_id, checked, der))
    }

    /// Finds out why a private token gives no proof, because its SELECT does not show it: a blocked one still answers
    /// the CA lookup inside the channel, while one that considers our certificate outdated has closed the channel.
    pub fn blocked_or_outdated(
        &self,
        link: &mut dyn Link,
        selected: &Selected,
        session: &mut Session,
        refusal: TokenError,
    ) -> TokenError {
        let command = commands::ca_lookup(&self.credentials.facing(selected).ca.key_identifier());
        match session.send(link, CommandName::LookUpCa, &command) {
            Ok(_) => refusal,
            Err(TokenError::Refused { .. }) => TokenError::TerminalRefused(Status::CONDITIONS),
            Err(e) => e,
        }
    }

    /// The verified identity certificate of this token, remembered or read.
    fn identity(
        &mut self,
        link: &mut dyn Link,
        session: &mut Session,
        token_id: Uuid,
    ) -> Result<(Certificate, Vec<u8>), TokenError> {
        let item = RememberedItem::Identity(token_id);
        if let Some(der) = self.memory.recall(&item) {
            trace_points::remembered(link, &item, &der);
            if let Ok(certificate) = self.certificate(&der, CertificateProfile::Identity, &token_id.to_string()) {
                return Ok((certificate, der));
            }
            self.learned.push((item, None));
        }
        let der = session.send(link, CommandName::GetIdentityCertificate, &commands::read_object(TAG_IDENTITY))?;
        let certificate = self.certificate(&der, CertificateProfile::Identity, &token_id.to_string())?;
        self.learned.push((item, Some(der.clone())));
        Ok((certificate, der))
    }

    fn certificate(&self, der: &[u8], class: CertificateProfile, subject: &str) -> Result<Certificate, TokenError> {
        let certificate = self.credentials.verify(der, class)?;
        certificate.check_time(self.now)?;
        if certificate.subject() == subject { Ok(certificate) } else { Err(TokenError::IdentityMismatch) }
    }

    /// The verified ECKA certificate of the token or the set.
    pub(super) fn card_certificate(&self, mode: TokenMode, der: &[u8]) -> Result<Certificate, TokenError> {
        match mode {
            TokenMode::Open(id) => self.certificate(der, CertificateProfile::TokenEcka, &id.to_string()),
            TokenMode::Private(set) => {
                if sha256(&[der])[..8] != set {
                    return Err(TokenError::IdentityMismatch);
                }
                let certificate = self.credentials.verify(der, CertificateProfile::SetEcka)?;
                certificate.check_time(self.now)?;
                Ok(certificate)
            }
        }
    }

    /// Tries the KVN that every enrollment begins with, and looks up the right one only when the token refuses, which
    /// happens after a rotation of CA keys.
    fn handshake(
        &mut self,
        link: &mut dyn Link,
        selected: &Selected,
        card_kvn: u8,
        certificate: &Certificate,
    ) -> Result<Channel, TokenError> {
        let guess = KVN_CA[0];
        match self.attempt(link, selected, (card_kvn, certificate), guess) {
            Err(TokenError::Channel(ChannelError::Refused { step, status }))
                if step == CommandName::VerifyCertificate && matches!(status, Status::NO_DATA | Status::WRONG_DATA) =>
            {
                match self.look_up_ca(link, selected)? {
                    kvn if kvn == guess => Err(TokenError::TerminalRefused(status)),
                    kvn => self.attempt(link, selected, (card_kvn, certificate), kvn),
                }
            }
            other => other,
        }
    }

    /// The KVN under which the token stores our CA's key.
    fn look_up_ca(&self, link: &mut dyn Link, selected: &Selected) -> Result<u8, TokenError> {
        const STEP: CommandName = CommandName::LookUpCa;
        let command = commands::ca_lookup(&self.credentials.facing(selected).ca.key_identifier());
        match plain(link, STEP, &command, self.format) {
            Ok(data) => match tlv::only(&data, 0x83) {
                Ok(&[KEY_CA, kvn]) => Ok(kvn),
                _ => Err(TokenError::Form(STEP)),
            },
            Err(TokenError::Refused { status: Status::NO_DATA, .. }) => Err(TokenError::OtherAuthority),
            Err(e) => Err(e),
        }
    }

    fn attempt(
        &mut self,
        link: &mut dyn Link,
        selected: &Selected,
        (card_kvn, certificate): (u8, &Certificate),
        ca_kvn: u8,
    ) -> Result<Channel, TokenError> {
        let credentials = self.credentials.facing(selected);
        let mut step = Handshake::begin(Offer {
            select: &selected.raw,
            terminal_key: &credentials.key,
            terminal_certificate: credentials.certificate.der(),
            ca_kvn,
            card_key: certificate.point(),
            card_kvn,
            ephemeral: KeyPair::generate(self.random)?,
        })?;
        loop {
            match step {
                Step::Send(command, next) => {
                    let answer = exchange(link, &command, self.format)?;
                    step = trace_points::receipt(link, next.handle(answer))?;
                }
                Step::Done(Opened { messaging, binding, resumption }) => {
                    let session = Session::new(messaging, self.format);
                    let until = certificate.not_after().min(credentials.certificate.not_after());
                    return Ok(Channel { session, binding, resumption, until });
                }
            }
        }
    }
}

/// Sends a command in plain, and returns the data of an answer with status 9000.
fn plain(link: &mut dyn Link, step: CommandName, command: &Command, format: ApduFormat) -> Result<Vec<u8>, TokenError> {
    let answer = exchange(link, command, format)?;
    if answer.status.is_ok() { Ok(answer.data) } else { Err(TokenError::Refused { step, status: answer.status }) }
}

/// A token that has proved its identity, and whose record may continue in its details.
#[derive(Debug)]
pub struct ProvenToken {
    token_id: Uuid,
    session: Session,
    proof: VerifiedProof,
    identity_certificate: Vec<u8>,
}

impl ProvenToken {
    /// Reads what the proof did not contain: for most tokens, nothing. Also returns the open channel.
    ///
    /// # Errors
    /// [`TokenError::Record`] for invalid user information, [`TokenError::Link`] or [`TokenError::Channel`] when it
    /// cannot be read.
    pub fn read(mut self, link: &mut dyn Link) -> Result<(AuthenticatedToken, Session), TokenError> {
        let user = read_user(&self.proof.record, &mut self.session, link)?;
        let Self { token_id, session, proof, identity_certificate } = self;
        let evidence = Evidence::Proof { proof, identity_certificate };
        Ok((AuthenticatedToken { token_id, evidence, user }, session))
    }
}

#[cfg(test)]
mod tests;
