//! `rollcall enroll`: makes blank cards somebody's tokens: one card, or a batch of them.

mod batch;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    args::{EnrollArgs, PrivateArgs},
    confirm::{confirm, short},
    context::terminal_context,
    printer::Printer,
    views,
};
use crate::{
    api::User,
    config::Settings,
    failure::Failure,
    terminal::{
        enrollment::{
            Applicant, Ending, EnrollError, EnrollmentReport, EnrollmentStep,
            context::EnrollmentContext,
            portrait,
            replacement::LostToken,
            sets::{PrivateRequest, SetRequest},
        },
        readers::one_reader,
    },
    token::record::Layout,
};

/// Runs the command.
///
/// # Errors
/// `enroll.…` for a user, a portrait or a card that cannot be taken; that of the keys, the server, the reader or the
/// output.
pub fn run(args: &EnrollArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let (Some(id), Some(name)) = (&args.id, &args.name) else {
        return batch::run(&args.batch, &args.private, settings, out);
    };
    let user = User { id: id.clone(), name: name.clone(), fields: args.fields.iter().cloned().collect() };
    // A user that does not fit is refused before a card is touched.
    Layout::of(&user).map_err(EnrollError::from)?;
    let portrait = args.portrait.as_deref().map(portrait::one).transpose()?;
    let enrollment = EnrollmentContext::open(&terminal_context(settings), private_request(&args.private))?;
    let reader = one_reader(&settings.readers)?;
    let lost = args.replace.map(|named| lost_token(named, &user, &enrollment, settings, out)).transpose()?;
    let mut progress = |step: EnrollmentStep| {
        out.progress(step.words(), step.done() as u64, Some(EnrollmentStep::COUNT as u64));
    };
    let done = enrollment.enroll(&reader, &mut &Applicant { user, portrait, lost }, &mut progress);
    out.progress_end();
    let done = done.map_err(|failed| failed.to_failure())?;
    enrollment.close(&done.report)?;
    done.remember(&mut enrollment.terminal().store()?)?;
    if done.report.test_keys {
        warn_of_test_keys(out);
    }
    out.object(&show_enrolled(&reader, &done.report))?;
    Ok(0)
}

/// What was asked for, for tokens in private mode.
fn private_request(args: &PrivateArgs) -> Option<PrivateRequest> {
    let set = args.set.map(SetRequest::Named).or(args.set_size.map(SetRequest::Sized))?;
    Some(PrivateRequest { set, accept_trackable: args.accept_trackable })
}

/// The token that is refused from now on. It is asked about, unless an earlier run has begun to replace it.
fn lost_token(
    named: Option<Uuid>,
    user: &User,
    enrollment: &EnrollmentContext,
    settings: &Settings,
    out: &mut Printer,
) -> Result<Uuid, Failure> {
    let LostToken { token_id, is_confirmed } = LostToken::find(named, user, enrollment)?;
    if !is_confirmed {
        let what = format!("this refuses the token {token_id} of {} from now on", user.id);
        confirm(settings, out, &what, &short(token_id))?;
    }
    Ok(token_id)
}

fn warn_of_test_keys(out: &mut Printer) {
    out.warning(
        "this card carries the public GlobalPlatform TEST KEYS: whoever watched this enrollment knows its keys",
        Some("use it for tests only; install the applet with start keys of your own (see the README)"),
    );
}

fn show_enrolled(reader: &str, report: &EnrollmentReport) -> views::Enroll {
    views::Enroll {
        schema: views::Schema::default(),
        at: Timestamp::now().into(),
        reader: reader.to_owned(),
        token_id: Some(report.token_id),
        user: Some(report.user.clone()),
        error: None,
        result: Some(match report.ending {
            Ending::Enrolled => views::Enrolled::Enrolled,
            Ending::Resumed => views::Enrolled::Resumed,
            Ending::Replaced => views::Enrolled::Replaced,
        }),
        set: report.set.map(|set| set.to_string()),
        test_keys: report.test_keys,
    }
}

fn show_failed(reader: String, token_id: Option<Uuid>, user: Option<User>, failure: &Failure) -> views::Enroll {
    views::Enroll {
        schema: views::Schema::default(),
        at: Timestamp::now().into(),
        reader,
        token_id,
        user,
        error: Some(failure.to_json()),
        result: None,
        set: None,
        test_keys: false,
    }
}
