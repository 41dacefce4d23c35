//! `[limits]`: how large a file may be, and how much of it may wait here.

use std::path::PathBuf;

use crate::config::errors::ErrorCollector;
use crate::config::schema::rules::within;
use crate::config::schema::section;
use crate::config::schema::value::shown;
use crate::types::units::ByteSize;

section! {
    /// How large a file may be, and how much of it may wait here.
    LimitsSection as "limits" {
        /// The largest file, 1B to 1TiB.
        max_asset_size: ByteSize = "10MiB" where within(ByteSize(1), ByteSize::tib(1));
        /// How much of a file is read before the first call to eGain, 1KiB to 1MiB: to find its
        /// type, its length if it is small, and to be able to retry.
        look_ahead: ByteSize = "64KiB" where within(ByteSize::kib(1), ByteSize::mib(1));
        /// How much memory a file of unknown length takes before it moves to a temporary one, up to
        /// 1GiB; from 256KiB on 192KiB of it are for buffers.
        spool_memory: ByteSize = "256KiB" where within(ByteSize(0), ByteSize::gib(1));
        /// How much all files of unknown length may take together; 0 switches spooling off.
        spool_total: ByteSize = "1GiB" where within(ByteSize(0), ByteSize::tib(1024));
        /// Where temporary files are made.
        spool_dir: Option<PathBuf> => "the system's";
    }
}

impl LimitsSection {
    /// Notes what contradicts itself.
    ///
    /// A look-ahead larger than the largest file is none: it is never filled.
    pub(in crate::config) fn compare(&self, errors: &mut ErrorCollector) {
        if self.spool_total != ByteSize(0) && self.spool_memory > self.spool_total {
            let memory = shown(&self.spool_memory);
            let total = shown(&self.spool_total);
            errors.conflict(
                &["limits.spool_memory", "limits.spool_total"],
                format!("{memory} is more than limits.spool_total ({total})"),
            );
        }
    }
}
