//! `rollcall server user|token|terminal`: administration over `/v1`, with the certificate of an administrator.

use std::collections::BTreeMap;
use std::path::Path;

use uuid::Uuid;

use super::args::{ServerTokenCommand, StatusWord, TerminalCommand, UserAddArgs, UserCommand};
use crate::{
    api::{
        problem::ProblemCode,
        v1::{ForgottenUser, PAGE_MAX, Problem, TokenStatus},
    },
    cli::{
        confirm::{confirm, short},
        context::connect,
        issue,
        printer::Printer,
        views::{self, UserChangeView},
    },
    config::Settings,
    failure::{ExitClass, Failure, Remedy},
    server_client::{ServerClient, ServerError},
    terminal::{
        presence::operator::is_name,
        server_access::{ImportedUsers, import_users, known_user, known_users, shown_pages},
        token_prefix::{TokenPrefix, ambiguous},
        user_csv,
        user_patch::{UserPatch, changes},
    },
};

/// `rollcall server user`
///
/// # Errors
/// `server.not-configured`; that of the server; with `import`, `csv.…`; that of the output.
pub fn user(command: &UserCommand, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let server = connect(settings)?;
    match command {
        UserCommand::Add(args) => add(&server, args, out)?,
        UserCommand::Show { id } => out.object(&views::ServerUserView::from(server.user(id)?))?,
        UserCommand::Forget { id } => {
            let what =
                format!("this forgets the user {id:?} for ever: their tokens are revoked, their history is deleted");
            confirm(settings, out, &what, id)?;
            let done = server.forget_user(id)?;
            report(&done, out);
            out.object(&views::ServerForgotten::from(done))?;
        }
        UserCommand::List => {
            let users = shown_pages(|after| server.users(after, PAGE_MAX))?;
            let users: Vec<_> = users.into_iter().map(views::ServerUserView::from).collect();
            out.list(&users, "the server knows no users")?;
        }
        UserCommand::Import { file, dry_run } => import(&server, file, *dry_run, out)?,
    }
    Ok(0)
}

/// Reports what must be kept, and what the server cannot delete.
fn report(done: &ForgottenUser, out: &mut Printer) {
    if done.tokens > 0 {
        out.note("their tokens stay known as revoked, without a name, so that no terminal lets them in");
    }
    if done.unsealed_records > 0 {
        out.note(&format!(
            "{} of the blanked records are of an earlier release: their hash has no salt, so a guess can be checked against it",
            done.unsealed_records
        ));
    }
    out.note(
        "backups and terminals keep what they have: delete backups that were made before, and run rollcall users forget at \
         each terminal",
    );
}

/// Changes what is named; the rest stays as the server has it.
fn add(server: &ServerClient, args: &UserAddArgs, out: &mut Printer) -> Result<(), Failure> {
    let fields = args.fields.iter().cloned().collect();
    let patch = UserPatch { id: Some(args.id.clone()), name: args.name.clone(), fields };
    let known = known_user(server, &args.id)?;
    let mut user = patch.apply(known.as_ref())?;
    let changes = changes(known.as_ref(), &user);
    let result = match (changes.is_empty(), args.dry_run) {
        (true, _) => views::TokenChanged::Unchanged,
        (false, true) => views::TokenChanged::Planned,
        (false, false) => {
            user = server.put_user(&user)?;
            views::TokenChanged::Done
        }
    };
    out.object(&views::ServerUserView {
        result: Some(result),
        changes: Some(UserChangeView::all(&changes)),
        ..views::ServerUserView::from(user)
    })
}

/// Changes what has a column; the rest stays as the server has it.
fn import(server: &ServerClient, file: &Path, dry_run: bool, out: &mut Printer) -> Result<(), Failure> {
    let table = user_csv::load_changes(file)?;
    let shown = user_csv::shown(file);
    if dry_run {
        out.note(&format!("{shown}: {}; {}", table.form.reading(), table.form.fields_in_words()));
    } else if !table.form.is_usual() {
        out.note(&format!("{shown}: {}", table.form.reading()));
    }
    let all = table.rows.len() as u64;
    let ids: Vec<_> = table.rows.iter().map(|row| row.user.id.as_str()).collect();
    let known = known_users(server, &ids)?;
    let unknown: Vec<_> = ids.iter().filter(|id| !known.contains_key(**id)).collect();
    if let (false, Some(first)) = (table.form.has_names(), unknown.first()) {
        let more = if unknown.len() > 1 { format!(" and {} more", unknown.len() - 1) } else { String::new() };
        let told = format!(
            "{shown}: the server does not know {first:?}{more}, the file has no column name, and nothing was done"
        );
        let hint = "add the column name, or leave out users that the server does not know";
        return Err(Failure::new(ExitClass::Data, "csv.bad-rows", told).hint(hint));
    }
    let users = table.rows.iter().map(|row| table.patch(&row.user).apply(known.get(&row.user.id)));
    let users = users.collect::<Result<Vec<_>, _>>()?;
    let changed = users.iter().filter_map(|user| {
        let changes = UserChangeView::all(&changes(Some(known.get(&user.id)?), user));
        (!changes.is_empty()).then(|| views::ChangedUser { id: user.id.clone(), changes })
    });
    let changed: Vec<_> = changed.collect();
    let planned = ImportedUsers {
        created: unknown.len() as u64,
        changed: changed.len() as u64,
        unchanged: all - unknown.len() as u64 - changed.len() as u64,
    };
    let done = if dry_run {
        planned
    } else {
        let done = import_users(server, &users, &mut |done| out.work("importing users", done, all))?;
        out.progress_end();
        done
    };
    let result = match (done.unchanged == all, dry_run) {
        (true, _) => views::TokenChanged::Unchanged,
        (false, true) => views::TokenChanged::Planned,
        (false, false) => views::TokenChanged::Done,
    };
    let ImportedUsers { created, changed: count, unchanged } = done;
    out.object(&views::Import {
        schema: views::Schema::default(),
        created,
        changed: count,
        unchanged,
        result,
        changes: changed,
    })
}

