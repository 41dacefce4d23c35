//! How many connections the process's file descriptors allow.

use rlimit::Resource;

/// Connections of the admin listener at one time.
pub(super) const ADMIN_CONNECTIONS: usize = 64;

/// Descriptors for everything else. A third is for the admin listener's connections, a third for
/// connections that are being refused, and a third for listeners, timers, the log, eGain and the
/// token issuer.
const RESERVE: usize = 3 * ADMIN_CONNECTIONS;

/// What the settings allow at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct DescriptorDemand {
    pub(super) connections: usize,
    pub(super) uploads: usize,
    pub(super) downloads: usize,
}

/// Raises the limit on file descriptors as far as the system allows, and returns how many
/// connections may be open: all that are `wanted`, or fewer where the limit is too low, which is
/// logged. A limit that can't be read counts as no limit.
pub(super) fn connections(wanted: DescriptorDemand) -> usize {
    let _as_far_as_it_goes = rlimit::increase_nofile_limit(u64::MAX);
    let Ok((files, _)) = Resource::NOFILE.get() else {
        return wanted.connections;
    };
    let most = most_connections(usize::try_from(files).unwrap_or(usize::MAX), wanted);
    if most < wanted.connections {
        tracing::warn!(
            files,
            max_connections = most,
            "too few file descriptors for server.max_connections: raise the limit (ulimit -n), \
             or lower the setting"
        );
    }
    most
}

/// Each transfer has a second descriptor, its connection to storage, and each upload may have a
/// third, a spooled file.
fn most_connections(files: usize, wanted: DescriptorDemand) -> usize {
    let DescriptorDemand {
        connections,
        uploads,
        downloads,
    } = wanted;
    let left = files.saturating_sub(RESERVE);
    let transfers = uploads.saturating_add(downloads);
    // The largest of these, by which of the transfer limits that many connections can reach.
    let most = [
        left / 3,
        left.saturating_sub(uploads) / 2,
        left.saturating_sub(transfers) / 2,
        left.saturating_sub(transfers).saturating_sub(uploads),
    ];
    most.into_iter()
        .max()
        .unwrap_or_default()
        .clamp(1, connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The most that so many connections can need.
    fn need(connections: usize, wanted: DescriptorDemand) -> usize {
        connections
            + connections.min(wanted.uploads + wanted.downloads)
            + connections.min(wanted.uploads)
            + RESERVE
    }

    #[test]
    fn descriptors_bound_the_number_of_open_connections() {
        for (uploads, downloads) in [(1024, 1024), (1, 1), (10, 2000), (2000, 10)] {
            let wanted = DescriptorDemand {
                connections: 10_000,
                uploads,
                downloads,
            };
            for files in [256, 1024, 4096, 20_000] {
                let most = most_connections(files, wanted);
                assert!(
                    need(most, wanted) <= files,
                    "{most} of {files} for {wanted:?}"
                );
                assert!(
                    most == 10_000 || need(most + 2, wanted) > files,
                    "{most} of {files} for {wanted:?}"
                );
            }
        }
    }

    #[test]
    fn no_limit_means_none_and_few_descriptors_serve_one() {
        let wanted = DescriptorDemand {
            connections: 10_000,
            uploads: 1024,
            downloads: 1024,
        };
        assert_eq!(most_connections(usize::MAX, wanted), 10_000);
        assert_eq!(most_connections(0, wanted), 1);
    }
}
