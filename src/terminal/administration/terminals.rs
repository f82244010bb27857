//! Issues keys and certificates for another terminal as one bundle file, by the local CA or through the server; and
//! renews the certificates of this terminal.

use std::path::Path;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;

use crate::{
    api::v1::{self, RenewalRequest, Role, TerminalRequest},
    crypto::{
        random::SystemRandom,
        x509::{self, CertificateRequest},
    },
    failure::{ExitClass, Failure},
    files,
    pki::{
        Bundle, BundledCertificates, BundledPrevious, Ca, CertificateDays, ClockCheck, Followed, Lifetime, PkiDir,
        PkiError, TerminalKeys,
    },
    server_client::ServerClient,
};

/// A terminal that the server registers and certifies, for `days` or for the default lifetime.
///
/// # Errors
/// `crypto.failed`, a name that the profile does not allow, the failure of the server, or `pki.bundle` when its answer
/// does not fit our keys.
pub fn through_server(
    server: &ServerClient,
    name: &str,
    role: Role,
    days: Option<CertificateDays>,
) -> Result<Bundle, Failure> {
    let keys = TerminalKeys::generate(&mut SystemRandom)?;
    let requests = keys.requests(name, name)?;
    let answer = server.add_terminal(&TerminalRequest {
        name: name.to_owned(),
        role,
        tls_request: BASE64_URL_SAFE_NO_PAD.encode(requests.tls),
        ecka_request: BASE64_URL_SAFE_NO_PAD.encode(requests.ecka),
        days: days.map(CertificateDays::get),
    })?;
    Ok(Bundle::new(name, Some(server.url()), keys, decoded(&answer)?)?)
}

/// A terminal certified by the local CA, for a site without a server; during a CA rotation, by both CAs.
///
/// # Errors
/// As [`PkiDir::load_ca`]; [`PkiError::BeyondCa`]; [`PkiError::Issue`] for a name that the profile does not allow;
/// errors of the record of issued certificates.
pub fn by_ca(
    pki: &PkiDir,
    clock_check: ClockCheck,
    name: &str,
    role: Role,
    days: Option<CertificateDays>,
) -> Result<Bundle, PkiError> {
    let lifetime = Lifetime::asked(days);
    let (mut ca, now) = (pki.load_ca(clock_check)?, Timestamp::now());
    let keys = TerminalKeys::generate(&mut SystemRandom)?;
    let requests = keys.requests(name, name)?;
    let read = |der: &[u8]| CertificateRequest::verify(der).map_err(PkiError::Request);
    let certificates = BundledCertificates {
        tls: ca.certify_tls_client(&read(&requests.tls)?, lifetime, now, &mut SystemRandom)?,
        ecka: ca.certify_terminal(card_role(role), &read(&requests.ecka)?, lifetime, now, &mut SystemRandom)?,
        ca: ca.authority().der().to_vec(),
        previous: match pki.previous()? {
            None => None,
            Some(previous) => {
                let mut before = previous.load_ca(clock_check)?;
                Some(under_previous(&mut before, role, lifetime.within_ca(), &requests.ecka, now)?)
            }
        },
    };
    Bundle::new(name, None, keys, certificates)
}

/// The terminal's certificate under the previous CA, for tokens not yet moved.
fn under_previous(
    ca: &mut Ca,
    role: Role,
    lifetime: Lifetime,
    request: &[u8],
    now: Timestamp,
) -> Result<BundledPrevious, PkiError> {
    let request = CertificateRequest::verify(request).map_err(PkiError::Request)?;
    let ecka = ca.certify_terminal(card_role(role), &request, lifetime, now, &mut SystemRandom)?;
    Ok(BundledPrevious { ca: ca.authority().der().to_vec(), ecka, endorsement: Vec::new() })
}

/// Fresh certificates for this terminal's keys, from the server.
///
/// # Errors
/// As [`PkiDir::renewal`] and [`PkiDir::renewed`]; the failure of the server, or `pki.bundle` when its answer cannot be
/// read.
pub fn renew(server: &ServerClient, home: &PkiDir) -> Result<Followed, Failure> {
    let requests = home.renewal(Timestamp::now())?;
    let answer = server.renew(&RenewalRequest {
        tls_request: BASE64_URL_SAFE_NO_PAD.encode(requests.tls),
        ecka_request: BASE64_URL_SAFE_NO_PAD.encode(requests.ecka),
    })?;
    Ok(home.renewed(&decoded(&answer)?)?)
}

/// The role towards tokens that follows from this role at the server.
const fn card_role(role: Role) -> x509::TerminalRole {
    match role {
        Role::Read => x509::TerminalRole::Read,
        Role::Enroll => x509::TerminalRole::Write,
        Role::Admin => x509::TerminalRole::Admin,
    }
}

fn decoded(answer: &v1::TerminalCertificates) -> Result<BundledCertificates, Failure> {
    let one = |text: &str| {
        BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| {
            Failure::new(ExitClass::Protocol, "server.protocol", "the server sent a certificate that cannot be read")
                .hint("terminal and server must be of the same release")
        })
    };
    let previous = |told: &v1::PreviousCertificates| {
        Ok::<_, Failure>(BundledPrevious {
            ca: one(&told.ca)?,
            ecka: one(&told.ecka)?,
            endorsement: one(&told.endorsement)?,
        })
    };
    Ok(BundledCertificates {
        tls: one(&answer.tls)?,
        ecka: one(&answer.ecka)?,
        ca: one(&answer.ca)?,
        previous: answer.previous.as_ref().map(previous).transpose()?,
    })
}

/// Writes a bundle to a file that only this user may read.
///
/// # Errors
/// [`PkiError::Io`]; the errors of [`Bundle::to_json`].
pub fn write(bundle: &Bundle, file: &Path) -> Result<(), PkiError> {
    files::replace(file, &bundle.to_json()?).map_err(|error| PkiError::Io { path: file.to_owned(), error })
}
