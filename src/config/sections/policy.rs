//! `[policy]`: which files may pass.

use super::channels::ChannelsConfig;
use crate::config::schema::rules::some;
use crate::config::schema::section;
use crate::config::schema::value::named_values;
use crate::media::MediaPattern;
use crate::policy::{OnTypeMismatch, UnknownChannels};

named_values! { OnTypeMismatch, UnknownChannels }

section! {
    /// Which files may pass.
    PolicySection as "policy" {
        /// MIME patterns of what is refused, in place of the built-in list.
        deny: Option<Vec<MediaPattern>> => "executables and scripts";
        /// MIME patterns of what may pass.
        allow: Vec<MediaPattern> = "*/*" where some;
        /// When name or declared type contradict the bytes: rename or refuse.
        on_mismatch: OnTypeMismatch = "rename";
        /// Whether what would be refused is only counted and logged.
        report_only: bool = "false";
        /// Whether a channel may be sent to that neither `policy.channels` nor a key's `channels`
        /// nor the caller's token names: allow or refuse.
        unknown_channels: UnknownChannels = "allow";
        /// What a channel takes, whatever the case of its name: `[policy.channels.<type>]` with
        /// `max_size`, `allow` and `deny`; in the file only.
        channels: ChannelsConfig = "";
    }
}
