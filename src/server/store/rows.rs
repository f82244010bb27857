//! Many rows in one statement, as each of the two databases takes them best.

/// The most rows of one statement of SQLite; a power of two.
const ROWS: usize = 64;

/// A column of rows that go into a statement.
#[derive(Debug)]
pub enum BoundColumn<'a> {
    /// Texts.
    Text(Vec<&'a str>),
    /// Numbers.
    Int(Vec<i64>),
    /// Bytes.
    Bytes(Vec<&'a [u8]>),
    /// Bytes, where there are any.
    SomeBytes(Vec<Option<&'a [u8]>>),
}

/// Rows, and the statement that takes them: it is given what selects them, with columns named `column1` and so on.
#[derive(Debug)]
pub struct BoundRows<'a> {
    /// What goes in, as many in each column.
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

/// So many rows in parts of [`ROWS`] at most, each with the number of places in its statement: a power of two, so that there
/// are few statements to be kept. What is put in no place is null.
pub fn parts(count: usize) -> impl Iterator<Item = (std::ops::Range<usize>, usize)> {
    let begins = (0..count).step_by(ROWS);
    begins.map(move |begin| {
        let end = count.min(begin + ROWS);
        (begin..end, (end - begin).next_power_of_two())
    })
}

/// The same again and again, with commas between.
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
