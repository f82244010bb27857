//! Many rows in one statement, in the form that suits each of the two databases.

/// The most rows of one statement of SQLite; a power of two.
const ROWS: usize = 64;

/// A column of rows that are bound to a statement.
#[derive(Debug)]
pub enum BoundColumn<'a> {
    /// Texts.
    Text(Vec<&'a str>),
    /// Numbers.
    Int(Vec<i64>),
    /// Bytes.
    Bytes(Vec<&'a [u8]>),
    /// Bytes or null.
    SomeBytes(Vec<Option<&'a [u8]>>),
}

/// Rows, and the statement that takes them: it receives what selects them, with columns named `column1` and so on.
#[derive(Debug)]
pub struct BoundRows<'a> {
    /// The columns, all of the same length.
    pub columns: Vec<BoundColumn<'a>>,
    /// The statement.
    pub statement: fn(&str) -> String,
}

impl BoundRows<'_> {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.columns.first().is_none_or(|column| column.len() == 0)
    }
}

impl BoundColumn<'_> {
    /// How many rows it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(all) => all.len(),
            Self::Int(all) => all.len(),
            Self::Bytes(all) => all.len(),
            Self::SomeBytes(all) => all.len(),
        }
    }
}

/// Splits so many rows into parts of at most [`ROWS`], each with the number of places in its statement. That is a power
/// of two, so that few statements have to be kept prepared. A place without a value is null.
pub fn parts(count: usize) -> impl Iterator<Item = (std::ops::Range<usize>, usize)> {
    let begins = (0..count).step_by(ROWS);
    begins.map(move |begin| {
        let end = count.min(begin + ROWS);
        (begin..end, (end - begin).next_power_of_two())
    })
}

/// Repeats a text, separated by commas.
pub fn joined(one: &str, count: usize) -> String {
    let mut text = String::with_capacity((one.len() + 2) * count);
    for number in 0..count {
        text.push_str(if number == 0 { "" } else { ", " });
        text.push_str(one);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_all_of_it_and_have_few_lengths() {
        for length in 0..300 {
            let all: Vec<_> = parts(length).collect();
            assert!(
                all.iter().all(|(part, places)| part.len() <= *places && places.is_power_of_two() && *places <= ROWS)
            );
            assert!(all.into_iter().flat_map(|(part, _)| part).eq(0..length));
        }
        assert_eq!(parts(70).collect::<Vec<_>>(), [(0..64, 64), (64..70, 8)]);
    }

    #[test]
    fn what_is_joined_has_commas_between_only() {
        assert_eq!([joined("?", 0), joined("?", 1), joined("(?, ?)", 2)], ["", "?", "(?, ?), (?, ?)"]);
    }
}
