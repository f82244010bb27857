//! Values and cells that the objects share.

use jiff::Timestamp;
use uuid::Uuid;

use crate::api::User;
use crate::cli::table::{Cell, Style};
use crate::failure::ErrorObject;

/// The name of an enum value, as in JSON.
pub fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The text of a value; empty for none.
pub fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

pub fn user_id(user: Option<&User>) -> String {
    user.map(|user| user.id.clone()).unwrap_or_default()
}

pub fn user_name(user: Option<&User>) -> String {
    user.map(|user| user.name.clone()).unwrap_or_default()
}

/// The fields as a JSON object, because their names are user-defined.
pub fn user_fields(user: Option<&User>) -> String {
    match user {
        Some(user) if !user.fields.is_empty() => serde_json::to_string(&user.fields).unwrap_or_default(),
        _ => String::new(),
    }
}

/// Id, name, and one line for each field.
pub fn holder(user: &User) -> Vec<(&'static str, Cell)> {
    let mut details = vec![("user", Cell::new(&user.id, Style::Strong)), ("name", user.name.as_str().into())];
    details.extend(user.fields.iter().map(|(key, value)| ("field", format!("{key} = {value}").into())));
    details
}

/// The id of a token, if known.
pub fn token(id: Option<&Uuid>) -> Cell {
    id.map(|id| Cell::token(*id, Style::Dim)).unwrap_or_default()
}

pub fn error_code(error: Option<&ErrorObject>) -> String {
    error.map(|error| error.code.clone()).unwrap_or_default()
}

pub fn error_message(error: Option<&ErrorObject>) -> String {
    error.map(|error| error.message.clone()).unwrap_or_default()
}

/// The failure, with its code.
pub fn failed(error: &ErrorObject) -> Cell {
    Cell::new(format!("{} ({})", error.message, error.code), Style::Bad)
}

pub fn yes(holds: bool) -> Cell {
    if holds { Cell::new("yes", Style::Good) } else { Cell::new("no", Style::Bad) }
}

/// A time to the second, which is exact enough for people.
pub fn seconds(at: Timestamp) -> Cell {
    Cell::moment(at, "", Style::Plain)
}

/// A duration in its two largest units: `40s`, `3h 20m`, `2d 5h`.
pub fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let first = units.iter().position(|(_, size)| seconds >= *size).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, size) in units.iter().skip(first).take(2) {
        if parts.is_empty() || rest >= *size {
            parts.push(format!("{}{unit}", rest / size));
        }
        rest %= size;
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_two_units_at_most() {
        let after = |seconds: i64| span(Timestamp::UNIX_EPOCH, Timestamp::from_second(seconds).unwrap());
        let spans = [(-5, "0s"), (0, "0s"), (59, "59s"), (60, "1m"), (61, "1m 1s"), (3_600, "1h"), (3_659, "1h")];
        let longer = [(12_000, "3h 20m"), (86_400, "1d"), (86_400 * 40 + 7_200, "40d 2h"), (86_400 + 60, "1d")];
        for (seconds, text) in spans.into_iter().chain(longer) {
            assert_eq!(after(seconds), text, "{seconds}");
        }
    }
}
