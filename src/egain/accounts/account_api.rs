//! The calls of the Account and Channel APIs. All spend from the other routes' budget.

use std::convert::identity;

use bytes::Bytes;
use serde_json::Value;

use super::{Account, Channel};
use crate::egain::calls::{Operation, Question};
use crate::egain::{Answer, Egain};
use crate::words::account::{AccountId, ChannelId};
use crate::words::caller::Claimant;
use crate::words::fault::{Fault, Stage};

impl Egain {
    /// `POST /accounts`: the id of the new account.
    pub async fn create_account(
        &self,
        account: &Account,
        claimant: &Claimant,
    ) -> Result<String, Fault> {
        let answer = self
            .manage(
                Operation::CreateAccount,
                "/accounts".to_owned(),
                to_json(account),
                claimant,
            )
            .await?;
        let created = self.read(&answer)?;
        match &created["id"] {
            Value::String(id) => Ok(id.clone()),
            Value::Number(id) => Ok(id.to_string()),
            _ => Err(self.unusable_account(&answer, "has no id of the new account")),
        }
    }

    /// `GET /accounts`, with a query as eGain knows it: the answer as it came.
    pub async fn list_accounts(&self, query: &str, claimant: &Claimant) -> Result<Value, Fault> {
        self.get(
            Operation::ListAccounts,
            with_query("/accounts", query),
            claimant,
        )
        .await
    }

    /// `GET /accounts/{id}`, as it came, secrets and all.
    pub async fn get_account(&self, id: &AccountId, claimant: &Claimant) -> Result<Value, Fault> {
        self.get(Operation::GetAccount, format!("/accounts/{id}"), claimant)
            .await
    }

    /// `PUT /accounts/{id}`: a full replacement, refused where `modified` isn't the account's any
    /// more.
    pub async fn replace_account(
        &self,
        id: &AccountId,
        account: &Account,
        modified: &Value,
        claimant: &Claimant,
    ) -> Result<(), Fault> {
        let mut document = serde_json::to_value(account).expect("it has string keys");
        if !modified.is_null() {
            document["modified"] = modified.clone();
        }
        let body = to_json(&document);
        self.manage(
            Operation::ReplaceAccount,
            format!("/accounts/{id}"),
            body,
            claimant,
        )
        .await
        .map(drop)
    }

    /// `DELETE /accounts/{id}`
    pub async fn delete_account(&self, id: &AccountId, claimant: &Claimant) -> Result<(), Fault> {
        self.manage(
            Operation::DeleteAccount,
            format!("/accounts/{id}"),
            Bytes::new(),
            claimant,
        )
        .await
        .map(drop)
    }

    /// `GET /channels`, with a query as eGain knows it: the answer as it came.
    pub async fn list_channels(&self, query: &str, claimant: &Claimant) -> Result<Value, Fault> {
        self.get(
            Operation::ListChannels,
            with_query("/channels", query),
            claimant,
        )
        .await
    }

    /// `GET /channels/{id}`, as it came; see [`Channel::read`].
    pub async fn get_channel(&self, id: &ChannelId, claimant: &Claimant) -> Result<Value, Fault> {
        self.get(Operation::GetChannel, format!("/channels/{id}"), claimant)
            .await
    }

    async fn get(
        &self,
        operation: Operation,
        path: String,
        claimant: &Claimant,
    ) -> Result<Value, Fault> {
        let answer = self.manage(operation, path, Bytes::new(), claimant).await?;
        self.read(&answer)
    }

    async fn manage(
        &self,
        operation: Operation,
        path: String,
        body: Bytes,
        claimant: &Claimant,
    ) -> Result<Answer, Fault> {
        let question = Question::Manage {
            operation,
            path,
            body,
        };
        self.calls
            .make(&question, claimant, identity)
            .await
            .map(|(answer, _)| answer)
    }

    fn read(&self, answer: &Answer) -> Result<Value, Fault> {
        let value = serde_json::from_slice(&answer.body)
            .ok()
            .filter(Value::is_object);
        value.ok_or_else(|| {
            self.unusable_account(answer, "isn't the JSON that its documents promise")
        })
    }

    fn unusable_account(&self, answer: &Answer, what: &str) -> Fault {
        answer.unusable(Stage::Manage, &answer.fields(&self.metrics), what)
    }
}

impl Channel {
    /// What eGain says of a channel.
    ///
    /// # Errors
    /// eGain can't be asked, knows no such channel, or doesn't say its type.
    pub async fn fetch(egain: &Egain, id: &ChannelId, claimant: &Claimant) -> Result<Self, Fault> {
        let channel = egain.get_channel(id, claimant).await?;
        let untyped = || {
            Fault::egain(
                crate::words::fault::Code::UpstreamError,
                Stage::Manage,
                "eGain's channel has no type: ask eGain's support",
            )
        };
        Self::read(&channel).ok_or_else(untyped)
    }
}

fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

fn to_json(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value)
        .expect("it has string keys")
        .into()
}
