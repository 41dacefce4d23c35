//! The key of a caller, on the command line.

use std::fmt;
use std::str::FromStr;

use reqwest::header::HeaderValue;

/// A caller's key or token, which is never shown.
#[derive(Clone)]
pub(in crate::cli) struct CallerKey(HeaderValue);

impl CallerKey {
    /// The value of `Authorization`.
    pub(in crate::cli) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl FromStr for CallerKey {
    type Err = &'static str;

    fn from_str(key: &str) -> Result<Self, Self::Err> {
        let mut value = HeaderValue::try_from(format!("Bearer {key}"))
            .map_err(|_| "a key has no such characters")?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for CallerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerKey([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_shown() {
        let key: CallerKey = "hunter2".parse().unwrap();
        assert_eq!(format!("{key:?}"), "CallerKey([REDACTED])");
        assert!(!format!("{:?}", key.header()).contains("hunter2"));
    }
}
