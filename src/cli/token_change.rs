//! `rollcall token write|block|unblock|terminate`: changes the card in a reader, after confirmation.

use jiff::Timestamp;

use super::{
    args::TokenCommand,
    confirm::{confirm, short},
    context::terminal_context,
    printer::Printer,
    views::{self, RegisteredView, TokenAction, TokenChanged, UserChangeView},
};
use crate::{
    config::Settings,
    failure::Failure,
    terminal::{
        administration::{
            TokenOperation,
            status::ServerStatus,
            token_change::{PlannedChange, TokenChangeRun, TokenOrder},
        },
        enrollment::EnrollError,
        user_patch::{as_options, in_words, quoted},
    },
};

/// Runs the command; `info` and `verify` are not changes.
///
/// # Errors
/// That of the keys, the card or the role, and `confirm.…`, before the card is changed. A failure of the server comes
/// last, after the change was printed.
pub fn run(command: &TokenCommand, settings: &Settings, reader: String, out: &mut Printer) -> Result<u8, Failure> {
    let Some((order, dry_run)) = order(command)? else { return Ok(0) };
    let change = TokenChangeRun::open(terminal_context(settings), reader.clone(), order)?;
    let planned = change.find()?;
    if let Some(failure) = &planned.unasked {
        let text =
            format!("the server was not asked, so the change is based on what the card says: {}", failure.message);
        out.warning(&text, failure.hint.as_deref());
    }
    if let Some(key) = planned.kept.first() {
        let keys = planned.kept.join(", ");
        out.note(&format!(
            "the server does not know these fields of the card, which stay: {keys}; --field {key}= removes one"
        ));
    }
    if !planned.drift.is_empty() {
        let text = format!(
            "the card and the server differ in what you did not name: {}; what the server says is written",
            in_words(&planned.drift)
        );
        let kept = as_options(planned.drift.iter().map(|change| (&change.part, change.before.as_deref())));
        out.warning(&text, Some(&format!("to keep what the card says, name it:{kept}")));
    }
    let operation = &planned.operation;
    let (result, state, server) = if dry_run {
        let result = if planned.is_done { TokenChanged::Unchanged } else { TokenChanged::Planned };
        (result, planned.target.state, Ok(None))
    } else {
        // The card is not held while the user decides.
        ask(&planned, settings, out)?;
        let done = change.carry_out(&planned)?;
        (if done.changed { TokenChanged::Done } else { TokenChanged::Unchanged }, done.state, done.server)
    };
    // The card has been changed in any case: print that before a failure of the server.
    let (registration, failure) = match server {
        Ok(registration) => (registration, None),
        Err(failure) => (None, Some(failure)),
    };
    out.object(&views::TokenChange {
        schema: views::Schema::default(),
        at: Timestamp::now().into(),
        reader,
        token_id: planned.target.token_id,
        action: action(operation),
        result,
        state: state.into(),
        server: registration.map(registered),
        user: planned.user.clone(),
        changes: planned.user.is_some().then(|| UserChangeView::all(&planned.changes)),
    })?;
    if let Some(user) = planned.user.as_ref().filter(|_| !planned.unlike_server.is_empty()) {
        let parts = as_options(planned.unlike_server.iter().map(|change| (&change.part, change.after.as_deref())));
        out.note(&format!(
            "the server's record of {} stays as it is, and the next write will use it; to change it too: \
             rollcall server user add --id {}{parts}",
            user.id,
            quoted(&user.id)
        ));
    }
    if *operation == TokenOperation::Unblock && registration.is_some_and(ServerStatus::is_refused) {
        out.warning("the server still refuses this token", Some("see why: rollcall server token show ID"));
    }
    failure.map_or(Ok(0), Err)
}

/// The change as typed, and whether it is a dry run.
fn order(command: &TokenCommand) -> Result<Option<(TokenOrder, bool)>, Failure> {
    Ok(Some(match command {
        TokenCommand::List(_) | TokenCommand::Info | TokenCommand::Verify(_) | TokenCommand::Rotate(_) => {
            return Ok(None);
        }
        TokenCommand::Write(args) => {
            let patch = args.user.patch();
            // A user that does not fit is refused before a card is touched.
            patch.check_fits().map_err(EnrollError::from)?;
            (TokenOrder::Write(patch), args.dry_run)
        }
        TokenCommand::Block(args) => (TokenOrder::Block, args.dry_run),
        TokenCommand::Unblock(args) => (TokenOrder::Unblock, args.dry_run),
        TokenCommand::Terminate(args) => (TokenOrder::Terminate, args.dry_run),
    }))
}

/// Asks for confirmation, unless there is nothing to do.
fn ask(planned: &PlannedChange, settings: &Settings, out: &mut Printer) -> Result<(), Failure> {
    let Some(id) = planned.target.token_id.filter(|_| !planned.is_done) else { return Ok(()) };
    let what = match &planned.operation {
        TokenOperation::Write(_) if planned.changes.is_empty() => {
            format!("this writes the user information on the token {id} once more")
        }
        TokenOperation::Write(_) => {
            format!("this changes the user information on the token {id}: {}", in_words(&planned.changes))
        }
        TokenOperation::Block => format!("this blocks the token {id}"),
        TokenOperation::Unblock => format!("this unblocks the token {id}"),
        TokenOperation::Terminate => format!("this destroys the token {id} for ever"),
    };
    confirm(settings, out, &what, &short(id))
}

const fn action(operation: &TokenOperation) -> TokenAction {
    match operation {
        TokenOperation::Write(_) => TokenAction::Write,
        TokenOperation::Block => TokenAction::Block,
        TokenOperation::Unblock => TokenAction::Unblock,
        TokenOperation::Terminate => TokenAction::Terminate,
    }
}

fn registered(registration: ServerStatus) -> RegisteredView {
    match registration {
        ServerStatus::Status(status) => status.into(),
        ServerStatus::Unknown => RegisteredView::Unknown,
    }
}
