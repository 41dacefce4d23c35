//! The spool: holds files that may have to be sent from their first byte. A file is in memory up to
//! a small bound, then in an unlinked temporary file. All uploads together share one cap.

mod disk;
mod file;
mod share;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use http_body_util::BodyExt;
use prometheus::IntGauge;

use super::look_ahead::LookAhead;
use crate::body::BoxBody;
use crate::body::compact::BLOCK;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::error::Error;
use crate::types::fair_limit::FairLimit;
pub(super) use disk::DiskFile;
use disk::SpoolDisk;
pub(super) use file::{SpoolContents, SpoolFile};
use share::{SpoolShare, no_room};

/// Bytes that each caller may hold while there is room: a file of eGain's largest size, and a
/// smaller one.
const LEAST_SHARE: u64 = 16 * 1024 * 1024;

/// Bounds and place of spooled files.
#[derive(Debug, Clone)]
pub struct SpoolConfig {
    /// Bytes of one upload that may be in memory.
    pub memory: u64,
    /// Bytes of all uploads together; 0 switches spooling off.
    pub total: u64,
    /// Where temporary files are made.
    pub dir: PathBuf,
    /// Whether callers are authenticated: then they share `total` once it gets scarce.
    pub is_shared: bool,
}

/// The spool of the whole service.
#[derive(Clone)]
pub(super) struct SharedSpool {
    config: SpoolConfig,
    disk: SpoolDisk,
    room: Arc<FairLimit>,
    gauge: IntGauge,
}

impl SharedSpool {
    /// An empty spool.
    pub(super) fn new(config: SpoolConfig, metrics: &ServiceMetrics) -> Self {
        metrics
            .spool_limit
            .set(config.total.try_into().unwrap_or(i64::MAX));
        let disk = SpoolDisk::new(config.dir.clone());
        let room = if config.is_shared {
            FairLimit::new(config.total, LEAST_SHARE)
        } else {
            FairLimit::unshared(config.total)
        };
        Self {
            config,
            disk,
            room,
            gauge: metrics.spool_bytes.clone(),
        }
    }

    /// Whether a file may be spooled at all.
    pub(super) fn is_on(&self) -> bool {
        self.config.total > 0
    }

    /// Bytes of one upload that may be in memory.
    pub(super) fn memory(&self) -> u64 {
        self.config.memory
    }

    /// Checks that temporary files can be created, as the root file system may be read-only.
    pub(super) fn probe(&self) -> io::Result<()> {
        if self.is_on() {
            tempfile::tempfile_in(&self.config.dir).map(drop)
        } else {
            Ok(())
        }
    }

