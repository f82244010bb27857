//! Many rows in one statement. There are few lengths of them, so that the database keeps few statements.

use std::fmt::Write;

/// The most rows of one statement; a power of two.
const ROWS: usize = 64;

/// All of these in parts that are as long as a power of two, [`ROWS`] at most.
pub fn parts<T>(all: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = all;
    std::iter::from_fn(move || {
        let length = ROWS.min(1 << rest.len().checked_ilog2()?);
        let (part, next) = rest.split_at(length);
        rest = next;
        Some(part)
    })
}

/// The places of a list, `$3, $4` for two after two others.
pub fn list(count: usize, after: usize) -> String {
    let mut text = String::with_capacity(count * 6);
    for number in 1..=count {
        let comma = if number == 1 { "" } else { ", " };
        // Writing into memory never fails.
        let _ = write!(text, "{comma}${}", after + number);
    }
    text
}

/// The places of rows, `($1, $2), ($3, $4)` for two of two columns.
pub fn rows(count: usize, columns: usize) -> String {
    let rows: Vec<_> = (0..count).map(|row| format!("({})", list(columns, row * columns))).collect();
    rows.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_powers_of_two_and_all_of_it() {
        for length in 0..300 {
            let all: Vec<usize> = (0..length).collect();
            let parts: Vec<_> = parts(&all).collect();
            assert!(parts.iter().all(|part| part.len().is_power_of_two() && part.len() <= ROWS));
            assert_eq!(parts.concat(), all);
        }
        let fifty = [0; 50];
        assert_eq!(parts(&fifty).map(<[_]>::len).collect::<Vec<_>>(), [32, 16, 2]);
    }

    #[test]
    fn places_are_numbered_through() {
        assert_eq!(list(3, 1), "$2, $3, $4");
        assert_eq!(rows(2, 3), "($1, $2, $3), ($4, $5, $6)");
    }
}
