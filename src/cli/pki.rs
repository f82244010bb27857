//! `rollcall pki`: temporary
use super::{
    args::{PkiArgs, PkiCommand},
    printer::Printer,
};
use crate::{
    config::Settings,
    crypto::random::SystemRandom,
    failure::Failure,
    pki::{Caution, Home},
};
use jiff::Timestamp;
/// Runs the command.
pub fn run(args: &PkiArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let home = Home::new(settings.pki_folder());
    match args.command {
        PkiCommand::Init => {
            home.init(
                &[crate::crypto::x509::ServerName::Dns("localhost".into())],
                Caution::Usual,
                Timestamp::now(),
                &mut SystemRandom,
            )
            .map_err(|e| e.to_failure())?;
        }
        PkiCommand::Renew => {
            home.renew(
                &[crate::crypto::x509::ServerName::Dns("localhost".into())],
                Caution::Usual,
                Timestamp::now(),
                &mut SystemRandom,
            )
            .map_err(|e| e.to_failure())?;
        }
        _ => {}
    }
    out.note("done");
    Ok(0)
}
