//! The two purposes of a certificate for TLS (RFC 5280, 4.2.1.12).

/// Which side of TLS a certificate is for; never both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsUse {
    /// A terminal that connects to a server.
    Client,
    /// A server.
    Server,
}

impl TlsUse {
    /// The word for people and scripts.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "tls-client",
            Self::Server => "tls-server",
        }
    }

    /// The OID, without tag and length: id-kp-clientAuth or id-kp-serverAuth.
    pub(super) const fn oid(self) -> [u8; 8] {
        let last = match self {
            Self::Client => 2,
            Self::Server => 1,
        };
        [0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, last]
    }

    pub(super) fn from_oid(oid: &[u8]) -> Option<Self> {
        [Self::Client, Self::Server].into_iter().find(|usage| usage.oid() == oid)
    }
}
