//! Storage that doesn't take what it is sent.

use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::StatusCode;

use super::case::{FaultCase, LARGE, Row, SMALL, Seen, upload, upload_at};
use crate::support::gateway::noise;
use crate::support::raw_client::{by_hand, in_chunks};

fn send() -> Fault {
    Fault::at(SandboxOperation::Upload)
}

fn small(what: &str, fault: Fault) -> Row {
    Row::new(what, "upload, small", async move {
        upload(SMALL, &[], [fault]).await
    })
}

fn large(what: &str, fault: Fault) -> Row {
    Row::new(what, "upload, large", async move {
        upload(LARGE, &[], [fault]).await
    })
}

fn stalls(request: &'static str, size: usize) -> Row {
    let soon = [("egain.transfer_idle_timeout", "500ms")];
    Row::new("stalls", request, async move {
        upload(size, &soon, [send().stall()]).await
    })
}

/// The caller sends half and waits for the answer.
async fn half(fault: Fault) -> Seen {
    let case = FaultCase::with(&[], [fault]).await;
    let (mut body_writer, answer) = by_hand(
        case.gateway
            .post(&format!("/v1/assets?channel=sms&size={LARGE}")),
    );
    body_writer.write(noise(LARGE / 2, 1)).await;
    case.answered(answer.await.unwrap().unwrap(), &[]).await
}

async fn spooled(fault: Fault) -> Seen {
    let case = FaultCase::with(&[], [fault]).await;
    let file = noise(LARGE, 1);
    let response = in_chunks(case.gateway.post("/v1/assets?channel=sms"), &file).await;
    case.answered(response, &file).await
}

pub(super) fn rows() -> Vec<Row> {
    let refused = || send().status(StatusCode::FORBIDDEN);
    let early = || send().cut_after(200_000).status(StatusCode::FORBIDDEN);
    let mut rows = vec![
        small("refuses once, 403", refused().once()),
        small("refuses always, 403", refused()),
        Row::new(
            "refuses early, 403 after 200 kB",
            "upload, large, half sent",
            half(early().once()),
        ),
        Row::new(
            "refuses early, 403 after 200 kB, once",
            "upload, large, spooled",
            spooled(early().once()),
        ),
        large("refuses late, 403 after the last byte", refused().once()),
        large(
            "fails late, 500 after the last byte",
            send().status(StatusCode::INTERNAL_SERVER_ERROR).once(),
        ),
        Row::new(
            "confirms early, 201 after 200 kB",
            "upload, large, half sent",
            half(send().cut_after(200_000).status(StatusCode::CREATED).once()),
        ),
        stalls("upload, small", SMALL),
        // More than the sockets on the way hold.
        stalls("upload, 8 MB", 8 * LARGE),
        small("closes the connection once", send().close().once()),
        small("closes the connection always", send().close()),
        Row::new(
            "closes the connection after 200 kB",
            "upload, large, half sent",
            half(send().cut_after(200_000).once()),
        ),
        Row::new(
            "closes after 200 kB, once",
            "upload, large, spooled",
            spooled(send().cut_after(200_000).once()),
        ),
    ];
    let later = SandboxConfig {
        upload_status: StatusCode::ACCEPTED,
        ..SandboxConfig::default()
    };
    rows.push(Row::new(
        "takes it for later, 202",
        "upload, large",
        upload_at(later, LARGE),
    ));
    for status in [StatusCode::OK, StatusCode::CREATED, StatusCode::NO_CONTENT] {
        let config = SandboxConfig {
            upload_status: status,
            ..SandboxConfig::default()
        };
        rows.push(Row::new(
            format!("none: responds {}", status.as_str()),
            "upload, large",
            upload_at(config, LARGE),
        ));
    }
    rows
}
