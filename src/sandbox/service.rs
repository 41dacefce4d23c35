//! The stand-in as a service: a request comes in, perhaps meets a fault, and gets a response.

use std::convert::Infallible;
use std::future;
use std::sync::Arc;
use std::time::SystemTime;

use headers::{Date, HeaderMapExt};
use http::header::DATE;
use http::{Request, Response};
use hyper::body::Incoming;

use super::faults::Fault;
use super::operation::SandboxOperation;
use super::reply::{ReplyBody, ReplyContent, SandboxReply};
use super::routes::RouteTarget;
use super::state::SandboxState;
use super::{accounts, assets, channels, control, download, reading, upload};

impl SandboxState {
    /// Responds to one request. `Date` is set here unless a fault sets it, or hyper would set the
    /// right one.
    pub(super) async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<ReplyBody>, Infallible> {
        let mut reply = match self.routes.find(request.method(), request.uri().path()) {
            Ok((RouteTarget::Operation(operation), id)) => {
                self.operate(operation, &id, request).await
            }
            Ok((RouteTarget::Faults, _)) => control::add_faults(&self, request).await,
            Ok((RouteTarget::ClearFaults, _)) => control::clear_faults(&self),
            Ok((RouteTarget::Oddities, _)) => control::set_oddities(&self, request).await,
            Ok((RouteTarget::Stats, _)) => control::stats(&self),
            Ok((RouteTarget::Reset, _)) => control::reset(&self),
            Ok((RouteTarget::PutChannel, _)) => control::put_channel(&self, request).await,
            Err(error) => error.into_reply(),
        };
        if !reply.headers.contains_key(DATE) {
            reply
                .headers
                .typed_insert(Date::from(SystemTime::from(self.clock.now())));
        }
        Ok(reply.into_response())
    }

    async fn operate(
        &self,
        operation: SandboxOperation,
        id: &str,
        request: Request<Incoming>,
    ) -> SandboxReply {
        let fault = self.faults.take(operation);
        let _presence = self.tally.began(operation, fault.is_some());
        let call = self.calls.begin(operation, id, fault.is_some());
        let reply = match &fault {
            Some(fault) => self.fail(fault, id, request).await,
            None => {
                let mut reply = self.perform(operation, id, request, None).await;
                self.oddities.alter(operation, &mut reply);
                reply
            }
        };
        let status = match &reply.content {
            ReplyContent::Cut => None,
            _ => Some(reply.status),
        };
        if let Some(status) = status {
            self.tally.responded(operation, status);
        }
        let created = match &reply.content {
            ReplyContent::Json(json) => json["id"].as_str(),
            _ => None,
        };
        self.calls.end(&call, status, created);
        reply
    }

    async fn fail(&self, fault: &Fault, id: &str, request: Request<Incoming>) -> SandboxReply {
        tokio::time::sleep(fault.delay).await;
        if fault.stall {
            future::pending::<()>().await;
        }
        if fault.done {
            let right = self.perform(fault.at, id, request, None).await;
            let mut reply = if fault.close {
                SandboxReply::cut()
            } else {
                fault.reply().unwrap_or(right)
            };
            fault.alter(&mut reply);
            return reply;
        }
        if fault.close {
            return SandboxReply::cut();
        }
        let mut reply = match fault.reply() {
            Some(reply) if fault.cut_after.is_none() => {
                reading::discard(request).await;
                reply
            }
            _ => self.perform(fault.at, id, request, Some(fault)).await,
        };
        fault.alter(&mut reply);
        reply
    }

    async fn perform(
        &self,
        operation: SandboxOperation,
        id: &str,
        request: Request<Incoming>,
        fault: Option<&Fault>,
    ) -> SandboxReply {
        let for_users = match request.headers().get("x-egain-error-message") {
            Some(wanted) => wanted == "yes",
            None => false,
        };
        let result = match operation {
            SandboxOperation::Token => return self.tokens.respond(&self.config, request).await,
            SandboxOperation::Upload => {
                return match upload::receive(self, id, request, fault).await {
                    Ok(reply) => reply,
                    Err(refusal) => refusal.into_reply(),
                };
            }
            SandboxOperation::Download => {
                return match download::send(self, id, &request, fault).await {
                    Ok(reply) => reply,
                    Err(refusal) => refusal.into_reply(),
                };
            }
            SandboxOperation::CreateAsset => assets::create(self, request).await,
            SandboxOperation::GetAsset => assets::get(self, id, &request),
            SandboxOperation::DeleteAsset => assets::delete(self, id, &request),
            SandboxOperation::CreateAccount => accounts::create(self, request).await,
            SandboxOperation::ListAccounts => accounts::list(self, &request),
            SandboxOperation::GetAccount => accounts::get(self, id, &request),
            SandboxOperation::ReplaceAccount => accounts::replace(self, id, request).await,
            SandboxOperation::DeleteAccount => accounts::delete(self, id, &request),
            SandboxOperation::ListChannels => channels::list(self, &request),
            SandboxOperation::GetChannel => channels::get(self, id, &request),
        };
        match result {
            Ok(reply) => reply,
            Err(refusal) => refusal.into_reply(for_users),
        }
    }
}
