//! Where a file waits whose length isn't known: in memory up to a small bound, then in an unlinked temporary file,
//! and under one cap for all uploads together.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use prometheus::IntGauge;
use tokio::io::AsyncWriteExt;

use super::look_ahead::LookAhead;
use crate::body::Frames;
use crate::signals::metrics::Metrics;
use crate::words::fault::{Code, Fault, Stage};

/// Bounds and place of spooled files.
#[derive(Debug, Clone)]
pub struct Config {
    /// Bytes of one upload that are kept in memory.
    pub memory: u64,
    /// Bytes of all uploads together; 0 switches spooling off.
    pub total: u64,
    /// Where temporary files are made.
    pub dir: PathBuf,
}

/// The spool of the whole service.
#[derive(Clone)]
pub struct Spools {
    config: Config,
    used: Arc<AtomicU64>,
    gauge: IntGauge,
}

/// A file that was read whole.
pub struct Spooled {
    /// Its bytes.
    pub kept: Kept,
    /// How many.
    pub length: u64,
    /// Counted against the cap until it is dropped.
    pub share: Share,
}

/// Where the bytes lie.
pub enum Kept {
    /// In memory.
    Memory(Vec<Bytes>),
    /// In a file that has no name any more, and goes when it is closed.
    Disk(File),
}

impl Spools {
    /// An empty spool.
    pub fn new(config: Config, metrics: &Metrics) -> Self {
        metrics.spool_limit.set(config.total.try_into().unwrap_or(i64::MAX));
        Self { config, used: Arc::default(), gauge: metrics.spool_bytes.clone() }
    }

    /// Whether a file may be spooled at all.
    pub fn is_on(&self) -> bool {
        self.config.total > 0
    }

    /// Makes sure that temporary files can be made, as the root file system may be read-only.
    pub fn probe(&self) -> io::Result<()> {
        if self.is_on() { tempfile::tempfile_in(&self.config.dir).map(drop) } else { Ok(()) }
    }

    /// Reads the rest of a file. `check` refuses a length that is too large, as soon as that is seen.
    pub async fn collect(
        &self,
        ahead: LookAhead,
        body: &mut Frames,
        check: impl Fn(u64) -> Result<(), Fault>,
    ) -> Result<Spooled, Fault> {
        let mut share = Share { used: self.used.clone(), gauge: self.gauge.clone(), bytes: 0 };
        let (mut chunks, mut length, mut disk) = (ahead.chunks, ahead.length, None);
        self.grow(&mut share, length)?;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            length += data.len() as u64;
            check(length)?;
            self.grow(&mut share, data.len() as u64)?;
            chunks.push(data);
            if disk.is_some() || length > self.config.memory {
                let file = self.unload(disk.take(), &mut chunks).await.map_err(|error| broken(&error))?;
                disk = Some(file);
            }
        }
        let kept = match disk {
            Some(file) => Kept::Disk(file.into_std().await),
            None => Kept::Memory(chunks),
        };
        Ok(Spooled { kept, length, share })
    }

    /// Moves what lies in memory to the file, which is made at first need.
    async fn unload(&self, file: Option<tokio::fs::File>, chunks: &mut Vec<Bytes>) -> io::Result<tokio::fs::File> {
        let mut file = match file {
            Some(file) => file,
            None => {
                let dir = self.config.dir.clone();
                let made = tokio::task::spawn_blocking(move || tempfile::tempfile_in(dir)).await.map_err(io::Error::other)?;
                tokio::fs::File::from_std(made?)
            }
        };
        for chunk in chunks.drain(..) {
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        Ok(file)
    }

    fn grow(&self, share: &mut Share, bytes: u64) -> Result<(), Fault> {
        if share.bytes + bytes > self.config.total {
            return Err(never_fits(self.config.total));
        }
        let fits = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.config.total);
        if self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_err() {
            let detail = "too many files of unknown length are being held: declare the length, or try again later";
            return Err(Fault::gateway(Code::Overloaded, Stage::Read, detail).retry_after(Duration::from_secs(2)));
        }
        share.bytes += bytes;
        self.gauge.add(bytes as i64);
        Ok(())
    }
}

/// It would be refused again, however few others there are.
fn never_fits(total: u64) -> Fault {
    let detail = format!(
        "the file's length isn't known and it is larger than the {total} bytes that such files may take together: send \
         Content-Length (raw), or size in the query or as a form field before the file"
    );
    Fault::caller(Code::LengthRequired, Stage::Read, detail)
}

fn broken(error: &io::Error) -> Fault {
    tracing::error!(%error, "the spool can't be written");
    let detail = "the gateway's spool can't be written: an operator must check limits.spool_dir; declaring the length avoids it";
    let code = if error.kind() == io::ErrorKind::StorageFull { Code::Overloaded } else { Code::Internal };
    Fault::gateway(code, Stage::Read, detail).retry_after(Duration::from_secs(5))
}

/// An upload's share of the spool.
pub struct Share {
    used: Arc<AtomicU64>,
    gauge: IntGauge,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::AcqRel);
        self.gauge.sub(self.bytes as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use std::io::{Read, Seek};

    fn spools(memory: u64, total: u64) -> Spools {
        Spools::new(Config { memory, total, dir: std::env::temp_dir() }, &Metrics::new())
    }

    fn body(chunks: &[&'static str]) -> Frames {
        let frames: Vec<_> = chunks.iter().map(|c| Ok(Frame::data(Bytes::from_static(c.as_bytes())))).collect();
        Frames::new(StreamBody::new(futures_util::stream::iter(frames)))
    }

    #[tokio::test]
    async fn a_small_file_stays_in_memory_and_a_larger_one_goes_to_disk() {
        let small = spools(4, 100).collect(LookAhead::default(), &mut body(&["ab", "cd"]), |_| Ok(())).await.unwrap();
        assert!(matches!(small.kept, Kept::Memory(ref chunks) if chunks.concat() == b"abcd"));
        let large = spools(4, 100).collect(LookAhead::default(), &mut body(&["ab", "cde", "f"]), |_| Ok(())).await.unwrap();
        let Kept::Disk(mut file) = large.kept else { panic!("expected a file") };
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), large.length), ("abcdef", 6));
    }

    #[tokio::test]
    async fn all_uploads_share_one_cap_and_give_their_share_back() {
        let spools = spools(100, 6);
        let first = spools.collect(LookAhead::default(), &mut body(&["abcd"]), |_| Ok(())).await.unwrap();
        let second = spools.collect(LookAhead::default(), &mut body(&["ab", "c"]), |_| Ok(())).await;
        assert_eq!(second.err().map(|fault| fault.code()), Some(Code::Overloaded));
        drop(first);
        assert!(spools.collect(LookAhead::default(), &mut body(&["abcdef"]), |_| Ok(())).await.is_ok());
        let alone = spools.collect(LookAhead::default(), &mut body(&["abcd", "efg"]), |_| Ok(())).await;
        assert_eq!(alone.err().map(|fault| (fault.code(), fault.is_retryable())), Some((Code::LengthRequired, false)));
        assert_eq!((spools.used.load(Ordering::Acquire), spools.gauge.get()), (0, 0));
    }
}
