use std::ops::Range;

use tokio::task::JoinHandle;

use super::*;
use crate::telemetry::metrics::ServiceMetrics;
use CallKind::{Read, Write};

fn budget(per_second: f64, burst: u32, max_wait: u64) -> Arc<Budget> {
    let limits = BudgetLimits {
        max_wait: Duration::from_secs(max_wait),
        max_pause: Duration::from_secs(60),
    };
    Budget::new(
        CallRate { per_second, burst },
        limits,
        "assets",
        &ServiceMetrics::new(),
    )
}

/// Makes a call that is answered at once.
async fn call(budget: &Arc<Budget>, name: &str, kind: CallKind) -> Result<(), Error> {
    ends(budget, name, kind, CallVerdict::Taken).await
}

/// Makes a call that ends so.
async fn ends(
    budget: &Arc<Budget>,
    name: &str,
    kind: CallKind,
    verdict: CallVerdict,
) -> Result<(), Error> {
    budget
        .acquire(&Principal::named(name), kind, Stage::Sign)
        .await?
        .run(async {}, |()| verdict)
        .await;
    Ok(())
}

async fn acquire(budget: &Arc<Budget>) -> Result<(), Error> {
    call(budget, "one", Write).await
}

type Call = JoinHandle<(Result<(), Error>, Duration)>;

/// So many calls, in the queue already. Each tells how long it took.
async fn begin(
    budget: &Arc<Budget>,
    name: &'static str,
    kind: CallKind,
    calls: usize,
) -> Vec<Call> {
    let one = || {
        let budget = budget.clone();
        let began = Instant::now();
        tokio::spawn(async move { (call(&budget, name, kind).await, began.elapsed()) })
    };
    let calls = (0..calls).map(|_| one()).collect();
    tokio::task::yield_now().await;
    calls
}

async fn took(call: Call) -> Duration {
    let (done, took) = call.await.unwrap();
    done.unwrap();
    took
}

async fn all(calls: Vec<Call>) -> Vec<Duration> {
    let mut all = Vec::new();
    for call in calls {
        all.push(took(call).await);
    }
    all
}

