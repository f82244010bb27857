//! `rollcall token write|block|unblock|terminate`: changes the card in a reader, once it is confirmed that it is meant.

use jiff::Timestamp;

use super::{
    args::{TokenCommand, UserArgs},
    confirm::{confirm, short},
    context::terminal_context,
    printer::Printer,
    views::{self, RegisteredView, TokenAction, TokenChanged},
};
use crate::{
    api::User,
    config::Settings,
    failure::Failure,
    terminal::{
        administration::{Target, TokenOperation, status::ServerStatus, token_change::TokenChangeRun},
        enrollment::EnrollError,
    },
    token::record::Layout,
};

/// What was typed.
struct ChangeRequest {
    operation: TokenOperation,
    user: Option<User>,
    dry_run: bool,
}

/// Runs the command; `info` and `verify` are no changes.
///
/// # Errors
/// That of the keys, the card or the role, and `confirm.…`, before the card is changed. One of the server comes last,
/// after the change was printed.
pub fn run(command: &TokenCommand, settings: &Settings, reader: String, out: &mut Printer) -> Result<u8, Failure> {
    let Some(ChangeRequest { operation, user, dry_run }) = ChangeRequest::of(command)? else { return Ok(0) };
    let change = TokenChangeRun::open(terminal_context(settings), reader.clone(), operation)?;
    let operation = change.operation();
    let target = change.find()?;
    let (result, state, server) = if dry_run {
        let result = if target.is_done(operation) { TokenChanged::Unchanged } else { TokenChanged::Planned };
        (result, target.state, Ok(None))
    } else {
        // No card is held up while somebody thinks.
        ask(operation, &target, settings, out)?;
        let done = change.carry_out(&target)?;
        (if done.changed { TokenChanged::Done } else { TokenChanged::Unchanged }, done.state, done.server)
    };
    // The card is changed in any case: what came of it is printed before a failure of the server.
    let (registration, failure) = match server {
        Ok(registration) => (registration, None),
        Err(failure) => (None, Some(failure)),
    };
    out.object(&views::TokenChange {
        schema: views::Schema::default(),
        at: Timestamp::now().into(),
        reader,
        token_id: target.token_id,
        action: action(operation),
        result,
        state: state.into(),
        server: registration.map(registered),
        user,
    })?;
    if *operation == TokenOperation::Unblock && registration.is_some_and(ServerStatus::is_refused) {
        out.warning("the server goes on refusing this token", Some("see why: rollcall server token show ID"));
    }
    failure.map_or(Ok(0), Err)
}

impl ChangeRequest {
    fn of(command: &TokenCommand) -> Result<Option<Self>, Failure> {
        let (operation, user, dry_run) = match command {
            TokenCommand::Info | TokenCommand::Verify(_) | TokenCommand::Rotate(_) => return Ok(None),
            TokenCommand::Write(args) => {
                let user = user(&args.user);
                // A user that does not fit is refused before a card is touched.
                let layout = Layout::of(&user).map_err(EnrollError::from)?;
                (TokenOperation::Write(layout), Some(user), args.dry_run)
            }
            TokenCommand::Block(args) => (TokenOperation::Block, None, args.dry_run),
            TokenCommand::Unblock(args) => (TokenOperation::Unblock, None, args.dry_run),
            TokenCommand::Terminate(args) => (TokenOperation::Terminate, None, args.dry_run),
        };
        Ok(Some(Self { operation, user, dry_run }))
    }
}

/// Asks, unless there is nothing to do.
fn ask(operation: &TokenOperation, target: &Target, settings: &Settings, out: &mut Printer) -> Result<(), Failure> {
    let Some(id) = target.token_id.filter(|_| !target.is_done(operation)) else { return Ok(()) };
    let what = match operation {
        TokenOperation::Write(_) => format!("this replaces the user information on the token {id}"),
        TokenOperation::Block => format!("this blocks the token {id}"),
        TokenOperation::Unblock => format!("this unblocks the token {id}"),
        TokenOperation::Terminate => format!("this destroys the token {id} for ever"),
    };
    confirm(settings, out, &what, &short(id))
}

fn user(args: &UserArgs) -> User {
    User { id: args.id.clone(), name: args.name.clone(), fields: args.fields.iter().cloned().collect() }
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
