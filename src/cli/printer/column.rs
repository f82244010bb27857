//! How an object looks outside JSON: one table of its columns, from which csv and text are made.

use serde::Serialize;

use crate::cli::table::Cell;

/// A column: its csv name, its value, and its cell in the table for people, if it has one.
pub struct Column<T> {
    csv: Option<CsvColumn<T>>,
    text: Option<TextColumn<T>>,
}

struct CsvColumn<T> {
    name: &'static str,
    value: fn(&T) -> String,
}

/// The same column in the table for people, whose order differs from csv.
struct TextColumn<T> {
    place: usize,
    head: &'static str,
    cell: fn(&T) -> Cell,
}

impl<T> Column<T> {
    /// In csv only.
    pub const fn csv(name: &'static str, value: fn(&T) -> String) -> Self {
        Self { csv: Some(CsvColumn { name, value }), text: None }
    }

    /// In csv, and under `head` in the table for people: the `place`th from the left, from 1.
    pub const fn both(
        name: &'static str,
        value: fn(&T) -> String,
        place: usize,
        head: &'static str,
        cell: fn(&T) -> Cell,
    ) -> Self {
        Self { csv: Some(CsvColumn { name, value }), text: Some(TextColumn { place, head, cell }) }
    }

    /// For people only.
    pub const fn text(place: usize, head: &'static str, cell: fn(&T) -> Cell) -> Self {
        Self { csv: None, text: Some(TextColumn { place, head, cell }) }
    }
}

/// An object that can be printed in every format.
pub trait Printable: Serialize + Sized + 'static {
    /// Its columns in the order of csv. Their names never change, and new ones are added at the end.
    const COLUMNS: &'static [Column<Self>];

    /// The header of csv.
    fn header() -> Vec<&'static str> {
        Self::COLUMNS.iter().filter_map(|column| column.csv.as_ref()).map(|csv| csv.name).collect()
    }

    /// One record of csv.
    fn record(&self) -> Vec<String> {
        Self::COLUMNS.iter().filter_map(|column| column.csv.as_ref()).map(|csv| (csv.value)(self)).collect()
    }

    /// The names of further csv columns, which depend on the objects; they come last.
    fn free_columns(_: &[&Self]) -> Vec<String> {
        Vec::new()
    }

    /// The value in a further column.
    fn free_value(&self, _: &str) -> String {
        String::new()
    }

    /// The heads of the table for people.
    fn heads() -> Vec<&'static str> {
        text_columns::<Self>().iter().map(|text| text.head).collect()
    }

    /// One row of the table.
    fn row(&self) -> Vec<Cell> {
        text_columns::<Self>().iter().map(|text| (text.cell)(self)).collect()
    }

    /// One line, when objects are printed one by one.
    fn line(&self) -> Vec<Cell> {
        self.row()
    }

    /// Label and value, when the object is printed alone.
    fn details(&self) -> Vec<(&'static str, Cell)> {
        Self::heads().into_iter().zip(self.row()).collect()
    }
}

/// The text columns, from left to right.
fn text_columns<T: Printable>() -> Vec<&'static TextColumn<T>> {
    let mut columns: Vec<_> = T::COLUMNS.iter().filter_map(|column| column.text.as_ref()).collect();
    columns.sort_by_key(|text| text.place);
    columns
}

/// The places of the text columns, from 1, which must be distinct.
#[cfg(test)]
pub fn places<T: Printable>() -> Vec<usize> {
    text_columns::<T>().iter().map(|text| text.place).collect()
}
