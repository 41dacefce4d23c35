//! A limit that a refusal cites, and who sets it: an adapter tells its customer what may be sent.

/// Who sets a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum LimitSource {
    /// The gateway's settings.
    Setting,
    /// The channel at eGain (`attachmentPolicy`).
    EgainChannel,
    /// eGain's own most, whatever the channel.
    EgainMaximum,
}

/// What may be sent, as far as one source says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentLimit {
    /// Who says so.
    pub source: LimitSource,
    /// Bytes.
    pub max_size: Option<u64>,
    /// Extensions or patterns of types; none for all, empty for nothing.
    pub allowed: Option<Vec<String>>,
}
