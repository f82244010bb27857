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
        administration::card::inspect,
        enrollment::{
            Applicant, Ending, EnrollError, EnrollmentReport, EnrollmentStep,
            context::EnrollmentContext,
            portrait,
            replacement::{LostToken, tokens_of},
            sets::{PrivateRequest, SetRequest},
        },
        readers::one_reader,
        server_access::known_user,
        token_prefix::TokenPrefix,
        user_patch::{UserPatch, changes},
    },
    token::{
        record::Layout,
        select::{LifeCycle, Selected},
    },
};

/// Runs the command.
///
/// # Errors
/// `enroll.…` for a user, a portrait or a card that cannot be taken; that of the keys, the server, the reader or the
/// output.
pub fn run(args: &EnrollArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let Some(id) = &args.id else {
        return batch::run(args, settings, out);
    };
    let fields = args.fields.iter().cloned().collect();
    let patch = UserPatch { id: Some(id.clone()), name: args.name.clone(), fields };
    // A user that does not fit is refused before a card is touched.
    patch.check_fits().map_err(EnrollError::from)?;
    let portrait = args.portrait.as_deref().map(portrait::one).transpose()?;
    if let Some(bytes) = &portrait {
        out.note(&format!("the picture: {}", portrait::in_words(bytes)));
    }
    let terminal = terminal_context(settings);
    let enrollment = EnrollmentContext::open(&terminal, private_request(&args.private))?;
    // What the server knows of the user stays, apart from what is named.
    let known = match &terminal.server {
        Some(server) => known_user(&server.connect()?, id)?,
        None => None,
    };
    let user = patch.apply(known.as_ref())?;
    Layout::of(&user).map_err(EnrollError::from)?;
    let changes = known.as_ref().map(|known| changes(Some(known), &user)).unwrap_or_default();
    let changes = views::UserChangeView::all(&changes);
    let reader = one_reader(&settings.readers)?;
    if args.batch.dry_run {
        return out.object(&planned(reader, user, changes)).map(|()| 0);
    }
    if args.replace.is_none() && !args.second_card {
        ask_for_second(&user, &reader, &enrollment, settings, out)?;
    }
    let lost =
        args.replace.as_ref().map(|named| lost_token(named.as_ref(), &user, &enrollment, settings, out)).transpose()?;
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
    out.object(&views::Enroll { changes, ..show_enrolled(&reader, &done.report) })?;
    Ok(0)
}

fn planned(reader: String, user: User, changes: Vec<views::UserChangeView>) -> views::Enroll {
    views::Enroll {
        schema: views::Schema::default(),
        at: Timestamp::now().into(),
        reader,
        token_id: None,
        user: Some(user),
        error: None,
        result: Some(views::Enrolled::Planned),
        set: None,
        test_keys: false,
        changes,
    }
}

/// What was asked for, for tokens in private mode.
fn private_request(args: &PrivateArgs) -> Option<PrivateRequest> {
    let set = args.set.map(SetRequest::Named).or(args.set_size.map(SetRequest::Sized))?;
    Some(PrivateRequest { set, accept_trackable: args.accept_trackable })
}

/// A second card of a user is asked about, where a blank one lies there, or one that nobody can look at.
fn ask_for_second(
    user: &User,
    reader: &str,
    enrollment: &EnrollmentContext,
    settings: &Settings,
    out: &mut Printer,
) -> Result<(), Failure> {
    let tokens = tokens_of(user, enrollment)?;
    let Some(first) = tokens.first() else { return Ok(()) };
    let is_blank = |selected: &Selected| matches!(selected.state, LifeCycle::Blank | LifeCycle::Personalised);
    // What becomes of another card says the enrollment itself.
    if !inspect(enrollment.terminal(), reader).is_ok_and(|(_, selected)| is_blank(&selected)) {
        return Ok(());
    }
    let has = if tokens.len() == 1 { format!("the token {first}") } else { format!("{} tokens", tokens.len()) };
    let what = format!("{} has {has} already, and this makes a second card", user.id);
    confirm(settings, out, &what, "second").map_err(|failure| {
        failure.hint("for a card that was lost: --replace; for a second one: --second-card, or --yes")
    })
}

/// The token that is refused from now on. It is asked about, unless an earlier run has begun to replace it.
fn lost_token(
    named: Option<&TokenPrefix>,
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
        changes: Vec::new(),
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
        changes: Vec::new(),
    }
}
