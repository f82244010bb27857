//! Moves one token from the previous CA to the current one: it receives the new CA key and new certificates for its own
//! keys, and the old CA key is deleted last. Each step first checks what the card already has, so repeating the whole
//! completes what a card removed too early left half-done; a terminal that trusts both CAs can authenticate the token
//! at every point in between.

use crate::channel::CommandName;
use uuid::Uuid;

use super::{
    AdministrationError, RotationTarget, check_role_of,
    sets::{self, SetKey},
};
use crate::{
    card::{link::Link, tlv::TlvReader},
    crypto::{
        ec::Point,
        x509::{Certificate, CertificateProfile, TerminalRole},
    },
    token::{
        TokenError, commands,
        constants::{KEY_CA, KVN_CA, KVN_OWN, TAG_IDENTITY},
        open::{AuthenticationContext, identify},
        select::{LifeCycle, Selected, TokenMode},
        session::Session,
    },
};

/// What moving a token requires of the new CA.
pub trait RotationAuthority {
    /// Certifies both keys of a token: its own ECKA key and its identity key, returned in this order.
    ///
    /// # Errors
    /// [`AdministrationError::NotCertified`] when the CA does not certify a key.
    fn certify(&mut self, id: Uuid, ecka: &Point, identity: &Point) -> Result<(Vec<u8>, Vec<u8>), AdministrationError>;

    /// The set that succeeds the one a private token announces; a set of the new CA succeeds itself.
    ///
    /// # Errors
    /// [`AdministrationError::NotCertified`] when the set cannot be loaded or made.
    fn follower(&mut self, announced: [u8; 8]) -> Result<SetKey, AdministrationError>;
}

/// Determines under which CA the card is. One SELECT is enough for an open token; a private one is opened.
///
/// # Errors
/// [`AdministrationError::NoRotation`] without a previous CA; [`AdministrationError::Role`] below ADMIN;
/// [`AdministrationError::Foreign`]; [`AdministrationError::Token`] for a token of a third CA or one that is not
/// issued, and when the link or the channel fails.
pub fn find(
    link: &mut dyn Link,
    context: &mut AuthenticationContext<'_>,
) -> Result<RotationTarget, AdministrationError> {
    Ok(locate(link, context)?.0)
}

/// A located token; a private one comes with the session opened under its own key.
type FoundToken = (RotationTarget, Selected, Option<Session>);

fn locate(link: &mut dyn Link, context: &mut AuthenticationContext<'_>) -> Result<FoundToken, AdministrationError> {
    let previous = context.credentials.previous.as_deref().ok_or(AdministrationError::NoRotation)?.ca;
    check_role_of(context.credentials.certificate.class(), TerminalRole::Admin)?;
    let selected = identify(link, context.format)?.ok_or(AdministrationError::Foreign)?;
    if selected.state != LifeCycle::Issued {
        return Err(TokenError::NotIssued(selected.state).into());
    }
    let is = |ca: &Point| ca.key_identifier()[..8] == selected.ca_prefix;
    let found = match (is(&context.credentials.ca), is(&previous)) {
        (true, _) => RotationTarget::Moved,
        (false, true) => RotationTarget::Old,
        (false, false) => return Err(TokenError::OtherAuthority.into()),
    };
    match selected.mode {
        Some(TokenMode::Open(id)) => Ok((found(id), selected, None)),
        Some(TokenMode::Private(_)) => {
            let (id, channel) = context.open_own(link, &selected)?;
            Ok((found(id), selected, Some(channel.session)))
        }
        None => Err(TokenError::NotIssued(selected.state).into()),
    }
}

/// Moves the token and authenticates it under the new CA. `meant` is the token that was confirmed. Returns true when
/// there was something to do.
///
/// # Errors
/// As [`find`]; [`AdministrationError::OtherCard`] when it is not the confirmed token, or another card replaces it
/// during the move; the errors of `authority`.
pub fn rotate(
    link: &mut dyn Link,
    context: &mut AuthenticationContext<'_>,
    meant: Option<Uuid>,
    authority: &mut dyn RotationAuthority,
) -> Result<(Uuid, bool), AdministrationError> {
    let (found, selected, opened) = locate(link, context)?;
    let id = found.id();
    if meant.is_some_and(|meant| meant != id) {
        return Err(AdministrationError::OtherCard);
    }
    let is_private = opened.is_some();
    if let RotationTarget::Old(_) = found {
        let session = if let Some(session) = opened {
            session
        } else {
            let (token, session) = context.prove(link, &selected)?.read(link)?;
            if token.token_id != id {
                return Err(AdministrationError::OtherCard);
            }
            session
        };
        move_over(link, context, (&selected, session), id, authority)?;
    }
    let selected = identify(link, context.format)?.ok_or(AdministrationError::OtherCard)?;
    // A blocked private token does not show its state and refuses to prove presence, but it still opens under its own
    // key.
    let proved =
        if is_private { context.open_own(link, &selected)?.0 } else { context.authenticate(link, &selected)?.token_id };
    if proved == id { Ok((id, matches!(found, RotationTarget::Old(_)))) } else { Err(AdministrationError::OtherCard) }
}

