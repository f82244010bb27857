//! `rollcall token write|block|unblock|terminate`: changes the card in a reader, once it is confirmed that it is meant.

use jiff::Timestamp;

use super::{
    args::{TokenCommand, UserArgs},
    confirm::{confirm, short},
    json::{self, RegisteredView, TokenAction, TokenChanged},
    printer::Printer,
    station, token_status,
};
use crate::{
    api::User,
    card::{
        apdu::ApduFormat,
        link::{Link, LinkError},
        meter::Metered,
    },
    config::Settings,
    crypto::random::{SystemRandom, bytes},
    failure::{ExitClass, Failure},
    pki::PkiDir,
    reader::pcsc::{Card, CardLimits},
    terminal::administration::{self, ManageError, Target, TokenOperation},
    terminal::enrollment::EnrollError,
    terminal::tap::{
        TapError,
        failure::{link, token},
    },
    token::{
        TokenError,
        open::{Credentials, NoMemory, Visit},
        record::Layout,
    },
};

/// What was typed.
struct ChangeRequest {
    change: TokenOperation,
    action: TokenAction,
    user: Option<User>,
    dry_run: bool,
}

/// Runs the command; `info` and `verify` are no changes.
pub fn run(command: &TokenCommand, settings: &Settings, reader: String, out: &mut Printer) -> Result<u8, Failure> {
    let Some(order) = ChangeRequest::of(command)? else { return Ok(0) };
    let credentials = credentials(settings)?;
    administration::check_role(credentials.certificate.class(), &order.change).map_err(|e| failure(&e, 0))?;
    let target = visited(&credentials, settings, &reader, |link, visit| Target::find(link, visit, &order.change))?;
    let (result, state, told) = if order.dry_run {
        let result = if target.is_done(&order.change) { TokenChanged::Unchanged } else { TokenChanged::Planned };
        (result, target.state, Ok(None))
    } else {
        order.confirm(&target, settings, out)?;
        let done = order.carry_out(&target, &credentials, settings, &reader)?;
        let result = if done { TokenChanged::Done } else { TokenChanged::Unchanged };
        // The card is changed in any case: what came of it is printed before a failure of the server is told.
        let told = target.token_id.map_or(Ok(None), |id| token_status::tell(order.action, id, settings));
        (result, order.change.target(target.state), told)
    };
    let (server, failure) = match told {
        Ok(server) => (server, None),
        Err(failure) => (None, Some(failure)),
    };
    out.object(&json::TokenChange {
        schema: json::Schema::default(),
        at: Timestamp::now().into(),
        reader,
        token_id: target.token_id,
        action: order.action,
        result,
        state: state.into(),
        server,
        user: order.user,
    })?;
    if order.action == TokenAction::Unblock
        && !matches!(server, None | Some(RegisteredView::Active | RegisteredView::Unknown))
    {
        out.warning("the server goes on refusing this token", Some("see why: rollcall server token show ID"));
    }
    failure.map_or(Ok(0), Err)
}

impl ChangeRequest {
    fn of(command: &TokenCommand) -> Result<Option<Self>, Failure> {
        let (change, action, user, dry_run) = match command {
            TokenCommand::Info | TokenCommand::Verify(_) | TokenCommand::Rotate(_) => return Ok(None),
            TokenCommand::Write(args) => {
                let user = user(&args.user);
                // A user that does not fit is refused before a card is touched.
                let layout = Layout::of(&user).map_err(EnrollError::from)?;
                (TokenOperation::Write(layout), TokenAction::Write, Some(user), args.dry_run)
            }
            TokenCommand::Block(args) => (TokenOperation::Block, TokenAction::Block, None, args.dry_run),
            TokenCommand::Unblock(args) => (TokenOperation::Unblock, TokenAction::Unblock, None, args.dry_run),
            TokenCommand::Terminate(args) => (TokenOperation::Terminate, TokenAction::Terminate, None, args.dry_run),
        };
        Ok(Some(Self { change, action, user, dry_run }))
    }

    /// Asks, unless there is nothing to do; no card is held up meanwhile.
    fn confirm(&self, target: &Target, settings: &Settings, out: &mut Printer) -> Result<(), Failure> {
        let Some(id) = target.token_id.filter(|_| !target.is_done(&self.change)) else { return Ok(()) };
        let what = match self.action {
            TokenAction::Write => format!("this replaces the user information on the token {id}"),
            TokenAction::Block => format!("this blocks the token {id}"),
            TokenAction::Unblock => format!("this unblocks the token {id}"),
            TokenAction::Terminate => format!("this destroys the token {id} for ever"),
        };
        confirm(settings, out, &what, &short(id))
    }

