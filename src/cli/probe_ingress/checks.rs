//! The checks, in two rounds: first whether pieces pass as they come, then how long and how large
//! a transfer may be.

use std::time::Duration;

use tokio::time::Instant;

use super::finding::{CutTransfer, ProbeFinding};
use super::probe_client::{Framing, ProbeClient, ProbeOutcome, ProbeReport, ProbeRequest};
use super::search::largest_that_fits;

/// How long the first round takes.
pub(super) const SHORT: Duration = Duration::from_secs(2);

/// The time between two pieces, and two lines, of the first round: long beside the time that a
/// piece takes, and short enough for eight.
const INTERVAL: Duration = Duration::from_millis(250);
const PIECES: u32 = 8;

/// A piece of the first round fills the buffers in which proxies collect the beginning of a body
/// before they pass it on (HAProxy's has 16 KiB).
const PIECE: usize = 16 * 1024;

/// A piece of a slow body: small, so that no limit on sizes ends it, and above the gateway's own
/// `server.min_rate`.
const SMALL_PIECE: usize = 2 * 1024;

/// A piece of a large body.
const LARGE_PIECE: usize = 64 * 1024;

/// How much longer than it should take a probe may take.
const SLACK: Duration = Duration::from_secs(10);

/// How much is tried.
pub(in crate::cli) struct CheckPlan {
    /// How long slow bodies and responses take.
    pub duration: Duration,
    /// The size of the large body.
    pub largest: u64,
}

/// Runs all checks. Returns how the gateway sees a request, if there is one, and what was found.
pub(in crate::cli) async fn run(
    client: &ProbeClient,
    plan: &CheckPlan,
) -> (Option<ProbeReport>, Vec<ProbeFinding>) {
    let report = match client.send(&ProbeRequest::default()).await {
        ProbeOutcome::Response(response) => response.report,
        other => return (None, vec![unreached(other)]),
    };
    let mut findings = pieces(client).await;
    if report.http_version == "HTTP/1.0" {
        findings.push(ProbeFinding::Http10Upstream);
    }
    let (slow_request, late, slow_response, limit) = tokio::join!(
        slow_request(client, plan),
        late_response(client, plan),
        slow_response(client, plan),
        size_limit(client, plan),
    );
    findings.extend(
        [slow_request, late, slow_response, limit]
            .into_iter()
            .flatten(),
    );
    (Some(report), findings)
}

/// Why no check could be made.
fn unreached(outcome: ProbeOutcome) -> ProbeFinding {
    match outcome {
        ProbeOutcome::Refused(problem) => {
            let status = problem.status;
            let detail = problem.detail;
            match status {
                401 | 403 => ProbeFinding::WrongKey { detail },
                404 | 405 => ProbeFinding::NotAGateway {
                    status: Some(status),
                },
                _ => ProbeFinding::Refused { status, detail },
            }
        }
        ProbeOutcome::Foreign { status, .. } => ProbeFinding::NotAGateway {
            status: Some(status),
        },
        ProbeOutcome::NotConnected { cause } => ProbeFinding::NotReachable { cause },
        ProbeOutcome::Response(_) | ProbeOutcome::Broken { .. } => {
            ProbeFinding::NotAGateway { status: None }
        }
    }
}

/// Whether pieces of a request, with and without a declared length, and lines of a response pass
/// as they come.
async fn pieces(client: &ProbeClient) -> Vec<ProbeFinding> {
    let request = |framing| ProbeRequest {
        framing,
        size: PIECE as u64 * u64::from(PIECES),
        piece: PIECE,
        interval: INTERVAL,
        patience: SHORT + SLACK,
        ..ProbeRequest::default()
    };
    let response = ProbeRequest {
        query: format!("lines={PIECES}&interval_ms={}", INTERVAL.as_millis()),
        patience: SHORT + SLACK,
        ..ProbeRequest::default()
    };
    let declared = request(Framing::Declared);
    let chunked = request(Framing::Chunked);
    let (declared, chunked, response) = tokio::join!(
        client.send(&declared),
        client.send(&chunked),
        client.send(&response)
    );
    let mut findings = arrivals(&[(Framing::Declared, declared), (Framing::Chunked, chunked)]);
    if let ProbeOutcome::Response(response) = response {
        let is_held_back = response.is_whole && response.receiving < SHORT / 2;
        findings.extend(is_held_back.then_some(ProbeFinding::ResponseBuffered));
    }
    findings
}

