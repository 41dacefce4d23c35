//! Words that must never be read aloud: no readable `Debug`, no `Display`.

use std::fmt;

use url::Url;

/// A signed URL. Whoever holds it may read or write the asset, so it prints as its host only.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedUrl(Url);

impl SignedUrl {
    /// Takes over a URL that must not be printed from here on.
    pub fn new(url: Url) -> Self {
        Self(url)
    }

    /// The URL itself, to send a request to it or to hand it to the caller who asked for it.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedUrl({}, [REDACTED])", self.0.host_str().unwrap_or("no host"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_url_prints_no_path_and_no_signature() {
        let url = SignedUrl::new("https://storage.egain.cloud/files/1?signature=hunter2".parse().unwrap());
        assert_eq!(format!("{url:?}"), "SignedUrl(storage.egain.cloud, [REDACTED])");
    }
}
