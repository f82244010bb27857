//! The words and cells that the objects have in common.

use super::super::json::ProofView;
use super::super::table::{Cell, Style};
use crate::api::User;
use crate::failure::ErrorObject;

/// The word of an enum, as JSON has it.
pub fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

pub fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// Id, name and fields; the fields as a JSON object, since their names are free.
pub fn user(user: Option<&User>) -> [String; 3] {
    let Some(user) = user else { return Default::default() };
    let fields =
        if user.fields.is_empty() { String::new() } else { serde_json::to_string(&user.fields).unwrap_or_default() };
    [user.id.clone(), user.name.clone(), fields]
}

/// Id, name, and one line for each field.
pub fn whose(user: &User) -> Vec<(&'static str, Cell)> {
    let mut details = vec![("user", Cell::new(&user.id, Style::Strong)), ("name", user.name.as_str().into())];
    details.extend(user.fields.iter().map(|(key, value)| ("field", format!("{key} = {value}").into())));
    details
}

pub fn error(error: Option<&ErrorObject>) -> [String; 2] {
    error.map(|e| [e.code.clone(), e.message.clone()]).unwrap_or_default()
}

pub fn failed(error: &ErrorObject) -> Cell {
    Cell::new(format!("{} ({})", error.message, error.code), Style::Bad)
}

pub fn proof(proof: Option<&ProofView>) -> [String; 3] {
    proof.map(|p| [p.counter.to_string(), word(&p.nonce_source), text(p.cose.as_ref())]).unwrap_or_default()
}

pub fn yes(holds: bool) -> Cell {
    if holds { Cell::new("yes", Style::Good) } else { Cell::new("no", Style::Bad) }
}

/// For people, a second is exact enough.
pub fn seconds(at: jiff::Timestamp) -> Cell {
    format!("{at:.0}").into()
}
