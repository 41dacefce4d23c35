//! How the gateway knew a file's length.

/// How the length was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
pub enum LengthSource {
    /// The caller declared it.
    #[strum(serialize = "declared")]
    Declared,
    /// The whole file was in the look-ahead.
    #[strum(serialize = "lookahead")]
    LookAhead,
    /// Computed from the request's length, less what frames the file.
    #[strum(serialize = "derived")]
    Derived,
    /// The file was spooled until its end was seen.
    #[strum(serialize = "spooled")]
    Spooled,
}

impl LengthSource {
    /// The name in responses and metrics.
    pub fn name(self) -> &'static str {
        self.into()
    }
}
