//! When a certificate ends.

use jiff::{SignedDuration, Timestamp};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::verdict::CheckVerdict;

/// A certificate that ends sooner should have been renewed by now: issuers that renew by
/// themselves do so a month before.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// A verdict on a certificate, of which all else is in order.
pub(super) fn verdict_on_end(check: &'static str, whose: &str, der: &[u8]) -> CheckVerdict {
    let Some(end) = end(der) else {
        return CheckVerdict::warning(
            check,
            format!("{whose}: the certificate's end can't be read"),
            "look at it with openssl x509 -enddate",
        );
    };
    let left = end.duration_since(Timestamp::now());
    let days = left.as_hours() / 24;
    if left.is_negative() {
        CheckVerdict::failed(
            check,
            format!("{whose}: the certificate expired at {end}"),
            "renew the certificate",
        )
    } else if left < SOON {
        CheckVerdict::warning(
            check,
            format!("{whose}: the certificate expires at {end}, in {days} days"),
            "renew the certificate",
        )
    } else {
        CheckVerdict::ok(
            check,
            format!("{whose}: the certificate is valid until {end}, for {days} days"),
        )
    }
}

fn end(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::verdict::CheckResult;
    use std::time::{Duration, SystemTime};

    fn verdict(days: i64) -> CheckVerdict {
        let mut parameters = rcgen::CertificateParams::new(vec!["a.test".into()]).unwrap();
        let day = Duration::from_secs(24 * 3600);
        let now = SystemTime::now();
        parameters.not_before = (now - 1000 * day).into();
        parameters.not_after = if days < 0 {
            (now - day * days.unsigned_abs() as u32).into()
        } else {
            (now + day * days as u32 + day / 2).into()
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        verdict_on_end("tls", "a.test", certificate.der())
    }

    #[test]
    fn an_end_is_in_order_soon_or_past() {
        for (days, result, words) in [
            (90, CheckResult::Ok, "for 90 days"),
            (3, CheckResult::Warning, "in 3 days"),
            (-1, CheckResult::Failed, "the certificate expired at"),
        ] {
            let verdict = verdict(days);
            assert_eq!(verdict.result, result, "{verdict}");
            assert!(verdict.detail.contains(words), "{verdict}");
        }
        assert_eq!(
            verdict_on_end("tls", "x", b"no").result,
            CheckResult::Warning
        );
    }
}
