//! `rollcall enroll`: enrolls users onto blank cards: one card, or a batch of them.

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
        context::TerminalContext,
        enrollment::{
            Applicant, Ending, EnrollError, EnrollmentReport, EnrollmentStep,
            batch::resume,
            context::{EnrollFailure, EnrollmentContext},
            portrait,
            replacement::{LostToken, tokens_of},
            sets::{PrivateRequest, SetRequest},
        },
        known_here::KnownUsers,
        readers::one_reader,
        server_access::known_user,
        token_prefix::TokenPrefix,
        user_patch::{UserPatch, changes, with_fields_of_card},
    },
    token::{
        record::Layout,
        select::{LifeCycle, Selected},
    },
};

/// Runs the command.
///
/// # Errors
/// `enroll.…` for an unsuitable user, portrait or card; that of the keys, the server, the reader or the
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
    let known = base(&patch, id, &terminal, out)?;
    let user = patch.apply(known.as_ref())?;
    Layout::of(&user).map_err(EnrollError::from)?;
    let changes = known.as_ref().map(|known| changes(Some(known), &user)).unwrap_or_default();
    let changes = views::UserChangeView::all(&changes);
    let reader = one_reader(&settings.readers, settings.limits.exchange)?;
    if args.batch.dry_run {
        foretell(args, &user, &enrollment, out)?;
        return out.object(&planned(reader, user, changes)).map(|()| 0);
    }
    let mut waiting = || out.note("another enrollment is running; this waits for it to finish");
    let _reserved = enrollment.journal.reserve(id, &mut waiting)?;
    if args.replace.is_none() && !args.second_card {
        ask_for_second(&user, &reader, &enrollment, settings, out)?;
    }
    let lost =
        args.replace.as_ref().map(|named| lost_token(named.as_ref(), &user, &enrollment, settings, out)).transpose()?;
    let mut progress = |step: EnrollmentStep| show_step(step, out);
    let mut applicant = Applicant { user, portrait, lost, gives_up: None };
    let mut done = enrollment.enroll(&reader, &mut &applicant, &mut progress);
    out.progress_end();
    if let Err(EnrollFailure { error: error @ EnrollError::BegunForAnother { card, .. }, .. }) = &done {
        give_up(error, card, &enrollment, settings, out)?;
        applicant.gives_up = Some(card.clone());
        let mut progress = |step: EnrollmentStep| show_step(step, out);
        done = enrollment.enroll(&reader, &mut &applicant, &mut progress);
        out.progress_end();
    }
    let done = done.map_err(|failed| failed.to_failure())?;
    done.remember(&mut enrollment.terminal().store()?)?;
    enrollment.close(&done.report)?;
    if done.report.test_keys {
        warn_of_test_keys(out);
    }
    out.object(&views::Enroll { changes, ..show_enrolled(&reader, &done.report) })?;
    Ok(0)
}

/// The existing user to which changes are applied: from the server, or without one from this terminal.
fn base(patch: &UserPatch, id: &str, terminal: &TerminalContext, out: &mut Printer) -> Result<Option<User>, Failure> {
    let here = KnownUsers::load(&terminal.state_folder)?;
    let here = here.user(id);
    let Some(server) = &terminal.server else {
        let taken = here.map(|user| patch.taken_from(user)).unwrap_or_default();
        if !taken.is_empty() {
            let taken: Vec<_> = taken.iter().map(ToString::to_string).collect();
            out.note(&format!("as this terminal knows {id}: {}", taken.join(", ")));
        }
        return Ok(here.cloned());
    };
    let known = known_user(&server.connect()?, id)?;
    if let (Some(known), Some(here)) = (&known, here) {
        let (_, mut only) = with_fields_of_card(known, here);
        only.retain(|key| !patch.fields.contains_key(key));
        if !only.is_empty() {
            let text = format!("an earlier card of {id} has fields that the server does not know: {}", only.join(", "));
            out.warning(&text, Some("name those that the new card should have too: --field K=V"));
        }
    }
    Ok(known)
}

fn show_step(step: EnrollmentStep, out: &mut Printer) {
    out.progress(step.words(), step.done() as u64, Some(EnrollmentStep::COUNT as u64));
}

/// Abandons an enrollment of this card for another user, after confirmation.
fn give_up(
    begun: &EnrollError,
    card: &str,
    enrollment: &EnrollmentContext,
    settings: &Settings,
    out: &mut Printer,
) -> Result<(), Failure> {
    let Failure { hint, .. } = begun.to_failure(0);
    confirm(settings, out, &format!("{begun}; this gives that enrollment up"), "give up").map_err(
        |failure| match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        },
    )?;
    match enrollment.journal.all()?.iter().find(|entry| entry.card == card) {
        Some(entry) => resume::give_up(entry, enrollment),
        None => Ok(()),
    }
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

/// The request for tokens in private mode.
fn private_request(args: &PrivateArgs) -> Option<PrivateRequest> {
    let set = args.set.map(SetRequest::Named).or(args.set_size.map(SetRequest::Sized))?;
    Some(PrivateRequest { set, accept_trackable: args.accept_trackable })
}

/// Reports what a run would ask about the user's other cards.
fn foretell(args: &EnrollArgs, user: &User, enrollment: &EnrollmentContext, out: &mut Printer) -> Result<(), Failure> {
    if let Some(named) = &args.replace {
        let LostToken { token_id, .. } = LostToken::find(named.as_ref(), user, enrollment)?;
        out.note(&format!("this would refuse the token {token_id} of {} from then on", user.id));
    } else if let (Some(what), false) = (second_card(user, enrollment)?, args.second_card) {
        out.warning(&what, Some(SECOND_CARD));
    }
    Ok(())
}

/// The hint if the user already has a card.
const SECOND_CARD: &str = "for a card that was lost: --replace; for a second one: --second-card, or --yes";

/// The warning if the user already has a card.
fn second_card(user: &User, enrollment: &EnrollmentContext) -> Result<Option<String>, Failure> {
    let tokens = tokens_of(user, enrollment)?;
    let Some(first) = tokens.first() else { return Ok(None) };
    let has = if tokens.len() == 1 { format!("the token {first}") } else { format!("{} tokens", tokens.len()) };
    Ok(Some(format!("{} has {has} already, and this makes a second card", user.id)))
}

/// Asks before a second card of a user, if the card in the reader is blank or cannot be examined.
fn ask_for_second(
    user: &User,
    reader: &str,
    enrollment: &EnrollmentContext,
    settings: &Settings,
    out: &mut Printer,
) -> Result<(), Failure> {
    let Some(what) = second_card(user, enrollment)? else { return Ok(()) };
    let is_blank = |selected: &Selected| matches!(selected.state, LifeCycle::Blank | LifeCycle::Personalised);
    // What happens to any other card, the enrollment itself says.
    if !inspect(enrollment.terminal(), reader).is_ok_and(|(_, selected)| is_blank(&selected)) {
        return Ok(());
    }
    confirm(settings, out, &what, "second").map_err(|failure| failure.hint(SECOND_CARD))
}

/// The token to revoke. Asks for confirmation, unless an earlier run has begun to replace it.
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
