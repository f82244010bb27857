//! Parses the table `[board]`: where the page of present users is served, and what it shows; or its address alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::entry::ConfigEntry;
use super::error::ConfigError;

const KEYS: [&str; 9] = ["certificate", "expected", "fields", "hosts", "key", "listen", "portraits", "texts", "title"];
/// The default port of a board.
const PORT: u16 = 7480;

/// The settings of the board.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoardSettings {
    /// Where it listens; none: no board is served unless the command line asks for one.
    pub listen: Option<SocketAddr>,
    /// The names under which browsers reach it over a network.
    pub hosts: Vec<String>,
    /// The certificate chain (PEM).
    pub certificate: Option<PathBuf>,
    /// Its private key (PEM).
    pub key: Option<PathBuf>,
    /// The user fields shown besides the name.
    pub fields: Vec<String>,
    /// Whether it shows portraits.
    pub portraits: bool,
    /// A file with the expected users.
    pub expected: Option<PathBuf>,
    /// The name of the site.
    pub title: Option<String>,
    /// A file with texts in another language.
    pub texts: Option<PathBuf>,
}

impl BoardSettings {
    /// The default address.
    pub const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), PORT);

    /// Reads the table, or the address alone.
    ///
    /// # Errors
    /// [`ConfigError::UnknownKey`] or [`ConfigError::BadValue`].
    pub fn take(entry: &ConfigEntry<'_>) -> Result<Self, ConfigError> {
        let mut board = Self::default();
        if entry.text().is_ok() {
            board.listen = Some(entry.address(PORT)?);
            return Ok(board);
        }
        for key in entry.entries()? {
            match key.key() {
                "listen" => board.listen = Some(key.address(PORT)?),
                "hosts" => board.hosts = hosts(&key)?,
                "certificate" => board.certificate = Some(key.text()?.into()),
                "key" => board.key = Some(key.text()?.into()),
                "fields" => board.fields = key.texts()?,
                "portraits" => board.portraits = key.truth()?,
                "expected" => board.expected = Some(key.text()?.into()),
                "title" => board.title = Some(key.text()?.to_owned()),
                "texts" => board.texts = Some(key.text()?.into()),
                _ => return Err(key.unknown(&KEYS)),
            }
        }
        Ok(board)
    }
}

/// Host names without scheme and port.
fn hosts(entry: &ConfigEntry<'_>) -> Result<Vec<String>, ConfigError> {
    let hosts = entry.texts()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    match hosts.iter().find(|host| !host.chars().all(plain)) {
        Some(host) => Err(entry.bad(format!("{host:?} is not a host name such as \"desk.example.org\""))),
        None => Ok(hosts),
    }
}