    fn carry_out(
        &self,
        target: &Target,
        credentials: &Credentials,
        settings: &Settings,
        reader: &str,
    ) -> Result<bool, Failure> {
        visited(credentials, settings, reader, |link, visit| administration::change(link, visit, target, &self.change))
    }
}

/// One connection and one transaction with all that a channel takes.
fn visited<T>(
    credentials: &Credentials,
    settings: &Settings,
    reader: &str,
    work: impl FnOnce(&mut dyn Link, &mut Visit<'_>) -> Result<T, ManageError>,
) -> Result<T, Failure> {
    let mut random = SystemRandom;
    let mut visit = Visit {
        credentials,
        memory: &NoMemory,
        nonce: bytes(&mut random).map_err(|e| token(&TokenError::from(e), 0))?,
        now: Timestamp::now(),
        format: ApduFormat::Short,
        random: &mut random,
        learned: Vec::new(),
    };
    with_card(settings, reader, |link| work(link, &mut visit))
}

fn user(args: &UserArgs) -> User {
    User { id: args.id.clone(), name: args.name.clone(), fields: args.fields.iter().cloned().collect() }
}

/// The keys with the highest role that is here.
fn credentials(settings: &Settings) -> Result<Credentials, Failure> {
    let home = PkiDir::new(settings.pki_folder());
    let now = Timestamp::now();
    let keys = if home.has_ca_key() { home.load_admin_terminal(now)? } else { home.load_terminal(now)? };
    Ok(station::credentials(keys))
}

/// One connection and one transaction.
pub fn with_card<T>(
    settings: &Settings,
    reader: &str,
    work: impl FnOnce(&mut dyn Link) -> Result<T, ManageError>,
) -> Result<T, Failure> {
    let limits = CardLimits { exchange: settings.limits.exchange, connect: settings.limits.exchange, deadline: None };
    let mut card = Card::connect(reader, limits).map_err(|e| link(&e, 0))?;
    let mut metered = Metered::new(card.begin().map_err(|e| link(&e, 0))?);
    let worked = work(&mut metered);
    let exchanges = metered.exchanges;
    worked.map_err(|e| failure(&e, exchanges))
}

/// What whoever wanted to change a token sees.
pub fn failure(error: &ManageError, exchanges: u32) -> Failure {
    let message = error.to_string();
    match error {
        // Unlike in a tap, something may have been written.
        ManageError::Token(TokenError::Link(LinkError::CardRemoved)) => {
            Failure::new(ExitClass::CardLeft, "card.left", format!("the card left the reader at exchange {exchanges}"))
                .hint("put the same card back and run the same command again: it finishes what was begun")
        }
        ManageError::Token(e) => token(e, exchanges),
        ManageError::Foreign => TapError::Foreign.to_failure(exchanges),
        ManageError::Open => Failure::new(ExitClass::No, "token.open-mode", message)
            .hint("only tokens in private mode have a set; see what this one is: rollcall token info"),
        ManageError::OtherSet(_) => Failure::new(ExitClass::No, "token.other-set", message)
            .hint("put a token of the set on the reader whose key is replaced: rollcall token rotate --set ID"),
        ManageError::NoSetKey => Failure::new(ExitClass::Refused, "token.no-set-key", message)
            .hint("it came with the public test keys: enroll its user anew on another card"),
        ManageError::NotNoted(_) => Failure::new(ExitClass::Io, "pki.file", message)
            .hint("check the permissions and the space of the folder pki/sets, and run the command again"),
        ManageError::OtherCard => Failure::new(ExitClass::CardLeft, "token.other-card", message)
            .hint("nothing was changed; put the right card on the reader, and run the command again"),
        ManageError::NoRotation => Failure::new(ExitClass::No, "pki.no-rotation", message)
            .hint("begin one where the CA key lies: rollcall pki rotate-ca"),
        ManageError::NotCertified(_) => {
            Failure::new(ExitClass::Refused, "enroll.not-certified", message).hint("look at the CA: rollcall pki list")
        }
        ManageError::Role { .. } => Failure::new(ExitClass::Refused, "token.role", message)
            .hint("run it where the CA key lies, or with a terminal that was issued with this role"),
    }
}
