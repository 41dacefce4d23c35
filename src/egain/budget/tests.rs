use std::ops::Range;

use tokio::task::JoinHandle;

use super::*;
use crate::signals::metrics::Metrics;
use Kind::{Read, Write};

fn budget(per_second: f64, burst: u32, max_wait: u64) -> Arc<Budget> {
    let metrics = Metrics::new();
    let waited = metrics.upstream_budget_wait.with_label_values(&["assets"]);
    let left = metrics.upstream_budget_tokens.with_label_values(&["assets"]);
    Budget::new(Rate { per_second, burst }, Duration::from_secs(max_wait), waited, left)
}

/// Makes a call that is answered at once.
async fn call(budget: &Arc<Budget>, name: &str, kind: Kind) -> Result<(), Fault> {
    budget.spend(&Claimant::named(name), kind).await?.make(async {}).await;
    Ok(())
}

async fn spend(budget: &Arc<Budget>) -> Result<(), Fault> {
    call(budget, "one", Write).await
}

type Call = JoinHandle<(Result<(), Fault>, Duration)>;

/// So many calls, in the queue already. Each tells how long it took.
async fn begin(budget: &Arc<Budget>, name: &'static str, kind: Kind, calls: usize) -> Vec<Call> {
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
        spend(&budget).await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_millis(10));
    for _ in 0..10 {
        spend(&budget).await.unwrap();
    }
    assert_eq!(began.elapsed().as_millis() / 100, 20, "ten calls at five a second");
}

#[tokio::test(start_paused = true)]
async fn whoever_would_wait_too_long_is_refused_at_once_and_told_when_to_come_back() {
    let budget = budget(0.9, 1, 5);
    let mut refused = 0;
    for call in begin(&budget, "one", Write, 8).await {
        if let (Err(fault), took) = call.await.unwrap() {
            refused += 1;
            assert!(took < Duration::from_millis(10) && fault.wait().unwrap() > Duration::from_secs(5));
        }
    }
    assert_eq!(refused, 3, "one at once, four within five seconds");
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_64_delays_another_callers_call_by_no_more_than_one_interval() {
    let interval = Duration::from_millis(200);
    let alone = budget(5.0, 1, 60);
    spend(&alone).await.unwrap();
    let alone = took(begin(&alone, "other", Write, 1).await.remove(0)).await;
    let crowded = budget(5.0, 1, 60);
    spend(&crowded).await.unwrap();
    let burst = begin(&crowded, "one", Write, 64).await;
    let other = took(begin(&crowded, "other", Write, 1).await.remove(0)).await;
    assert!(other <= alone + interval + Duration::from_millis(2), "{other:?}, alone {alone:?}");
    let burst = all(burst).await;
    assert!(within(burst[63], 13_000..13_100), "nothing is lost by sharing: {:?}", burst[63]);
}

#[tokio::test(start_paused = true)]
async fn a_kind_never_waits_behind_more_than_one_call_of_the_other() {
    for (many, single) in [(Write, Read), (Read, Write)] {
        let budget = budget(1.0, 1, 60);
        spend(&budget).await.unwrap();
        let _many = begin(&budget, "one", many, 30).await;
        let few = all(begin(&budget, "one", single, 3).await).await;
        for (place, took) in few.into_iter().enumerate() {
            let latest = 2000 * (place as u128 + 1);
            assert!(within(took, latest - 1000..latest + 10), "{single:?} {place}: {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_reckoned_from_ones_own_place_and_not_from_the_whole_queue() {
    let budget = budget(1.0, 1, 5);
    spend(&budget).await.unwrap();
    let _five = begin(&budget, "one", Write, 5).await;
    let sixth = spend(&budget).await.unwrap_err().wait().unwrap();
    assert!(within(sixth, 5900..6001), "its own queue is full: {sixth:?}");
    let other = took(begin(&budget, "other", Write, 1).await.remove(0)).await;
    assert!(within(other, 1900..2010), "the other one's isn't: {other:?}");
}

#[tokio::test(start_paused = true)]
async fn whom_others_make_wait_too_long_is_refused_when_the_time_is_over() {
    let budget = budget(1.0, 1, 5);
    spend(&budget).await.unwrap();
    let mut five = begin(&budget, "one", Write, 5).await;
    let _others = begin(&budget, "other", Write, 2).await;
    let (refused, took) = five.pop().unwrap().await.unwrap();
    assert_eq!(refused.unwrap_err().code(), Code::UpstreamBudget);
    assert!(within(took, 5000..5010), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_takes_no_call_with_it_and_leaves_no_queue() {
    let budget = budget(1.0, 1, 5);
    spend(&budget).await.unwrap();
    let began = Instant::now();
    let waiters: Vec<_> = ["one", "other"].map(|name| call(&budget, name, Read)).into();
    let gone = futures_util::future::join_all(waiters);
    assert!(timeout(Duration::from_millis(500), gone).await.is_err());
    assert!(budget.state.lock().turns.is_empty());
    spend(&budget).await.unwrap();
    assert_eq!(began.elapsed().as_millis() / 100, 10);
}

#[tokio::test(start_paused = true)]
async fn the_one_who_wakes_the_others_may_leave() {
    let budget = budget(1.0, 1, 5);
    spend(&budget).await.unwrap();
    let (first, second) = (begin(&budget, "one", Write, 1).await.remove(0), begin(&budget, "other", Write, 1).await.remove(0));
    first.abort();
    assert!(within(took(second).await, 990..1010));
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_not_used_is_the_next_ones_at_once() {
    let budget = budget(0.01, 1, 500);
    let unused = budget.spend(&Claimant::Gateway, Write).await.unwrap();
    let next = begin(&budget, "one", Write, 1).await.remove(0);
    drop(unused);
    assert!(within(took(next).await, 0..10));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_holds_the_others_up_for_a_second_at_most() {
    let budget = budget(1.0, 1, 5);
    let hanging = budget.spend(&Claimant::Gateway, Write).await.unwrap();
    tokio::spawn(hanging.make(pending::<()>()));
    assert!(within(took(begin(&budget, "one", Write, 1).await.remove(0)).await, 1990..2010));
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_everybody() {
    let budget = budget(100.0, 10, 5);
    budget.pause(Duration::from_secs(3));
    let began = Instant::now();
    spend(&budget).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 3);
}

/// eGain's bucket, as exact as can be.
struct Theirs {
    rate: Rate,
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
async fn however_long_calls_are_under_way_egain_never_has_to_refuse_one() {
    for burst in [1, 3, 15] {
        let rate = Rate { per_second: 5.0, burst };
        let budget = budget(5.0, burst, 3600);
        let theirs = Arc::new(Mutex::new(Theirs { rate, full_at: Instant::now() }));
        // Delays of up to 0.4 s there and as many back, and pauses in which both buckets fill.
        let random = |n: u64| Duration::from_millis(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54).mul_f64(0.4);
        let mut calls = Vec::new();
        for n in 0..300 {
            let (budget, theirs) = (budget.clone(), theirs.clone());
            calls.push(tokio::spawn(async move {
                let turn = budget.spend(&Claimant::Gateway, Write).await.unwrap();
                let exchange = async {
                    sleep(random(2 * n)).await;
                    let allowed = theirs.lock().allows();
                    sleep(random(2 * n + 1)).await;
                    allowed
                };
                turn.make(exchange).await
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
