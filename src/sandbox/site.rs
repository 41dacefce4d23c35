//! The stand-in as a service: a request comes in, perhaps meets a fault, and is answered.

use std::convert::Infallible;
use std::future;
use std::sync::Arc;
use std::time::SystemTime;

use headers::{Date, HeaderMapExt};
use http::header::DATE;
use http::{Request, Response};
use hyper::body::Incoming;
use url::Url;

use super::accounts::{self, AccountStore};
use super::channels::{self, ChannelStore};
use super::clock::Clock;
use super::config::Config;
use super::faults::{Fault, Operation, pending::Pending};
use super::limits::Limits;
use super::oddities::Oddities;
use super::reply::{Content, Outgoing, Reply};
use super::routes::{Routes, Target};
use super::shelf::Shelf;
use super::signature::Signer;
use super::stats::{Stats, Tally};
use super::storage::Denied;
use super::token::Tokens;
use super::{assets, control, download, reading, upload};

/// Everything that the stand-in knows.
pub(super) struct Site {
    pub(super) config: Config,
    /// Where callers reach it.
    pub(super) root: Url,
    pub(super) routes: Routes,
    pub(super) clock: Clock,
    pub(super) signer: Signer,
    pub(super) tokens: Tokens,
    pub(super) limits: Limits,
    pub(super) shelf: Arc<Shelf>,
    pub(super) accounts: AccountStore,
    pub(super) channels: ChannelStore,
    pub(super) faults: Pending,
    pub(super) oddities: Oddities,
    pub(super) tally: Arc<Tally>,
}

impl Site {
    pub(super) fn open(config: Config, root: Url) -> std::io::Result<Self> {
        Ok(Self {
            root,
            routes: Routes::all(),
            clock: Clock::ahead_by(config.clock_skew),
            signer: Signer::with_fresh_secret(),
            tokens: Tokens::default(),
            limits: Limits::of(config.plan),
            shelf: Arc::new(Shelf::in_temporary_folder()?),
            accounts: AccountStore::default(),
            channels: ChannelStore::with_samples(),
            faults: Pending::default(),
            oddities: Oddities::default(),
            tally: Arc::default(),
            config,
        })
    }

    /// Answers one request. `Date` is set here unless a fault sets it, or hyper would set the right
    /// one.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Outgoing>, Infallible> {
        let mut reply = match self.routes.find(request.method(), request.uri().path()) {
            Ok((Target::Operation(operation), id)) => self.operate(operation, &id, request).await,
            Ok((Target::Faults, _)) => control::add_faults(&self, request).await,
            Ok((Target::Oddities, _)) => control::set_oddities(&self, request).await,
            Ok((Target::Stats, _)) => control::stats(&self),
            Ok((Target::Reset, _)) => control::reset(&self),
            Ok((Target::PutChannel, _)) => control::put_channel(&self, request).await,
            Err(lost) => lost.into_reply(),
        };
        if !reply.headers.contains_key(DATE) {
            reply
                .headers
                .typed_insert(Date::from(SystemTime::from(self.clock.now())));
        }
        Ok(reply.into_response())
    }

    async fn operate(&self, operation: Operation, id: &str, request: Request<Incoming>) -> Reply {
        let fault = self.faults.take(operation);
        let _presence = self.tally.began(operation, fault.is_some());
        let reply = match &fault {
            Some(fault) => self.fail(fault, id, request).await,
            None => {
                let mut reply = self.perform(operation, id, request, None).await;
                self.oddities.alter(operation, &mut reply);
                reply
            }
        };
        if !matches!(reply.content, Content::Cut) {
            self.tally.answered(operation, reply.status);
        }
        reply
    }

    async fn fail(&self, fault: &Fault, id: &str, request: Request<Incoming>) -> Reply {
        tokio::time::sleep(fault.delay).await;
        if fault.stall {
            future::pending::<()>().await;
        }
        if fault.done {
            let right = self.perform(fault.at, id, request, None).await;
            let mut reply = if fault.close {
                Reply::cut()
            } else {
                fault.answer().unwrap_or(right)
            };
            fault.alter(&mut reply);
            return reply;
        }
        if fault.close {
            return Reply::cut();
        }
        let mut reply = match fault.answer() {
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
        operation: Operation,
        id: &str,
        request: Request<Incoming>,
        fault: Option<&Fault>,
    ) -> Reply {
        let for_users = request
            .headers()
            .get("x-egain-error-message")
            .is_some_and(|wanted| wanted == "yes");
        let result = match operation {
            Operation::Token => return self.tokens.answer(&self.config, request).await,
            Operation::Upload => {
                return upload::receive(self, id, request, fault)
                    .await
                    .unwrap_or_else(Denied::into_reply);
            }
            Operation::Download => {
                return download::send(self, id, &request, fault)
                    .await
                    .unwrap_or_else(Denied::into_reply);
            }
            Operation::CreateAsset => assets::create(self, request).await,
            Operation::GetAsset => assets::get(self, id, &request),
            Operation::DeleteAsset => assets::delete(self, id, &request),
            Operation::CreateAccount => accounts::create(self, request).await,
            Operation::ListAccounts => accounts::list(self, &request),
            Operation::GetAccount => accounts::get(self, id, &request),
            Operation::ReplaceAccount => accounts::replace(self, id, request).await,
            Operation::DeleteAccount => accounts::delete(self, id, &request),
            Operation::ListChannels => channels::list(self, &request),
            Operation::GetChannel => channels::get(self, id, &request),
        };
        result.unwrap_or_else(|refusal| refusal.into_reply(for_users))
    }

    pub(super) fn stats(&self) -> Stats {
        self.tally.read(self.shelf.all(), self.faults.all())
    }

    /// Back to the beginning, except that tokens stay good: callers keep theirs between tests.
    pub(super) fn reset(&self) {
        self.faults.clear();
        self.oddities.set([]);
        self.tally.reset();
        self.limits.reset();
        self.shelf.clear();
        self.accounts.clear();
        self.channels.reset();
    }
}
