//! The calls of the Account and Channel APIs. All spend from the other routes' budget.

use std::convert::identity;

use bytes::Bytes;
use serde_json::Value;

use super::{Account, Channel};
use crate::egain::client::{ApiRequest, EgainOperation};
use crate::egain::{ApiResponse, EgainClient};
use crate::types::account::{AccountId, ChannelId};
use crate::types::caller::Principal;
use crate::types::error::{Error, Stage};

impl EgainClient {
    /// `POST /accounts`: the id of the new account.
    pub async fn create_account(
        &self,
        account: &Account,
        claimant: &Principal,
    ) -> Result<String, Error> {
        let answer = self
            .manage(
                EgainOperation::CreateAccount,
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
    pub async fn list_accounts(&self, query: &str, claimant: &Principal) -> Result<Value, Error> {
        self.get(
            EgainOperation::ListAccounts,
            with_query("/accounts", query),
            claimant,
        )
        .await
    }

    /// `GET /accounts/{id}`, as it came, secrets and all.
    pub async fn get_account(&self, id: &AccountId, claimant: &Principal) -> Result<Value, Error> {
        self.get(
            EgainOperation::GetAccount,
            format!("/accounts/{id}"),
            claimant,
        )
        .await
    }

    /// `PUT /accounts/{id}`: a full replacement, refused where `modified` isn't the account's any
    /// more.
    pub async fn replace_account(
        &self,
        id: &AccountId,
        account: &Account,
        modified: &Value,
        claimant: &Principal,
    ) -> Result<(), Error> {
        let mut document = serde_json::to_value(account).expect("it has string keys");
        if !modified.is_null() {
            document["modified"] = modified.clone();
        }
        let body = to_json(&document);
        self.manage(
            EgainOperation::ReplaceAccount,
            format!("/accounts/{id}"),
            body,
            claimant,
        )
        .await
        .map(drop)
    }

    /// `DELETE /accounts/{id}`
    pub async fn delete_account(&self, id: &AccountId, claimant: &Principal) -> Result<(), Error> {
        self.manage(
            EgainOperation::DeleteAccount,
            format!("/accounts/{id}"),
            Bytes::new(),
            claimant,
        )
        .await
        .map(drop)
    }

    /// `GET /channels`, with a query as eGain knows it: the answer as it came.
    pub async fn list_channels(&self, query: &str, claimant: &Principal) -> Result<Value, Error> {
        self.get(
            EgainOperation::ListChannels,
            with_query("/channels", query),
            claimant,
        )
        .await
    }

    /// `GET /channels/{id}`, as it came; see [`Channel::read`].
    pub async fn get_channel(&self, id: &ChannelId, claimant: &Principal) -> Result<Value, Error> {
        self.get(
            EgainOperation::GetChannel,
            format!("/channels/{id}"),
            claimant,
        )
        .await
    }

    async fn get(
        &self,
        operation: EgainOperation,
        path: String,
        claimant: &Principal,
    ) -> Result<Value, Error> {
        let answer = self.manage(operation, path, Bytes::new(), claimant).await?;
        self.read(&answer)
    }

    async fn manage(
        &self,
        operation: EgainOperation,
        path: String,
        body: Bytes,
        claimant: &Principal,
    ) -> Result<ApiResponse, Error> {
        let question = ApiRequest::Manage {
            operation,
            path,
            body,
        };
        self.calls
            .make(&question, claimant, identity)
            .await
            .map(|(answer, _)| answer)
    }

    fn read(&self, answer: &ApiResponse) -> Result<Value, Error> {
        let value = serde_json::from_slice(&answer.body)
            .ok()
            .filter(Value::is_object);
        value.ok_or_else(|| {
            self.unusable_account(answer, "isn't the JSON that its documents promise")
        })
    }

    fn unusable_account(&self, answer: &ApiResponse, what: &str) -> Error {
        answer.unusable(Stage::Manage, &answer.fields(&self.metrics), what)
    }
}

impl Channel {
    /// What eGain says of a channel.
    ///
    /// # Errors
    /// eGain can't be asked, knows no such channel, or doesn't say its type.
    pub async fn fetch(
        egain: &EgainClient,
        id: &ChannelId,
        claimant: &Principal,
    ) -> Result<Self, Error> {
        let channel = egain.get_channel(id, claimant).await?;
        let untyped = || {
            Error::egain(
                crate::types::error::ErrorCode::UpstreamError,
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
