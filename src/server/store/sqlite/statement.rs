//! Runs the statements of `queries/` on SQLite, with the methods that sqlx has for PostgreSQL. Each runs on the calling
//! thread: nothing waits for another thread, and every future here is ready.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use rusqlite::{
    Connection, ToSql,
    types::{ToSqlOutput, Value, ValueRef},
};
use sqlx::{Error, Result, SqlSafeStr, SqlStr};

use super::error::failed;

/// A statement with its bound values.
#[must_use = "a statement does nothing until it is executed"]
pub struct SqliteStatement {
    text: SqlStr,
    values: Result<Vec<Value>>,
}

/// A statement, which is kept prepared for the next time.
pub fn query(text: impl SqlSafeStr) -> SqliteStatement {
    SqliteStatement { text: text.into_sql_str(), values: Ok(Vec::new()) }
}

/// Runs the statements of a script.
pub fn run(c: &Connection, script: &'static str) -> Ready<Result<()>> {
    ready(c.execute_batch(script).map_err(failed))
}

/// How many rows a statement changed.
#[derive(Debug)]
pub struct Done(u64);

impl Done {
    /// The number of them.
    pub const fn rows_affected(&self) -> u64 {
        self.0
    }
}

impl SqliteStatement {
    /// Binds the value of the next place.
    pub fn bind(mut self, value: impl ToSql) -> Self {
        self.values = self.values.and_then(|mut values| {
            values.push(match value.to_sql().map_err(failed)? {
                ToSqlOutput::Borrowed(value) => owned(value)?,
                ToSqlOutput::Owned(value) => value,
                _ => return Err(Error::Encode("a value of no type of a column".into())),
            });
            Ok(values)
        });
        self
    }

    /// Runs it, and discards any rows.
    pub fn execute(self, c: &mut Connection) -> Ready<Result<Done>> {
        ready(self.rows(c, 0).map(|_| Done(c.changes())))
    }

    /// All rows.
    pub fn fetch_all(self, c: &mut Connection) -> Ready<Result<Vec<SqliteRow>>> {
        ready(self.rows(c, usize::MAX))
    }

    /// The first row, if any.
    pub fn fetch_optional(self, c: &mut Connection) -> Ready<Result<Option<SqliteRow>>> {
        ready(self.rows(c, 1).map(|mut rows| rows.pop()))
    }

    /// The first row.
    pub fn fetch_one(self, c: &mut Connection) -> Ready<Result<SqliteRow>> {
        ready(self.rows(c, 1).and_then(|mut rows| rows.pop().ok_or(Error::RowNotFound)))
    }

    /// Runs it to its end, and returns at most so many rows.
    fn rows(self, c: &Connection, most: usize) -> Result<Vec<SqliteRow>> {
        let values = self.values?;
        let mut statement = c.prepare_cached(self.text.as_str()).map_err(failed)?;
        for place in 1..=statement.parameter_count() {
            // "$2" is the second value wherever it first appears; a place without a value is null.
            let number = statement.parameter_name(place).and_then(|name| name.get(1..)?.parse().ok()).unwrap_or(place);
            if let Some(value) = number.checked_sub(1).and_then(|at| values.get(at)) {
                statement.raw_bind_parameter(place, value).map_err(failed)?;
            }
        }
        let names: Arc<[String]> = match most {
            0 => Arc::default(),
            _ => statement.column_names().into_iter().map(str::to_owned).collect(),
        };
        let mut found = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(failed)? {
            if found.len() < most {
                let cells = (0..names.len()).map(|at| owned(row.get_ref(at).map_err(failed)?));
                found.push(SqliteRow { names: Arc::clone(&names), cells: cells.collect::<Result<_>>()? });
            }
        }
        Ok(found)
    }
}

fn owned(value: ValueRef<'_>) -> Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => {
            Value::Text(str::from_utf8(text).map_err(|error| Error::Decode(Box::new(error)))?.to_owned())
        }
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    })
}

/// A row of a result.
#[derive(Debug)]
pub struct SqliteRow {
    names: Arc<[String]>,
    cells: Vec<Value>,
}

/// Reads the cells of a row.
pub trait ReadCells {
    /// The value of a column.
    ///
    /// # Errors
    /// [`Error::ColumnNotFound`] and [`Error::ColumnIndexOutOfBounds`]; [`Error::ColumnDecode`] for a value of another type.
    fn try_get<'r, T: FromCell<'r>, I: ColumnIndex>(&'r self, index: I) -> Result<T>;
}

impl ReadCells for SqliteRow {
    fn try_get<'r, T: FromCell<'r>, I: ColumnIndex>(&'r self, index: I) -> Result<T> {
        let at = index.of(&self.names)?;
        let cell = self.cells.get(at).ok_or(Error::ColumnIndexOutOfBounds { index: at, len: self.cells.len() })?;
        T::from_cell(cell).ok_or_else(|| Error::ColumnDecode {
            index: self.names[at].clone(),
            source: format!("{} is not what is kept there", cell.data_type()).into(),
        })
    }
}

/// Identifies a column, by its place from 0 or by its name.
pub trait ColumnIndex {
    /// Its place.
    ///
    /// # Errors
    /// [`Error::ColumnNotFound`].
    fn of(&self, names: &[String]) -> Result<usize>;
}

impl ColumnIndex for usize {
    fn of(&self, _: &[String]) -> Result<usize> {
        Ok(*self)
    }
}

impl ColumnIndex for &str {
    fn of(&self, names: &[String]) -> Result<usize> {
        names.iter().position(|name| name == self).ok_or_else(|| Error::ColumnNotFound((*self).to_owned()))
    }
}

/// A type that can be read from a cell.
pub trait FromCell<'r>: Sized {
    /// `None` for a value of another type.
    fn from_cell(cell: &'r Value) -> Option<Self>;
}

impl FromCell<'_> for i64 {
    fn from_cell(cell: &Value) -> Option<Self> {
        let Value::Integer(number) = cell else { return None };
        Some(*number)
    }
}