/// What the arrivals of request bodies show.
fn arrivals(outcomes: &[(Framing, ProbeOutcome)]) -> Vec<ProbeFinding> {
    let mut findings = Vec::new();
    let mut buffered = Vec::new();
    let mut streams = false;
    for (framing, outcome) in outcomes {
        match outcome {
            ProbeOutcome::Response(response) => {
                // Compared with the time that the sending really took: a busy machine is late.
                if response.report.arriving() * 2 < response.sending {
                    buffered.push(*framing);
                } else {
                    streams = true;
                }
            }
            // A limit on sizes has a check of its own.
            ProbeOutcome::Foreign { status: 413, .. } => {}
            ProbeOutcome::Foreign { status, .. } => findings.push(ProbeFinding::Rejected {
                status: *status,
                what: match framing {
                    Framing::Declared => "a request body with a Content-Length",
                    Framing::Chunked => "a chunked request body",
                },
            }),
            _ => {}
        }
    }
    if streams {
        findings.insert(0, ProbeFinding::Streams);
    }
    if !buffered.is_empty() {
        findings.push(ProbeFinding::Buffered { framings: buffered });
    }
    findings
}

async fn slow_request(client: &ProbeClient, plan: &CheckPlan) -> Option<ProbeFinding> {
    let pieces = plan.duration.as_millis() / INTERVAL.as_millis() + 1;
    let outcome = client
        .send(&ProbeRequest {
            size: SMALL_PIECE as u64 * pieces as u64,
            piece: SMALL_PIECE,
            interval: INTERVAL,
            patience: plan.duration + SLACK,
            ..ProbeRequest::default()
        })
        .await;
    cut(CutTransfer::Request, &outcome)
}

async fn late_response(client: &ProbeClient, plan: &CheckPlan) -> Option<ProbeFinding> {
    let outcome = client
        .send(&ProbeRequest {
            query: format!("delay_ms={}", plan.duration.as_millis()),
            patience: plan.duration + SLACK,
            ..ProbeRequest::default()
        })
        .await;
    cut(CutTransfer::LateResponse, &outcome)
}

async fn slow_response(client: &ProbeClient, plan: &CheckPlan) -> Option<ProbeFinding> {
    let lines = plan.duration.as_millis() / INTERVAL.as_millis() + 1;
    let outcome = client
        .send(&ProbeRequest {
            query: format!("lines={lines}&interval_ms={}", INTERVAL.as_millis()),
            patience: plan.duration + SLACK,
            ..ProbeRequest::default()
        })
        .await;
    cut(CutTransfer::SlowResponse, &outcome)
}

/// Whether something other than the gateway ended a transfer.
fn cut(transfer: CutTransfer, outcome: &ProbeOutcome) -> Option<ProbeFinding> {
    let after = match outcome {
        ProbeOutcome::Response(response) if response.is_whole => return None,
        ProbeOutcome::Response(response) => response.after,
        // A limit on sizes has a check of its own.
        ProbeOutcome::Foreign { status: 413, .. } => return None,
        ProbeOutcome::Foreign { after, .. } | ProbeOutcome::Broken { after } => *after,
        ProbeOutcome::Refused(problem) => {
            return Some(ProbeFinding::Refused {
                status: problem.status,
                detail: problem.detail.clone(),
            });
        }
        ProbeOutcome::NotConnected { cause } => {
            return Some(ProbeFinding::NotReachable {
                cause: cause.clone(),
            });
        }
    };
    Some(ProbeFinding::Cut { transfer, after })
}

