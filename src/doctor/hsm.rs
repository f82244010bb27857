//! Checks the personalisation key in a PKCS#11 token, without a login: a PIN that `doctor` tried might be the last try.

use std::time::Duration;

use super::{Finding, Probe, ProbeReport};
use crate::{
    failure::{Failure, Remedy},
    pki::pkcs11::{self, PinState, Sighting, Uri},
};

/// Opens the key, using the one PIN attempt that every enrollment uses.
const OPEN: &str = "rollcall enroll --from FILE --dry-run";

pub fn probe(uri: Uri) -> Probe {
    Probe {
        name: "pkcs11",
        subject: Some(uri.to_string()),
        limit: Duration::from_secs(10),
        silent: || {
            Finding::fault(
                "pki.pkcs11-slow",
                "the PKCS#11 library did not answer in time",
                "see whether its device or service answers: pkcs11-tool --module LIBRARY --list-slots",
            )
        },
        work: Box::new(move |report| inspect(report, &uri)),
    }
}

fn inspect(report: &ProbeReport, uri: &Uri) {
    report.found(match pkcs11::sight(uri) {
        Ok(sighting) => judged(&sighting),
        Err(error) => Failure::from(error).into(),
    });
}

fn judged(sighting: &Sighting) -> Finding {
    let Sighting { token, seen, pin } = sighting;
    let remedy = Remedy::from(format!("check the PIN before it is used again: {OPEN} tries it once"));
    let found = match pin {
        PinState::FinalTry | PinState::Locked => {
            Finding::warning("pki.pkcs11-pin-low", format!("one more wrong PIN locks the token {token:?}"), remedy)
        }
        PinState::Low => Finding::warning(
            "pki.pkcs11-pin-low",
            format!("the token {token:?} was given a wrong PIN, and not the right one since"),
            remedy,
        ),
        PinState::Fresh if *seen => Finding::good(format!("the key is on the token {token:?}")),
        PinState::Fresh => {
            Finding::skipped(format!("the token {token:?} shows no such key without a login, which {OPEN} tries"))
        }
    };
    found.fact("seen", *seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn what_is_seen_is_said() {
        let judged = |seen, pin| judged(&Sighting { token: "Desk".into(), seen, pin });
        assert_eq!(judged(true, PinState::Fresh).message, "the key is on the token \"Desk\"");
        let hidden = judged(false, PinState::Fresh);
        assert_eq!(hidden.verdict, Verdict::Skipped);
        assert!(hidden.message.contains("without a login"), "{}", hidden.message);
        for pin in [PinState::Low, PinState::FinalTry] {
            let found = judged(true, pin);
            assert_eq!((found.verdict, found.code), (Verdict::Warning, Some("pki.pkcs11-pin-low")));
        }
    }
}
