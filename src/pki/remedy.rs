//! Says how a certificate is renewed, which depends on where it is.

use super::{
    CertificateClass,
    new_bundle::{IMPORT, ISSUE_TERMINAL, bundle_from_server},
};
use crate::{
    crypto::x509::{CertificateProfile, TlsUse},
    failure::Remedy,
};

/// Where a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificatePlace {
    /// On the machine with the CA key.
    pub has_ca_key: bool,
    /// On a terminal that has a server.
    pub has_server: bool,
}

impl CertificatePlace {
    /// How to renew a certificate of this class here, in time or after it has expired.
    pub fn renewal(self, class: CertificateClass, has_ended: bool) -> Remedy {
        match class {
            // A CA cannot be renewed in place.
            CertificateClass::Authority if self.has_ca_key => Remedy::run("rollcall pki rotate-ca"),
            CertificateClass::Authority => Remedy::with("where the CA key is", "rollcall pki rotate-ca"),
            _ if self.has_ca_key => Remedy::run("rollcall pki renew"),
            CertificateClass::Tls(TlsUse::Server) => Remedy::with("where the CA key is", "rollcall pki issue server"),
            CertificateClass::Profile(CertificateProfile::ServerSignature) => {
                Remedy::with("where the CA key is", "rollcall pki renew")
            }
            _ if self.has_server && !has_ended => Remedy::run("rollcall pki renew"),
            // The server refuses a terminal whose certificate has expired.
            _ if self.has_server => bundle_from_server("an administrator makes a new bundle under the same name"),
            _ => Remedy::with("where the CA key is", ISSUE_TERMINAL).and(IMPORT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_certificate_is_renewed_by_what_cannot_renew_it() {
        let terminal = CertificateClass::Tls(TlsUse::Client);
        let renewal = |has_ca_key, has_server, class, has_ended| {
            CertificatePlace { has_ca_key, has_server }.renewal(class, has_ended).to_string()
        };
        for (has_server, has_ended) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(renewal(true, has_server, terminal, has_ended), "rollcall pki renew");
            assert_eq!(
                renewal(false, has_server, CertificateClass::Authority, has_ended),
                "where the CA key is: rollcall pki rotate-ca"
            );
        }
        let signature = CertificateClass::Profile(CertificateProfile::ServerSignature);
        assert_eq!(renewal(false, true, signature, false), "where the CA key is: rollcall pki renew");
        assert_eq!(renewal(false, true, terminal, false), "rollcall pki renew");
        assert!(renewal(false, true, terminal, true).contains("rollcall server terminal add NAME --out FILE; then"));
        for has_ended in [false, true] {
            let desk = renewal(false, false, terminal, has_ended);
            assert!(
                desk.contains("rollcall pki issue terminal NAME --out FILE; then, here: rollcall pki import"),
                "{desk}"
            );
        }
    }
}
