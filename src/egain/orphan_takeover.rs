//! Takes over the orphans of replicas that died.

use super::egain_client::EgainClient;
use super::orphans::OrphanQueue;
use crate::shared_store::{ClaimedAsset, OrphanJournal};

/// Claims what dead replicas have left in their journals, and queues it for deletion. Never
/// returns.
pub async fn take_over_orphans(egain: EgainClient, orphans: OrphanQueue, journal: OrphanJournal) {
    let mut undecided = Vec::new();
    loop {
        undecided.extend(journal.claim().await);
        let mut later = Vec::new();
        for asset in undecided {
            match is_orphan(&egain, &asset).await {
                Some(true) => {
                    let id = asset.id.as_str();
                    tracing::info!(asset = id, "orphan of a lost replica taken over");
                    orphans.take_over(asset.id);
                }
                Some(false) => journal.settled(&asset.id),
                None => later.push(asset),
            }
        }
        undecided = later;
    }
}

/// An asset whose upload was in flight is one only if it has no bytes: else its replica may have
/// confirmed it to a client just before it died. None if eGain can't tell now.
async fn is_orphan(egain: &EgainClient, asset: &ClaimedAsset) -> Option<bool> {
    if asset.is_uncommitted {
        egain.has_no_bytes(&asset.id).await
    } else {
        Some(true)
    }
}
