//! The objects for a key or certificate of this machine, and for the bundle of another one.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    At, Schema,
    cells::{seconds, text, word},
};
use crate::{
    api::v1::Role,
    cli::{
        printer::{Column, Printable},
        table::{Cell, Style},
    },
};

/// One file of the folder `pki`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Pki {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Its path below `pki`.
    pub file: String,
    /// Certificate or key.
    pub kind: PkiKind,
    /// What it may be used for: `ca`, `terminal-read`, `terminal-admin`, `tls-client`, `tls-server`, `set` …
    pub class: Option<String>,
    /// The subject of a certificate.
    pub subject: Option<String>,
    /// The serial number of a certificate, in hex.
    pub serial: Option<String>,
    /// The beginning of its validity.
    pub not_before: Option<At>,
    /// The end of its validity.
    pub not_after: Option<At>,
    /// Whether it may be used now.
    pub state: PkiState,
    /// Whether it was made or renewed just now, by `pki init` or `pki renew`.
    pub new: bool,
}

/// What a file of the folder `pki` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PkiKind {
    /// A certificate.
    Certificate,
    /// A private key.
    PrivateKey,
    /// A symmetric key.
    SecretKey,
}

/// Whether a certificate or key may be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PkiState {
    /// It may.
    Valid,
    /// Its end is near.
    Expiring,
    /// Its end has passed.
    Expired,
    /// Its beginning lies ahead.
    NotYetValid,
    /// It cannot be read, others may read it, or key and certificate do not match.
    Broken,
}

/// The keys and certificates of a new terminal, in a file for `pki import`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TerminalBundleView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The name of the terminal.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The server that knows it; null where the CA alone has certified it.
    pub server: Option<String>,
    /// The end of the validity of its certificates.
    pub not_after: At,
    /// The file, which holds private keys.
    pub file: String,
}

impl Printable for Pki {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("file", |pki| pki.file.clone(), 1, "FILE", |pki| pki.file.as_str().into()),
        Column::csv("kind", |pki| word(&pki.kind)),
        Column::both("class", |pki| text(pki.class.as_ref()), 2, "CLASS", |pki| text(pki.class.as_ref()).into()),
        Column::both(
            "subject",
            |pki| text(pki.subject.as_ref()),
            3,
            "SUBJECT",
            |pki| text(pki.subject.as_ref()).into(),
        ),
        Column::csv("serial", |pki| text(pki.serial.as_ref())),
        Column::csv("not_before", |pki| text(pki.not_before.as_ref())),
        Column::both(
            "not_after",
            |pki| text(pki.not_after.as_ref()),
            5,
            "UNTIL",
            |pki| pki.not_after.map(|at| seconds(at.0)).unwrap_or_default(),
        ),
        Column::both("state", |pki| word(&pki.state), 4, "STATE", |pki| pki.state.cell()),
        Column::both(
            "new",
            |pki| pki.new.to_string(),
            6,
            "",
            |pki| {
                if pki.new { Cell::new("new", Style::Strong) } else { Cell::default() }
            },
        ),
    ];
}

impl PkiState {
    fn cell(self) -> Cell {
        let style = match self {
            Self::Valid => Style::Good,
            Self::Expiring => Style::Warning,
            Self::Expired | Self::NotYetValid | Self::Broken => Style::Bad,
        };
        Cell::new(word(&self).replace('_', " "), style)
    }
}

impl Printable for TerminalBundleView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("name", |one| one.name.clone(), 1, "TERMINAL", |one| Cell::new(&one.name, Style::Strong)),
        Column::both("role", |one| word(&one.role), 2, "ROLE", |one| word(&one.role).into()),
        Column::both("server", |one| text(one.server.as_ref()), 5, "SERVER", |one| text(one.server.as_ref()).into()),
        Column::both("not_after", |one| one.not_after.to_string(), 4, "UNTIL", |one| seconds(one.not_after.0)),
        Column::both("file", |one| one.file.clone(), 3, "FILE", |one| one.file.as_str().into()),
    ];
}
