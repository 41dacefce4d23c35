//! Tasks that run beside the listeners for as long as the service does.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// Backoff after a panic: the task may panic again at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Tasks that are restarted when they panic. Dropping this aborts them.
#[derive(Default)]
pub(super) struct BackgroundTasks(JoinSet<()>);

impl BackgroundTasks {
    /// Runs the future that `task` makes until it returns.
    pub(super) fn keep<F>(&mut self, name: &'static str, task: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(async move {
            while AssertUnwindSafe(task()).catch_unwind().await.is_err() {
                tracing::error!(
                    task = name,
                    "a background task panicked and is restarted: report this defect"
                );
                sleep(PAUSE).await;
            }
        });
    }
}

/// The tasks that the service can't run without. They end at shutdown, or because of a defect.
pub(super) struct EssentialTasks {
    pub(super) data: JoinHandle<()>,
    pub(super) admin: JoinHandle<()>,
    pub(super) orphans: JoinHandle<()>,
    /// Returns at once where there is nothing to do.
    pub(super) sign_in: JoinHandle<()>,
}

impl EssentialTasks {
    /// Resolves when one of them has ended before the shutdown, which is logged.
    pub(super) async fn one_has_failed(&mut self) {
        let task = tokio::select! {
            _ = &mut self.data => "the data listener",
            _ = &mut self.admin => "the admin listener",
            _ = &mut self.orphans => "the deletion of orphans",
            Err(_) = &mut self.sign_in => "signing in at eGain",
        };
        tracing::error!(
            task,
            "an essential task has ended: stopping the service, so that it can be restarted"
        );
    }
}

/// Resolves when a task has ended; at once where it ended before.
pub(super) async fn ended(task: &mut JoinHandle<()>) {
    if !task.is_finished() {
        let _either_way = task.await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_restarted_until_it_ends() {
        let started = Arc::new(AtomicUsize::new(0));
        let mut background = BackgroundTasks::default();
        let count = Arc::clone(&started);
        background.keep("a test", move || {
            let before = count.fetch_add(1, Relaxed);
            async move { assert!(before >= 2, "a panic that the test wants") }
        });
        background.0.join_next().await.unwrap().unwrap();
        assert_eq!(started.load(Relaxed), 3);
    }

    #[tokio::test]
    async fn a_vital_task_that_panics_is_noticed() {
        let forever = || tokio::spawn(std::future::pending());
        let failing = tokio::spawn(async { panic!("a panic that the test wants") });
        let mut vital = EssentialTasks {
            data: forever(),
            admin: failing,
            orphans: forever(),
            sign_in: tokio::spawn(async {}),
        };
        vital.one_has_failed().await;
        ended(&mut vital.admin).await;
        vital.data.abort();
        ended(&mut vital.data).await;
    }
}
