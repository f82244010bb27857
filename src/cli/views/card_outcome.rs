//! The columns common to every outcome at a card: reader, token, user, and failure.

use uuid::Uuid;

use super::cells::{self, error_code, error_message, text, user_fields, user_id, user_name};
use crate::{
    api::User,
    cli::{
        printer::Column,
        table::{Cell, Style},
    },
    failure::ErrorObject,
};

/// An object that says what became of one card.
pub trait CardOutcome: 'static {
    /// Where.
    fn reader(&self) -> &str;
    /// Which token, where it is known.
    fn token_id(&self) -> Option<&Uuid>;
    /// Whose, where it is known.
    fn user(&self) -> Option<&User>;
    /// Why it failed, where it did.
    fn error(&self) -> Option<&ErrorObject>;
}

/// For people: behind who it is.
pub const fn reader<T: CardOutcome>() -> Column<T> {
    Column::both("reader", |one| one.reader().to_owned(), 4, "READER", |one| one.reader().into())
}

/// For people: behind the name of the user.
pub const fn token<T: CardOutcome>() -> Column<T> {
    Column::both("token_id", |one| text(one.token_id()), 3, "TOKEN", |one| cells::token(one.token_id()))
}

/// For people: the first column.
pub const fn id_of_user<T: CardOutcome>() -> Column<T> {
    Column::both("user_id", |one| user_id(one.user()), 1, "USER", |one| Cell::new(user_id(one.user()), Style::Strong))
}

/// For people: the second column.
pub const fn name_of_user<T: CardOutcome>() -> Column<T> {
    Column::both("user_name", |one| user_name(one.user()), 2, "NAME", |one| user_name(one.user()).into())
}

/// In csv only.
pub const fn fields_of_user<T: CardOutcome>() -> Column<T> {
    Column::csv("user_fields", |one| user_fields(one.user()))
}

/// In csv only; for people the result says it.
pub const fn code_of_error<T: CardOutcome>() -> Column<T> {
    Column::csv("error_code", |one| error_code(one.error()))
}

/// In csv only; for people the result says it.
pub const fn message_of_error<T: CardOutcome>() -> Column<T> {
    Column::csv("error_message", |one| error_message(one.error()))
}
