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

/// An object that describes the outcome at one card.
pub trait CardOutcome: 'static {
    /// The reader.
    fn reader(&self) -> &str;
    /// The token, if known.
    fn token_id(&self) -> Option<&Uuid>;
    /// The user, if known.
    fn user(&self) -> Option<&User>;
    /// The failure, if any.
    fn error(&self) -> Option<&ErrorObject>;
}

/// For people: after the user and the token.
pub const fn reader<T: CardOutcome>() -> Column<T> {
    Column::both("reader", |one| one.reader().to_owned(), 4, "READER", |one| one.reader().into())
}

/// For people: after the name of the user.
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

/// In csv only; for people it is part of the result.
pub const fn code_of_error<T: CardOutcome>() -> Column<T> {
    Column::csv("error_code", |one| error_code(one.error()))
}

/// In csv only; for people it is part of the result.
pub const fn message_of_error<T: CardOutcome>() -> Column<T> {
    Column::csv("error_message", |one| error_message(one.error()))
}
