//! The object for a presence proof that was verified after the fact, check by check.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    At, Schema,
    cells::{self, error_code, error_message, failed, text, word, yes},
};
use crate::{
    cli::{
        printer::{Column, Printable},
        table::{Cell, Style},
    },
    failure::ErrorObject,
    token::proof_checks::ProofCheck,
};

/// What came of the checks of a presence proof (`proof verify`).
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ProofReport")]
pub struct ProofReportView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// When it was checked; the certificate has to be valid then.
    pub at: At,
    /// No check failed. Those that were `not_checked` count as nothing.
    pub verified: bool,
    /// The token that the message names; null when it has another form.
    pub token_id: Option<Uuid>,
    /// The use counter; a proof is only new when it is greater than the last one of this token.
    pub counter: Option<u32>,
    /// The nonce, 64 hex digits.
    pub nonce: Option<String>,
    /// The thumbprint of the key of the terminal that the token spoke to (RFC 9679), 64 hex digits.
    pub terminal: Option<String>,
    /// Each check.
    pub checks: Vec<ProofCheckView>,
    /// The first check that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorObject>,
}

/// One check of a presence proof.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ProofCheck")]
pub struct ProofCheckView {
    /// What is checked.
    pub check: ProofCheckName,
    /// What came of it.
    pub result: ProofCheckResult,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What is checked of a presence proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProofCheckName {
    /// The message has the form of the protocol.
    Form,
    /// The CA signed the certificate, for an identity key.
    Certificate,
    /// The certificate is valid now.
    Validity,
    /// The certificate is that of the token that the message names.
    Token,
    /// The identity key signed the message.
    Signature,
    /// The object that it came in names the same token and counter.
    Object,
    /// The nonce is the expected one (`--nonce`).
    Nonce,
    /// The token spoke to the expected terminal (`--terminal`).
    Terminal,
}

impl From<ProofCheck> for ProofCheckName {
    fn from(check: ProofCheck) -> Self {
        match check {
            ProofCheck::Form => Self::Form,
            ProofCheck::Certificate => Self::Certificate,
            ProofCheck::Validity => Self::Validity,
            ProofCheck::Token => Self::Token,
            ProofCheck::Signature => Self::Signature,
            ProofCheck::Object => Self::Object,
            ProofCheck::Nonce => Self::Nonce,
            ProofCheck::Terminal => Self::Terminal,
        }
    }
}

/// What came of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProofCheckResult {
    /// It holds.
    Ok,
    /// It does not.
    Failed,
    /// A check that it needs failed, or there is nothing to compare with.
    NotChecked,
}

impl ProofCheckName {
    const fn label(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Certificate => "certificate",
            Self::Validity => "validity",
            Self::Token => "same token",
            Self::Signature => "signature",
            Self::Object => "object",
            Self::Nonce => "nonce",
            Self::Terminal => "terminal",
        }
    }
}

impl ProofCheckView {
    fn cell(&self) -> Cell {
        match (self.result, &self.why) {
            (ProofCheckResult::Ok, _) => Cell::new("ok", Style::Good),
            (ProofCheckResult::Failed, Some(why)) => Cell::new(why, Style::Bad),
            (ProofCheckResult::Failed, None) => Cell::new("failed", Style::Bad),
            (ProofCheckResult::NotChecked, _) => Cell::new("not checked", Style::Dim),
        }
    }
}

impl Printable for ProofReportView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::csv("at", |report| report.at.to_string()),
        Column::both("verified", |report| report.verified.to_string(), 3, "VERIFIED", Self::result),
        Column::both(
            "token_id",
            |report| text(report.token_id.as_ref()),
            1,
            "TOKEN",
            |report| cells::token(report.token_id.as_ref()),
        ),
        Column::both(
            "counter",
            |report| text(report.counter.as_ref()),
            2,
            "COUNTER",
            |report| text(report.counter.as_ref()).into(),
        ),
        Column::csv("nonce", |report| text(report.nonce.as_ref())),
        Column::csv("terminal", |report| text(report.terminal.as_ref())),
        Column::csv("checks", |report| {
            let each = report.checks.iter().map(|one| format!("{}={}", word(&one.check), word(&one.result)));
            each.collect::<Vec<_>>().join(" ")
        }),
        Column::csv("error_code", |report| error_code(report.error.as_ref())),
        Column::csv("error_message", |report| error_message(report.error.as_ref())),
    ];

    fn details(&self) -> Vec<(&'static str, Cell)> {
        let mut details: Vec<_> = self.checks.iter().map(|one| (one.check.label(), one.cell())).collect();
        details.extend(self.token_id.map(|id| ("token", Cell::token(id, Style::Plain))));
        let told = [
            ("counter", self.counter.map(|counter| counter.to_string())),
            ("nonce is", self.nonce.clone()),
            ("terminal is", self.terminal.clone()),
        ];
        details.extend(told.into_iter().filter_map(|(label, value)| Some((label, Cell::from(value?)))));
        details.push(("verified", self.result()));
        details
    }
}

impl ProofReportView {
    fn result(&self) -> Cell {
        self.error.as_ref().map_or_else(|| yes(self.verified), failed)
    }
}
