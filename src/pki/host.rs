//! The names of this machine, for the server's certificate.

use crate::crypto::x509::ServerName;

/// The names under which a server on this machine is reached. A host name that is invalid by RFC 1123 is left out.
pub fn server_names() -> Vec<ServerName> {
    let host =
        ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(|path| std::fs::read_to_string(path).ok());
    let local = ["localhost", "127.0.0.1", "::1"].into_iter().chain(host.as_deref().map(str::trim));
    let mut names: Vec<ServerName> = Vec::new();
    for name in local.filter_map(ServerName::parse) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
