//! The channels that exist: eGain's documented samples, which tests may change.

use parking_lot::Mutex;
use serde_json::{Value, json};

/// The channels that exist.
#[derive(Debug)]
pub(super) struct ChannelStore(Mutex<Vec<Value>>);

impl ChannelStore {
    /// eGain's samples.
    pub(super) fn with_samples() -> Self {
        Self(Mutex::new(samples()))
    }

    pub(super) fn get(&self, id: &str) -> Option<Value> {
        self.0
            .lock()
            .iter()
            .find(|channel| channel["id"] == id)
            .cloned()
    }

    pub(super) fn all(&self) -> Vec<Value> {
        self.0.lock().clone()
    }

    /// Puts a channel in place of the one with its id, or beside the others.
    pub(super) fn put(&self, channel: Value) {
        let mut channels = self.0.lock();
        channels.retain(|known| known["id"] != channel["id"]);
        channels.push(channel);
    }

    pub(super) fn reset(&self) {
        *self.0.lock() = samples();
    }
}

/// eGain's documented samples: what each channel takes outbound, and what a custom one refuses
/// inbound.
fn samples() -> Vec<Value> {
    let allow = |extensions: &[&str], max_size: u64| {
        let policy = json!({
            "enabled": true,
            "maxSize": max_size,
            "type": "allow",
            "extensions": extensions,
        });
        let features = ["attachments", "typing_events"];
        json!({"outbound": {"features": features, "attachmentPolicy": policy}})
    };
    let blocked =
        json!({"enabled": true, "maxSize": 12345, "type": "block", "extensions": ["bat", "exe"]});
    let custom = json!({
        "inbound": {"features": ["attachments"], "attachmentPolicy": blocked},
        "outbound": {"features": ["attachments", "richText"]},
    });
    vec![
        channel(
            1,
            "sms_twilio",
            "Twilio SMS",
            allow(&["jpeg", "jpg", "png"], 524_288),
        ),
        channel(
            2,
            "whatsapp",
            "WhatsApp",
            allow(&["jpeg", "jpg", "png", "pdf"], 5_242_880),
        ),
        channel(
            3,
            "google_business_messaging",
            "Google Business Messaging",
            allow(&["jpeg", "jpg", "png"], 5_242_880),
        ),
        channel(4, "custom.teams", "Teams", custom),
    ]
}

/// The id is the same in every stand-in, so that an example can name it.
fn channel(number: u8, kind: &str, name: &str, restrictions: Value) -> Value {
    let id = format!("00000000-0000-4000-8000-{number:012}");
    json!({
        "id": id,
        "type": kind,
        "displayName": name,
        "active": true,
        "restrictions": restrictions,
    })
}
