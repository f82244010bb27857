//! The names of the files in the folder.

// The files that stand alone.
pub const CA_KEY: &str = "ca.key";
pub const CA_CERTIFICATE: &str = "ca.crt";
pub const START_KEY: &str = "start.key";
pub const PERSO_KEY: &str = "perso.key";
/// The record of what the CA has issued.
pub const RECORD: &str = "issued.ndjson";

/// A key of this machine and the certificate beside it.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    pub key: &'static str,
    pub certificate: &'static str,
}

// The pairs: READ and ADMIN for tokens, TLS for the server, the server itself, and its signature.
pub const TERMINAL: Pair = Pair { key: "terminal-ecka.key", certificate: "terminal-ecka.crt" };
pub const ADMIN: Pair = Pair { key: "terminal-admin.key", certificate: "terminal-admin.crt" };
pub const CLIENT: Pair = Pair { key: "terminal-tls.key", certificate: "terminal-tls.crt" };
pub const SERVER: Pair = Pair { key: "server.key", certificate: "server.crt" };
pub const SIGNATURE: Pair = Pair { key: "server-signature.key", certificate: "server-signature.crt" };

/// The files that show that a machine holds a CA, or runs its server.
pub fn holds_a_ca() -> impl Iterator<Item = &'static str> {
    [CA_KEY, RECORD, ADMIN.key, SERVER.key, SIGNATURE.key].into_iter()
}
