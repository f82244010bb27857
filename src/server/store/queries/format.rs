//! Migrates a store to the newest format, in one transaction that holds from its beginning a lock against others that
//! do the same. The table of migrations is that of sqlx's migrator, which earlier releases used.

use super::{Connection, Row, query, run};
use crate::server::store::{
    ServerStoreError,
    migrations::{self, Script},
};

/// Runs the scripts that have not run yet; refuses a store of a newer release. `table` creates the table of migrations.
pub async fn bring_up(c: &mut Connection, table: &'static str, scripts: &[Script]) -> Result<(), ServerStoreError> {
    run(c, table).await?;
    let ran = query("SELECT version, checksum FROM _sqlx_migrations ORDER BY version").fetch_all(&mut *c).await?;
    let mut newest = 0;
    for row in &ran {
        newest = row.try_get("version")?;
        let script = scripts.iter().find(|script| script.number == newest).ok_or(ServerStoreError::Newer(newest))?;
        if row.try_get::<Vec<u8>, _>("checksum")? != script.checksum() {
            return Err(ServerStoreError::Changed(newest));
        }
    }
    for script in scripts.iter().filter(|script| script.number > newest) {
        run(c, script.text).await?;
        query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES ($1, $2, TRUE, $3, 0)",
        )
        .bind(script.number)
        .bind(script.name)
        .bind(script.checksum())
        .execute(&mut *c)
        .await?;
        if script.number == migrations::PRESENCE {
            super::presence::index(c).await?;
        }
        if script.number == migrations::EQUIPMENT {
            super::equipment::rebuild(c, None).await?;
        }
    }
    Ok(())
}

/// A write that changes nothing, for the readiness check.
pub async fn touch(c: &mut Connection) -> super::Result<()> {
    query("UPDATE audit_head SET seq = seq").execute(c).await?;
    Ok(())
}
