//! Reads the user information of a token, as the basis for changing it.

use super::{AdministrationError, Target, check_role_of, is_private, open};
use crate::{
    api::User,
    card::{link::Link, status::Status},
    channel::CommandName,
    crypto::x509::{CertificateProfile, TerminalRole},
    token::{
        TokenError, commands,
        constants::TAG_RECORD,
        open::{AuthenticationContext, identify},
        record::{self, Layout},
        select::LifeCycle,
    },
};

/// The user information on a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardRecord {
    compact: Vec<u8>,
    details: Vec<u8>,
    /// The user named on the token; `None` when an interrupted write left it unreadable.
    pub user: Option<User>,
}

impl CardRecord {
    /// Reads the record through a channel under the token's own key; nothing on the card changes.
    ///
    /// # Errors
    /// [`AdministrationError::Role`] and [`AdministrationError::Foreign`]; [`AdministrationError::Token`] for a token that
    /// is not in use, and when the exchange fails.
    pub fn read(
        link: &mut dyn Link,
        context: &mut AuthenticationContext<'_>,
    ) -> Result<(Target, Self), AdministrationError> {
        let held = context.credentials.certificate.class();
        check_role_of(held, TerminalRole::Write)?;
        let selected = identify(link, context.format)?.ok_or(AdministrationError::Foreign)?;
        let is_usable = match selected.state {
            LifeCycle::Issued => true,
            LifeCycle::Blocked => held == CertificateProfile::Terminal(TerminalRole::Admin),
            _ => is_private(&selected),
        };
        if !is_usable {
            return Err(TokenError::NotIssued(selected.state).into());
        }
        let (target, mut session) = open(link, context, &selected)?;
        let compact = session.send(link, CommandName::GetRecord, &commands::read_object(TAG_RECORD))?;
        let details = match session.read_details(link) {
            Err(TokenError::Refused { status: Status::NO_DATA, .. }) => Vec::new(),
            details => details?,
        };
        let user = record::decode_filled(&compact)
            .and_then(|record| if record.more { record::merge(record, &details) } else { Ok(record.user) });
        Ok((target, Self { compact, details, user: user.ok() }))
    }

    /// Whether the token already holds exactly this.
    pub fn is(&self, layout: &Layout) -> bool {
        self.compact == layout.compact && self.details == layout.details.clone().unwrap_or_default()
    }
}
