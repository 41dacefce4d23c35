//! An upload's share of the spool, and the refusals where there is none.

use std::time::Duration;

use prometheus::IntGauge;

use crate::types::error::{Error, ErrorCode, Stage};
use crate::types::fair_limit::{FairShare, NoRoom};

/// An upload's share of the spool, returned when it is dropped.
pub(super) struct SpoolShare {
    pub(super) held: FairShare,
    /// Bytes of all uploads together.
    pub(super) total: u64,
    pub(super) gauge: IntGauge,
}

impl SpoolShare {
    /// Grows the share to this number of bytes.
    ///
    /// # Errors
    /// `length-required` where they would never fit, `overloaded` where they don't fit now.
    pub(super) fn cover(&mut self, bytes: u64) -> Result<(), Error> {
        if bytes > self.total {
            return Err(never_fits(self.total));
        }
        let more = bytes.saturating_sub(self.held.units());
        self.held.grow(more).map_err(no_room)?;
        self.gauge.add(more as i64);
        Ok(())
    }
}

impl Drop for SpoolShare {
    fn drop(&mut self) {
        self.gauge.sub(self.held.units() as i64);
    }
}

pub(super) fn no_room(why: NoRoom) -> Error {
    let detail = match why {
        NoRoom::Full => {
            "too many files of unknown length are being held: declare the length, or try again \
             later"
        }
        NoRoom::ShareTaken => {
            "this caller has its share of what is held of files of unknown length: declare the \
             length, or wait until one is stored"
        }
    };
    Error::gateway(ErrorCode::Overloaded, Stage::Read, detail)
        .with_retry_after(Duration::from_secs(2))
}

/// Not retryable: such a file doesn't fit, however few other files there are.
fn never_fits(total: u64) -> Error {
    let detail = format!(
        "the file's length isn't known and it is larger than the {total} bytes that such files \
         may take together: send Content-Length (raw), or size in the query or as a form field \
         before the file"
    );
    Error::caller(ErrorCode::LengthRequired, Stage::Read, detail)
}
