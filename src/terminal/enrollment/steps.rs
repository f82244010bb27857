//! The steps of an enrollment, all inside one SCP03 session. Each may be repeated: a step whose answer was lost is
//! redone.

use crate::channel::CommandName;
use crate::{
    card::{link::Link, status::Status, tlv},
    channel::scp03::StaticKeys,
    crypto::{
        aes,
        ec::Point,
        x509::{Certificate, CertificateProfile},
    },
    pki::Set,
    token::{
        TokenError, commands,
        constants::{
            KEY_CA, KEY_ECKA, KEY_IDENTITY, KVN_CA, KVN_IDENTITY, KVN_OWN, KVN_SET, KVN_TOKEN_KEYS, TAG_DETAILS,
            TAG_IDENTITY, TAG_MODE, TAG_PORTRAIT, TAG_RECORD,
        },
        record::Layout,
        select::LifeCycle,
        session::Session,
    },
};

use super::{
    certification::{KeysToCertify, TokenAuthority},
    failure::EnrollError,
    journal::{Journal, JournalEntry, Progress},
    manifest::Manifest,
};

/// The step that an enrollment is about to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnrollmentStep {
    /// Write the token's own SCP03 keys.
    OwnKeys,
    /// Write the CA key, the mode and the token id.
    CaKey,
    /// Let the card generate its own ECKA key.
    EckaKey,
    /// Let the card generate its identity key.
    IdentityKey,
    /// Have both keys certified.
    Certification,
    /// Write the certificates.
    Certificates,
    /// Write the user record.
    Record,
    /// Set the status to ISSUED.
    Status,
    /// Authenticate the token as every tap will.
    Verification,
}

impl EnrollmentStep {
    /// The number of steps before the verification.
    pub const COUNT: usize = 8;

    /// The number of steps before this one.
    pub const fn done(self) -> usize {
        self as usize
    }

    /// A description of the step.
    pub const fn words(self) -> &'static str {
        match self {
            Self::OwnKeys => "the token's own keys",
            Self::CaKey => "the CA key and the token id",
            Self::EckaKey => "the ECKA key",
            Self::IdentityKey => "the identity key",
            Self::Certification => "the certificates",
            Self::Certificates => "the certificates on the card",
            Self::Record => "the user record",
            Self::Status => "the status",
            Self::Verification => "verifying the token",
        }
    }

    /// The step that follows this progress.
    const fn after(done: Progress) -> Self {
        match done {
            Progress::Begun => Self::OwnKeys,
            Progress::Keyed => Self::CaKey,
            Progress::Named => Self::EckaKey,
            Progress::EckaGenerated => Self::IdentityKey,
            Progress::Generated => Self::Certification,
            Progress::Certified | Progress::EckaStored | Progress::SetStored => Self::Certificates,
            Progress::IdentityStored => Self::Record,
            Progress::Recorded | Progress::Issuing => Self::Status,
        }
    }
}

/// One run over the remaining steps.
pub(super) struct EnrollmentRun<'a> {
    /// Certifies the keys.
    pub authority: &'a mut dyn TokenAuthority,
    /// Where the progress is recorded.
    pub journal: &'a Journal,
    /// Called before each step.
    pub progress: &'a mut dyn FnMut(EnrollmentStep),
    /// The SCP03 session with the card.
    pub session: Session,
    /// The progress so far.
    pub entry: JournalEntry,
    /// The card's own SCP03 keys.
    pub own_keys: StaticKeys,
    /// The portrait for the card, if there is one.
    pub portrait: Option<Vec<u8>>,
    /// The set to join; `None` in open mode.
    pub set: Option<Set>,
}

