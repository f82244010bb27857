//! Issues keys and certificates for another terminal as one file, by the local CA or through the server.

use std::path::Path;

use super::{
    printer::Printer,
    views::{Schema, TerminalBundleView},
};
use crate::{
    api::v1::Role,
    failure::{ExitClass, Failure},
    pki::{Bundle, CertificateDays, ClockCheck, PkiDir},
    server_client::ServerClient,
    terminal::administration::terminals,
};

/// Has the server register and certify a terminal.
///
/// # Errors
/// `file.exists`; that of the server; `pki.…` when the bundle cannot be made or written; that of the output.
pub fn through_server(
    server: &ServerClient,
    name: &str,
    role: Role,
    days: Option<CertificateDays>,
    file: &Path,
    out: &mut Printer,
) -> Result<(), Failure> {
    require_free(file)?;
    write(&terminals::through_server(server, name, role, days)?, role, file, out)
}

/// Certifies a terminal with the local CA.
///
/// # Errors
/// `file.exists`; `pki.…` when the CA cannot certify, or the bundle cannot be written; that of the output.
pub fn by_ca(
    pki: &PkiDir,
    clock_check: ClockCheck,
    name: &str,
    role: Role,
    days: Option<CertificateDays>,
    file: &Path,
    out: &mut Printer,
) -> Result<(), Failure> {
    require_free(file)?;
    write(&terminals::by_ca(pki, clock_check, name, role, days)?, role, file, out)
}

/// Refuses to overwrite an existing file.
///
/// # Errors
/// `file.exists`.
pub fn require_free(file: &Path) -> Result<(), Failure> {
    if !file.exists() {
        return Ok(());
    }
    Err(Failure::new(ExitClass::Io, "file.exists", format!("{} already exists", file.display()))
        .hint("name a file that does not exist yet"))
}

fn write(bundle: &Bundle, role: Role, file: &Path, out: &mut Printer) -> Result<(), Failure> {
    let not_after = bundle.identity()?.end.into();
    terminals::write(bundle, file)?;
    out.note(&format!(
        "{} is in {}: take that file there, run rollcall pki import, and delete it",
        bundle.name,
        file.display()
    ));
    out.object_for_programs(&TerminalBundleView {
        schema: Schema::default(),
        name: bundle.name.clone(),
        role,
        server: bundle.server.clone(),
        not_after,
        file: file.display().to_string(),
    })
}
