//! What holds for one upload: the settings' rules, and those of the account that its caller is
//! bound to. The strictest wins.

use std::sync::Arc;

use strum::IntoEnumIterator;

use super::size_limit::SizeLimit;
use crate::egain::accounts::Channel;
use crate::media::{MediaKind, SniffedType, StoredName};
use crate::policy::UploadPolicy;
use crate::policy::attachments::{AttachmentPolicy, ExtensionRule};
use crate::types::asset::{AssetDirection, Sender};
use crate::types::attachment_limit::LimitSource;
use crate::types::caller::AuthenticatedCaller;
use crate::types::error::Error;

/// The rules of one upload.
pub struct UploadRules {
    policy: Arc<UploadPolicy>,
    settings_limit: SizeLimit,
    /// The channel of the caller's account, as eGain has it.
    live: Option<Arc<Channel>>,
}

/// What may be sent of one kind of media.
pub struct KindAllowance {
    /// The kind.
    pub kind: MediaKind,
    /// Bytes.
    pub max_size: u64,
    /// Who sets that.
    pub source: LimitSource,
    /// Patterns of types that the settings allow; none for all.
    pub types: Option<Vec<String>>,
}

/// What a caller may send to a channel, in one direction.
pub struct EffectiveRules {
    /// eGain's channel type.
    pub channel: String,
    /// As requested, or as the caller is bound.
    pub sender: Sender,
    /// Whether anything may be sent at all.
    pub enabled: bool,
    /// By kind.
    pub kinds: Vec<KindAllowance>,
    /// Extensions, as the channel at eGain lists them.
    pub extensions: ExtensionRule,
}

impl UploadRules {
    /// Without `live` only the settings hold.
    pub fn new(
        policy: Arc<UploadPolicy>,
        settings_limit: SizeLimit,
        live: Option<Arc<Channel>>,
    ) -> Self {
        Self {
            policy,
            settings_limit,
            live,
        }
    }

    /// The caller, bound to its account's channel where it has an account.
    pub fn bind(&self, caller: &Arc<AuthenticatedCaller>) -> Arc<AuthenticatedCaller> {
        match &self.live {
            Some(channel) => Arc::new(AuthenticatedCaller {
                channels: vec![channel.kind.clone()],
                ..(**caller).clone()
            }),
            None => caller.clone(),
        }
    }

    /// The strictest limit on the size; of a kind, as soon as that is known.
    pub fn size_limit(
        &self,
        channel: &str,
        direction: AssetDirection,
        kind: Option<MediaKind>,
    ) -> SizeLimit {
        let mut limit = self.settings_limit;
        if let Some(max_bytes) = self.policy.max_size(channel, direction, kind) {
            limit = limit.min(SizeLimit {
                max_bytes,
                source: LimitSource::Setting,
            });
        }
        if let Some(policy) = self.live_policy(direction) {
            limit = limit.min(SizeLimit {
                max_bytes: policy.max_size,
                source: LimitSource::EgainChannel,
            });
        }
        limit
    }

    /// What of this limit refuses an upload: where violations of the policy are only reported, the
    /// limit of the settings.
    pub fn enforced(&self, limit: SizeLimit) -> SizeLimit {
        if self.policy.report_only {
            self.settings_limit
        } else {
            limit
        }
    }

    /// Judges a file by what its bytes are, and by the name that agrees with them.
    pub fn check(
        &self,
        sniffed: &SniffedType,
        agreed: &StoredName,
        channel: &str,
        direction: AssetDirection,
    ) -> Result<(), Error> {
        self.policy.check(sniffed, agreed, channel, direction)?;
        let Some(policy) = self.live_policy(direction) else {
            return Ok(());
        };
        let extension = match agreed.name.rsplit_once('.') {
            Some((_, extension)) => extension,
            None => "",
        };
        policy.check(channel, extension)
    }

    /// All rules, for a caller that wants to know them before it sends.
    pub fn effective(&self, channel: &str, sender: Sender) -> EffectiveRules {
        let direction = sender.direction();
        let live = self.live_policy(direction).cloned().unwrap_or_default();
        let mut kinds = Vec::new();
        for kind in MediaKind::iter() {
            kinds.push(self.allowance(channel, direction, kind));
        }
        EffectiveRules {
            channel: channel.to_owned(),
            sender,
            enabled: live.enabled,
            kinds,
            extensions: live.extensions,
        }
    }

    fn allowance(
        &self,
        channel: &str,
        direction: AssetDirection,
        kind: MediaKind,
    ) -> KindAllowance {
        let limit = self.size_limit(channel, direction, Some(kind));
        let types = self.policy.allowed(channel, direction, kind);
        KindAllowance {
            kind,
            max_size: limit.max_bytes,
            source: limit.source,
            types: types.map(|types| types.iter().map(ToString::to_string).collect()),
        }
    }

    fn live_policy(&self, direction: AssetDirection) -> Option<&AttachmentPolicy> {
        let channel = self.live.as_ref()?;
        Some(channel.policy(direction))
    }
}
