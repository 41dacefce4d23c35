//! A channel as the Channel API gives it, and what it lets be attached.

use serde_json::Value;

use crate::policy::attachments::{AttachmentPolicy, ExtensionRule, LARGEST};
use crate::types::asset::AssetDirection;

/// A channel, as far as the gateway needs it. Read leniently: only what is documented is relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// eGain's channel type, such as `whatsapp`.
    pub kind: String,
    /// Whether it is in use; true where eGain doesn't say.
    pub active: bool,
    inbound: AttachmentPolicy,
    outbound: AttachmentPolicy,
}

impl Channel {
    /// None for a response without a type.
    pub fn read(channel: &Value) -> Option<Self> {
        Some(Self {
            kind: channel["type"]
                .as_str()
                .filter(|kind| !kind.is_empty())?
                .to_owned(),
            active: channel["active"].as_bool().unwrap_or(true),
            inbound: policy(&channel["restrictions"]["inbound"], AssetDirection::Inbound),
            outbound: policy(
                &channel["restrictions"]["outbound"],
                AssetDirection::Outbound,
            ),
        })
    }

    /// What may be attached in a direction.
    pub fn policy(&self, direction: AssetDirection) -> &AttachmentPolicy {
        match direction {
            AssetDirection::Inbound => &self.inbound,
            AssetDirection::Outbound => &self.outbound,
        }
    }
}

/// Where `features` is absent, all is allowed inbound and nothing outbound (eGain's Channel API).
fn policy(restrictions: &Value, direction: AssetDirection) -> AttachmentPolicy {
    let attachments = match restrictions["features"].as_array() {
        Some(features) => features.iter().any(|feature| feature == "attachments"),
        None => direction == AssetDirection::Inbound,
    };
    let written = &restrictions["attachmentPolicy"];
    if !attachments || written["enabled"] == false {
        return AttachmentPolicy::nothing();
    }
    let listed = written["extensions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let listed = listed
        .map(|extension| extension.trim_start_matches('.').to_ascii_lowercase())
        .collect();
    AttachmentPolicy {
        enabled: true,
        max_size: whole_number(&written["maxSize"])
            .unwrap_or(LARGEST)
            .clamp(1, LARGEST),
        extensions: match written["type"].as_str() {
            Some("allow") => ExtensionRule::Allow(listed),
            Some("block") => ExtensionRule::Block(listed),
            _ => ExtensionRule::Any,
        },
    }
}

/// eGain was seen to write numbers as text.
fn whole_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn absent_features_allow_all_inbound_and_nothing_outbound() {
        let channel = Channel::read(&json!({"type": "sms"})).unwrap();
        assert_eq!(
            channel.policy(AssetDirection::Inbound),
            &AttachmentPolicy::default()
        );
        assert_eq!(
            channel.policy(AssetDirection::Outbound),
            &AttachmentPolicy::nothing()
        );
        let policy = json!({"type": "block", "extensions": ["bat", ".EXE"], "maxSize": "12345"});
        let channel = Channel::read(
            &json!({"type": "sms", "restrictions": {"inbound": {"attachmentPolicy": policy}}}),
        )
        .unwrap();
        let blocked = ExtensionRule::Block(["bat", "exe"].map(str::to_owned).into());
        let expected = AttachmentPolicy {
            enabled: true,
            max_size: 12_345,
            extensions: blocked,
        };
        assert_eq!(channel.policy(AssetDirection::Inbound), &expected);
    }

    #[test]
    fn features_without_attachments_and_a_disabled_policy_allow_nothing() {
        for inbound in [
            json!({"features": ["typing_events"]}),
            json!({"features": []}),
            json!({"features": ["attachments"], "attachmentPolicy": {"enabled": false}}),
        ] {
            let channel =
                Channel::read(&json!({"type": "sms", "restrictions": {"inbound": inbound}}))
                    .unwrap();
            assert_eq!(
                channel.policy(AssetDirection::Inbound),
                &AttachmentPolicy::nothing(),
                "{inbound}"
            );
        }
    }

    #[test]
    fn sizes_beyond_egains_own_most_are_its_most() {
        let outbound =
            json!({"features": ["attachments"], "attachmentPolicy": {"maxSize": 99_999_999}});
        let channel =
            Channel::read(&json!({"type": "sms", "restrictions": {"outbound": outbound}})).unwrap();
        assert_eq!(channel.policy(AssetDirection::Outbound).max_size, LARGEST);
        assert!(Channel::read(&json!({"type": 7})).is_none());
    }
}