/// Whether a large body comes through, and if not, the largest that does.
async fn size_limit(client: &ProbeClient, plan: &CheckPlan) -> Option<ProbeFinding> {
    let deadline = Instant::now() + plan.duration + SLACK;
    let send = async |size| {
        let probe = ProbeRequest {
            size,
            piece: LARGE_PIECE,
            patience: deadline - Instant::now(),
            ..ProbeRequest::default()
        };
        client.send(&probe).await
    };
    let outcome = send(plan.largest).await;
    let status = match outcome {
        ProbeOutcome::Response(_) => return None,
        // A limit shows as soon as it is met, a timeout later. Not all send 413 (Caddy: 502).
        ProbeOutcome::Foreign { status, after } if after < SLACK => Some(status),
        ProbeOutcome::Broken { after } if after < SLACK => None,
        other => return cut(CutTransfer::Request, &other),
    };
    let bytes = largest_that_fits(plan.largest, async |size| {
        if Instant::now() >= deadline {
            return None;
        }
        match send(size).await {
            ProbeOutcome::Response(_) => Some(true),
            ProbeOutcome::Foreign { .. } | ProbeOutcome::Broken { .. } => Some(false),
            ProbeOutcome::Refused(_) | ProbeOutcome::NotConnected { .. } => None,
        }
    })
    .await;
    Some(ProbeFinding::Limited { bytes, status })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::probe_ingress::probe_client::ProbeResponse;
    use serde_json::json;

    /// A body that took so many milliseconds to send, and arrived in so many.
    fn response(sending: u64, arriving: u64) -> ProbeOutcome {
        let pieces = json!([{"ms": 5}, {"ms": 5 + arriving}]);
        let report = json!({"service": "asset-gateway", "body": {"pieces": pieces}});
        ProbeOutcome::Response(ProbeResponse {
            report: serde_json::from_value(report).unwrap(),
            sending: Duration::from_millis(sending),
            receiving: Duration::ZERO,
            is_whole: true,
            after: Duration::ZERO,
        })
    }

    fn seen(declared: ProbeOutcome, chunked: ProbeOutcome) -> Vec<ProbeFinding> {
        arrivals(&[(Framing::Declared, declared), (Framing::Chunked, chunked)])
    }

    #[test]
    fn what_arrives_as_it_is_sent_streams() {
        assert_eq!(
            seen(response(1750, 1740), response(1750, 1600)),
            [ProbeFinding::Streams]
        );
    }

    #[test]
    fn what_arrives_at_once_was_buffered() {
        let all = ProbeFinding::Buffered {
            framings: vec![Framing::Declared, Framing::Chunked],
        };
        assert_eq!(seen(response(1750, 0), response(1750, 20)), [all]);
        let chunked = ProbeFinding::Buffered {
            framings: vec![Framing::Chunked],
        };
        assert_eq!(
            seen(response(1750, 1750), response(1750, 0)),
            [ProbeFinding::Streams, chunked],
            "nginx collects chunks for HTTP/1.0"
        );
    }

    #[test]
    fn a_proxy_that_takes_no_chunks_is_named() {
        let foreign = ProbeOutcome::Foreign {
            status: 411,
            after: Duration::ZERO,
        };
        let rejected = ProbeFinding::Rejected {
            status: 411,
            what: "a chunked request body",
        };
        assert_eq!(
            seen(response(1750, 1750), foreign),
            [ProbeFinding::Streams, rejected]
        );
    }

    #[test]
    fn a_response_without_its_end_was_cut() {
        let outcome = |is_whole| {
            let ProbeOutcome::Response(response) = response(0, 0) else {
                unreachable!()
            };
            ProbeOutcome::Response(ProbeResponse {
                is_whole,
                after: Duration::from_secs(15),
                ..response
            })
        };
        assert_eq!(cut(CutTransfer::SlowResponse, &outcome(true)), None);
        assert_eq!(
            cut(CutTransfer::SlowResponse, &outcome(false)),
            Some(ProbeFinding::Cut {
                transfer: CutTransfer::SlowResponse,
                after: Duration::from_secs(15)
            })
        );
    }
}