fn within(took: Duration, millis: Range<u128>) -> bool {
    millis.contains(&took.as_millis())
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_free_and_the_rest_is_paced() {
    let budget = budget(5.0, 15, 60);
    let began = Instant::now();
    for _ in 0..15 {
        acquire(&budget).await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_millis(10));
    for _ in 0..10 {
        acquire(&budget).await.unwrap();
    }
    assert_eq!(
        began.elapsed().as_millis() / 100,
        20,
        "ten calls at five a second"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_with_too_long_a_wait_is_refused() {
    let budget = budget(0.9, 1, 5);
    let mut refused = 0;
    for call in begin(&budget, "one", Write, 8).await {
        if let (Err(error), took) = call.await.unwrap() {
            refused += 1;
            assert!(
                took < Duration::from_millis(10)
                    && error.retry_after().unwrap() > Duration::from_secs(5)
            );
        }
    }
    assert_eq!(refused, 3, "one at once, four within five seconds");
}

#[tokio::test(start_paused = true)]
async fn a_burst_delays_another_caller_by_one_interval() {
    let interval = Duration::from_millis(200);
    let alone = budget(5.0, 1, 60);
    acquire(&alone).await.unwrap();
    let alone = took(begin(&alone, "other", Write, 1).await.remove(0)).await;
    let crowded = budget(5.0, 1, 60);
    acquire(&crowded).await.unwrap();
    let burst = begin(&crowded, "one", Write, 64).await;
    let other = took(begin(&crowded, "other", Write, 1).await.remove(0)).await;
    assert!(
        other <= alone + interval + Duration::from_millis(2),
        "{other:?}, alone {alone:?}"
    );
    let burst = all(burst).await;
    assert!(
        within(burst[63], 13_000..13_100),
        "nothing is lost by sharing: {:?}",
        burst[63]
    );
}

#[tokio::test(start_paused = true)]
async fn reads_and_writes_alternate() {
    for (many, single) in [(Write, Read), (Read, Write)] {
        let budget = budget(1.0, 1, 60);
        acquire(&budget).await.unwrap();
        let _many = begin(&budget, "one", many, 30).await;
        let few = all(begin(&budget, "one", single, 3).await).await;
        for (place, took) in few.into_iter().enumerate() {
            let latest = 2000 * (place as u128 + 1);
            assert!(
                within(took, latest - 1000..latest + 10),
                "{single:?} {place}: {took:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_computed_from_the_calls_own_place() {
    let budget = budget(1.0, 1, 5);
    acquire(&budget).await.unwrap();
    let _five = begin(&budget, "one", Write, 5).await;
    let sixth = acquire(&budget).await.unwrap_err().retry_after().unwrap();
    assert!(
        within(sixth, 5900..6001),
        "its own queue is full: {sixth:?}"
    );
    let other = took(begin(&budget, "other", Write, 1).await.remove(0)).await;
    assert!(
        within(other, 1900..2010),
        "the other one's isn't: {other:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_pushed_back_is_refused_after_max_wait() {
    let budget = budget(1.0, 1, 5);
    acquire(&budget).await.unwrap();
    let mut five = begin(&budget, "one", Write, 5).await;
    let _others = begin(&budget, "other", Write, 2).await;
    let (refused, took) = five.pop().unwrap().await.unwrap();
    assert_eq!(refused.unwrap_err().code(), ErrorCode::UpstreamBudget);
    assert!(within(took, 5000..5010), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_costs_no_call() {
    let budget = budget(1.0, 1, 5);
    acquire(&budget).await.unwrap();
    let began = Instant::now();
    let waiters: Vec<_> = ["one", "other"]
        .map(|name| call(&budget, name, Read))
        .into();
    let gone = futures_util::future::join_all(waiters);
    assert!(timeout(Duration::from_millis(500), gone).await.is_err());
    assert!(budget.state.lock().queue.is_empty());
    acquire(&budget).await.unwrap();
    assert_eq!(began.elapsed().as_millis() / 100, 10);
}

#[tokio::test(start_paused = true)]
async fn the_waiter_that_drives_the_timer_may_leave() {
    let budget = budget(1.0, 1, 5);
    acquire(&budget).await.unwrap();
    let (first, second) = (
        begin(&budget, "one", Write, 1).await.remove(0),
        begin(&budget, "other", Write, 1).await.remove(0),
    );
    first.abort();
    assert!(within(took(second).await, 990..1010));
}

#[tokio::test(start_paused = true)]
async fn an_unused_permit_goes_to_the_next_waiter() {
    let budget = budget(0.01, 1, 500);
    let unused = budget
        .acquire(&Principal::Gateway, Write, Stage::Sign)
        .await
        .unwrap();
    let next = begin(&budget, "one", Write, 1).await.remove(0);
    drop(unused);
    assert!(within(took(next).await, 0..10));
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_than_a_burst_are_in_flight() {
    let budget = budget(100.0, 2, 60);
    let hang = async |seconds| {
        let permit = budget
            .acquire(&Principal::Gateway, Write, Stage::Sign)
            .await
            .unwrap();
        tokio::spawn(permit.run(sleep(Duration::from_secs(seconds)), |()| CallVerdict::Taken));
    };
    hang(10).await;
    hang(4).await;
    let waiting = begin(&budget, "one", Write, 2).await;
    let took = all(waiting).await;
    assert!(
        took.iter().all(|took| within(*took, 4000..4010)),
        "until the shorter one has ended: {took:?}"
    );
    assert!(
        within(took[1] - took[0], 0..1),
        "the other one's place is still taken, and this one's is free again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_is_counted_once_after_a_second() {
    let budget = budget(1.0, 2, 60);
    let permit = budget
        .acquire(&Principal::Gateway, Write, Stage::Sign)
        .await
        .unwrap();
    tokio::spawn(permit.run(sleep(Duration::from_secs(10)), |()| CallVerdict::Taken));
    sleep(Duration::from_secs(9)).await;
    assert_eq!(budget.state.lock().bucket.left(Instant::now()), 2.0);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(budget.state.lock().bucket.left(Instant::now()), 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_never_sent_costs_nothing() {
    let budget = budget(0.001, 2, 0);
    for seconds in [0, 5] {
        let permit = budget
            .acquire(&Principal::Gateway, Write, Stage::Sign)
            .await
            .unwrap();
        permit
            .run(sleep(Duration::from_secs(seconds)), |()| {
                CallVerdict::Unsent
            })
            .await;
        assert!(
            budget.state.lock().bucket.left(Instant::now()) > 1.99,
            "after {seconds} s"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_one_call_probes() {
    let budget = budget(100.0, 10, 5);
    ends(
        &budget,
        "one",
        Write,
        CallVerdict::TooMany(Some(Duration::from_secs(3))),
    )
    .await
    .unwrap();
    let began = Instant::now();
    let permit = budget
        .acquire(&Principal::Gateway, Write, Stage::Sign)
        .await
        .unwrap();
    assert_eq!(began.elapsed().as_secs(), 3);
    let others = begin(&budget, "one", Write, 4).await;
    permit
        .run(sleep(Duration::from_secs(1)), |()| CallVerdict::Taken)
        .await;
    for took in all(others).await {
        assert!(
            within(took, 1000..1100),
            "nobody goes beside a probe, and all when it was taken: {took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_pause_is_returned_as_retry_after() {
    let budget = budget(100.0, 10, 5);
    ends(
        &budget,
        "one",
        Write,
        CallVerdict::TooMany(Some(Duration::from_secs(3600))),
    )
    .await
    .unwrap();
    let refused = acquire(&budget).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.retry_after().unwrap().as_secs()),
        (ErrorCode::UpstreamBudget, 60),
        "not the hour"
    );
    budget.report();
    assert_eq!((budget.pause.get(), budget.left.get()), (60.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn an_outage_refuses_all_calls_until_a_probe_succeeds() {
    let budget = budget(1000.0, 10, 60);
    let hanging = budget
        .acquire(&Principal::Gateway, Write, Stage::Sign)
        .await
        .unwrap();
    let mut waiting = Vec::new();
    for _ in 0..4 {
        ends(&budget, "one", Write, CallVerdict::Failed(None))
            .await
            .unwrap();
    }
    // No place is free any more when the fifth fails.
    let queue: Vec<_> = (0..9)
        .map(|_| budget.acquire(&Principal::Gateway, Write, Stage::Sign))
        .collect();
    let queue = futures_util::future::join_all(queue).await;
    waiting.extend(begin(&budget, "other", Write, 3).await);
    hanging.run(async {}, |()| CallVerdict::Failed(None)).await;
    for call in waiting {
        let (sent_away, took) = call.await.unwrap();
        assert_eq!(
            sent_away.unwrap_err().code(),
            ErrorCode::UpstreamUnavailable
        );
        assert!(within(took, 0..10), "{took:?}");
    }
    drop(queue);
    let refused = acquire(&budget).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.retry_after().unwrap().as_secs()),
        (ErrorCode::UpstreamUnavailable, 1)
    );
    sleep(Duration::from_secs(1)).await;
    let probe = budget
        .acquire(&Principal::Gateway, Write, Stage::Sign)
        .await
        .unwrap();
    assert!(acquire(&budget).await.is_err(), "one at a time");
    probe.run(async {}, |()| CallVerdict::Taken).await;
    acquire(&budget).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_gauges_are_current_at_each_report() {
    let budget = budget(5.0, 15, 5);
    for _ in 0..15 {
        acquire(&budget).await.unwrap();
    }
    budget.report();
    assert!(budget.left.get() < 0.1);
    sleep(Duration::from_secs(2)).await;
    budget.report();
    assert!(
        (9.9..=10.1).contains(&budget.left.get()),
        "{}",
        budget.left.get()
    );
}

/// eGain's bucket, as exact as can be.
struct Theirs {
    rate: CallRate,
    full_at: Instant,
}

impl Theirs {
    fn allows(&mut self) -> bool {
        let drop = Duration::from_secs_f64(1.0 / self.rate.per_second);
        let (now, slack) = (Instant::now(), Duration::from_nanos(100));
        self.full_at = self.full_at.max(now) + drop;
        self.full_at - now <= drop * self.rate.burst + slack
    }
}

#[tokio::test(start_paused = true)]
async fn slow_calls_never_exceed_egains_own_bucket() {
    for burst in [1, 3, 15] {
        let rate = CallRate {
            per_second: 5.0,
            burst,
        };
        let budget = budget(5.0, burst, 3600);
        let theirs = Arc::new(Mutex::new(Theirs {
            rate,
            full_at: Instant::now(),
        }));
        // Delays of up to 0.4 s there and as many back, and pauses in which both buckets fill.
        let random = |n: u64| {
            Duration::from_millis(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54).mul_f64(0.4)
        };
        let mut calls = Vec::new();
        for n in 0..300 {
            let (budget, theirs) = (budget.clone(), theirs.clone());
            calls.push(tokio::spawn(async move {
                let permit = budget
                    .acquire(&Principal::Gateway, Write, Stage::Sign)
                    .await
                    .unwrap();
                let exchange = async {
                    sleep(random(2 * n)).await;
                    let allowed = theirs.lock().allows();
                    sleep(random(2 * n + 1)).await;
                    allowed
                };
                permit.run(exchange, |_| CallVerdict::Taken).await
            }));
            if n % 40 == 0 {
                sleep(random(n) * 40).await;
            }
        }
        for call in calls {
            assert!(call.await.unwrap(), "burst {burst}");
        }
    }
}
