//! The objects that commands print, one file for each family: the JSON object as scripts see it (the contract:
//! `rollcall schema NAME`), and one table of its columns, from which csv and text are made. There is no logic here:
//! commands fill them in.
//!
//! Fields may be added to an object; none changes its meaning or disappears without a new number in `schema`.
//!
//! Specification: docs/cli.md, "JSON objects".

mod apdu;
#[cfg(feature = "board")]
mod board;
mod card;
mod card_outcome;
mod cells;
mod enroll;
mod event;
mod finding;
mod forgotten;
mod parts;
mod pki;
mod proof;
mod proof_report;
mod reader;
mod rotation;
mod scan;
mod server;
mod server_presence;
mod status;
mod token;
mod user_change;
mod users;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;

use crate::api::json_schema::Dialect;

pub use apdu::{CarriedApdu, Exchanged, Tlv};
#[cfg(feature = "board")]
pub use board::{BoardLinkView, LinkStateView};
pub use card::{IssuedCardState, IssuedCardView};
pub use cells::span;
pub use enroll::{BatchView, Enroll, Enrolled, RowDifferenceView, RowNowView};
pub use event::EventView;
pub use finding::{FindingView, Severity};
pub use forgotten::{Forgotten, Kept, Removed};
pub use parts::{At, Ms, Named, Schema};
pub use pki::{Pki, PkiKind, PkiState, TerminalBundleView};
pub use proof::{NonceSource, ProofView};
pub use proof_report::{ProofCheckResult, ProofCheckView, ProofReportView};
pub use reader::{AtrField, ReaderStateView, ReaderView};
pub use rotation::{RotationState, RotationView, SetRotationView};
pub use scan::{AuthenticatedView, ScanView, ServerVerdictView, TimingsView};
pub use server::{
    Audit, Backup, ChangedUser, Import, Reconciliation, ServerState, ServerTerminal, ServerToken, ServerUserView,
};
pub use server_presence::{PresenceView, ServerEventView, ServerForgotten};
pub use status::{AreaMark, AreaView};
pub use token::{RegisteredView, TokenAction, TokenChange, TokenChanged, TokenModeView, TokenState, TokenView};
pub use user_change::{UserChangeView, UserPartView};
pub use users::{Allowed, Denied, UserEntry};

macro_rules! named {
    ($($(#[$when:meta])* $object:ty = $name:literal),+ $(,)?) => {
        $($(#[$when])* impl Named for $object {
            const SCHEMA: &'static str = $name;
        })+

        /// The names of all objects, in the order of the contract.
        pub const NAMES: &[&str] = &[$($(#[$when])* $name),+];

        /// The JSON Schema (draft 2020-12) of the object with this name: `rollcall.scan/1`, `rollcall.scan` or `scan`.
        pub fn json_schema_of(name: &str) -> Option<schemars::Schema> {
            $($(#[$when])* if is_called(name, $name) {
                return Some(as_printed().into_root_schema_for::<$object>());
            })+
            None
        }
    };
}

named! {
    ReaderView = "rollcall.reader/1",
    ScanView = "rollcall.scan/1",
    Enroll = "rollcall.enroll/1",
    BatchView = "rollcall.batch/1",
    UserEntry = "rollcall.user/1",
    EventView = "rollcall.event/1",
    Denied = "rollcall.denied/1",
    Allowed = "rollcall.allowed/1",
    Forgotten = "rollcall.forgotten/1",
    #[cfg(feature = "board")]
    BoardLinkView = "rollcall.board-link/1",
    TokenView = "rollcall.token/1",
    IssuedCardView = "rollcall.card/1",
    TokenChange = "rollcall.token-change/1",
    ProofReportView = "rollcall.proof/1",
    RotationView = "rollcall.rotation/1",
    RotationState = "rollcall.rotation-state/1",
    SetRotationView = "rollcall.set-rotation/1",
    Pki = "rollcall.pki/1",
    TerminalBundleView = "rollcall.terminal-bundle/1",
    ServerState = "rollcall.server/1",
    Audit = "rollcall.audit/1",
    Reconciliation = "rollcall.reconciliation/1",
    Backup = "rollcall.backup/1",
    ServerUserView = "rollcall.server-user/1",
    ServerToken = "rollcall.server-token/1",
    ServerTerminal = "rollcall.server-terminal/1",
    Import = "rollcall.import/1",
    PresenceView = "rollcall.presence/1",
    ServerEventView = "rollcall.server-event/1",
    ServerForgotten = "rollcall.server-forgotten/1",
    AreaView = "rollcall.status/1",
    FindingView = "rollcall.finding/1",
    Exchanged = "rollcall.apdu/1",
}

/// Schemas of what is written, as opposed to what can be read.
fn as_printed() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_serialize().with_transform(Dialect::Printed).into_generator()
}

fn is_called(typed: &str, name: &str) -> bool {
    let bare = |name: &str| name.strip_prefix("rollcall.").unwrap_or(name).to_owned();
    let unnumbered = name.split_once('/').map_or(name, |(before, _)| before);
    let typed = bare(typed);
    typed == bare(name) || typed == bare(unnumbered)
}

#[cfg(test)]
mod tests;
