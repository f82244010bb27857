//! The names of the token protocol's commands, for errors and traces.

use std::fmt;

/// A command of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandName {
    /// SELECT of our application (ISO/IEC 7816-4, 11.1.1).
    Select,
    /// PSO VERIFY CERTIFICATE (GP Amendment F, 7.5).
    VerifyCertificate,
    /// MUTUAL AUTHENTICATE of SCP11a.
    MutualAuthenticate,
    /// INITIALIZE UPDATE of SCP03.
    InitializeUpdate,
    /// EXTERNAL AUTHENTICATE of SCP03.
    ExternalAuthenticate,
    /// INTERNAL AUTHENTICATE with the presence proof.
    InternalAuthenticate,
    /// RESUME: the token's cryptogram under the key of an earlier tap.
    Resume,
    /// INTERNAL AUTHENTICATE in a resumed channel: returns id, counter and record.
    ResumedPresence,
    /// GET DATA of the state, over an open channel.
    Heartbeat,
    /// GET DATA of an ECKA certificate.
    GetCertificate,
    /// GET DATA of the identity certificate.
    GetIdentityCertificate,
    /// GET DATA of the compact record.
    GetRecord,
    /// GET DATA that looks up a CA key by its identifier.
    LookUpCa,
    /// GET DATA of the list of CA keys.
    ListCas,
    /// GET DATA of one part of an object.
    GetPart,
    /// PUT DATA: a whole object, a part, or the commit.
    PutData,
    /// STORE DATA of a certificate or CA identifier.
    StoreData,
    /// PUT KEY.
    PutKey,
    /// GENERATE KEY.
    GenerateKey,
    /// DELETE KEY.
    DeleteKey,
    /// SET STATUS of an issued token.
    SetStatus,
    /// SET STATUS to BLANK: the reset of an enrollment.
    SetStatusBlank,
    /// SET STATUS to ISSUED, which seals an enrollment.
    SetStatusIssued,
    /// A command typed by the operator (`rollcall apdu --secure`).
    Typed,
}

impl CommandName {
    /// The name shown to people and in traces: the name in the standard.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::VerifyCertificate => "PERFORM SECURITY OPERATION",
            Self::MutualAuthenticate => "MUTUAL AUTHENTICATE",
            Self::InitializeUpdate => "INITIALIZE UPDATE",
            Self::ExternalAuthenticate => "EXTERNAL AUTHENTICATE",
            Self::InternalAuthenticate => "INTERNAL AUTHENTICATE",
            Self::Resume => "RESUME",
            Self::ResumedPresence => "INTERNAL AUTHENTICATE of a resumed channel",
            Self::Heartbeat => "the heartbeat",
            Self::GetCertificate => "GET DATA certificate",
            Self::GetIdentityCertificate => "GET DATA identity certificate",
            Self::GetRecord => "GET DATA record",
            Self::LookUpCa => "GET DATA CA lookup",
            Self::ListCas => "GET DATA CA list",
            Self::GetPart => "GET DATA part",
            Self::PutData => "PUT DATA",
            Self::StoreData => "STORE DATA",
            Self::PutKey => "PUT KEY",
            Self::GenerateKey => "GENERATE KEY",
            Self::DeleteKey => "DELETE KEY",
            Self::SetStatus => "SET STATUS",
            Self::SetStatusBlank => "SET STATUS BLANK",
            Self::SetStatusIssued => "SET STATUS ISSUED",
            Self::Typed => "a command that was typed",
        }
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_by_its_name_in_the_standard() {
        assert_eq!(CommandName::MutualAuthenticate.to_string(), "MUTUAL AUTHENTICATE");
    }
}
