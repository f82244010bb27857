//! Moves a store to a new CA: registers the new keys of the terminal that administers it, and certifies the keys of
//! every token under the new CA.
//!
//! The server accepts both CAs until the rotation ends, so an interrupted run leaves everything working; the next run
//! continues it.

use jiff::Timestamp;

use super::{
    RunError,
    store::{RegisteredKeys, ServerStore, StoreUrl, Subjects, TokenKeys},
};
use crate::{
    crypto::{
        ec::Point,
        random::SystemRandom,
        sha256,
        x509::{Certificate, CertificateProfile},
    },
    pki::{Ca, ClockCheck, PkiDir, PkiError},
    proof::thumbprint,
};

/// Tokens read at once.
const PAGE: u32 = 256;

/// Checks that the store opens under the current CA, before anything is changed.
///
/// # Errors
/// [`RunError::Pki`] without a certificate of the CA; [`RunError::Store`], also for a store of another CA.
pub async fn check(pki: &PkiDir, url: &StoreUrl) -> Result<(), RunError> {
    let authority = pki.load_authority()?.point().key_identifier();
    ServerStore::open(url, &authority, None).await?.close().await;
    Ok(())
}

/// Certifies every token of the store under the current CA. `told` is called with the number of tokens examined so far;
/// returns how many got new certificates.
///
/// # Errors
/// [`RunError::Pki`] when no CA is being rotated, or its key or record cannot be used; [`RunError::Store`]. What was
/// done stays done: another run continues it.
pub async fn recertify(
    pki: &PkiDir,
    url: &StoreUrl,
    clock_check: ClockCheck,
    now: Timestamp,
    told: &mut (dyn FnMut(u64) + Send),
) -> Result<u64, RunError> {
    let Some(previous) = pki.previous()? else { return Err(PkiError::NoRotation.into()) };
    let before = previous.load_authority()?.point().key_identifier();
    let mut ca = pki.load_ca(clock_check)?;
    let store = ServerStore::open(url, &ca.authority().point().key_identifier(), Some(&before)).await?;
    administrator(pki, &previous, &store, now).await?;
    let (mut after, mut seen, mut done) = (String::new(), 0, 0);
    loop {
        let page = store.token_keys_after(&after, PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = last.to_string();
        for (id, keys) in page {
            if let Some(fresh) = recertified(&mut ca, id, &keys, now)? {
                store.recertify_token(id, &fresh).await?;
                done += 1;
            }
            seen += 1;
            told(seen);
        }
    }
    store.close().await;
    Ok(done)
}

/// Registers the keys that this terminal has under the new CA; its name and role stay.
async fn administrator(pki: &PkiDir, previous: &PkiDir, store: &ServerStore, now: Timestamp) -> Result<(), RunError> {
    let before = previous.load_terminal_tls(now)?;
    let Some(known) = store.terminal_of_key(&sha256(&[before.certificate.point().as_bytes()])).await? else {
        return Ok(());
    };
    let (tls, ecka) = (pki.load_terminal_tls(now)?, pki.load_terminal(now)?);
    let keys = RegisteredKeys {
        tls_key: sha256(&[tls.certificate.point().as_bytes()]),
        ecka_key: thumbprint(ecka.certificate.point()),
        subjects: Subjects { tls: tls.certificate.subject().to_owned(), ecka: ecka.certificate.subject().to_owned() },
        not_after: tls.certificate.not_after(),
    };
    Ok(store.renew_terminal(&known.name, &keys, now).await?)
}

/// The keys of a token with certificates of this CA; `None` when it already has them.
fn recertified(ca: &mut Ca, id: uuid::Uuid, keys: &TokenKeys, now: Timestamp) -> Result<Option<TokenKeys>, PkiError> {
    let ours = *ca.authority().point();
    let holds = |der: &[u8], class| Certificate::verify(der, &ours, &[class]).is_ok();
    if holds(&keys.identity_certificate, CertificateProfile::Identity)
        && holds(&keys.ecka_certificate, CertificateProfile::TokenEcka)
    {
        return Ok(None);
    }
    // An invalid key was never usable, and is refused wherever it is used.
    let (Ok(identity), Ok(ecka)) = (Point::parse(&keys.identity_key), Point::parse(&keys.ecka_key)) else {
        return Ok(None);
    };
    Ok(Some(TokenKeys {
        identity_certificate: ca.certify_identity(id, &identity, now, &mut SystemRandom)?,
        ecka_certificate: ca.certify_token_ecka(id, &ecka, now, &mut SystemRandom)?,
        ..keys.clone()
    }))
}
