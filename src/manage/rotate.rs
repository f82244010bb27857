//! A token is moved from the CA before to the one that is here: it learns the new CA key, gets certificates of it for its
//! own keys, and forgets the old one last. Each step asks first what the card has, so that repeating all of it finishes
//! what a lifted card has left half-done; whoever trusts both CAs authenticates the token at every point between.

use uuid::Uuid;

use super::{ManageError, check_role_of};
use crate::{
    card::{link::Link, tlv::Reader},
    crypto::{
        ec::Point,
        x509::{Certificate, Class, Role},
    },
    token::{
        TokenError, commands,
        constants::{KEY_CA, KVN_CA, KVN_OWN, TAG_IDENTITY},
        open::{Visit, identify},
        select::{LifeCycle, Privacy, Selected},
        session::Session,
    },
};

/// Certifies both keys of a token under the new CA: the own ECKA key and the identity key, in this order.
pub type Certify<'a> = &'a mut dyn FnMut(Uuid, &Point, &Point) -> Result<(Vec<u8>, Vec<u8>), ManageError>;

/// The id of a token that has no other CA than the new one, or that has to be moved to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing is left to do.
    Moved(Uuid),
    /// It names the CA before.
    Old(Uuid),
}

/// Looks at the card with one SELECT, and says under which CA it is.
pub fn find(link: &mut dyn Link, visit: &Visit<'_>) -> Result<(Found, Selected), ManageError> {
    let previous = visit.credentials.previous.as_deref().ok_or(ManageError::NoRotation)?;
    check_role_of(visit.credentials.certificate.class(), Role::Admin)?;
    let selected = identify(link, visit.format)?.ok_or(ManageError::Foreign)?;
    let id = match (selected.state, selected.privacy) {
        (LifeCycle::Issued, Some(Privacy::Open(id))) => id,
        (LifeCycle::Issued, _) => return Err(ManageError::Private),
        (state, _) => return Err(TokenError::NotIssued(state).into()),
    };
    let is = |ca: &Point| ca.key_identifier()[..8] == selected.ca_prefix;
    if is(&visit.credentials.ca) {
        return Ok((Found::Moved(id), selected));
    }
    if is(&previous.ca) { Ok((Found::Old(id), selected)) } else { Err(TokenError::OtherAuthority.into()) }
}

/// Moves the token, and has it prove itself under the new CA. True when there was something to do.
pub fn rotate(link: &mut dyn Link, visit: &mut Visit<'_>, certify: Certify<'_>) -> Result<(Uuid, bool), ManageError> {
    let (found, selected) = find(link, visit)?;
    let (id, was_old) = match found {
        Found::Moved(id) => (id, false),
        Found::Old(id) => {
            move_over(link, visit, &selected, id, certify)?;
            (id, true)
        }
    };
    let selected = identify(link, visit.format)?.ok_or(ManageError::OtherCard)?;
    let token = visit.authenticate(link, &selected)?;
    if token.token_id == id { Ok((id, was_old)) } else { Err(ManageError::OtherCard) }
}

fn move_over(
    link: &mut dyn Link,
    visit: &mut Visit<'_>,
    selected: &Selected,
    id: Uuid,
    certify: Certify<'_>,
) -> Result<(), ManageError> {
    let (token, mut session) = visit.prove(link, selected)?.read(link)?;
    if token.token_id != id {
        return Err(ManageError::OtherCard);
    }
    let (new, old) = (visit.credentials.ca, visit.credentials.previous.as_ref().map(|previous| previous.ca));
    let keys = ca_keys(link, &mut session)?;
    let kvn_of = |ca: &Point| keys.iter().find(|(name, _)| *name == ca.key_identifier()).map(|(_, kvn)| *kvn);
    let old_kvn = old.as_ref().and_then(kvn_of).ok_or(TokenError::OtherAuthority)?;
    let new_kvn = match kvn_of(&new) {
        Some(kvn) => kvn,
        None => put_ca(link, &mut session, other(old_kvn), &new)?,
    };
    // Said again, it changes nothing; a card that was lifted before it does not find the key by its name.
    session.tell(link, "STORE DATA", &commands::store_ca_identifier(new_kvn, &new.key_identifier()))?;
    certificates(link, visit, &mut session, id, certify)?;
    Ok(session.tell(link, "DELETE KEY", &commands::delete_key(KEY_CA, old_kvn))?)
}

const fn other(kvn: u8) -> u8 {
    if kvn == KVN_CA[0] { KVN_CA[1] } else { KVN_CA[0] }
}

fn put_ca(link: &mut dyn Link, session: &mut Session, kvn: u8, ca: &Point) -> Result<u8, TokenError> {
    const STEP: &str = "PUT KEY";
    let answer = session.send(link, STEP, &commands::put_ca_key(kvn, ca))?;
    if answer == [kvn] { Ok(kvn) } else { Err(TokenError::Form(STEP)) }
}

/// The CA keys of the card: their names and KVNs.
fn ca_keys(link: &mut dyn Link, session: &mut Session) -> Result<Vec<([u8; 20], u8)>, TokenError> {
    const STEP: &str = "GET DATA CA list";
    let answer = session.send(link, STEP, &commands::ca_list())?;
    let parse = || -> Option<Vec<_>> {
        let (mut reader, mut keys) = (Reader::new(&answer), Vec::new());
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

/// Certificates of the new CA for both keys, where the card has not got them yet. Both keys have just been used: the one
/// in the handshake, the other in the proof.
fn certificates(
    link: &mut dyn Link,
    visit: &Visit<'_>,
    session: &mut Session,
    id: Uuid,
    certify: Certify<'_>,
) -> Result<(), ManageError> {
    let ecka = session.send(link, "GET DATA certificate", &commands::ecka_certificate(KVN_OWN))?;
    let identity = session.send(link, "GET DATA identity certificate", &commands::read_object(TAG_IDENTITY))?;
    let is_new = |der: &[u8], class| Certificate::verify(der, &visit.credentials.ca, &[class]).is_ok();
    let verified = |der: &[u8], class| -> Result<Point, TokenError> {
        let certificate = visit.credentials.verify(der, class)?;
        if certificate.subject() == id.to_string() {
            Ok(*certificate.point())
        } else {
            Err(TokenError::IdentityMismatch)
        }
    };
    let keys = (verified(&ecka, Class::TokenEcka)?, verified(&identity, Class::Identity)?);
    let (has_ecka, has_identity) = (is_new(&ecka, Class::TokenEcka), is_new(&identity, Class::Identity));
    if has_ecka && has_identity {
        return Ok(());
    }
    let (ecka, identity) = certify(id, &keys.0, &keys.1)?;
    session.tell(link, "PUT DATA", &commands::write_object(TAG_IDENTITY, &identity))?;
    Ok(session.tell(link, "STORE DATA", &commands::store_ecka_certificate(KVN_OWN, &ecka))?)
}