    /// Reads the rest of a file. `check` refuses a length that is too large as soon as it is
    /// reached.
    pub(super) async fn collect(
        &self,
        caller: &str,
        mut ahead: LookAhead,
        body: &mut BoxBody,
        check: impl Fn(u64) -> Result<(), Error>,
    ) -> Result<SpoolFile, Error> {
        let mut file = SpoolFile::new(self.disk.clone(), self.share(caller)?, self.config.memory);
        for chunk in ahead.chunks.take() {
            file.append(chunk)?;
        }
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            check(file.length() + data.len() as u64)?;
            file.append(data)?;
            file.written().await?;
        }
        Ok(file)
    }

    /// An empty file with room for `bytes`. It uses hardly any memory, as a copy is hardly ever
    /// read. None where there is no room now.
    pub(super) fn reserve(&self, caller: &str, bytes: u64) -> Option<SpoolFile> {
        let mut share = self.share(caller).ok()?;
        share.cover(bytes).ok()?;
        Some(SpoolFile::new(self.disk.clone(), share, BLOCK as u64))
    }

    fn share(&self, caller: &str) -> Result<SpoolShare, Error> {
        let held = self.room.take(caller, 0).map_err(no_room)?;
        Ok(SpoolShare {
            held,
            total: self.config.total,
            gauge: self.gauge.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::error::ErrorCode;
    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::StreamBody;

    fn spools(memory: u64, total: u64) -> SharedSpool {
        SharedSpool::new(
            SpoolConfig {
                memory,
                total,
                dir: std::env::temp_dir(),
                is_shared: true,
            },
            &ServiceMetrics::new(),
        )
    }

    fn body(chunks: Vec<Bytes>) -> BoxBody {
        let frames: Vec<_> = chunks
            .into_iter()
            .map(|chunk| Ok(Frame::data(chunk)))
            .collect();
        BoxBody::new(StreamBody::new(futures_util::stream::iter(frames)))
    }

    async fn collect(spools: &SharedSpool, chunks: &[&'static str]) -> Result<SpoolFile, Error> {
        let mut body = body(
            chunks
                .iter()
                .map(|chunk| Bytes::from_static(chunk.as_bytes()))
                .collect(),
        );
        spools
            .collect("me", LookAhead::default(), &mut body, |_| Ok(()))
            .await
    }

    async fn whole(file: &mut SpoolFile) -> Vec<u8> {
        let SpoolContents { disk, memory } = file.contents();
        let mut bytes = Vec::new();
        if let Some(mut stored) = disk {
            while let Some(piece) = stored.next().await.unwrap() {
                bytes.extend_from_slice(&piece);
            }
        }
        [bytes, memory.concat()].concat()
    }

    #[tokio::test]
    async fn only_a_large_file_goes_to_disk() {
        let spools = spools(100_000, 1_000_000);
        for (length, on_disk) in [
            (4, false),
            (100_000, false),
            (100_001, true),
            (900_000, true),
        ] {
            for size in [20_000, 1_400] {
                let file: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
                let chunks = file.chunks(size).map(Bytes::copy_from_slice).collect();
                let mut spooled = spools
                    .collect("me", LookAhead::default(), &mut body(chunks), |_| Ok(()))
                    .await
                    .unwrap();
                let bytes = whole(&mut spooled).await;
                assert!(bytes == file, "{length} in pieces of {size}");
                // Blocks that aren't full are counted as what they pin.
                let pins_more = size < 16 * 1024 && length > 64 * 1024;
                assert!(
                    pins_more || spooled.contents().disk.is_some() == on_disk,
                    "{length} in pieces of {size}"
                );
            }
        }
    }

    #[tokio::test]
    async fn all_uploads_share_one_cap_and_return_it() {
        let spools = spools(100, 6);
        let first = collect(&spools, &["abcd"]).await.unwrap();
        let second = collect(&spools, &["ab", "c"]).await;
        assert_eq!(
            second.err().map(|error| error.code()),
            Some(ErrorCode::Overloaded)
        );
        drop(first);
        assert!(collect(&spools, &["abcdef"]).await.is_ok());
        let alone = collect(&spools, &["abcd", "efg"]).await;
        assert_eq!(
            alone
                .err()
                .map(|error| (error.code(), error.is_retryable())),
            Some((ErrorCode::LengthRequired, false))
        );
        assert_eq!((spools.room.taken(), spools.gauge.get()), (0, 0));
    }

    #[test]
    fn a_copy_gets_all_its_room_or_none() {
        let spools = spools(100, 1000);
        let first = spools.reserve("me", 600).unwrap();
        assert_eq!(
            (spools.reserve("me", 600).is_none(), spools.gauge.get()),
            (true, 600)
        );
        drop(first);
        assert!(spools.reserve("me", 600).is_some() && spools.reserve("me", 1001).is_none());
        assert_eq!(spools.gauge.get(), 0);
    }

    #[test]
    fn a_greedy_caller_leaves_room_for_others() {
        let spools = spools(100, 10 * LEAST_SHARE);
        let greedy: Vec<_> =
            std::iter::from_fn(|| spools.reserve("greedy", LEAST_SHARE / 2)).collect();
        assert!(greedy.len() < 20);
        let error = spools
            .share("greedy")
            .and_then(|mut share| share.cover(LEAST_SHARE))
            .err()
            .unwrap();
        assert_eq!(
            (error.code(), error.detail().contains("share")),
            (ErrorCode::Overloaded, true)
        );
        assert!(spools.reserve("other", LEAST_SHARE).is_some());
    }
}