fn move_over(
    link: &mut dyn Link,
    context: &AuthenticationContext<'_>,
    (selected, mut session): (&Selected, Session),
    id: Uuid,
    authority: &mut dyn RotationAuthority,
) -> Result<(), AdministrationError> {
    let (new, old) = (context.credentials.ca, context.credentials.previous.as_ref().map(|previous| previous.ca));
    let keys = ca_keys(link, &mut session)?;
    let kvn_of = |ca: &Point| keys.iter().find(|(name, _)| *name == ca.key_identifier()).map(|(_, kvn)| *kvn);
    let old_kvn = old.as_ref().and_then(kvn_of).ok_or(TokenError::OtherAuthority)?;
    let new_kvn = match kvn_of(&new) {
        Some(kvn) => kvn,
        None => put_ca(link, &mut session, other(old_kvn), &new)?,
    };
    // Sent every time because repeating it is harmless: a card removed before this step cannot find the key by its
    // name.
    session.tell(link, CommandName::StoreData, &commands::store_ca_identifier(new_kvn, &new.key_identifier()))?;
    certificates(link, context, &mut session, id, authority)?;
    if let Some(TokenMode::Private(announced)) = selected.mode {
        let set = authority.follower(announced)?;
        if set.id != announced {
            sets::put(link, &mut session, selected.ecka_kvn, &set)?;
        }
    }
    Ok(session.tell(link, CommandName::DeleteKey, &commands::delete_key(KEY_CA, old_kvn))?)
}

const fn other(kvn: u8) -> u8 {
    if kvn == KVN_CA[0] { KVN_CA[1] } else { KVN_CA[0] }
}

fn put_ca(link: &mut dyn Link, session: &mut Session, kvn: u8, ca: &Point) -> Result<u8, TokenError> {
    const STEP: CommandName = CommandName::PutKey;
    let answer = session.send(link, STEP, &commands::put_ca_key(kvn, ca))?;
    if answer == [kvn] { Ok(kvn) } else { Err(TokenError::Form(STEP)) }
}

/// The CA keys of the card: their names and KVNs.
fn ca_keys(link: &mut dyn Link, session: &mut Session) -> Result<Vec<([u8; 20], u8)>, TokenError> {
    const STEP: CommandName = CommandName::ListCas;
    let answer = session.send(link, STEP, &commands::ca_list())?;
    let parse = || -> Option<Vec<_>> {
        let (mut reader, mut keys) = (TlvReader::new(&answer), Vec::new());
        while let Some(name) = reader.optional(0x42).ok()? {
            let name = <[u8; 20]>::try_from(name).ok()?;
            let [kid, kvn] = reader.array(0x83).ok()?;
            if kid == KEY_CA {
                keys.push((name, kvn));
            }
        }
        reader.end().ok()?;
        Some(keys)
    };
    parse().ok_or(TokenError::Form(STEP))
}

/// Gives the card certificates of the new CA for both keys, unless it has them. Its own key was just used in the
/// handshake, and an open token's identity key in its proof; those of a private token are certified by the previous CA.
fn certificates(
    link: &mut dyn Link,
    context: &AuthenticationContext<'_>,
    session: &mut Session,
    id: Uuid,
    authority: &mut dyn RotationAuthority,
) -> Result<(), AdministrationError> {
    let ecka = session.send(link, CommandName::GetCertificate, &commands::ecka_certificate(KVN_OWN))?;
    let identity = session.send(link, CommandName::GetIdentityCertificate, &commands::read_object(TAG_IDENTITY))?;
    let is_new = |der: &[u8], class| Certificate::verify(der, &context.credentials.ca, &[class]).is_ok();
    let verified = |der: &[u8], class| -> Result<Point, TokenError> {
        let certificate = context.credentials.verify(der, class)?;
        if certificate.subject() == id.to_string() {
            Ok(*certificate.point())
        } else {
            Err(TokenError::IdentityMismatch)
        }
    };
    let keys = (verified(&ecka, CertificateProfile::TokenEcka)?, verified(&identity, CertificateProfile::Identity)?);
    let (has_ecka, has_identity) =
        (is_new(&ecka, CertificateProfile::TokenEcka), is_new(&identity, CertificateProfile::Identity));
    if has_ecka && has_identity {
        return Ok(());
    }
    let (ecka, identity) = authority.certify(id, &keys.0, &keys.1)?;
    session.tell(link, CommandName::PutData, &commands::write_object(TAG_IDENTITY, &identity))?;
    Ok(session.tell(link, CommandName::StoreData, &commands::store_ecka_certificate(KVN_OWN, &ecka))?)
}
