//! Words that must never be read aloud: no readable `Debug`, no `Display`.

use std::fmt;

use url::Url;

/// A presigned URL, byte for byte as eGain sent it: a signature was made over its bytes. A holder
/// of it may read or write the asset, so it prints as its host only.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedUrl(Box<str>);

impl SignedUrl {
    /// Takes over text that must not be printed from here on. None where it is no URL.
    pub fn parse(text: &str) -> Option<Self> {
        Url::parse(text).ok().map(|_| Self(text.trim().into()))
    }

    /// The URL itself, to send a request to it or to hand it to the caller that requested it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its parts, as every client reads them.
    pub fn parsed(&self) -> Url {
        Url::parse(&self.0).expect("it was parsed before")
    }
}

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SignedUrl({}, [REDACTED])",
            self.parsed().host_str().unwrap_or("no host")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_url_prints_no_path_and_no_signature() {
        let url =
            SignedUrl::parse("https://storage.egain.cloud/files/1?signature=hunter2").unwrap();
        assert_eq!(
            format!("{url:?}"),
            "SignedUrl(storage.egain.cloud, [REDACTED])"
        );
    }
}
