//! `rollcall enroll`: makes blank cards somebody's tokens: one card, or a batch of them.

mod authority;
mod batch;
pub mod failure;
mod office;
mod portrait;
mod replace;
mod sets;

use jiff::Timestamp;

use self::failure::enrollment;
use super::{args::EnrollArgs, json, printer::Printer, readers, station};
use crate::{
    api::User,
    config::Settings,
    failure::{ExitClass, Failure},
    reader,
    terminal::enrollment::{Applicant, Ending, EnrollmentReport},
    terminal::presence::store::TerminalStore,
    token::{open::RememberedItem, record::Layout},
};
use office::EnrollmentContext;

/// Runs the command.
pub fn run(args: &EnrollArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let (Some(id), Some(name)) = (&args.id, &args.name) else {
        return batch::run(&args.batch, &args.private, settings, out);
    };
    let user = User { id: id.clone(), name: name.clone(), fields: args.fields.iter().cloned().collect() };
    // A user that does not fit is refused before a card is touched.
    Layout::of(&user).map_err(|e| enrollment(&e.into(), 0))?;
    let portrait = args.portrait.as_deref().map(portrait::one).transpose()?;
    let office = EnrollmentContext::open(settings, &args.private)?;
    let reader = one_reader(settings)?;
    let lost = args.replace.map(|named| replace::lost(named, &user, &office, settings, out)).transpose()?;
    let mut progress = |done, of, what: &'static str| out.progress(what, done as u64, Some(of as u64));
    let done = office.enroll(&reader, &mut &Applicant { user, portrait, lost }, &mut progress);
    out.progress_end();
    let done = done.map_err(|failed| failed.to_failure())?;
    office.close(&done.report)?;
    remember(&mut station::store(settings)?, &done.learned)?;
    if done.report.test_keys {
        warn_of_test_keys(out);
    }
    out.object(&object(&reader, &done.report))?;
    Ok(0)
}

fn warn_of_test_keys(out: &mut Printer) {
    out.warning(
        "this card carries the public GlobalPlatform TEST KEYS: whoever watched this enrollment knows its keys",
        Some("use it for tests only; install the applet with start keys of your own (see the README)"),
    );
}

/// The certificates were just read: the first tap at this terminal need not read them again.
pub fn remember(store: &mut TerminalStore, learned: &[(RememberedItem, Option<Vec<u8>>)]) -> Result<(), Failure> {
    for (item, der) in learned {
        if let Some(der) = der {
            store.keep_certificate(&super::outcome::certificate_of(*item), der)?;
        }
    }
    Ok(())
}

fn object(reader: &str, report: &EnrollmentReport) -> json::Enroll {
    json::Enroll {
        schema: json::Schema::default(),
        at: Timestamp::now().into(),
        reader: reader.to_owned(),
        token_id: Some(report.token_id),
        user: Some(report.user.clone()),
        error: None,
        result: Some(match report.ending {
            Ending::Enrolled => json::Enrolled::Enrolled,
            Ending::Resumed => json::Enrolled::Resumed,
            Ending::Replaced => json::Enrolled::Replaced,
        }),
        set: report.set.map(|set| set.to_string()),
        test_keys: report.test_keys,
    }
}

/// The one reader that is meant and has a card.
pub fn one_reader(settings: &Settings) -> Result<String, Failure> {
    let there = reader::pcsc::list()?;
    if there.is_empty() {
        return Err(readers::none());
    }
    let meant = settings.readers.pick(&there)?;
    let occupied: Vec<_> = meant.into_iter().filter(|r| r.slot.is_occupied()).map(|r| r.name.clone()).collect();
    match occupied.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new(ExitClass::No, "scan.nobody", "no card is in range").hint("put a card on a reader")),
        several => Err(Failure::new(
            ExitClass::Usage,
            "reader.ambiguous",
            format!("{} readers have a card: {}", several.len(), several.join(", ")),
        )
        .hint("name one: --reader NAME")),
    }
}
