//! Where between two sizes a limit is.

/// Limits are whole multiples of this, in bytes.
pub(super) const STEP: u64 = 16 * 1024;

/// The largest multiple of [`STEP`] that fits, where `too_large` doesn't: binary search. Each
/// attempt halves the range. Stops early with what is known to fit where `fits` can't tell.
pub(super) async fn largest_that_fits(
    too_large: u64,
    mut fits: impl AsyncFnMut(u64) -> Option<bool>,
) -> u64 {
    let mut low = 0;
    let mut high = too_large.div_ceil(STEP);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match fits(middle * STEP).await {
            Some(true) => low = middle,
            Some(false) => high = middle,
            None => break,
        }
    }
    low * STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[tokio::test]
    async fn a_limit_in_whole_steps_is_found_exactly() {
        for limit in [0, STEP, MIB, 8 * MIB, 10 * MIB - STEP] {
            let mut attempts = 0;
            let found = largest_that_fits(10 * MIB, async |size| {
                attempts += 1;
                Some(size <= limit)
            });
            assert_eq!(found.await, limit);
            assert!(attempts <= 10, "{attempts}");
        }
    }

    #[tokio::test]
    async fn an_early_end_returns_what_is_known() {
        let mut left = 2;
        let found = largest_that_fits(10 * MIB, async |size| {
            left -= 1;
            (left >= 0).then_some(size <= 3 * MIB)
        });
        assert_eq!(found.await, 10 * MIB / 4);
    }
}
