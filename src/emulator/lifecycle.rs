//! SET STATUS, the manifest that seals an enrollment, and the card's stored date.

use super::{
    certificate::{ParsedCertificate, TerminalCertificate},
    command::Rights,
    encoding::Hex,
    persistent::{PersistentCard, Reply, failed, require_length},
    state::{CertifiedKey, Life, PersistentState},
};
use crate::{
    card::status::Status,
    crypto::{CryptoError, aes, ec::Point, same, sha256},
    token::constants::{
        KEY_CA, KEY_ECKA, KEY_IDENTITY, KVN_IDENTITY, KVN_OWN, KVN_SET, KVN_TOKEN_KEYS, TAG_DETAILS,
        TAG_ECKA_CERTIFICATE, TAG_IDENTITY, TAG_MODE, TAG_PORTRAIT, TAG_RECORD,
    },
};

/// How many months one certificate may advance the card's date.
const MONTHS_AHEAD: u8 = 3;
/// The last day that every month has.
const LAST_DAY: u8 = 28;

impl PersistentCard {
    /// SET STATUS: SCP03 resets and issues, ADMIN blocks, unblocks and terminates; no other transition.
    pub(super) fn set_status(&mut self, rights: Rights, target: Life, data: &[u8]) -> Reply {
        let allowed = match (rights, self.state.life, target) {
            (Rights::Enroller, Life::Personalised, Life::Issued) => return self.issue(data),
            (Rights::Enroller, Life::Blank | Life::Personalised, Life::Blank)
            | (Rights::Admin, Life::Issued, Life::Blocked | Life::Terminated)
            | (Rights::Admin, Life::Blocked, Life::Issued | Life::Terminated) => true,
            _ => false,
        };
        if !allowed {
            return Err(Status::CONDITIONS);
        }
        require_length(data, 0)?;
        if target != Life::Issued {
            self.clear_slots()?;
        }
        self.change(|state| match target {
            Life::Blank => state.reset(),
            Life::Terminated => state.terminate(),
            other => state.life = other,
        })?;
        Ok(Vec::new())
    }

    /// ISSUED requires that everything is present, and that the enroller's manifest equals the card's own.
    fn issue(&mut self, manifest: &[u8]) -> Reply {
        let date = self.state.issue_date().ok_or(Status::CONDITIONS)?;
        require_length(manifest, 32)?;
        if !same(&self.state.manifest().map_err(|e| failed(&e))?, manifest) {
            return Err(Status::WRONG_DATA);
        }
        self.change(|state| {
            state.life = Life::Issued;
            state.date = Hex(date);
        })?;
        Ok(Vec::new())
    }

    /// At the first valid C-MAC: refuses a certificate that expired before the card's date, or else advances the date
    /// to its notBefore, but by at most three months, so that one post-dated certificate cannot lock out all others.
    pub(super) fn admit(&mut self, certificate: &TerminalCertificate) -> Result<(), Status> {
        let now = self.state.date.0;
        if certificate.not_after < now {
            return Err(Status::CONDITIONS);
        }
        if certificate.not_before <= now {
            return Ok(());
        }
        let next = certificate.not_before.min(months_ahead(now));
        self.change(|state| state.date = Hex(next))
    }
}

/// Three calendar months later; the day is at most the 28th, which every month has.
fn months_ahead(date: [u8; 12]) -> [u8; 12] {
    let value = |at: usize| (date[at] - b'0') * 10 + (date[at + 1] - b'0');
    let mut out = date;
    let mut put = |at: usize, value: u8| {
        out[at] = b'0' + value / 10;
        out[at + 1] = b'0' + value % 10;
    };
    let mut month = value(2) + MONTHS_AHEAD;
    if month > 12 {
        month -= 12;
        put(0, value(0) + 1);
    }
    put(2, month);
    put(4, value(4).min(LAST_DAY));
    out
}

impl PersistentState {
    /// The notBefore of the identity certificate, if an ISSUED token would be complete.
    fn issue_date(&self) -> Option<[u8; 12]> {
        let identity = ParsedCertificate::read(&self.identity_certificate.0)?;
        let identity_fits = identity.point == self.identity_key.as_ref()?.0.public().as_bytes();
        let mode = self.mode?;
        let sets = KVN_SET.iter().filter_map(|version| self.ecka(*version)).collect::<Vec<_>>();
        let fits = identity_fits
            && !self.ca_keys.is_empty()
            && !self.record.0.is_empty()
            && self.ecka(KVN_OWN).is_some_and(CertifiedKey::is_whole)
            && sets.iter().all(|key| key.is_whole())
            && mode.private != sets.is_empty();
        fits.then_some(identity.not_before)
    }

    /// The manifest: SHA-256 over the sorted entries of all keys (without start keys) and objects.
    pub(super) fn manifest(&self) -> Result<[u8; 32], CryptoError> {
        let mut entries: Vec<Vec<u8>> = Vec::new();
        if let Some(keys) = self.token_keys() {
            for (id, key) in [(1, &keys.enc), (2, &keys.mac), (3, &keys.dek)] {
                entries.push([&[id, KVN_TOKEN_KEYS][..], &aes::check_value(key)?].concat());
            }
        }
        for (id, version, point) in self.points() {
            entries.push([&[id, version][..], point.as_bytes()].concat());
        }
        for (name, version, object) in self.objects().into_iter().filter(|(_, _, object)| !object.is_empty()) {
            entries.push([&name.to_be_bytes()[..], &[version], &sha256(&[&object])].concat());
        }
        entries.sort();
        Ok(sha256(&[&entries.concat()]))
    }

    fn points(&self) -> Vec<(u8, u8, Point)> {
        let mut points: Vec<_> = self.ca_keys.iter().map(|(version, key)| (KEY_CA, *version, key.point.0)).collect();
        points.extend(self.certified().map(|(version, key)| (KEY_ECKA, version, *key.pair.0.public())));
        points.extend(self.identity_key.iter().map(|key| (KEY_IDENTITY, KVN_IDENTITY, *key.0.public())));
        points
    }

    fn objects(&self) -> Vec<(u16, u8, Vec<u8>)> {
        let mode = self.mode.map(|mode| mode.object()).unwrap_or_default();
        let mut objects = vec![
            (TAG_MODE, 0, mode),
            (TAG_RECORD, 0, self.record.0.clone()),
            (TAG_DETAILS, 0, self.details.0.clone()),
            (TAG_PORTRAIT, 0, self.portrait.0.clone()),
            (TAG_IDENTITY, 0, self.identity_certificate.0.clone()),
        ];
        let certificates = self.certified().map(|(version, key)| (version, key.certificate.0.clone()));
        objects.extend(certificates.map(|(version, der)| (TAG_ECKA_CERTIFICATE, version, der)));
        objects
    }

    fn certified(&self) -> impl Iterator<Item = (u8, &CertifiedKey)> {
        self.ecka_keys.iter().filter_map(|(version, key)| Some((*version, key.in_force.as_ref()?)))
    }
}

impl CertifiedKey {
    /// Whether the certificate certifies this key.
    fn is_whole(&self) -> bool {
        ParsedCertificate::read(&self.certificate.0).is_some_and(|c| c.point == self.pair.0.public().as_bytes())
    }
}
