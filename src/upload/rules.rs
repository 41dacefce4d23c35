//! What holds for one upload: the settings' rules, and those of the account that its caller is
//! bound to. The strictest wins.

use std::sync::Arc;

use strum::IntoEnumIterator;

use super::length::LengthLimits;
use crate::egain::accounts::Channel;
use crate::media::{AgreedName, MediaKind, SniffedType};
use crate::policy::UploadPolicy;
use crate::policy::attachments::{AttachmentPolicy, ExtensionRule};
use crate::types::asset::{AssetDirection, Sender};
use crate::types::attachment_limit::LimitSource;
use crate::types::caller::AuthenticatedCaller;
use crate::types::error::Error;

/// The rules of one upload.
pub struct UploadRules {
    policy: Arc<UploadPolicy>,
    limits: LengthLimits,
    /// The channel of the caller's account, as eGain has it.
    live: Option<Arc<Channel>>,
}

/// What may be sent of one kind of media.
pub struct KindAllowance {
    /// Which.
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
    /// As asked, or as the caller is bound.
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
        limits: LengthLimits,
        live: Option<Arc<Channel>>,
    ) -> Self {
        Self {
            policy,
            limits,
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
        way: AssetDirection,
        kind: Option<MediaKind>,
    ) -> LengthLimits {
        let of_settings = self
            .policy
            .max_size(channel, way, kind)
            .map(|most| (most, LimitSource::Setting));
        let of_egain = self
            .live_policy(way)
            .map(|policy| (policy.max_size, LimitSource::EgainChannel));
        let strictest = of_settings
            .into_iter()
            .chain(of_egain)
            .min_by_key(|(most, _)| *most);
        strictest.map_or(self.limits, |(most, source)| {
            self.limits.at_most(most, source)
        })
    }

    /// Judges a file by what its bytes are, and by the name that agrees with them.
    pub fn judge(
        &self,
        sniffed: &SniffedType,
        agreed: &AgreedName,
        channel: &str,
        way: AssetDirection,
    ) -> Result<(), Error> {
        self.policy.judge(sniffed, agreed, channel, way)?;
        match self.live_policy(way) {
            Some(policy) => policy.judge(
                channel,
                agreed
                    .name
                    .rsplit_once('.')
                    .map_or("", |(_, extension)| extension),
            ),
            None => Ok(()),
        }
    }

    /// Everything at once, for a caller who wants to know before it sends.
    pub fn allowance(&self, channel: &str, sender: Sender) -> EffectiveRules {
        let way = sender.direction();
        let of_kind = |kind| {
            let limits = self.size_limit(channel, way, Some(kind));
            let types = self
                .policy
                .allowed(channel, way, kind)
                .map(|types| types.iter().map(ToString::to_string).collect());
            KindAllowance {
                kind,
                max_size: limits.max_asset_size,
                source: limits.source,
                types,
            }
        };
        let live = self.live_policy(way).cloned().unwrap_or_default();
        let kinds = MediaKind::iter().map(of_kind).collect();
        EffectiveRules {
            channel: channel.to_owned(),
            sender,
            enabled: live.enabled,
            kinds,
            extensions: live.extensions,
        }
    }

    fn live_policy(&self, way: AssetDirection) -> Option<&AttachmentPolicy> {
        self.live.as_ref().map(|channel| channel.policy(way))
    }
}