impl EnrollmentRun<'_> {
    /// Takes the remaining steps in order; returns the entry when the next step does not involve the card.
    ///
    /// # Errors
    /// The [`EnrollError`] of the step that failed; the journal holds the steps before it.
    pub fn finish(mut self, link: &mut dyn Link) -> Result<Option<JournalEntry>, EnrollError> {
        let layout = Layout::of(&self.entry.user)?;
        loop {
            let done = self.entry.progress;
            (self.progress)(EnrollmentStep::after(done));
            match done {
                Progress::Begun => self.key(link)?,
                Progress::Keyed => self.name(link)?,
                Progress::Named => self.generate_ecka(link)?,
                Progress::EckaGenerated => self.generate_identity(link)?,
                Progress::Generated if !self.authority.is_here() => return Ok(Some(self.entry)),
                Progress::Generated => certify(self.authority, self.journal, &mut self.entry)?,
                Progress::Certified => self.store_ecka(link)?,
                Progress::EckaStored if self.set.is_some() => self.store_set(link)?,
                Progress::EckaStored | Progress::SetStored => self.store_identity(link)?,
                Progress::IdentityStored => self.write_record(link, &layout)?,
                Progress::Recorded => self.advance(Progress::Issuing)?,
                Progress::Issuing => {
                    self.issue(link, &layout)?;
                    return Ok(None);
                }
            }
        }
    }

    fn advance(&mut self, progress: Progress) -> Result<(), EnrollError> {
        self.entry.progress = progress;
        self.journal.save(&self.entry)
    }

    /// Resets the card so that it is truly blank, then writes the per-token keys, which replace the start keys in use.
    fn key(&mut self, link: &mut dyn Link) -> Result<(), EnrollError> {
        self.session.tell(link, CommandName::SetStatusBlank, &commands::set_status(LifeCycle::Blank, None))?;
        let command = commands::put_token_keys(&self.own_keys, self.session.dek()?)?;
        let answer = self.session.send(link, CommandName::PutKey, &command)?;
        let mut expected = vec![KVN_TOKEN_KEYS];
        for key in [&self.own_keys.enc, &self.own_keys.mac, &self.own_keys.dek] {
            expected.extend_from_slice(&aes::check_value(key)?);
        }
        confirm(CommandName::PutKey, &answer, &expected)?;
        self.advance(Progress::Keyed)
    }

    fn name(&mut self, link: &mut dyn Link) -> Result<(), EnrollError> {
        let ca = *self.authority.ca();
        let kvn = KVN_CA[0];
        let answer = self.session.send(link, CommandName::PutKey, &commands::put_ca_key(kvn, &ca))?;
        confirm(CommandName::PutKey, &answer, &[kvn])?;
        let identifier = commands::store_ca_identifier(kvn, &ca.key_identifier());
        self.session.tell(link, CommandName::StoreData, &identifier)?;
        self.session.tell(link, CommandName::PutData, &commands::write_object(TAG_MODE, &self.mode()))?;
        self.advance(Progress::Named)
    }

    /// The object `01 00`: the mode and the token id.
    fn mode(&self) -> Vec<u8> {
        [&[u8::from(self.set.is_some())], &self.entry.token_id.as_bytes()[..]].concat()
    }

    fn generate_ecka(&mut self, link: &mut dyn Link) -> Result<(), EnrollError> {
        let point = self.generate(link, &commands::generate_ecka_key(KVN_OWN))?;
        self.entry.ecka_key = Some(hex::encode(point.as_bytes()));
        self.advance(Progress::EckaGenerated)
    }

    fn generate_identity(&mut self, link: &mut dyn Link) -> Result<(), EnrollError> {
        let point = self.generate(link, &commands::generate_identity_key())?;
        self.entry.identity_key = Some(hex::encode(point.as_bytes()));
        self.advance(Progress::Generated)
    }

    fn store_ecka(&mut self, link: &mut dyn Link) -> Result<(), EnrollError> {
        let command = commands::store_ecka_certificate(KVN_OWN, &self.ecka()?);
        self.session.tell(link, CommandName::StoreData, &command)?;
        self.advance(Progress::EckaStored)
    }

    /// Writes the key and its certificate together: the certificate activates the key.
    fn store_set(&mut self, link: &mut dyn Link) -> Result<(), EnrollError> {
        let Some(set) = &self.set else { return Ok(()) };
        let kvn = KVN_SET[0];
        let command = commands::put_set_key(kvn, &*set.key.scalar()?, self.session.dek()?)?;
        let answer = match self.session.send(link, CommandName::PutKey, &command) {
            // With its own keys the card no longer shows that it came with the test keys, and the journal of that run
            // is not here.
            Err(TokenError::Refused { status: Status::CONDITIONS, .. }) => return Err(EnrollError::TestKeysPrivate),
            answer => answer?,
        };
        confirm(CommandName::PutKey, &answer, &[kvn])?;
        let command = commands::store_ecka_certificate(kvn, set.certificate.der());
        self.session.tell(link, CommandName::StoreData, &command)?;
        self.advance(Progress::SetStored)
    }

    fn store_identity(&mut self, link: &mut dyn Link) -> Result<(), EnrollError> {
        let command = commands::write_object(TAG_IDENTITY, &self.identity()?);
        self.session.tell(link, CommandName::PutData, &command)?;
        self.advance(Progress::IdentityStored)
    }

    fn generate(&mut self, link: &mut dyn Link, command: &crate::card::apdu::Command) -> Result<Point, EnrollError> {
        const STEP: CommandName = CommandName::GenerateKey;
        let answer = self.session.send(link, STEP, command)?;
        let point = tlv::only(&answer, 0xB0).ok().and_then(|bytes| Point::parse(bytes).ok());
        Ok(point.ok_or(TokenError::Form(STEP))?)
    }

    fn write_record(&mut self, link: &mut dyn Link, layout: &Layout) -> Result<(), EnrollError> {
        const STEP: CommandName = CommandName::PutData;
        self.session.tell(link, STEP, &commands::write_object(TAG_RECORD, &layout.compact))?;
        for (tag, object) in [(TAG_DETAILS, &layout.details), (TAG_PORTRAIT, &self.portrait)] {
            if let Some(object) = object {
                self.session.write_parts(link, tag, object)?;
            }
        }
        self.advance(Progress::Recorded)
    }

    /// The card compares the manifest with what it holds, so a swapped key or a lost write is detected here.
    fn issue(&mut self, link: &mut dyn Link, layout: &Layout) -> Result<(), EnrollError> {
        let digest = self.manifest(layout)?.digest();
        self.session.tell(
            link,
            CommandName::SetStatusIssued,
            &commands::set_status(LifeCycle::Issued, Some(digest)),
        )?;
        Ok(())
    }

    fn manifest(&self, layout: &Layout) -> Result<Manifest, EnrollError> {
        let mut manifest = Manifest::default();
        for (kid, key) in [(1, &self.own_keys.enc), (2, &self.own_keys.mac), (3, &self.own_keys.dek)] {
            manifest.check_value(kid, KVN_TOKEN_KEYS, aes::check_value(key)?);
        }
        let (ecka, identity) = (self.ecka()?, self.identity()?);
        let ca = self.authority.ca();
        manifest.point(KEY_CA, KVN_CA[0], ca);
        manifest.point(KEY_ECKA, KVN_OWN, Certificate::verify(&ecka, ca, &[CertificateProfile::TokenEcka])?.point());
        let identity_point = *Certificate::verify(&identity, ca, &[CertificateProfile::Identity])?.point();
        manifest.point(KEY_IDENTITY, KVN_IDENTITY, &identity_point);
        manifest.object(0xBF21, KVN_OWN, &ecka);
        if let Some(set) = &self.set {
            manifest.point(KEY_ECKA, KVN_SET[0], set.key.public());
            manifest.object(0xBF21, KVN_SET[0], set.certificate.der());
        }
        manifest.object(TAG_IDENTITY, 0, &identity);
        manifest.object(TAG_MODE, 0, &self.mode());
        manifest.object(TAG_RECORD, 0, &layout.compact);
        if let Some(details) = &layout.details {
            manifest.object(TAG_DETAILS, 0, details);
        }
        if let Some(portrait) = &self.portrait {
            manifest.object(TAG_PORTRAIT, 0, portrait);
        }
        Ok(manifest)
    }

    fn ecka(&self) -> Result<Vec<u8>, EnrollError> {
        journaled(self.entry.ecka.as_ref())
    }

    fn identity(&self) -> Result<Vec<u8>, EnrollError> {
        journaled(self.entry.identity.as_ref())
    }
}

