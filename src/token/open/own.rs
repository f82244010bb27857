//! Opens a channel under the token's own key, the only channel that accepts changes. An open token announces that key;
//! the certificate of a private token's own key can only be read through a channel under the key of its set.

use super::{
    AuthenticationContext, Certificate, CertificateProfile, Channel, KVN_OWN, Link, Selected, Status, TokenError,
    TokenMode, Uuid, commands,
};
use crate::channel::CommandName;

impl AuthenticationContext<'_> {
    /// Opens a channel under the selected token's own key, and returns the id in its certificate. The receipt proves
    /// that the token holds the key, as in [`AuthenticationContext::open`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_own(&mut self, link: &mut dyn Link, selected: &Selected) -> Result<(Uuid, Channel), TokenError> {
        if let Some(TokenMode::Open(id)) = selected.mode {
            return Ok((id, self.open(link, selected)?));
        }
        let certificate = self.own_certificate(link, selected)?;
        let id = certificate.subject().parse().map_err(|_| TokenError::IdentityMismatch)?;
        self.select_again(link, selected)?;
        Ok((id, self.handshake(link, selected, KVN_OWN, &certificate)?))
    }

    fn own_certificate(&mut self, link: &mut dyn Link, selected: &Selected) -> Result<Certificate, TokenError> {
        const STEP: CommandName = CommandName::GetCertificate;
        let mut session = self.open(link, selected)?.session;
        let der = match session.send(link, STEP, &commands::ecka_certificate(KVN_OWN)) {
            // A blocked token answers this too, so the remaining cause is that it considers our certificate outdated.
            Err(TokenError::Refused { status: Status::CONDITIONS, .. }) => {
                return Err(TokenError::TerminalRefused(Status::CONDITIONS));
            }
            der => der?,
        };
        let certificate = self.credentials.verify(&der, CertificateProfile::TokenEcka)?;
        certificate.check_time(self.now)?;
        Ok(certificate)
    }
}