/// `rollcall server token`
///
/// # Errors
/// `server.not-configured`; that of the server; `confirm.…`; that of the output.
pub fn token(command: &ServerTokenCommand, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let server = connect(settings)?;
    match command {
        ServerTokenCommand::Show { id } => {
            let id = meant(&server, id)?;
            let token = server.token(id).map_err(|error| unknown_or(error, &id.to_string()))?;
            out.object(&views::ServerToken::from(token))?;
        }
        ServerTokenCommand::List { user, status } => {
            let tokens = tokens(&server, user.as_deref(), status)?;
            let nothing = match user {
                _ if !status.is_empty() => "the server knows no such token".to_owned(),
                Some(user) => format!("the server knows no token of {user:?}"),
                None => "the server knows no tokens".to_owned(),
            };
            out.list(&tokens, &nothing)?;
        }
        ServerTokenCommand::Status { id, status, reason } => {
            let status = TokenStatus::from(*status);
            let id = meant(&server, id)?;
            if status == TokenStatus::Revoked {
                confirm(settings, out, &format!("this revokes the token {id} for ever"), &short(id))?;
            }
            let done = server.set_status(id, status, reason.clone());
            out.object(&views::ServerToken::from(done.map_err(|error| unknown_or(error, &id.to_string()))?))?;
        }
    }
    Ok(0)
}

/// The token with this prefix: one page of the list shows whether it is unique.
fn meant(server: &ServerClient, typed: &TokenPrefix) -> Result<Uuid, Failure> {
    const FEW: u32 = 10;
    if let Some(id) = typed.whole() {
        return Ok(id);
    }
    let (text, page) = (typed.in_text(), server.tokens(Some(&typed.in_text()), FEW)?);
    match typed.only(page.items.into_iter().map(|token| token.token_id)) {
        Ok(Some(id)) => Ok(id),
        Ok(None) => Err(unknown(&format!("that begins with {text}"))),
        Err(several) => Err(ambiguous("token.ambiguous", &text, &several)),
    }
}

/// A missing token is an answer, as with users and terminals, and not a refusal.
fn unknown(which: &str) -> Failure {
    Failure::new(ExitClass::No, "token.unknown", format!("the server knows no token {which}"))
        .hint(Remedy::with("list the tokens", "rollcall server token list"))
}

fn unknown_or(error: ServerError, id: &str) -> Failure {
    match error.problem().and_then(Problem::known_code) {
        Some(ProblemCode::TokenUnknown) => unknown(id),
        _ => error.into(),
    }
}

/// Lists tokens with the names of their users.
fn tokens(
    server: &ServerClient,
    user: Option<&str>,
    status: &[StatusWord],
) -> Result<Vec<views::ServerToken>, Failure> {
    let users = shown_pages(|after| server.users(after, PAGE_MAX))?;
    let names: BTreeMap<_, _> = users.into_iter().map(|user| (user.id, user.name)).collect();
    let tokens = match user.filter(|user| names.contains_key(*user)) {
        Some(id) => shown_pages(|after| server.tokens_of(id, after, PAGE_MAX))?,
        None => shown_pages(|after| server.tokens(after, PAGE_MAX))?,
    };
    let tokens = tokens.into_iter().map(|token| {
        let user_name = names.get(&token.user_id).cloned();
        views::ServerToken { user_name, ..views::ServerToken::from(token) }
    });
    let is_theirs = |token: &views::ServerToken| {
        let is_called = |user: &str| token.user_name.as_deref().is_some_and(|name| is_name(name, user));
        user.is_none_or(|user| token.user_id == user || is_called(user))
    };
    let has_status = |token: &views::ServerToken| {
        status.is_empty() || status.iter().any(|word| TokenStatus::from(*word) == token.status)
    };
    Ok(tokens.filter(|token| is_theirs(token) && has_status(token)).collect())
}

/// `rollcall server terminal`
///
/// # Errors
/// `server.not-configured`; that of the server; `confirm.…`, `file.exists`; that of the output.
pub fn terminal(command: &TerminalCommand, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let server = connect(settings)?;
    match command {
        TerminalCommand::Add { name, role, days, out: file } => {
            issue::through_server(&server, name, (*role).into(), *days, file, out)?;
        }
        TerminalCommand::List => {
            let terminals = shown_pages(|after| server.terminals(after, PAGE_MAX))?;
            let terminals: Vec<_> = terminals.into_iter().map(views::ServerTerminal::from).collect();
            out.list(&terminals, "the server knows no terminals")?;
        }
        TerminalCommand::Revoke { name } => {
            confirm(
                settings,
                out,
                &format!("this refuses the terminal {name:?} from now on, with all its keys"),
                name,
            )?;
            out.object(&views::ServerTerminal::from(server.revoke_terminal(name)?))?;
        }
    }
    Ok(0)
}