/// Has the keys of an entry certified, and puts the certificates into the journal.
///
/// # Errors
/// As [`TokenAuthority::certify`]; [`EnrollError::Token`] for certificates that do not verify;
/// [`EnrollError::JournalDamaged`] when a key is missing; [`EnrollError::Journal`].
pub fn certify(
    authority: &mut dyn TokenAuthority,
    journal: &Journal,
    entry: &mut JournalEntry,
) -> Result<(), EnrollError> {
    let wanted = KeysToCertify {
        token_id: entry.token_id,
        user: entry.user.clone(),
        ecka: key(entry.ecka_key.as_ref())?,
        identity: key(entry.identity_key.as_ref())?,
        replaces: entry.replaces,
    };
    let certificates = authority.certify(&wanted)?;
    certificates.check(&wanted, authority.ca())?;
    entry.ecka = Some(hex::encode(certificates.ecka));
    entry.identity = Some(hex::encode(certificates.identity));
    entry.progress = Progress::Certified;
    journal.save(entry)
}

/// A key that an earlier step put into the journal.
fn key(text: Option<&String>) -> Result<Point, EnrollError> {
    journaled(text).and_then(|bytes| Point::parse(&bytes).map_err(|_| EnrollError::JournalDamaged))
}

/// Refuses a confirmation by the card that does not match the keys sent.
fn confirm(step: CommandName, answer: &[u8], expected: &[u8]) -> Result<(), EnrollError> {
    if answer == expected { Ok(()) } else { Err(TokenError::Form(step).into()) }
}

/// Bytes that an earlier step put into the journal.
fn journaled(certificate: Option<&String>) -> Result<Vec<u8>, EnrollError> {
    certificate.and_then(|text| hex::decode(text).ok()).ok_or(EnrollError::JournalDamaged)
}
