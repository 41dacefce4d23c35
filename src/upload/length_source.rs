//! How the gateway knew a file's length.

/// How the length was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum LengthSource {
    /// The caller declared it.
    Declared,
    /// The whole file was in the look-ahead.
    LookAhead,
    /// Computed from the request's length, less what frames the file.
    Derived,
    /// The file was spooled until its end was seen.
    Spooled,
}

impl LengthSource {
    /// The name in responses and metrics.
    pub fn name(self) -> &'static str {
        self.into()
    }
}