impl<'r> FromCell<'r> for &'r str {
    fn from_cell(cell: &'r Value) -> Option<Self> {
        let Value::Text(text) = cell else { return None };
        Some(text)
    }
}

impl FromCell<'_> for String {
    fn from_cell(cell: &Value) -> Option<Self> {
        <&str>::from_cell(cell).map(str::to_owned)
    }
}

impl FromCell<'_> for Vec<u8> {
    fn from_cell(cell: &Value) -> Option<Self> {
        let Value::Blob(bytes) = cell else { return None };
        Some(bytes.clone())
    }
}

impl<'r, T: FromCell<'r>> FromCell<'r> for Option<T> {
    fn from_cell(cell: &'r Value) -> Option<Self> {
        if matches!(cell, Value::Null) { Some(None) } else { T::from_cell(cell).map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::block_on;

    fn one(text: &'static str, bind: impl Fn(SqliteStatement) -> SqliteStatement) -> Result<SqliteRow> {
        let mut c = Connection::open_in_memory().unwrap();
        block_on(async { bind(query(text)).fetch_one(&mut c).await }).unwrap()
    }

    #[test]
    fn a_value_goes_where_its_number_is() {
        let two = |statement: SqliteStatement| statement.bind("one").bind(2_i64);
        let row = one("SELECT $2 AS b, $1 AS a, $2 AS c", two).unwrap();
        assert_eq!((row.try_get::<&str, _>("a").unwrap(), row.try_get::<i64, _>("b").unwrap()), ("one", 2));
        assert_eq!(row.try_get::<i64, _>(2).unwrap(), 2);
        // Without numbers, values are taken in order; a place without a value is null.
        let row = one("SELECT ?, ?, ?", two).unwrap();
        assert_eq!((row.try_get::<&str, _>(0).unwrap(), row.try_get::<i64, _>(1).unwrap()), ("one", 2));
        assert_eq!(row.try_get::<Option<i64>, _>(2).unwrap(), None);
    }

    #[test]
    fn nothing_is_left_of_the_values_before() {
        let mut c = Connection::open_in_memory().unwrap();
        block_on(async {
            let full = query("SELECT ?, ?").bind(1_i64).bind(vec![2_u8]).fetch_one(&mut c).await.unwrap();
            assert_eq!(full.try_get::<Vec<u8>, _>(1).unwrap(), [2]);
            let half = query("SELECT ?, ?").bind(1_i64).fetch_one(&mut c).await.unwrap();
            assert_eq!(half.try_get::<Option<Vec<u8>>, _>(1).unwrap(), None);
        })
        .unwrap();
    }

    #[test]
    fn a_value_of_another_type_is_an_error() {
        let same = |statement| statement;
        let row = one("SELECT 1 AS n, 'a' AS t, x'07' AS b, NULL AS z, 1.5 AS r, CAST(x'FF' AS TEXT) AS u", same);
        assert!(matches!(row, Err(Error::Decode(_))), "a text that is none: {row:?}");
        let row = one("SELECT 1 AS n, 'a' AS t, x'07' AS b, NULL AS z, 1.5 AS r", same).unwrap();
        for name in ["t", "b", "z", "r"] {
            assert!(matches!(row.try_get::<i64, _>(name), Err(Error::ColumnDecode { .. })), "{name}");
        }
        for name in ["n", "b", "z", "r"] {
            assert!(matches!(row.try_get::<String, _>(name), Err(Error::ColumnDecode { .. })), "{name}");
        }
        for name in ["n", "t", "z", "r"] {
            assert!(matches!(row.try_get::<Vec<u8>, _>(name), Err(Error::ColumnDecode { .. })), "{name}");
        }
        assert!(matches!(row.try_get::<Option<i64>, _>("t"), Err(Error::ColumnDecode { .. })));
        assert!(matches!(row.try_get::<i64, _>("no"), Err(Error::ColumnNotFound(_))));
        assert!(matches!(row.try_get::<i64, _>(5), Err(Error::ColumnIndexOutOfBounds { index: 5, len: 5 })));
        assert!(matches!(one("SELECT 1 WHERE FALSE", same), Err(Error::RowNotFound)));
    }

    #[test]
    fn every_row_is_made_whoever_reads_it() {
        let mut c = Connection::open_in_memory().unwrap();
        block_on(async {
            run(&c, "CREATE TABLE t (n INTEGER UNIQUE)").await.unwrap();
            let insert = query("INSERT INTO t VALUES (1), (2), (3), (4), (5) RETURNING n");
            let first = insert.fetch_optional(&mut c).await.unwrap().unwrap();
            assert_eq!(first.try_get::<i64, _>("n").unwrap(), 1);
            let all = query("SELECT n FROM t").fetch_all(&mut c).await.unwrap();
            assert_eq!(all.len(), 5);
            assert_eq!(query("DELETE FROM t WHERE n > 2").execute(&mut c).await.unwrap().rows_affected(), 3);
            let failure = query("INSERT INTO t VALUES (1)").execute(&mut c).await.unwrap_err();
            assert_eq!(
                failure.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref(),
                Some("2067"),
                "{failure}"
            );
            let failure = query("SELECT missing FROM t").fetch_all(&mut c).await.unwrap_err();
            assert!(failure.to_string().ends_with("(code: 1) no such column: missing"), "{failure}");
        })
        .unwrap();
    }
}
