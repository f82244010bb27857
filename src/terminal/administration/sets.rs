//! Replaces the set key of a private token: the new key is stored under the other key number, and the old one is
//! deleted last. Until then the token announces the old set, so a card removed too early is recognised and finished
//! later.

use crate::channel::CommandName;
use uuid::Uuid;

use super::{AdministrationError, RotationTarget, check_role_of};
use crate::{
    card::{link::Link, status::Status},
    crypto::{
        ec::KeyPair,
        x509::{Certificate, TerminalRole},
    },
    token::{
        TokenError, commands,
        constants::{KEY_ECKA, KVN_SET},
        open::{AuthenticationContext, identify},
        select::{Selected, TokenMode},
        session::Session,
    },
};

/// The key of a set, as its tokens receive it.
#[derive(Debug, Clone)]
pub struct SetKey {
    /// The identifier of the set: the first 8 bytes of SHA-256 of the certificate.
    pub id: [u8; 8],
    /// The ECKA key that its tokens share.
    pub key: KeyPair,
    /// The certificate of that key.
    pub certificate: Certificate,
}

/// Opens the card under its own key and says whether it is in the old set or has been moved. Nothing is changed.
///
/// # Errors
/// [`AdministrationError::Role`] below ADMIN; [`AdministrationError::Foreign`]; [`AdministrationError::Open`] for a
/// token in open mode; [`AdministrationError::OtherSet`]; [`AdministrationError::Token`] when it is not issued, or the
/// link or the channel fails.
pub fn find(
    link: &mut dyn Link,
    context: &mut AuthenticationContext<'_>,
    from: [u8; 8],
    to: &SetKey,
) -> Result<RotationTarget, AdministrationError> {
    Ok(locate(link, context, from, to)?.0)
}

/// Gives a token of the set `from` the key of the set `to`. `begin` is called with its id before the first changing
/// step, and may refuse. Returns true when there was something to do.
///
/// # Errors
/// As [`find`]; the error of `begin`; [`AdministrationError::NoSetKey`] when the token accepts no set key.
pub fn replace(
    link: &mut dyn Link,
    context: &mut AuthenticationContext<'_>,
    (from, to): ([u8; 8], &SetKey),
    begin: &mut dyn FnMut(Uuid) -> Result<(), AdministrationError>,
) -> Result<(Uuid, bool), AdministrationError> {
    let (found, selected, mut session) = locate(link, context, from, to)?;
    let RotationTarget::Old(id) = found else { return Ok((found.id(), false)) };
    begin(id)?;
    put(link, &mut session, selected.ecka_kvn, to)?;
    check(link, context, id, to.id)?;
    Ok((id, true))
}

fn locate(
    link: &mut dyn Link,
    context: &mut AuthenticationContext<'_>,
    from: [u8; 8],
    to: &SetKey,
) -> Result<(RotationTarget, Selected, Session), AdministrationError> {
    check_role_of(context.credentials.certificate.class(), TerminalRole::Admin)?;
    let selected = identify(link, context.format)?.ok_or(AdministrationError::Foreign)?;
    let announced = match selected.mode {
        Some(TokenMode::Private(announced)) => announced,
        Some(TokenMode::Open(_)) => return Err(AdministrationError::Open),
        None => return Err(TokenError::NotIssued(selected.state).into()),
    };
    if announced != from && announced != to.id {
        return Err(AdministrationError::OtherSet(hex::encode(announced)));
    }
    let (id, channel) = context.open_own(link, &selected)?;
    let found = if announced == to.id { RotationTarget::Moved(id) } else { RotationTarget::Old(id) };
    Ok((found, selected, channel.session))
}

/// Replaces the set key announced under this KVN by the key of `set`, in a channel under the token's own key. A step
/// that was done before is not repeated.
pub(super) fn put(
    link: &mut dyn Link,
    session: &mut Session,
    announced: u8,
    set: &SetKey,
) -> Result<(), AdministrationError> {
    const STEP: CommandName = CommandName::PutKey;
    let kvn = if announced == KVN_SET[0] { KVN_SET[1] } else { KVN_SET[0] };
    if !holds(link, session, kvn, set)? {
        let scalar = set.key.scalar().map_err(TokenError::from)?;
        let command =
            commands::put_set_key(kvn, &scalar, session.dek().map_err(TokenError::from)?).map_err(TokenError::from)?;
        match session.send(link, STEP, &command) {
            Ok(answer) if answer == [kvn] => {}
            Ok(_) => return Err(TokenError::Form(STEP).into()),
            // It came with the public test keys, and never accepts a set key.
            Err(TokenError::Refused { status: Status::CONDITIONS, .. }) => return Err(AdministrationError::NoSetKey),
            Err(error) => return Err(error.into()),
        }
        session.tell(link, CommandName::StoreData, &commands::store_ecka_certificate(kvn, set.certificate.der()))?;
    }
    Ok(session.tell(link, CommandName::DeleteKey, &commands::delete_key(KEY_ECKA, announced))?)
}

/// Whether the key is active under this KVN. Storing its certificate is the step that activates it.
fn holds(link: &mut dyn Link, session: &mut Session, kvn: u8, set: &SetKey) -> Result<bool, TokenError> {
    match session.send(link, CommandName::GetCertificate, &commands::ecka_certificate(kvn)) {
        Ok(der) => Ok(der == set.certificate.der()),
        Err(TokenError::Refused { status: Status::NO_DATA, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Checks that the token announces its new set, and that it opens under that set's key and under its own.
pub(super) fn check(
    link: &mut dyn Link,
    context: &mut AuthenticationContext<'_>,
    id: Uuid,
    set: [u8; 8],
) -> Result<(), AdministrationError> {
    let selected = identify(link, context.format)?.ok_or(AdministrationError::OtherCard)?;
    if selected.mode != Some(TokenMode::Private(set)) || context.open_own(link, &selected)?.0 != id {
        return Err(AdministrationError::OtherCard);
    }
    Ok(())
}
